{{/*
SPDX-License-Identifier: Apache-2.0
SPDX-FileCopyrightText: The renewd authors

renewd.volumes: the volumes of a pod with the sidecar, as a list for volumes.
*/}}

{{- define "renewd.volumes" -}}
{{- include "renewd.volumeList" (include "renewd.settings" . | fromJson) -}}
{{- end -}}

{{- define "renewd.volumeList" -}}
- name: renewd-out
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
- name: renewd-sa
  projected:
    sources:
      - serviceAccountToken: {path: token, audience: {{ toJson .audience }}, expirationSeconds: {{ .expirationSeconds }}}
      # The API server's CA, for a configuration that asks it for tokens (source kubernetes). Every namespace has one.
      - configMap: {name: kube-root-ca.crt, items: [{key: ca.crt, path: ca.crt}], optional: true}
- name: renewd-admin
  emptyDir: {medium: Memory, sizeLimit: 1Mi}
{{- with include "renewd.when" (dict "if" .own "then" (printf "- {name: renewd-config, configMap: {name: %s}}" (toJson .configMap))) }}
{{ . }}
{{- end }}
{{- end -}}
