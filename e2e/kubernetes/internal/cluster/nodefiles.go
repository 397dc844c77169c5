// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package cluster

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// writeNodeFiles writes the configuration of the node's daemons.
func (c *Cluster) writeNodeFiles() error {
	for _, folder := range []string{"cni", "kubelet"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, folder), 0o755); err != nil {
			return err
		}
	}
	if err := c.makeGroups(); err != nil {
		return err
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	fill := strings.NewReplacer("RUNC", runc, "DIR", c.Dir, "SOCKETS", sockets, "PAUSE", pause, "GROUP", "/"+c.groupName(), "PKI", c.pki.dir, "PLUGINS", plugins, "NODE", nodeAddress,
		"NAME", NodeName, "PODS", podRange, "FIRST", strings.TrimSuffix(nodeAddress, "1")+"10")
	for name, text := range map[string]string{
		"containerd.toml": containerdConfig, "cni/10-e2e.conflist": networkConfig, "kubelet.yaml": kubeletConfig, "proxy.yaml": proxyConfig,
		"resolv.conf": "# there is no name server\n",
	} {
		if err := os.WriteFile(filepath.Join(c.Dir, name), []byte(fill.Replace(text)), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// Words in capitals are filled in. restrict_oom_score_adj, and oomScoreAdj below, are for machines on which root may not protect a
// process from the kernel.
const (
	containerdConfig = `version = 3
root = "DIR/containerd"
state = "SOCKETS/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]
[grpc]
  address = "SOCKETS/containerd.sock"
[ttrpc]
  address = "SOCKETS/containerd.sock.ttrpc"
[plugins.'io.containerd.internal.v1.opt']
  path = "DIR/containerd/opt"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "PAUSE"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  enable_criu = false
  netns_mounts_under_state_dir = true
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = ["PLUGINS"]
    conf_dir = "DIR/cni"
  [plugins.'io.containerd.cri.v1.runtime'.containerd]
    default_runtime_name = "runc"
    [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
        BinaryName = "RUNC"
        SystemdCgroup = false
`
	networkConfig = `{"cniVersion": "1.0.0", "name": "e2e", "plugins": [
  {"type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
   "ipam": {"type": "host-local", "dataDir": "DIR/cni-state", "ranges": [[{"subnet": "PODS", "rangeStart": "FIRST"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
`
	// syncFrequency is a minute unless it is set: what is mounted would be as old.
	kubeletConfig = `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: 0.0.0.0
healthzBindAddress: 127.0.0.1
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: PKI/kubelet-serving.crt
tlsPrivateKeyFile: PKI/kubelet-serving.key
cgroupDriver: cgroupfs
cgroupRoot: GROUP
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
containerRuntimeEndpoint: unix://SOCKETS/containerd.sock
clusterDomain: cluster.local
resolvConf: DIR/resolv.conf
podLogsDir: DIR/pod-logs
volumePluginDir: DIR/kubelet/volumeplugins
syncFrequency: 1s
enforceNodeAllocatable: []
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, nodefs.inodesFree: 1%, imagefs.available: 1%}
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
`
	proxyConfig = `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: NODE
healthzBindAddress: 127.0.0.1:10256
metricsBindAddress: 127.0.0.1:10249
clientConnection: {kubeconfig: PKI/proxy.conf}
hostnameOverride: NAME
clusterCIDR: PODS
oomScoreAdj: 0
mode: nftables
conntrack: {maxPerCore: 0, min: 0, tcpCloseWaitTimeout: 0s, tcpEstablishedTimeout: 0s}
`
)

// groupName is the control group that holds those of all pods, named after the cluster's folder.
func (c *Cluster) groupName() string { return filepath.Base(c.Dir) }

// groups returns the folder of the cluster's control group in every hierarchy of this machine: one, or one for each controller.
func (c *Cluster) groups() ([]string, error) {
	const root = "/sys/fs/cgroup"
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil {
		return []string{filepath.Join(root, c.groupName())}, nil
	}
	hierarchies, err := filepath.Glob(root + "/*/cgroup.procs")
	for i, file := range hierarchies {
		hierarchies[i] = filepath.Join(filepath.Dir(file), c.groupName())
	}
	return hierarchies, err
}

func (c *Cluster) makeGroups() error {
	folders, err := c.groups()
	for _, folder := range folders {
		if err == nil {
			err = os.MkdirAll(folder, 0o755)
		}
	}
	return err
}

// RemoveGroups removes the control groups that a node left. No process may be in them any more.
func (c *Cluster) RemoveGroups() error {
	folders, err := c.groups()
	if err != nil {
		return err
	}
	for _, folder := range folders {
		if err := removeGroup(folder); err != nil {
			return err
		}
	}
	return nil
}

// removeGroup removes a group and those in it: only their folders, since their files are the kernel's.
func removeGroup(folder string) error {
	entries, err := os.ReadDir(folder)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() {
			if err := removeGroup(filepath.Join(folder, e.Name())); err != nil {
				return err
			}
		}
	}
	return syscall.Rmdir(folder)
}
