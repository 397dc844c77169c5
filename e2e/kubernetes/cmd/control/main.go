// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Command control is the control plane of a cluster and its client in one program: the first argument picks the component.
// One program links the libraries that all of them share once. It runs no pods: that is the program node.
package main

import (
	"fmt"
	"os"
	_ "time/tzdata" // for CronJobs with a time zone

	"github.com/spf13/cobra"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	"k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

func main() {
	components := map[string]func() *cobra.Command{
		"etcd":                    etcdCommand,
		"kube-apiserver":          apiserver.NewAPIServerCommand,
		"kube-controller-manager": controllers.NewControllerManagerCommand,
		"kubectl":                 kubectl.NewDefaultKubectlCommand,
	}
	if len(os.Args) < 2 || components[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: control etcd|kube-apiserver|kube-controller-manager|kubectl ARGUMENTS")
		os.Exit(64)
	}
	name := os.Args[1]
	os.Args = os.Args[1:]
	if name == "kubectl" { // its errors have a form of their own
		if err := cli.RunNoErrOutput(components[name]()); err != nil {
			util.CheckErr(err)
		}
		return
	}
	os.Exit(cli.Run(components[name]()))
}
