// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

//go:build race

package logpolicy

// slow is how much slower tests may be than the bound they check.
const slow = 20
