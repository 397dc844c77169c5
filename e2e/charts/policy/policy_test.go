// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package policy

import (
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/pod-security-admission/api"
	psa "k8s.io/pod-security-admission/policy"
)

// A pod of every shape comes back with the sidecar first, one mount in each container, and nothing of its own changed.
func TestEveryShapeOfPodIsInjected(t *testing.T) {
	mount := corev1.VolumeMount{Name: "renewd-out", MountPath: "/var/run/service-token", ReadOnly: true}
	own := corev1.Volume{Name: "renewd-out", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}
	cache := corev1.VolumeMount{Name: "cache", MountPath: "/cache"}
	for name, change := range map[string]func(*corev1.Pod){
		"bare":        nil,
		"annotations": func(p *corev1.Pod) { p.Annotations = map[string]string{"team": "orders"} },
		"volumes": func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{cache}
			p.Spec.Containers = append(p.Spec.Containers, container("metrics"))
		},
		"init containers": func(p *corev1.Pod) {
			p.Spec.InitContainers = []corev1.Container{container("migrate"), container("proxy")}
			p.Spec.InitContainers[1].RestartPolicy = new(corev1.ContainerRestartPolicyAlways)
			p.Spec.InitContainers[1].VolumeMounts = []corev1.VolumeMount{cache}
			p.Spec.Volumes = []corev1.Volume{{Name: "cache", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
		},
		"own volume": func(p *corev1.Pod) {
			p.Spec.Volumes = []corev1.Volume{own}
			p.Spec.Containers[0].VolumeMounts = []corev1.VolumeMount{{Name: "renewd-out", MountPath: "/tokens"}}
			p.Spec.InitContainers = []corev1.Container{container("migrate")}
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := pod(nil, change)
			after, sidecar := create(t, installed(t), before)
			if got, want := names(after.Spec.InitContainers), append([]string{"renewd"}, names(before.Spec.InitContainers)...); !slices.Equal(got, want) {
				t.Errorf("init containers %v, want %v", got, want)
			}
			if *sidecar.RestartPolicy != corev1.ContainerRestartPolicyAlways {
				t.Error("it is no native sidecar")
			}
			if !strings.HasPrefix(after.Annotations[prefix+"injected"], "0.1.0-") {
				t.Errorf("revision %q", after.Annotations[prefix+"injected"])
			}
			for i, c := range slices.Concat(after.Spec.InitContainers[1:], after.Spec.Containers) {
				was := slices.Concat(before.Spec.InitContainers, before.Spec.Containers)[i]
				if !slices.ContainsFunc(was.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "renewd-out" }) {
					was.VolumeMounts = append(was.VolumeMounts, mount)
				}
				if !equal(c, was) {
					t.Errorf("%s: %+v, want %+v", was.Name, c, was)
				}
			}
			want := volumeNames(before)
			if !slices.Contains(want, "renewd-out") {
				want = append(want, "renewd-out")
			}
			if got := volumeNames(after); !slices.Equal(got, append(want, "renewd-sa", "renewd-admin")) {
				t.Errorf("volumes %v", got)
			}
			restricted(t, after)
		})
	}
}

// restricted evaluates the Pod Security Standard.
func restricted(t *testing.T, p *corev1.Pod) {
	t.Helper()
	e, err := psa.NewEvaluator(psa.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range e.EvaluatePod(api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}, &p.ObjectMeta, &p.Spec) {
		if !r.Allowed {
			t.Errorf("restricted: %s: %s", r.ForbiddenReason, r.ForbiddenDetail)
		}
	}
}

// builtIn are the variables of a pod that says nothing.
var builtIn = map[string]string{
	"POD_NAME": "orders-1", "POD_NAMESPACE": "apps", "POD_UID": "0b7c2d0e-5c1f-4a53-9a0b-8d4b5f6a7c8d", "SERVICE_ACCOUNT": "orders",
	"RENEWD_AUDIENCE": "https://sts.example.com", "RENEWD_SOURCE_FILE": "/var/run/secrets/renewd/token",
	"RENEWD_OUT": "/var/run/service-token/token", "RENEWD_MODE": "0644",
	"RENEWD_REFRESH_INTERVAL": "0s", "RENEWD_REFRESH_AT": "70%-80%", "RENEWD_KEEP": "2m", "RENEWD_OUTAGE": "0s",
	"RENEWD_SOCKET": "/run/renewd-admin/socket",
}

