// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package command

import (
	"fmt"
	"io"
	"strings"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// newLog returns the logger that writes to w from the named level on.
func newLog(w io.Writer, level string) (*zap.Logger, error) {
	levels := map[string]zapcore.Level{
		"DEBUG": zap.DebugLevel, "INFO": zap.InfoLevel, "WARNING": zap.WarnLevel, "ERROR": zap.ErrorLevel, "CRITICAL": zap.DPanicLevel,
	}
	l, ok := levels[strings.ToUpper(level)]
	if !ok {
		return nil, &exit{code: exitUsage, err: fmt.Errorf("--log-level: unknown level %.40q", level), help: "one of DEBUG, INFO, WARNING, ERROR, CRITICAL"}
	}
	names := map[zapcore.Level]string{}
	for name, l := range levels {
		names[l] = name
	}
	encoder := zapcore.NewConsoleEncoder(zapcore.EncoderConfig{
		TimeKey: "time", LevelKey: "level", NameKey: "logger", MessageKey: "msg", StacktraceKey: "",
		EncodeTime:       zapcore.ISO8601TimeEncoder,
		EncodeDuration:   zapcore.StringDurationEncoder,
		EncodeLevel:      func(l zapcore.Level, e zapcore.PrimitiveArrayEncoder) { e.AppendString(names[l]) },
		ConsoleSeparator: " | ",
	})
	return zap.New(zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), l)), nil
}

// noLog is the logger of commands that answer and exit.
func noLog() *zap.Logger { return zap.NewNop() }
