// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Command record writes testdata/outage.yaml anew: a real run of renewd through a bad day, with tokens that live for a
// minute, as input of `promtool test rules` in which each second counts as a minute. It takes seven minutes. Run it as
// `go run ./alerts/record` in e2e/ when metrics change, and read the difference.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/renewd/renewd/e2e/alerts/outage"
	"github.com/renewd/renewd/e2e/internal/program"
)

const header = `# SPDX-License-Identifier: Apache-2.0
# SPDX-FileCopyrightText: The renewd authors

# Recorded by: go run ./alerts/record
# A second of the run counts as a minute here, so that the tokens of a minute have the life of an hour.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := record(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func record(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "renewd-outage-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := program.Build(ctx, dir)
	if err != nil {
		return err
	}
	r, err := outage.Run(ctx, binary, dir, time.Minute)
	if err != nil {
		return err
	}
	text := header + r.Test("../../../charts/renewd/files/rules.yaml")
	return os.WriteFile(filepath.Join("alerts", "testdata", "outage.yaml"), []byte(text), 0o644)
}