// What an operator sets for the fleet and an author for the pod arrives as variables; the author's wins, and an empty
// annotation is none.
func TestSettings(t *testing.T) {
	fleet := []string{
		"token.refreshInterval=20m", "token.refreshAt=50%", "token.keep=5m", "token.outage=10m", "token.mountPath=/run/t", "token.fileName=orders",
		"token.fileMode=0440",
	}
	fleetWide := with(builtIn, map[string]string{
		"RENEWD_REFRESH_INTERVAL": "20m", "RENEWD_REFRESH_AT": "50%", "RENEWD_KEEP": "5m", "RENEWD_OUTAGE": "10m", "RENEWD_OUT": "/run/t/orders",
		"RENEWD_MODE": "0440",
	})
	all := map[string]string{
		"audience": "vault", "refresh-interval": "1h", "refresh-at": "60%-65.5%", "keep": "90s", "outage": "1h30m", "mount-path": "/renewd-tokens",
	}
	empty := map[string]string{"audience": "", "refresh-interval": "", "refresh-at": "", "keep": "", "outage": "", "mount-path": "", "config": ""}
	yaml := "tokens: $(POD_NAME) ${POD_NAME} $$ $${x}"
	for name, c := range map[string]struct {
		values      []string
		annotations map[string]string
		want        map[string]string
	}{
		"built in":          {nil, nil, builtIn},
		"fleet":             {fleet, nil, fleetWide},
		"empty annotations": {fleet, empty, fleetWide},
		"pod over fleet": {fleet, all, with(fleetWide, map[string]string{
			"RENEWD_AUDIENCE": "vault", "RENEWD_REFRESH_INTERVAL": "1h", "RENEWD_REFRESH_AT": "60%-65.5%", "RENEWD_KEEP": "90s",
			"RENEWD_OUTAGE": "1h30m", "RENEWD_OUT": "/renewd-tokens/orders",
		})},
		"dollars": {nil, map[string]string{"audience": "a$(POD_NAME)$$"}, with(builtIn, map[string]string{"RENEWD_AUDIENCE": "a$(POD_NAME)$$"})},
		"profile": {[]string{"token.config=" + yaml, "token.logPolicy=level: $x"}, nil, with(builtIn, map[string]string{
			"RENEWD_CONFIG_YAML": yaml, "RENEWD_LOG_POLICY_YAML": "level: $x",
		})},
		"own configuration over profile": {
			[]string{"token.config=" + yaml, "token.logPolicy=level: INFO"}, map[string]string{"config": "orders-renewd"},
			with(builtIn, map[string]string{"RENEWD_CONFIG": "/etc/renewd/config.yaml"}),
		},
		"metrics": {[]string{"sidecar.metrics.enabled=true"}, nil, with(builtIn, map[string]string{"RENEWD_LISTEN": ":9736"})},
		"more": {[]string{"sidecar.extraEnv[0].name=NODE", "sidecar.extraEnv[0].valueFrom.fieldRef.fieldPath=spec.nodeName"}, nil,
			with(builtIn, map[string]string{"NODE": "node-1"})},
	} {
		t.Run(name, func(t *testing.T) {
			p, sidecar := create(t, installed(t, c.values...), pod(c.annotations, nil))
			if got := variables(sidecar); !maps.Equal(got, c.want) {
				t.Errorf("variables\n got %v\nwant %v", got, c.want)
			}
			out := c.want["RENEWD_OUT"]
			directory := out[:strings.LastIndexByte(out, '/')]
			for _, x := range slices.Concat(p.Spec.InitContainers, p.Spec.Containers) {
				if !slices.ContainsFunc(x.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == "renewd-out" && m.MountPath == directory }) {
					t.Errorf("%s mounts %v, not %s", x.Name, x.VolumeMounts, directory)
				}
			}
			if got := p.Spec.Volumes[1].Projected.Sources[0].ServiceAccountToken.Audience; got != c.want["RENEWD_AUDIENCE"] {
				t.Errorf("the projected token is for %q", got)
			}
			restricted(t, p)
		})
	}
}

