// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package alerts holds the tests of what the chart brings for those who watch renewd: the Prometheus rules, the Grafana
// dashboard and the runbooks. The rules run in Prometheus' own engine over series that a real run of the daemon left behind
// (package outage; the command record writes them), and what rules, panels and runbooks ask for is looked up in a fresh run.
// There is no Grafana here: of the dashboard only what its JSON says is checked, and that each panel finds data.
package alerts
