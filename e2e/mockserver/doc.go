// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package mockserver tests the oauth2 source against oauth2-mock-server, which is not ours and answers what hooks make of its
// answers. `npm ci` in this folder installs it; the hooks are in run.mjs. It knows nothing of the program's packages.
package mockserver
