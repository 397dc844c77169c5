{{/*
SPDX-License-Identifier: Apache-2.0
SPDX-FileCopyrightText: The renewd authors

renewd.image: the image reference. global.imageRegistry outranks the registry, a digest the tag.
*/}}

{{- define "renewd.image" -}}
{{- $registry := .global.imageRegistry | default .image.registry -}}
{{- if not (mustRegexMatch (include "renewd.pattern.digest" .) .image.digest) -}}
  {{- fail (printf "renewd: image.digest %q must be sha256: and 64 hexadecimal digits" .image.digest) -}}
{{- end -}}
{{- $version := printf ":%s" .image.tag -}}
{{- with .image.digest -}}
  {{- $version = printf "@%s" . -}}
{{- end -}}
{{- trimPrefix "/" (printf "%s/%s%s" $registry .image.repository $version) -}}
{{- end -}}
