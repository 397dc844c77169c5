// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package e2e holds the tests that look at renewd from outside: the binary as it is shipped, real readers of its files, the
// parsers and linters of other projects, kill -9, the container image unpacked. It is a module of its own, so that what these
// tests depend on stays out of the program's go.mod. It does not import the program. TestImage needs root; curl, git,
// python3, node and javac must be installed, for image and host also buildah, rpm and systemd, for host and
// oidcprovider strace.
//
// Folders of their own have the issuers (fakes, mockserver, oidcprovider, spiffe, zitadel), what is shipped (image, host), what
// is looked at (page, alerts), and two commands that measure and draw (footprint, tuning). What they share is in internal.
// charts and kubernetes are further modules.
package e2e
