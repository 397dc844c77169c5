// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

// Package policy runs the admission policies of the chart renewd by the API server's own plugins: what matches, which
// parameters, the mutation with its strict decoding, the second invocation, the validation. It has no API server, hence no
// other admission plugin and no validation of pods; e2e/kubernetes has.
package policy

import (
	"context"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/openapi"
	"k8s.io/client-go/openapi/openapitest"
)

// Cluster is the admission chain of an API server in which the given objects are installed.
type Cluster struct {
	mutating   *mutating.Plugin
	validating *validating.Plugin
}

// New starts the plugins over the rendered objects, of which it knows policies, bindings, ConfigMaps and namespaces. They
// stop with ctx.
func New(ctx context.Context, objects []*unstructured.Unstructured) (*Cluster, error) {
	var typed []runtime.Object
	for _, o := range objects {
		t, err := scheme.Scheme.New(o.GroupVersionKind())
		if err != nil {
			continue // a PodMonitor and its like
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(o.Object, t, true); err != nil {
			return nil, fmt.Errorf("%s %s: %w", o.GetKind(), o.GetName(), err)
		}
		typed = append(typed, t)
	}
	client := clientset{fake.NewClientset(typed...)}
	m, err := mutating.NewPlugin(nil)
	if err != nil {
		return nil, err
	}
	v, err := validating.NewPlugin(nil)
	if err != nil {
		return nil, err
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	for _, p := range []plugin{m, v} {
		if err := start(ctx, p, client, factory); err != nil {
			return nil, err
		}
	}
	factory.Start(ctx.Done())
	return &Cluster{mutating: m, validating: v}, nil
}

// plugin is what both have in common.
type plugin interface {
	SetExternalKubeInformerFactory(informers.SharedInformerFactory)
	SetExternalKubeClientSet(kubernetes.Interface)
	SetRESTMapper(meta.RESTMapper)
	SetUnconditionalAuthorizer(authorizer.UnconditionalAuthorizer)
	SetDynamicClient(dynamic.Interface)
	SetDrainedNotification(<-chan struct{})
	SetEnabled(bool)
	ValidateInitialization() error
}

func start(ctx context.Context, p plugin, client kubernetes.Interface, factory informers.SharedInformerFactory) error {
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("ConfigMap"), meta.RESTScopeNamespace)
	mapper.Add(corev1.SchemeGroupVersion.WithKind("Pod"), meta.RESTScopeNamespace)
	p.SetExternalKubeInformerFactory(factory)
	p.SetExternalKubeClientSet(client)
	p.SetRESTMapper(mapper)
	p.SetUnconditionalAuthorizer(authorizerfactory.NewAlwaysAllowAuthorizer())
	p.SetDynamicClient(dynamicfake.NewSimpleDynamicClient(scheme.Scheme))
	p.SetDrainedNotification(ctx.Done())
	p.SetEnabled(true)
	return p.ValidateInitialization()
}

// Create returns a pod as the API server would store it, or the error that its author would see. The plugins wait until they know
// their policies.
func (c *Cluster) Create(ctx context.Context, pod *corev1.Pod) (*corev1.Pod, error) {
	objects := admission.NewObjectInterfacesFromScheme(scheme.Scheme)
	once, err := c.mutate(ctx, pod.DeepCopy(), objects)
	if err != nil {
		return nil, err
	}
	twice, err := c.mutate(ctx, once.DeepCopy(), objects)
	if err != nil {
		return nil, fmt.Errorf("second admission: %w", err)
	}
	if !equality.Semantic.DeepEqual(once.Spec, twice.Spec) || !equality.Semantic.DeepEqual(once.ObjectMeta, twice.ObjectMeta) {
		return nil, errors.New("the second admission changes the pod again")
	}
	return once, c.validating.Validate(ctx, attributes(once), objects)
}

func (c *Cluster) mutate(ctx context.Context, pod *corev1.Pod, objects admission.ObjectInterfaces) (*corev1.Pod, error) {
	err := c.mutating.Admit(ctx, attributes(pod), objects)
	return pod, err
}

func attributes(pod *corev1.Pod) admission.Attributes {
	gvk := corev1.SchemeGroupVersion.WithKind("Pod")
	pod.SetGroupVersionKind(gvk)
	return admission.NewAttributesRecord(pod, nil, gvk, pod.Namespace, pod.Name, corev1.SchemeGroupVersion.WithResource("pods"), "",
		admission.Create, &metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "author"})
}

// clientset is a fake client that also tells schemas, which its discovery cannot. A JSON patch only needs that there is one:
// what it may write is decided by strict decoding into the type.
type clientset struct{ *fake.Clientset }

func (c clientset) Discovery() discovery.DiscoveryInterfaces { return schemas{c.Clientset.Discovery()} }

type schemas struct{ discovery.DiscoveryInterfaces }

func (schemas) OpenAPIV3() openapi.Client { return openapitest.NewEmbeddedFileClient() }
