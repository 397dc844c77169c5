// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package versions holds the tests of the oldest versions of Kubernetes that the documents promise: 1.36 for the admission policy,
// 1.29 for the library chart and the kustomize component. Each folder is a module that says which API server is built for it;
// etcd, controller manager, kubectl and Helm are those of the newest. It takes minutes, and is not part of the gate.
package versions
