{{/*
SPDX-License-Identifier: Apache-2.0
SPDX-FileCopyrightText: The renewd authors

renewd.volumeMount: where a container of the application reads the token, as a list of one for its volumeMounts. It is the
directory, never one file by subPath: that would be the first token for ever.
*/}}

{{- define "renewd.volumeMount" -}}
- {{ include "renewd.mount" (include "renewd.settings" . | fromJson) }}
{{- end -}}

{{- define "renewd.mount" -}}
{name: renewd-out, mountPath: {{ toJson .mountPath }}, readOnly: true}
{{- end -}}
