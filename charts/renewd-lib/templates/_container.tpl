{{/*
SPDX-License-Identifier: Apache-2.0
SPDX-FileCopyrightText: The renewd authors

The sidecar, written once. Its argument is what renewd.settings returns. The chart renewd makes its admission policy of the
same text: there a setting may be {"$cel": EXPRESSION} instead of a value, and is decided when a pod is created.
*/}}

{{/* renewd.initContainer: the sidecar as a list of one, for initContainers. It goes first, so that all others have the token. */}}
{{- define "renewd.initContainer" -}}
- {{ include "renewd.container" (include "renewd.settings" . | fromJson) | nindent 2 | trim }}
{{- end -}}

{{- define "renewd.container" -}}
name: renewd
image: {{ toJson .image }}
imagePullPolicy: {{ toJson .pullPolicy }}
restartPolicy: Always
args:
  - run
  {{- with include "renewd.spread" .extraArgs }}
  {{- . | nindent 2 }}
  {{- end }}
env:
  {{- include "renewd.env" . | nindent 2 }}
{{- if .metricsPort }}
ports:
  - {name: renewd-metrics, containerPort: {{ .metricsPort }}, protocol: TCP}
{{- end }}
startupProbe:
  exec: {command: [/renewd, healthcheck, --startup]}
  periodSeconds: 1
  timeoutSeconds: 2
  failureThreshold: {{ int64 .startupTimeoutSeconds }}
terminationMessagePolicy: FallbackToLogsOnError
{{- with .resources }}
resources: {{ toJson . }}
{{- end }}
securityContext:
  {{- include "renewd.securityContext" . | nindent 2 }}
volumeMounts:
  - {name: renewd-out, mountPath: {{ toJson .mountPath }}}
  - {name: renewd-sa, mountPath: /var/run/secrets/renewd, readOnly: true}
  # Here it keeps the pod's API credentials out of this container: the API server mounts them where nothing is.
  - {name: renewd-sa, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}
  # No other container has this one: who may exec into the sidecar may give it orders, applications may not.
  - {name: renewd-admin, mountPath: /run/renewd-admin}
  {{- with include "renewd.when" (dict "if" .own "then" "- {name: renewd-config, mountPath: /etc/renewd, readOnly: true}") }}
  {{- . | nindent 2 }}
  {{- end }}
{{- end -}}

{{/* renewd.env: the settings, as variables: so a probe's command sees what the container's sees. */}}
{{- define "renewd.env" -}}
- {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
- {name: SERVICE_ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
- {name: RENEWD_AUDIENCE, value: {{ include "renewd.literal" .audience }}}
- {name: RENEWD_SOURCE_FILE, value: /var/run/secrets/renewd/token}
- {name: RENEWD_OUT, value: {{ include "renewd.literal" .outFile }}}
- {name: RENEWD_MODE, value: {{ toJson .fileMode }}}
- {name: RENEWD_REFRESH_INTERVAL, value: {{ toJson .refreshInterval }}}
- {name: RENEWD_REFRESH_AT, value: {{ toJson .refreshAt }}}
- {name: RENEWD_KEEP, value: {{ toJson .keep }}}
- {name: RENEWD_OUTAGE, value: {{ toJson .outage }}}
- {name: RENEWD_SOCKET, value: /run/renewd-admin/socket}
{{- range list
    (include "renewd.when" (dict "if" .own "then" "- {name: RENEWD_CONFIG, value: /etc/renewd/config.yaml}"))
    (include "renewd.when" (dict "if" .profile "then" (printf "- {name: RENEWD_CONFIG_YAML, value: %s}" (include "renewd.literal" .config))))
    (include "renewd.when" (dict "if" .policy "then" (printf "- {name: RENEWD_LOG_POLICY_YAML, value: %s}" (include "renewd.literal" .logPolicy))))
    (include "renewd.when" (dict "if" (ne (int .metricsPort) 0) "then" (printf "- {name: RENEWD_LISTEN, value: \":%v\"}" .metricsPort)))
    (include "renewd.spread" .extraEnv)
}}
{{- with . }}
{{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "renewd.securityContext" -}}
runAsNonRoot: true
{{- with .runAsUser }}
runAsUser: {{ int64 . }}
runAsGroup: {{ int64 . }}
{{- end }}
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* renewd.literal: a value of a variable that arrives as it is written: Kubernetes expands $(NAME), and $$ is a dollar sign. */}}
{{- define "renewd.literal" -}}
{{- if kindIs "map" . -}}
{{- toJson (dict "$cel" (printf `%s.replace("$", "$$")` (get . "$cel"))) -}}
{{- else -}}
{{- replace "$" "$$" . | toJson -}}
{{- end -}}
{{- end -}}

{{/* renewd.when: elements of a list that are there only under a condition. */}}
{{- define "renewd.when" -}}
{{- if kindIs "map" .if -}}
- {{ toJson (dict "$if" (get .if "$cel") "$then" (fromYamlArray .then)) }}
{{- else if .if -}}
{{ .then }}
{{- end -}}
{{- end -}}

{{/* renewd.spread: the elements of a list, one a line. */}}
{{- define "renewd.spread" -}}
{{- if kindIs "map" . -}}
- {{ toJson (dict "$list" (get . "$cel")) }}
{{- else -}}
{{- range $i, $element := . }}
{{- if $i }}{{ "\n" }}{{ end -}}
- {{ toJson $element }}
{{- end }}
{{- end -}}
{{- end -}}
