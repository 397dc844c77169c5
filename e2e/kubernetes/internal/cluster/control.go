// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package cluster brings up a cluster of one release of Kubernetes: its control plane on loopback, and on request a node. It
// builds nothing and tests nothing.
package cluster

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/renewd/renewd/e2e/kubernetes/internal/process"
)

// The addresses of the cluster come from a range that is set apart for tests (RFC 2544). With a control plane alone nothing
// has them.
const (
	nodeAddress  = "198.18.0.1"
	podRange     = "198.18.0.0/24"
	serviceRange = "198.18.1.0/24"
	firstService = "198.18.1.1"
)

// Issuer is the issuer of the tokens of service accounts.
const Issuer = "https://kubernetes.default.svc.cluster.local"

// LongestToken is the longest life that the API server gives a token of a service account.
const LongestToken = 24 * time.Hour

// Cluster is a cluster. Programs, APIServer, Dir and Networked are for the caller to set, the others are set by Start.
type Cluster struct {
	Programs  string // the folder of programs that it runs
	APIServer string // the API server, if it is another than that of Programs
	Dir       string // its state; removed by nobody but the caller
	Networked bool   // there will be a node, in a network of its own: the server listens on all addresses

	Server     string               // the URL of the API server
	CA         string               // the file with the certificate that Server's is verified with
	Kubeconfig string               // of an administrator
	Config     *rest.Config         // the same for client-go, without its limits
	Client     kubernetes.Interface // made of Config

	group process.Group
	pki   *authority
	held  []net.Listener // the names of its ports, until the process ends
}

// Start brings up etcd, the API server and the controller manager, and waits until they serve. All is killed when this process
// ends; Stop ends it in order, also after an error.
func (c *Cluster) Start(ctx context.Context) error {
	c.group.Logs = filepath.Join(c.Dir, "logs")
	if err := os.MkdirAll(c.group.Logs, 0o700); err != nil {
		return err
	}
	ports, err := c.freePorts(4)
	if err == nil {
		err = c.identities(ports[0])
	}
	if err == nil {
		err = c.startEtcd(ctx, ports[1], ports[2])
	}
	if err == nil {
		err = c.startServer(ctx, ports[0], ports[1])
	}
	if err == nil {
		err = c.startControllers(ctx, ports[3])
	}
	return err
}

// Stop ends everything that was started.
func (c *Cluster) Stop() { c.group.Stop() }

// Log returns the end of what a component wrote.
func (c *Cluster) Log(component string) string { return c.group.Tail(component) }

// Command is a command of a program with this cluster as its own: kubectl, helm and others read the variable.
func (c *Cluster) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(c.Programs, name), args...)
	home := filepath.Join(c.Dir, "home")
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.Kubeconfig, "HOME="+home,
		"HELM_CACHE_HOME="+home, "HELM_CONFIG_HOME="+home, "HELM_DATA_HOME="+home)
	return cmd
}

func (c *Cluster) identities(port int) error {
	var err error
	if c.pki, err = newAuthority(filepath.Join(c.Dir, "pki")); err != nil {
		return err
	}
	c.Server = "https://127.0.0.1:" + strconv.Itoa(port)
	c.CA = c.pki.path("ca.crt")
	names := []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"}
	addresses := []net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(nodeAddress), net.ParseIP(firstService)}
	if err := c.pki.server("apiserver", pkix.Name{CommonName: "kube-apiserver"}, names, addresses...); err != nil {
		return err
	}
	clients := map[string]pkix.Name{
		"admin":              {CommonName: "admin", Organization: []string{"system:masters"}},
		"apiserver-kubelet":  {CommonName: "kube-apiserver", Organization: []string{"system:masters"}},
		"controller-manager": {CommonName: "system:kube-controller-manager"},
	}
	for name, subject := range clients {
		if err := c.pki.client(name, c.Server, subject); err != nil {
			return err
		}
	}
	c.Kubeconfig = c.pki.path("admin.conf")
	if c.Config, err = clientcmd.BuildConfigFromFlags("", c.Kubeconfig); err != nil {
		return err
	}
	c.Config.QPS = -1
	c.Client, err = kubernetes.NewForConfig(c.Config)
	return err
}

