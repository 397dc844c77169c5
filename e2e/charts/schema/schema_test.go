// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package schema

import (
	"strings"
	"testing"
)

func TestCheckFindsMistakes(t *testing.T) {
	v, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    resources: {requests: {cpu: 1, memory: 16Mi}}\n" +
		"    livenessProbe: {httpGet: {port: http}}\n"
	const crd = "apiVersion: monitoring.coreos.com/v1\nkind: PodMonitor\nmetadata: {name: a}\n"
	for _, c := range []struct{ manifest, want string }{
		{pod, ""},
		{pod + "---\n" + pod, ""},
		{pod + "    restartPolicie: Always\n", "restartPolicie"},
		{pod + "    args: run\n", "/args"},
		{"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {}\n", "containers"},
		{"apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingAdmissionPolicy\nmetadata: {name: a}\nspec: {reinvokePolicy: IfNeeded}\n", "reinvokePolicy"},
		{"apiVersion: v1\nkind: Pot\nmetadata: {name: a}\n", "Pot"},
		{crd, "PodMonitor"},
		{"# nothing\n", "no object"},
	} {
		err := v.Check("test", c.manifest)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("got %v, want %q\n%s", err, c.want, c.manifest)
		}
	}
	if err := v.Check("test", crd, "monitoring.coreos.com"); err != nil {
		t.Error(err)
	}
}
