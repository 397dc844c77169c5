// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package reissue

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/contract"
)

func TestMistakesAreFoundWithoutFiles(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   []string
	}{
		"nothing":          {func(*Config) {}, nil},
		"everything":       {func(c *Config) { *c = Config{Grace: -1, MaxLife: -1} }, []string{"algorithm", "extend", "grace", "keyFile", "maxLife", "tokenFile"}},
		"longest":          {func(c *Config) { c.Extend, c.Grace, c.MaxLife = maxSpan, maxSpan, maxSpan }, nil},
		"too long":         {func(c *Config) { c.Extend, c.Grace, c.MaxLife = maxSpan+1, maxSpan+1, maxSpan+1 }, []string{"extend", "grace", "maxLife"}},
		"below a second":   {func(c *Config) { c.Extend = time.Second - 1 }, []string{"extend"}},
		"alg of the token": {func(c *Config) { c.Algorithm = "auto" }, []string{"algorithm"}},
	} {
		config := Default()
		config.KeyFile, config.TokenFile = "/nowhere/key", "/nowhere/token"
		c.change(&config)
		_, err := New(config)
		if got := contract.Fields(t, err); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q (%v)", name, got, c.want, err)
		}
	}
}

func TestEnumIsWhatNewAccepts(t *testing.T) {
	field, _ := reflect.TypeFor[Config]().FieldByName("Algorithm")
	_, err := New(Config{})
	if f, ok := errors.AsType[*daemon.FieldError](err); !ok || f.Help != "one of "+strings.ReplaceAll(field.Tag.Get("enum"), ",", ", ") {
		t.Errorf("%v: the enum is not the list that New knows", f)
	}
}
