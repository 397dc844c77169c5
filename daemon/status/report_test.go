// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package status

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestReportRoundTrip(t *testing.T) {
	want := full()
	data, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	var got Report
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	for _, part := range []string{`"expiresAt":"2026-11-23T18:30:00Z"`, `"tokenDigest":"1a2b3c4d"`, `"guarantee":120`, `"consecutiveFailures":3`, `"generation":12`} {
		if !strings.Contains(string(data), part) {
			t.Errorf("no %s in %s", part, data)
		}
	}
}

// The field names are an interface. A field of full that is zero would hide one from this list.
func TestReportFieldNames(t *testing.T) {
	data, err := json.Marshal(full())
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"":              "configuration logPolicy process time tokens watches",
		"process":       "pid startedAt version",
		"configuration": "error generation lastReload lastReloadSuccessful path sha256",
		"logPolicy":     "error generation lastReload lastReloadSuccessful overrides path sha256",
		"watches":       "error lastCheck path state",
		"tokens": "consecutiveFailures expiresAt failedAttempts files guarantee hint issuedAt lastAttempt lastError lastErrorClass lastSuccess name" +
			" nextAttempt source state tokenDigest trigger valid windowEnd windowStart",
	} {
		node := any(tree)
		if path != "" {
			node = tree[path]
		}
		if list, ok := node.([]any); ok {
			node = list[0]
		}
		fields := make(map[string]bool)
		for key := range node.(map[string]any) {
			fields[key] = true
		}
		for name := range strings.FieldsSeq(want) {
			if !fields[name] {
				t.Errorf("%s: no %s", path, name)
			}
			delete(fields, name)
		}
		if len(fields) > 0 {
			t.Errorf("%s: unexpected %v", path, fields)
		}
	}
}

func TestUnknownTimesAreLeftOut(t *testing.T) {
	data, err := json.Marshal(Report{Time: epoch, Tokens: []Token{{Name: "new"}}, Watches: []Watch{{}}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "0001-") || strings.Contains(string(data), "tokenDigest") {
		t.Errorf("%s", data)
	}
}

// Every type that a report is made of is known and is no place for a token: there is no interface, function, pointer or
// byte slice that could lead to one, and what is made from a token is four bytes.
func TestReportHasNoRoomForAToken(t *testing.T) {
	var walk func(path string, of reflect.Type)
	walk = func(path string, of reflect.Type) {
		switch {
		case of == reflect.TypeFor[time.Time]():
		case of == reflect.TypeFor[Digest]():
			if of.Size() != 4 {
				t.Errorf("%s has %d bytes", path, of.Size())
			}
		case of.Kind() == reflect.Struct:
			if of.PkgPath() != reflect.TypeFor[Report]().PkgPath() {
				t.Errorf("%s is a foreign %s", path, of)
			}
			for field := range of.Fields() {
				if !field.IsExported() {
					t.Errorf("%s.%s is hidden", path, field.Name)
				}
				name := strings.ToLower(field.Name)
				for _, word := range []string{"value", "secret", "key", "password", "body"} {
					if strings.Contains(name, word) {
						t.Errorf("%s.%s", path, field.Name)
					}
				}
				walk(path+"."+field.Name, field.Type)
			}
		case of.Kind() == reflect.Slice && of.Elem().Kind() == reflect.Struct:
			walk(path+"[]", of.Elem())
		default:
			switch of.Kind() {
			case reflect.String, reflect.Bool, reflect.Int, reflect.Uint64, reflect.Float64:
			default:
				t.Errorf("%s is a %s", path, of)
			}
		}
	}
	walk("Report", reflect.TypeFor[Report]())
}

func TestDigest(t *testing.T) {
	const sum = "1a2b3c4d00112233445566778899aabbccddeeff00112233445566778899aabb"
	const token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
	for from, want := range map[string]string{
		sum: "1a2b3c4d", strings.ToUpper(sum): "1a2b3c4d",
		"": "00000000", sum[:8]: "00000000", token: "00000000", strings.Repeat("g", 64): "00000000",
	} {
		if got := DigestOf(from).String(); got != want {
			t.Errorf("%q: %s", from, got)
		}
	}
}

func FuzzDigest(f *testing.F) {
	for _, seed := range []string{"1a2b3c4d", "", "1A2B3C4D", "1a2b3c4", "1a2b3c4d5", "zzzzzzzz"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var d Digest
		if d.UnmarshalText([]byte(text)) == nil && d.String() != strings.ToLower(text) {
			t.Errorf("%q became %s", text, d)
		}
	})
}

// What a report was read from can be written again, and reads as the same report.
func FuzzReport(f *testing.F) {
	for _, seed := range []string{
		`{"tokens":[{"name":"a","tokenDigest":"1a2b3c4d","expiresAt":"2026-11-23T18:00:00Z"}]}`,
		`{"tokens":null,"watches":[{}]}`, `{"time":"0001-01-01T00:00:00+23:59"}`, `[]`, ``,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var first, second Report
		if json.Unmarshal([]byte(text), &first) != nil {
			return
		}
		data, err := json.Marshal(first)
		if err != nil {
			return // a year of five digits, after a shift of the zone
		}
		if err := json.Unmarshal(data, &second); err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		again, err := json.Marshal(second)
		if err != nil || string(again) != string(data) {
			t.Errorf("%s became %s, %v", data, again, err)
		}
	})
}
