// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package keyfile

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/renewd/renewd/daemon"
)

func FuzzLoad(f *testing.F) {
	for _, text := range []string{
		pkcs8("P-256"), ecParameters + sec1("P-256"), public("P-256"), jwk(keys()["P-256"], nil), google("RSA"), secret32 + "\n",
		`{"keys":[` + jwk(keys()["Ed25519"], map[string]any{"kid": "a"}) + `]}`, "{", "0", "-----BEGIN ",
	} {
		for i := range algorithms() {
			f.Add([]byte(text), uint(i), "a")
		}
	}
	all := algorithms()
	f.Fuzz(func(t *testing.T, data []byte, i uint, keyID string) {
		if len(data) == 0 {
			return // input.Read refuses it
		}
		a := all[i%uint(len(all))]
		file := File{Path: "/key", Algorithm: a.method.Alg(), KeyID: keyID}
		key, err := file.parse(a, bytes.Clone(data))
		if (key == nil) == (err == nil) {
			t.Fatalf("key %v, error %v", key, err)
		}
		if err != nil {
			if failure, ok := errors.AsType[*daemon.Failure](err); !ok || failure.Class != daemon.ClassConfig {
				t.Errorf("%v is no config failure", err)
			}
			if len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if reflect.ValueOf(key.public).IsValid() == (a.secret > 0) {
			t.Errorf("%s: public key %v", a.method.Alg(), key.public)
		}
	})
}
