// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package charts holds the tests of charts/: lint, every set of values, what is refused and with which words, the unit tests of
// the charts, and that what is generated from them or repeated in them agrees. It needs no cluster. It is a module of its
// own, since Helm and the API server's library are large. What the admission policies do is tested in policy.
package charts
