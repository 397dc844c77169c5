// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package trial

import (
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Reader reads the published file about every millisecond, from the first time that it is there.
type Reader struct {
	trial *Trial
	good  func(token string) error
	stop  func()

	mu    sync.Mutex
	last  string
	seen  int
	fault error
}

// Read starts a reader. good says whether a token is one that a reader can use. At the end of the test, it fails if the file
// was missing once or a token was not good.
func (r *Trial) Read(good func(token string) error) *Reader {
	d, stopped := &Reader{trial: r, good: good}, make(chan struct{})
	var task sync.WaitGroup
	task.Go(func() {
		for {
			select {
			case <-stopped:
				return
			case <-time.After(time.Millisecond):
				d.look()
			}
		}
	})
	d.stop = sync.OnceFunc(func() { close(stopped); task.Wait() })
	r.t.Cleanup(func() {
		d.stop()
		if d.fault != nil {
			r.t.Errorf("the reader: %v", d.fault)
		}
	})
	return d
}

func (d *Reader) look() {
	data, err := os.ReadFile(d.trial.Path("out/token"))
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.Is(err, os.ErrNotExist) && d.seen == 0 {
		return
	}
	if err == nil {
		err = d.good(string(data))
	}
	if d.fault == nil {
		d.fault = err
	}
	if string(data) != d.last {
		d.last = string(data)
		d.seen++
	}
}

// Seen returns how many tokens the reader has read, one after another.
func (d *Reader) Seen() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.seen
}

// Next waits for so many more tokens.
func (d *Reader) Next(more int) {
	d.trial.t.Helper()
	want := d.Seen() + more
	d.trial.Await(fmt.Sprintf("%d more tokens", more), func() bool { return d.Seen() >= want })
}

// JWT returns a judge for Reader: the token is a JWT by RS256 with one of the keys that an issuer publishes at a URL, and is
// alive. The keys are asked for once.
func JWT(client *http.Client, url string) (func(token string) error, error) {
	answer, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	var set struct {
		Keys []struct{ KID, N, E string }
	}
	if err := json.NewDecoder(answer.Body).Decode(&set); err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	keys := map[string]*rsa.PublicKey{}
	for _, k := range set.Keys {
		n, err1 := base64.RawURLEncoding.DecodeString(k.N)
		e, err2 := base64.RawURLEncoding.DecodeString(k.E)
		if err := errors.Join(err1, err2); err != nil {
			return nil, err
		}
		keys[k.KID] = &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(new(big.Int).SetBytes(e).Int64())}
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"RS256"}), jwt.WithExpirationRequired())
	return func(token string) error {
		_, err := parser.Parse(token, func(t *jwt.Token) (any, error) {
			kid, _ := t.Header["kid"].(string)
			if keys[kid] == nil {
				return nil, fmt.Errorf("no key %q", kid)
			}
			return keys[kid], nil
		})
		return err
	}, nil
}
