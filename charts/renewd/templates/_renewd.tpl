{{/*
SPDX-License-Identifier: Apache-2.0
SPDX-FileCopyrightText: The renewd authors

What the objects of this chart share.
*/}}

{{/* renewd.metadata: labels and annotations. The argument is a list: the root, and more labels, which outrank the user's. */}}
{{- define "renewd.metadata" -}}
{{- $root := first . -}}
{{- $standard := dict
    "app.kubernetes.io/name" $root.Chart.Name
    "app.kubernetes.io/instance" $root.Release.Name
    "app.kubernetes.io/version" $root.Chart.AppVersion
    "app.kubernetes.io/managed-by" $root.Release.Service
    "helm.sh/chart" (printf "%s-%s" $root.Chart.Name ($root.Chart.Version | replace "+" "_"))
-}}
labels:
  {{- mergeOverwrite $standard ($root.Values.commonLabels | default dict) (last . | default dict) | toYaml | nindent 2 }}
{{- with $root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* renewd.profile: the values as the library's settings. */}}
{{- define "renewd.profile" -}}
{{- $sidecar := dict "resources" .Values.sidecar.resources "runAsUser" .Values.sidecar.runAsUser -}}
{{- $own := dict "image" .Values.image "token" .Values.token "sidecar" (merge $sidecar (omit .Values.sidecar "resources" "runAsUser")) -}}
{{- include "renewd.settings" (dict "Values" (dict "renewd" $own "global" .Values.global)) -}}
{{- end -}}

{{/* renewd.hasParams: whether this release brings parameters. */}}
{{- define "renewd.hasParams" -}}
{{- if and (ne .Values.injection.mode "none") (or .Values.token.audience (eq .Values.injection.mode "params") (not .Values.injection.perNamespaceParams)) -}}
true
{{- end -}}
{{- end -}}

{{/* renewd.params: the data of the parameters. The revision changes with everything that a pod gets. */}}
{{- define "renewd.params" -}}
{{- $s := include "renewd.profile" . | fromJson -}}
{{- $data := dict "image" $s.image "extraArgs" (join "\n" $s.extraArgs) "config.yaml" $s.config "log-policy.yaml" $s.logPolicy -}}
{{- range list "audience" "refreshInterval" "refreshAt" "keep" "outage" "mountPath" "fileName" "fileMode" -}}
  {{- $_ := set $data . (get $s .) -}}
{{- end -}}
{{- $_ := set $data "revision" (printf "%s-%s" .Chart.Version (toJson $s | sha256sum | trunc 8)) -}}
{{- toJson $data -}}
{{- end -}}

{{/* renewd.annotation: an annotation as a CEL expression, the empty text if pods may not carry it. */}}
{{- define "renewd.annotation" -}}
{{- $root := first . -}}
{{- $name := last . -}}
{{- if has $name $root.Values.injection.allowAnnotations -}}
variables.ann[?"renewd.github.io/{{ $name }}"].orValue("")
{{- else -}}
""
{{- end -}}
{{- end -}}

{{/* renewd.chosen: the first of annotation, parameter and default that is not empty, as a CEL expression. */}}
{{- define "renewd.chosen" -}}
{{- printf `([string(%s), string(params.?data.?%s.orValue("")), %s].filter(v, v != "") + [""])[0]` (include "renewd.annotation" (list .root .annotation)) .param (toJson .default) -}}
{{- end -}}

{{/* renewd.variables: what both policies know of a pod. */}}
{{- define "renewd.variables" -}}
{{- $defaults := (include "renewd.defaults" . | fromYaml).token -}}
- name: ann
  expression: object.metadata.?annotations.orValue({})
- name: config
  expression: {{ include "renewd.annotation" (list . "config") | toJson }}
{{- range $name, $annotation := dict "audience" "audience" "refreshInterval" "refresh-interval" "refreshAt" "refresh-at" "keep" "keep" "outage" "outage" "mountPath" "mount-path" }}
- name: {{ $name }}
  expression: {{ include "renewd.chosen" (dict "root" $ "annotation" $annotation "param" $name "default" (get $defaults $name)) | squote }}
{{- end }}
{{- range $name := list "fileName" "fileMode" }}
- name: {{ $name }}
  expression: {{ include "renewd.chosen" (dict "root" $ "annotation" "" "param" $name "default" (get $defaults $name)) | squote }}
{{- end }}
{{- end -}}

{{/* renewd.match: the pods that both policies are about, with the server's defaults written out. */}}
{{- define "renewd.match" -}}
matchConstraints:
  matchPolicy: Equivalent
  namespaceSelector:
    {{- $selector := deepCopy .Values.injection.namespaceSelector }}
    {{- with .Values.injection.excludeNamespaces }}
    {{- $not := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" . }}
    {{- $_ := set $selector "matchExpressions" (append ($selector.matchExpressions | default list) $not) }}
    {{- end }}
    {{- toYaml $selector | nindent 4 }}
  objectSelector:
    matchLabels:
      renewd.github.io/inject: "true"
  resourceRules:
    - apiGroups: [""]
      apiVersions: [v1]
      operations: [CREATE]
      resources: [pods]
      scope: Namespaced
{{- end -}}

{{/* renewd.paramRef: where both bindings find the parameters. */}}
{{- define "renewd.paramRef" -}}
paramRef:
  name: renewd
  {{- if .Values.injection.perNamespaceParams }}
  parameterNotFoundAction: Allow
  {{- else }}
  namespace: {{ .Release.Namespace }}
  parameterNotFoundAction: Deny
  {{- end }}
{{- end -}}

{{/* renewd.injected: CEL, true for a pod with the sidecar. */}}
{{- define "renewd.injected" -}}
(object.spec.?initContainers.orValue([]).exists(c, c.name == "renewd") || object.spec.containers.exists(c, c.name == "renewd"))
{{- end -}}