// A ConfigMap of the pod's own is mounted as a directory, so that its changes arrive.
func TestOwnConfiguration(t *testing.T) {
	p, sidecar := create(t, installed(t), pod(map[string]string{"config": "orders-renewd"}, nil))
	v := p.Spec.Volumes[len(p.Spec.Volumes)-1]
	if v.Name != "renewd-config" || v.ConfigMap.Name != "orders-renewd" || v.ConfigMap.Items != nil {
		t.Errorf("volume %+v", v)
	}
	m := sidecar.VolumeMounts[len(sidecar.VolumeMounts)-1]
	if m.Name != "renewd-config" || m.MountPath != "/etc/renewd" || m.SubPath != "" || !m.ReadOnly {
		t.Errorf("mount %+v", m)
	}
}

// The sidecar's own directory is the only place that it can write to, and the pod's API credentials are not in it. With the
// projected token comes the CA that the source kubernetes needs.
func TestSidecarIsConfined(t *testing.T) {
	p, sidecar := create(t, installed(t), pod(nil, nil))
	writable := slices.DeleteFunc(slices.Clone(sidecar.VolumeMounts), func(m corev1.VolumeMount) bool { return m.ReadOnly })
	if len(writable) != 2 || writable[0].Name != "renewd-out" || writable[1].Name != "renewd-admin" {
		t.Errorf("writable: %v", writable)
	}
	if !slices.ContainsFunc(sidecar.VolumeMounts, func(m corev1.VolumeMount) bool {
		return m.MountPath == "/var/run/secrets/kubernetes.io/serviceaccount" && m.Name == "renewd-sa"
	}) {
		t.Error("the API server would mount the pod's API credentials")
	}
	if ca := p.Spec.Volumes[1].Projected.Sources[1].ConfigMap; ca == nil || ca.Name != "kube-root-ca.crt" || !*ca.Optional {
		t.Errorf("projected beside the token: %+v", ca)
	}
	s := sidecar.SecurityContext
	if !*s.ReadOnlyRootFilesystem || *s.AllowPrivilegeEscalation || !*s.RunAsNonRoot || *s.RunAsUser != 65532 || *s.RunAsGroup != 65532 {
		t.Errorf("security context %+v", s)
	}
	if len(sidecar.Ports) != 0 {
		t.Errorf("ports %v", sidecar.Ports)
	}
	if got := sidecar.StartupProbe.FailureThreshold * sidecar.StartupProbe.PeriodSeconds; got != 86400 {
		t.Errorf("it waits %d s for the first token", got)
	}
}

func TestSidecarValues(t *testing.T) {
	_, sidecar := create(t, installed(t,
		"sidecar.runAsUser=null", "sidecar.resources.limits=null", "sidecar.startupTimeoutSeconds=60", "sidecar.extraArgs={--log-policy-poll,30s}",
		"sidecar.metrics.enabled=true", "sidecar.metrics.port=9999", "image.pullPolicy=Always", "image.tag=1.2.3", "global.imageRegistry=mirror.example.com"), pod(nil, nil))
	if s := sidecar.SecurityContext; s.RunAsUser != nil || s.RunAsGroup != nil || !*s.RunAsNonRoot {
		t.Errorf("security context %+v", s)
	}
	if r := sidecar.Resources; r.Limits != nil || r.Requests.Memory().String() != "16Mi" {
		t.Errorf("resources %+v", r)
	}
	if sidecar.StartupProbe.FailureThreshold != 60 {
		t.Errorf("probe %+v", sidecar.StartupProbe)
	}
	if !slices.Equal(sidecar.Args, []string{"run", "--log-policy-poll", "30s"}) {
		t.Errorf("args %q", sidecar.Args)
	}
	if p := sidecar.Ports; len(p) != 1 || p[0].ContainerPort != 9999 || p[0].Name != "renewd-metrics" {
		t.Errorf("ports %+v", p)
	}
	if sidecar.Image != "mirror.example.com/renewd/renewd:1.2.3" || sidecar.ImagePullPolicy != corev1.PullAlways {
		t.Errorf("image %s, %s", sidecar.Image, sidecar.ImagePullPolicy)
	}
	// Helm leaves a null where the chart has no default.
	_, sidecar = create(t, installed(t, "sidecar.resources.limits.cpu=null", "sidecar.resources.requests.cpu=null"), pod(nil, nil))
	if r := sidecar.Resources; len(r.Limits) != 1 || len(r.Requests) != 1 {
		t.Errorf("resources %+v", r)
	}
	_, sidecar = create(t, installed(t, "sidecar.resources=null"), pod(nil, nil))
	if r := sidecar.Resources; r.Limits != nil || r.Requests != nil {
		t.Errorf("resources %+v", r)
	}
}

