// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package reissue

import (
	"testing"
	"time"
)

// Whatever is signed: either it is refused, or only exp differs, and it is read as what was meant.
func FuzzReissue(f *testing.F) {
	for _, text := range []string{
		`{"exp":946685000}`, `{ "a":[1,{"exp":2}], "exp" : "946685000" ,"iat":946684000 }`, `{"exp":1e9,"nbf":0.5}`, `{"\u0065xp":946685000.9}`, `{"exp":1,"exp":2}`, `{}`,
	} {
		f.Add(header, text)
	}
	f.Add(`{"alg":"HS256","crit":[]}`, `{"exp":946685000}`)
	c := configured(f)
	s := source(f, c)
	key, err := s.key.Load()
	if err != nil {
		f.Fatal(err)
	}
	now := time.Unix(start, 0)
	f.Fuzz(func(t *testing.T, header, payload string) {
		old, err := s.verify(key, hs256(t, header, payload))
		if err != nil {
			return
		}
		expires, err := s.extend(old, now)
		if err != nil {
			return
		}
		if !expires.After(now) || expires.After(now.Add(maxSpan+c.Extend)) {
			t.Errorf("expires %v", expires)
		}
		renewed := old.withExpiry(expires)
		again, err := s.verify(key, hs256(t, header, string(renewed)))
		if err != nil {
			t.Fatalf("%q became %q: %v", payload, renewed, err)
		}
		if at, _, err := again.date("exp"); err != nil || !at.Equal(expires) {
			t.Errorf("%q became %q, which expires %v (%v), not %v", payload, renewed, at, err, expires)
		}
		before, _ := old.member("exp")
		after, _ := again.member("exp")
		if payload[:before.Start] != string(renewed[:after.Start]) || payload[before.End:] != string(renewed[after.End:]) {
			t.Errorf("%q became %q", payload, renewed)
		}
	})
}
