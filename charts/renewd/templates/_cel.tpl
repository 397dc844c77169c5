{{/*
SPDX-License-Identifier: Apache-2.0
SPDX-FileCopyrightText: The renewd authors

renewd.cel writes a value as a CEL expression of the type that the API server gives it. Markers in the value:

  {"$cel": EXPRESSION}              an expression, as it is
  {"$if": CONDITION, "$then": LIST} in a list: these elements, if
  {"$list": EXPRESSION}             in a list: the elements of another one

With lines the fields of the value itself have a line each.
*/}}

{{- define "renewd.cel" -}}
{{- $type := .type -}}
{{- if kindIs "slice" .value -}}
  {{- include "renewd.cel.list" . -}}
{{- else if not (kindIs "map" .value) -}}
  {{- toJson .value -}}
{{- else if hasKey .value "$cel" -}}
  {{- get .value "$cel" -}}
{{- else -}}
  {{- $fields := list -}}
  {{- $quantities := has (splitList "." $type | last) (list "requests" "limits") -}}
  {{- range $key := keys .value | sortAlpha -}}
    {{- if kindIs "invalid" (get $.value $key) -}}
      {{- continue -}}
    {{- end -}}
    {{- $name := ternary (toJson $key) $key $quantities -}}
    {{- $value := get $.value $key -}}
    {{- if and $quantities (not (kindIs "string" $value)) -}}
      {{- /* A map of CEL has values of one type, and quantities are written 1 as well as 5m. */ -}}
      {{- $value = toJson $value -}}
    {{- end -}}
    {{- $below := dict "value" $value "type" (printf "%s.%s" $type $key) -}}
    {{- $fields = append $fields (printf "%s: %s" $name (include "renewd.cel" $below)) -}}
  {{- end -}}
  {{- if .lines -}}
    {{- printf "%s{\n%s}" $type (join ",\n" $fields | indent 2) -}}
  {{- else -}}
    {{- printf "%s{%s}" (ternary "" $type $quantities) (join ", " $fields) -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{- define "renewd.cel.list" -}}
{{- $type := .type -}}
{{- $parts := list -}}
{{- $plain := list -}}
{{- range $element := append .value (dict "$list" "") -}}
  {{- if and (kindIs "map" $element) (or (hasKey $element "$if") (hasKey $element "$list")) -}}
    {{- if $plain -}}
      {{- if contains "{" (first $plain) -}}
        {{- $parts = append $parts (printf "[\n%s]" (join ",\n" $plain | indent 2)) -}}
      {{- else -}}
        {{- $parts = append $parts (printf "[%s]" (join ", " $plain)) -}}
      {{- end -}}
      {{- $plain = list -}}
    {{- end -}}
    {{- if hasKey $element "$if" -}}
      {{- $then := include "renewd.cel" (dict "value" (get $element "$then") "type" $type) -}}
      {{- $parts = append $parts (printf "(%s ? %s : [])" (get $element "$if") $then) -}}
    {{- else if get $element "$list" -}}
      {{- $parts = append $parts (get $element "$list") -}}
    {{- end -}}
  {{- else -}}
    {{- $plain = append $plain (include "renewd.cel" (dict "value" $element "type" $type)) -}}
  {{- end -}}
{{- end -}}
{{- join " + " $parts | default "[]" -}}
{{- end -}}
