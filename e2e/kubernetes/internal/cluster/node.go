// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package cluster

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/renewd/renewd/e2e/kubernetes/internal/image"
)

// NodeName is the name of the one node.
const NodeName = "e2e"

// pause is the image that holds the namespaces of pods.
const pause = "e2e.renewd.github.io/pause:1"

// sockets is where those of the node are: their paths have to be short. It is a file system of the test's own.
const sockets = "/run/e2e"

// plugins is where Debian has the CNI plug-ins.
const plugins = "/usr/lib/cni"

// Missing returns an error that names the packages of Debian that a node needs, if one of their programs is not installed.
func Missing() error {
	for _, program := range []string{"ip", "nft", "runc", plugins + "/bridge", plugins + "/host-local", plugins + "/loopback"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%w: install iproute2, nftables, runc and containernetworking-plugins", err)
		}
	}
	return nil
}

// Network makes the interfaces of a node in the network namespace of this process. There is none to the outside, and no route.
func Network(ctx context.Context) error {
	for _, args := range []string{
		"link set lo up",
		"link add cni0 type bridge",
		"addr add " + nodeAddress + "/24 dev cni0",
		"link set cni0 up",
		"route add " + serviceRange + " dev cni0", // until kube-proxy rewrites the address of a service it needs a route
	} {
		if out, err := exec.CommandContext(ctx, "ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
	}
	return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644)
}

// StartNode brings up the scheduler and a node after Start, in the order in which one needs the other, and waits until it is ready.
// pod is the program that holds the namespaces of pods.
func (c *Cluster) StartNode(ctx context.Context, pod string) error {
	if err := c.nodeIdentities(); err != nil {
		return err
	}
	if err := os.MkdirAll(sockets, 0o700); err != nil {
		return err
	}
	if err := c.writeNodeFiles(); err != nil {
		return err
	}
	steps := []func(context.Context) error{
		c.startScheduler,
		c.startContainerd,
		func(ctx context.Context) error {
			return c.Load(ctx, image.Image{Name: pause, Files: map[string]string{"/pod": pod}, Entrypoint: []string{"/pod", "pause"}})
		},
		c.startKubelet,
		c.startProxy,
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Load puts an image into the node's store.
func (c *Cluster) Load(ctx context.Context, i image.Image) error {
	f, err := os.CreateTemp(c.Dir, "image-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := i.Write(f); err != nil {
		return err
	}
	out, err := c.ctr(ctx, "images", "import", "--local", f.Name()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("import %s: %w\n%s", i.Name, err, out)
	}
	return nil
}

func (c *Cluster) ctr(ctx context.Context, args ...string) *exec.Cmd {
	return c.Command(ctx, "ctr", append([]string{"-a", sockets + "/containerd.sock", "-n", "k8s.io"}, args...)...)
}

func (c *Cluster) nodeIdentities() error {
	node := pkix.Name{CommonName: "system:node:" + NodeName, Organization: []string{"system:nodes"}}
	if err := c.pki.server("kubelet-serving", node, []string{NodeName}, net.IPv4(127, 0, 0, 1), net.ParseIP(nodeAddress)); err != nil {
		return err
	}
	for name, subject := range map[string]pkix.Name{
		"kubelet":   node,
		"scheduler": {CommonName: "system:kube-scheduler"},
		"proxy":     {CommonName: "system:kube-proxy"},
	} {
		if err := c.pki.client(name, c.Server, subject); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startScheduler(ctx context.Context) error {
	conf := c.pki.path("scheduler.conf")
	return c.group.Start("kube-scheduler", exec.Command(filepath.Join(c.Programs, "node"), "kube-scheduler",
		"--kubeconfig="+conf, "--authentication-kubeconfig="+conf, "--authorization-kubeconfig="+conf,
		"--bind-address=127.0.0.1", "--cert-dir="+c.pki.dir, "--leader-elect=false", "--profiling=false"))
}

func (c *Cluster) startContainerd(ctx context.Context) error {
	cmd := exec.Command(filepath.Join(c.Programs, "containerd"), "--config", filepath.Join(c.Dir, "containerd.toml"), "--log-level", "info")
	cmd.Env = append(os.Environ(), "PATH="+c.Programs+":"+os.Getenv("PATH")) // it looks for its shim
	if err := c.group.Start("containerd", cmd); err != nil {
		return err
	}
	return c.group.Await(ctx, "containerd", time.Minute, func(ctx context.Context) error { return c.ctr(ctx, "version").Run() })
}

func (c *Cluster) startKubelet(ctx context.Context) error {
	err := c.group.Start("kubelet", exec.Command(filepath.Join(c.Programs, "node"), "kubelet",
		"--config="+filepath.Join(c.Dir, "kubelet.yaml"), "--kubeconfig="+c.pki.path("kubelet.conf"), "--root-dir="+filepath.Join(c.Dir, "kubelet"),
		"--cert-dir="+filepath.Join(c.Dir, "kubelet/pki"), "--hostname-override="+NodeName, "--node-ip="+nodeAddress))
	if err != nil {
		return err
	}
	return c.group.Await(ctx, "kubelet", 2*time.Minute, func(ctx context.Context) error {
		node, err := c.Client.CoreV1().Nodes().Get(ctx, NodeName, metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, condition := range node.Status.Conditions {
			if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
				return nil
			}
		}
		return fmt.Errorf("the node is not ready: %+v", node.Status.Conditions)
	})
}

func (c *Cluster) startProxy(ctx context.Context) error {
	_, err := c.Client.RbacV1().ClusterRoleBindings().Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "e2e-proxy"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-proxier"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: "system:kube-proxy"}},
	}, metav1.CreateOptions{})
	if err != nil {
		return err
	}
	return c.group.Start("kube-proxy", exec.Command(filepath.Join(c.Programs, "node"), "kube-proxy", "--config="+filepath.Join(c.Dir, "proxy.yaml")))
}
