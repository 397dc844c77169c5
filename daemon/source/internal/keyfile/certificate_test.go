// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package keyfile

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
)

func certificate(name string, notAfter time.Time) string {
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter}
	return block("CERTIFICATE", must(x509.CreateCertificate(rand.Reader, template, template, keys()[name].Public(), keys()[name])))
}

func TestCertificate(t *testing.T) {
	end := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	leaf, other := certificate("P-256", end), certificate("RSA", end)
	key := must(File{Path: save(t, pkcs8("P-256")), Algorithm: "ES256", KeyID: Auto}.Load())
	first, _ := pem.Decode([]byte(leaf))
	sum := sha256.Sum256(first.Bytes)
	want := Certificate{Thumbprint: base64.RawURLEncoding.EncodeToString(sum[:]), NotAfter: end}
	for name, text := range map[string]string{"alone": leaf, "in a chain": leaf + other, "behind another": other + leaf, "behind the key": pkcs8("P-256") + leaf} {
		got, err := key.Certificate(save(t, text), end)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", name, got, err, want)
		}
	}
	for name, c := range map[string]struct {
		text, problem string
		now           time.Time
	}{
		"expired":       {leaf, "expired at 2030-01-02T03:04:05Z", end.Add(time.Nanosecond)},
		"of another":    {other, "is not for the key in the key file", end},
		"no PEM":        {string(first.Bytes), "has no certificate in PEM", end},
		"the key alone": {pkcs8("P-256"), "has no certificate in PEM", end},
		"damaged":       {block("CERTIFICATE", []byte("x")), "has a damaged certificate", end},
		"empty":         {"", "is empty", end},
	} {
		path := save(t, c.text)
		got, err := key.Certificate(path, c.now)
		if want := fmt.Sprintf("certificate file %q: %s", path, c.problem); err == nil || err.Error() != want || daemon.ClassOf(err) != daemon.ClassConfig {
			t.Errorf("%s: %+v, %v; want %s", name, got, err, want)
		}
	}
}

func TestSecretHasNoCertificate(t *testing.T) {
	key := must(File{Path: save(t, secret32), Algorithm: "HS256", KeyID: Auto}.Load())
	if got, err := key.Certificate(save(t, certificate("P-256", time.Now().Add(time.Hour))), time.Now()); err == nil {
		t.Errorf("got %+v", got)
	}
}