// Pods that nobody asked for stay as they are.
func TestNotInjected(t *testing.T) {
	for name, c := range map[string]struct {
		values []string
		change func(*corev1.Pod)
	}{
		"no label":           {nil, func(p *corev1.Pod) { p.Labels = nil }},
		"label false":        {nil, func(p *corev1.Pod) { p.Labels[label] = "false" }},
		"excluded namespace": {nil, func(p *corev1.Pod) { p.Namespace = "kube-system" }},
		"not selected":       {[]string{"injection.namespaceSelector.matchLabels.team=orders"}, func(p *corev1.Pod) { p.Namespace = "other" }},
		"windows":            {nil, func(p *corev1.Pod) { p.Spec.OS = &corev1.PodOS{Name: corev1.Windows} }},
		"has a sidecar":      {nil, func(p *corev1.Pod) { p.Spec.InitContainers = []corev1.Container{container("renewd")} }},
		"has a container":    {nil, func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, container("renewd")) }},
	} {
		t.Run(name, func(t *testing.T) {
			before := pod(nil, c.change)
			after, err := installed(t, c.values...).Create(t.Context(), before)
			if err != nil {
				t.Fatal(err)
			}
			if !equal(after.Spec, before.Spec) || len(after.Annotations) != 0 {
				t.Errorf("changed: %+v", after)
			}
		})
	}
	_, _ = create(t, installed(t, "injection.excludeNamespaces=null"), pod(nil, func(p *corev1.Pod) { p.Namespace = "kube-system" }))
}

// Each namespace can have parameters of its own; where there are none, pods start without a token.
func TestPerNamespaceParams(t *testing.T) {
	objects := rendered(t, "injection.perNamespaceParams=true", "token.audience=")
	for _, o := range rendered(t, "injection.mode=params", "token.keep=7m") {
		if o.GetKind() == "ConfigMap" {
			o.SetNamespace("apps")
			objects = append(objects, o)
		}
	}
	c := cluster(t, objects)
	_, sidecar := create(t, c, pod(nil, nil))
	if got := variables(sidecar)["RENEWD_KEEP"]; got != "7m" {
		t.Errorf("keep %s", got)
	}
	after, err := c.Create(t.Context(), pod(nil, func(p *corev1.Pod) { p.Namespace = "other" }))
	if err != nil || len(after.Spec.InitContainers) != 0 {
		t.Errorf("a namespace without parameters: %v, %v", after, err)
	}
}

// Without parameters labelled pods are refused, and others are not concerned.
func TestMissingParams(t *testing.T) {
	objects := slices.DeleteFunc(rendered(t), func(o *unstructured.Unstructured) bool { return o.GetKind() == "ConfigMap" })
	c := cluster(t, objects)
	_, err := c.Create(t.Context(), pod(nil, nil))
	if err == nil || !strings.Contains(err.Error(), "no params found for policy binding with `Deny` parameterNotFoundAction") {
		t.Errorf("got %v", err)
	}
	if _, err := c.Create(t.Context(), pod(nil, func(p *corev1.Pod) { p.Labels = nil })); err != nil {
		t.Error(err)
	}
}

// What the parameters do not say has a default.
func TestMissingKeys(t *testing.T) {
	objects := rendered(t, "token.keep=9m", "token.outage=9m", "token.refreshAt=9%", "token.refreshInterval=9m", "token.mountPath=/x", "token.fileName=x",
		"token.fileMode=0400", "token.config=x", "token.logPolicy=x", "sidecar.extraArgs={x}")
	data := params(t, objects)
	for key := range data {
		if !slices.Contains([]string{"image", "audience", "revision"}, key) {
			delete(data, key)
		}
	}
	_, sidecar := create(t, cluster(t, objects), pod(nil, nil))
	if got := variables(sidecar); !maps.Equal(got, builtIn) {
		t.Errorf("variables\n got %v\nwant %v", got, builtIn)
	}
}
