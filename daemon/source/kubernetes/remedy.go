// SPDX-License-Identifier: Apache-2.0
// SPDX-FileCopyrightText: The renewd authors

package kubernetes

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/renewd/renewd/daemon"
	"github.com/renewd/renewd/daemon/source/internal/endpoint"
)

// explain adds the remedy that follows from what was asked.
func (a *attempt) explain(err error, answer *endpoint.Answer) error {
	f, ok := errors.AsType[*daemon.Failure](err)
	if ok && f.Hint == "" && f.Class == daemon.ClassRefused {
		f.Hint = a.remedy(f, answer)
	}
	return err
}

func (a *attempt) remedy(f *daemon.Failure, answer *endpoint.Answer) string {
	if f.Code == "" {
		return "the answer is no Status of Kubernetes: see whether server is the URL of an API server, and what lies between"
	}
	switch f.Status {
	case http.StatusUnauthorized:
		return a.unknown(answer)
	case http.StatusForbidden:
		return a.forbidden()
	case http.StatusNotFound:
		return a.absent(answer)
	case http.StatusConflict:
		return "boundTo.uid is not that of the object: it was deleted, and another one of its name was made"
	case http.StatusBadRequest:
		if a.config.BoundTo.Kind == "Pod" {
			return fmt.Sprintf("the pod of boundTo must run as the service account %q", a.of.name)
		}
	}
	return "compare audiences, expiration and boundTo with what this API server allows"
}

// unknown is about an API server that does not accept the token that it was shown. It does not say why.
func (a *attempt) unknown(answer *endpoint.Answer) string {
	hint := fmt.Sprintf("the API server does not accept the token in %q: it is of another cluster, its pod or service account is gone, or its audience", a.config.TokenFile)
	if list := a.own.Audience; len(list) > 0 {
		hint += fmt.Sprintf(" %.200q", list[:min(len(list), 3)])
	}
	hint += " is not the API server's own"
	if answer.ClocksDiffer() {
		hint += "; and look at the clocks: " + answer.Clocks()
	}
	return hint
}

// forbidden says which rule of RBAC is missing, ready to be copied.
func (a *attempt) forbidden() string {
	who := fmt.Sprintf("whom the token in %q speaks for", a.config.TokenFile)
	if own, ok := accountOf(a.own); ok {
		who = fmt.Sprintf("the ServiceAccount %q of namespace %q", own.name, own.namespace)
	}
	return fmt.Sprintf(`a Role of namespace %q needs the rule {apiGroups: [""], resources: [serviceaccounts/token], resourceNames: [%q], verbs: [create]}, `+
		"and a RoleBinding there must give that Role to %s", a.of.namespace, a.of.name, who)
}

// absent says what does not exist: the Status names the kind, of which only those are believed that were asked for.
func (a *attempt) absent(answer *endpoint.Answer) string {
	details, _ := answer.Object.Object("details") // what is no object says nothing
	switch kind := details.Text("kind"); kind {
	case "serviceaccounts":
		return fmt.Sprintf("namespace %q has no service account %q: make it, or correct serviceAccount and namespace", a.of.namespace, a.of.name)
	case "namespaces":
		return fmt.Sprintf("there is no namespace %q: correct namespace", a.of.namespace)
	case "pods", "secrets", "nodes":
		return fmt.Sprintf("there is no %s %q for the token to be bound to: correct boundTo", a.config.BoundTo.Kind, a.config.BoundTo.Name)
	}
	return fmt.Sprintf("see whether namespace %q, its service account %q and what boundTo names exist", a.of.namespace, a.of.name)
}
