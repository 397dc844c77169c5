// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package daemon

import (
	"slices"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// say logs what an event means to a person: a change of state at info or above, a repetition at debug.
func (k *Keeper) say(e Event) {
	fields := []zap.Field{zap.String("token", k.Name), zap.String("trigger", e.Trigger), zap.Time("next", e.Next)}
	if !k.current.none() {
		fields = append(fields, zap.String("digest", k.current.String()))
		if !k.current.ExpiresAt.IsZero() {
			fields = append(fields, zap.Time("expiresAt", k.current.ExpiresAt))
		}
	}
	log := k.log()
	switch e.Kind {
	case Failed:
		k.sayFailed(e, fields)
		return
	case Adopted:
		log.Info("token adopted", fields...)
	case Healed:
		log.Warn("published token healed", fields...)
	case Published:
		log.Info("token published", fields...)
	case Unchanged:
		log.Debug("token unchanged", fields...)
	}
	if e.Kind == Adopted || e.Kind == Healed {
		return // neither says anything about the source
	}
	if k.failing != "" {
		log.Warn("token refresh recovered", fields...)
	}
	k.failing, k.dead = "", false
}

func (k *Keeper) sayFailed(e Event, fields []zap.Field) {
	class := ClassOf(e.Err)
	fields = append(fields, zap.Error(e.Err), zap.String("class", string(class)), zap.Int("failures", e.Failures))
	if hint := HintOf(e.Err); hint != "" {
		fields = append(fields, zap.String("hint", hint))
	}
	level := zapcore.DebugLevel
	if kind := string(class) + " " + codeOf(e.Err); kind != k.failing {
		k.failing, level = kind, zapcore.WarnLevel
	}
	k.log().Log(level, "token refresh failed", fields...)
	if !k.current.none() && !k.current.aliveAt(k.now()) && !k.dead {
		k.dead = true
		k.log().Error("token expired", fields...)
	}
}

// notice logs each notice that was not among the last ones. What stands behind its colon are numbers, which may differ by
// a second from token to token.
func (k *Keeper) notice(notices []string) {
	known := func(n string) bool {
		head, _, _ := strings.Cut(n, ":")
		return slices.ContainsFunc(k.notices, func(old string) bool { return strings.HasPrefix(old, head) })
	}
	for _, n := range notices {
		if !known(n) {
			k.log().Warn("token notice", zap.String("token", k.Name), zap.String("notice", n))
		}
	}
	k.notices = notices
}
