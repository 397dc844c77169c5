{{/*
SPDX-License-Identifier: Apache-2.0
SPDX-FileCopyrightText: The renewd authors

renewd.check: what the schema cannot say about values.
*/}}

{{- define "renewd.check" -}}
{{- if and (eq .Values.injection.mode "policy") (semverCompare "<1.36.0-0" .Capabilities.KubeVersion.Version) -}}
  {{- fail (printf "renewd: injection.mode=policy needs Kubernetes 1.36+ (got %s). Set injection.mode=none and use the renewd-lib chart or manifests/components/sidecar." .Capabilities.KubeVersion.Version) -}}
{{- end -}}
{{- if and .Values.podMonitor.enabled (not .Values.sidecar.metrics.enabled) -}}
  {{- fail "renewd: podMonitor.enabled needs sidecar.metrics.enabled: without it the sidecars listen on no port" -}}
{{- end -}}
{{- if and .Values.injection.perNamespaceParams (eq .Values.injection.mode "params") -}}
  {{- fail "renewd: injection.perNamespaceParams belongs to the release with injection.mode=policy" -}}
{{- end -}}
{{- end -}}
