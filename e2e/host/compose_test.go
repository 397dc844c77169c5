// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package host

import (
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"

	"github.com/renewd/renewd/e2e/image"
)

// TestComposeExample loads the example as Docker Compose does, against its schema, and checks what the example is for.
func TestComposeExample(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{checkout + "/manifests/examples/compose/compose.yaml"}, cli.WithName("example"))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	renewd, app := project.Services["renewd"], project.Services["app"]
	config, err := image.ReadDockerfile(checkout+"/Dockerfile", map[string]string{"VERSION": "v", "REVISION": "r", "CREATED": "c"})
	if err != nil {
		t.Fatal(err)
	}

	volume := project.Volumes["token"]
	if volume.DriverOpts["type"] != "tmpfs" || !slices.Contains(strings.Split(volume.DriverOpts["o"], ","), "uid="+strings.Split(config.User, ":")[0]) {
		t.Errorf("the token's volume is %v, want a tmpfs of the image's user %s", volume.DriverOpts, config.User)
	}
	if m := mounted(renewd, "token"); m == nil || m.ReadOnly {
		t.Errorf("renewd mounts the token's volume %v", m)
	}
	if m := mounted(app, "token"); m == nil || !m.ReadOnly {
		t.Errorf("the application mounts the token's volume %v", m)
	}
	if !renewd.ReadOnly || renewd.User != "" || !slices.Equal(renewd.CapDrop, []string{"ALL"}) {
		t.Errorf("renewd: read-only %v, user %q, drops %v", renewd.ReadOnly, renewd.User, renewd.CapDrop)
	}
	if want := []string{"CMD", config.Entrypoint[0], "healthcheck"}; !slices.Equal(renewd.HealthCheck.Test, want) {
		t.Errorf("the health check is %q, want %q", renewd.HealthCheck.Test, want)
	}
	if app.DependsOn["renewd"].Condition != types.ServiceConditionHealthy {
		t.Errorf("the application waits for %v", app.DependsOn["renewd"])
	}
}

// mounted returns how a service mounts a volume.
func mounted(s types.ServiceConfig, volume string) *types.ServiceVolumeConfig {
	for _, v := range s.Volumes {
		if v.Type == types.VolumeTypeVolume && v.Source == volume {
			return &v
		}
	}
	return nil
}

// TestHostExample verifies the application's unit, where the package's units are.
func TestHostExample(t *testing.T) {
	inRoot(t, func(t *testing.T, r root) {
		r.run(t, "dpkg", "--install", r.copyIn(t, packaged(t, "v1.0.0", "*.deb")))
		if out := r.run(t, "systemd-analyze", "verify", "--man=no", r.copyIn(t, checkout+"/manifests/examples/host/orders.service")); out != "" {
			t.Errorf("systemd complains: %s", out)
		}
	})
}
