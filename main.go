// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Renewd keeps service tokens fresh: it obtains or signs a token, publishes it atomically to a file, and replaces it before
// it expires, for as long as it runs.
package main

import (
	"os"

	"github.com/renewd/renewd/daemon/command"
)

func main() {
	os.Exit(command.Main(os.Args[1:], os.Stdout, os.Stderr))
}
