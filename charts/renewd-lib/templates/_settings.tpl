{{/*
SPDX-License-Identifier: Apache-2.0
SPDX-FileCopyrightText: The renewd authors

What a chart may say under `renewd:` in its values, and what holds where it says nothing.
*/}}

{{- define "renewd.appVersion" -}}0.1.0{{- end -}}

{{- define "renewd.defaults" -}}
image:
  registry: ghcr.io
  repository: renewd/renewd
  tag: {{ include "renewd.appVersion" . | quote }}
  digest: ""
  pullPolicy: IfNotPresent
token:
  audience: ""
  refreshInterval: 0s
  refreshAt: 70%-80%
  keep: 2m
  outage: 0s
  config: ""
  configMap: ""
  logPolicy: ""
  mountPath: /var/run/service-token
  fileName: token
  fileMode: "0644"
  expirationSeconds: 3600
sidecar:
  resources:
    requests: {cpu: 5m, memory: 16Mi}
    limits: {memory: 32Mi}
  runAsUser: 65532
  startupTimeoutSeconds: 86400
  extraArgs: []
  extraEnv: []
  metrics: {enabled: false, port: 9736}
{{- end -}}

{{/*
renewd.settings: the values of a chart as one flat JSON object, checked and with the defaults filled in. An empty
text means the default. runAsUser and resources can be null, which leaves them out of the container.
*/}}
{{- define "renewd.settings" -}}
{{- $given := .Values.renewd | default dict -}}
{{- $defaults := include "renewd.defaults" . | fromYaml -}}
{{- include "renewd.knownKeys" (dict "at" "renewd" "given" $given "known" $defaults) -}}
{{- $all := dict -}}
{{- range $group, $known := $defaults -}}
  {{- $mine := get $given $group | default dict -}}
  {{- include "renewd.knownKeys" (dict "at" (printf "renewd.%s" $group) "given" $mine "known" $known) -}}
  {{- range $key, $standard := $known -}}
    {{- $value := $standard -}}
    {{- if hasKey $mine $key -}}
      {{- $value = get $mine $key -}}
      {{- if and (empty $value) (or (kindIs "string" $standard) (and (kindIs "invalid" $value) (not (has $key (list "runAsUser" "resources"))))) -}}
        {{- $value = $standard -}}
      {{- end -}}
    {{- end -}}
    {{- $_ := set $all $key $value -}}
  {{- end -}}
{{- end -}}
{{- include "renewd.knownKeys" (dict "at" "renewd.sidecar.metrics" "given" ($all.metrics | default dict) "known" $defaults.sidecar.metrics) -}}
{{- $metrics := merge (dict) ($all.metrics | default dict) $defaults.sidecar.metrics -}}
{{- $_ := set $all "metricsPort" (ternary (int $metrics.port) 0 (eq (toString $metrics.enabled) "true")) -}}
{{- $_ = unset $all "metrics" -}}
{{- $_ = set $all "runAsUser" (ternary nil $all.runAsUser (eq (toString $all.runAsUser) "")) -}}
{{- $_ = set $all "image" (include "renewd.image" (dict "image" $all "global" (.Values.global | default dict))) -}}
{{- range list "registry" "repository" "tag" "digest" -}}
  {{- $_ = unset $all . -}}
{{- end -}}
{{- $_ = set $all "outFile" (printf "%s/%s" $all.mountPath $all.fileName) -}}
{{- $_ = set $all "own" (ne $all.configMap "") -}}
{{- $_ = set $all "profile" (and (eq $all.configMap "") (ne $all.config "")) -}}
{{- $_ = set $all "policy" (and (eq $all.configMap "") (ne $all.logPolicy "")) -}}
{{- include "renewd.validate" $all -}}
{{- toJson $all -}}
{{- end -}}