func (c *Cluster) startEtcd(ctx context.Context, client, peer int) error {
	url := "http://127.0.0.1:"
	err := c.group.Start("etcd", exec.Command(filepath.Join(c.Programs, "control"), "etcd",
		"--data-dir", filepath.Join(c.Dir, "etcd"), "--client", url+strconv.Itoa(client), "--peer", url+strconv.Itoa(peer)))
	if err != nil {
		return err
	}
	return c.group.Await(ctx, "etcd", time.Minute, func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(client))
		if err == nil {
			err = conn.Close()
		}
		return err
	})
}

func (c *Cluster) startServer(ctx context.Context, port, etcd int) error {
	program := exec.Command(filepath.Join(c.Programs, "control"), "kube-apiserver")
	if c.APIServer != "" {
		program = exec.Command(c.APIServer)
	}
	program.Args = append(program.Args,
		"--etcd-servers=http://127.0.0.1:"+strconv.Itoa(etcd),
		"--bind-address="+c.bindAddress(), "--secure-port="+strconv.Itoa(port), "--advertise-address="+nodeAddress,
		"--tls-cert-file="+c.pki.path("apiserver.crt"), "--tls-private-key-file="+c.pki.path("apiserver.key"),
		"--client-ca-file="+c.CA, "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer="+Issuer, "--service-account-key-file="+c.pki.path("sa.pub"),
		"--service-account-signing-key-file="+c.pki.path("sa.key"), "--service-account-max-token-expiration="+LongestToken.String(),
		"--kubelet-client-certificate="+c.pki.path("apiserver-kubelet.crt"), "--kubelet-client-key="+c.pki.path("apiserver-kubelet.key"),
		"--kubelet-certificate-authority="+c.CA, "--kubelet-preferred-address-types=InternalIP",
		"--service-cluster-ip-range="+serviceRange, "--endpoint-reconciler-type=master-count", "--profiling=false")
	if err := c.group.Start("kube-apiserver", program); err != nil {
		return err
	}
	return c.group.Await(ctx, "kube-apiserver", 2*time.Minute, func(ctx context.Context) error {
		return c.Client.CoreV1().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
	})
}

// bindAddress is loopback, but where a node's pods have to reach the server; there it has a network of its own.
func (c *Cluster) bindAddress() string {
	if c.Networked {
		return "0.0.0.0"
	}
	return "127.0.0.1"
}

func (c *Cluster) startControllers(ctx context.Context, port int) error {
	conf := c.pki.path("controller-manager.conf")
	err := c.group.Start("kube-controller-manager", exec.Command(filepath.Join(c.Programs, "control"), "kube-controller-manager",
		"--kubeconfig="+conf, "--authentication-kubeconfig="+conf, "--authorization-kubeconfig="+conf,
		"--service-account-private-key-file="+c.pki.path("sa.key"), "--root-ca-file="+c.CA,
		"--cluster-signing-cert-file="+c.CA, "--cluster-signing-key-file="+c.pki.path("ca.key"),
		"--use-service-account-credentials", "--bind-address=127.0.0.1", "--secure-port="+strconv.Itoa(port),
		"--cert-dir="+c.pki.dir, "--leader-elect=false", "--profiling=false"))
	if err != nil {
		return err
	}
	return c.group.Await(ctx, "kube-controller-manager", time.Minute, func(ctx context.Context) error {
		_, err := c.Client.CoreV1().ServiceAccounts("default").Get(ctx, "default", metav1.GetOptions{})
		return err
	})
}

// freePorts finds ports of loopback that nobody else takes while this process lives: the kernel gives none below 32768 to whoever
// asks for any, such as the connections of the cluster itself, and names that are held keep them from other tests.
func (c *Cluster) freePorts(n int) (ports []int, err error) {
	for range 1000 {
		if len(ports) == n {
			return ports, nil
		}
		port := 20000 + rand.IntN(10000)
		held, err := net.Listen("unix", fmt.Sprint("@renewd-test-port-", port))
		if err != nil {
			continue
		}
		c.held = append(c.held, held)
		if l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", port)); err == nil {
			_ = l.Close()
			ports = append(ports, port)
		}
	}
	return nil, errors.New("no ports are free")
}
