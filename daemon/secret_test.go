// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/renewd/renewd/daemon"
)

// holder has secrets where fmt cannot call their methods.
type holder struct {
	Exported   daemon.Secret
	unexported daemon.Secret
	pointer    *daemon.Secret
	token      daemon.Token
	list       []daemon.Secret
	table      map[string]any
}

func TestSecretIsNeverPrinted(t *testing.T) {
	const canary = "s3cr3t-c4n4ry"
	s := daemon.NewSecret(canary)
	h := holder{s, s, &s, daemon.Token{Value: s, Type: "Bearer"}, []daemon.Secret{s}, map[string]any{"k": s, "t": daemon.Token{Value: s}}}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%10.3s", "%T"} {
		for _, v := range []any{s, &s, h, &h, h.token, &h.token, h.list, h.table, []any{s}, fmt.Errorf("wrapped: %v", s)} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, v := range []any{s, h, h.token, h.list, h.table} {
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
	for _, encoder := range []zapcore.Encoder{
		zapcore.NewJSONEncoder(zapcore.EncoderConfig{MessageKey: "m"}), zapcore.NewConsoleEncoder(zapcore.EncoderConfig{MessageKey: "m"}),
	} {
		log := zap.New(zapcore.NewCore(encoder, zapcore.AddSync(&out), zap.DebugLevel))
		log.Info("zap", zap.Any("secret", s), zap.Any("holder", h), zap.Object("object", s), zap.Stringer("stringer", s),
			zap.Reflect("reflect", h.table), zap.Any("token", h.token), zap.Object("tokenObject", h.token), zap.Inline(s))
		log.Sugar().Infow("sugar", "secret", s, "holder", h, "token", &h.token)
	}
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&out, nil), slog.NewTextHandler(&out, nil)} {
		slog.New(handler).Info("slog", "secret", s, "holder", h, "token", h.token, "list", h.list)
	}
	for name, text := range map[string]string{
		"plain": canary, "hexadecimal": fmt.Sprintf("%x", canary), "upper": fmt.Sprintf("%X", canary), "numbers": strings.Trim(fmt.Sprintf("%d", []byte(canary)), "[]"),
	} {
		if strings.Contains(out.String(), text) {
			t.Errorf("the secret was printed (%s)", name)
		}
	}
	if n := strings.Count(out.String(), "[redacted]"); n < 50 {
		t.Errorf("only %d placeholders in the output: was anything printed at all?", n)
	}
}

func TestSecretReveal(t *testing.T) {
	var zero daemon.Secret
	if zero.Reveal() != "" || !zero.IsZero() || !zero.Equal(daemon.NewSecret("")) {
		t.Error("the zero Secret is not the empty text")
	}
	s := daemon.NewSecret("x")
	if s.Reveal() != "x" || s.IsZero() || !s.Equal(daemon.NewSecret("x")) || s.Equal(daemon.NewSecret("y")) || s.Equal(zero) {
		t.Error("Reveal, IsZero or Equal is wrong")
	}
}

func TestTokenIsNamedByItsDigest(t *testing.T) {
	token := daemon.Token{Value: daemon.NewSecret("abc")}
	if got := token.String(); got != "token[sha256:ba7816bf]" {
		t.Errorf("got %s", got)
	}
	if got := (daemon.Token{}).String(); got != "token[none]" {
		t.Errorf("got %s", got)
	}
}
