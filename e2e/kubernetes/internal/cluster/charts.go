// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// Charts copies the project's charts into a folder of the cluster's, and returns it. Helm puts what a chart depends on into the
// chart's folder, where it does not belong in a checkout.
func (c *Cluster) Charts(ctx context.Context, project string) (string, error) {
	copied := filepath.Join(c.Dir, "charts")
	if err := os.CopyFS(copied, os.DirFS(filepath.Join(project, "charts"))); err != nil {
		return "", err
	}
	for _, name := range []string{"renewd", "example-app"} {
		if out, err := c.Command(ctx, "helm", "dependency", "update", filepath.Join(copied, name)).CombinedOutput(); err != nil {
			return "", fmt.Errorf("chart %s: %w\n%s", name, err, out)
		}
	}
	return copied, nil
}
