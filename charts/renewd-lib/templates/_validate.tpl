{{/*
SPDX-License-Identifier: Apache-2.0
SPDX-FileCopyrightText: The renewd authors

What values must look like. The patterns are also those of the validating policy and of the chart's schema.
*/}}

{{- define "renewd.pattern.audience" -}}^[!-~]{1,1000}$ {{- end -}}
{{- define "renewd.pattern.duration" -}}^([0-9]{1,4}d|([0-9]{1,4}d)?([0-9]{1,6}([.][0-9]{1,9})?(ms|s|m|h)){1,4})$ {{- end -}}
{{- define "renewd.pattern.percentages" -}}^[0-9]{1,2}([.][0-9]+)?%( *- *[0-9]{1,2}([.][0-9]+)?%)?$ {{- end -}}
{{- define "renewd.pattern.directory" -}}^(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$ {{- end -}}
{{- define "renewd.pattern.fileName" -}}^[A-Za-z0-9_-][A-Za-z0-9._-]*$ {{- end -}}
{{- define "renewd.pattern.mode" -}}^0?[4-7][0-7]{2}$ {{- end -}}
{{- define "renewd.pattern.configMap" -}}^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)?$ {{- end -}}
{{- define "renewd.pattern.digest" -}}^(sha256:[a-f0-9]{64})?$ {{- end -}}

{{- define "renewd.knownKeys" -}}
{{- $known := keys .known | sortAlpha -}}
{{- $at := .at -}}
{{- if not (kindIs "map" .given) -}}
  {{- fail (printf "renewd: value %s must be a mapping (known: %s)" $at (join ", " $known)) -}}
{{- end -}}
{{- range $key := keys .given | sortAlpha -}}
  {{- if not (has $key $known) -}}
    {{- fail (printf "renewd: unknown value %s.%s (known: %s)" $at $key (join ", " $known)) -}}
  {{- end -}}
{{- end -}}
{{- end -}}

{{- define "renewd.validate" -}}
{{- if not .audience -}}
  {{- fail "renewd: token.audience is empty. Set it to the audience that your issuer or service expects in a projected ServiceAccount token, such as https://sts.example.com" -}}
{{- end -}}
{{- range $key, $rule := dict
    "audience" (list "audience" "visible ASCII characters without spaces, at most 1000")
    "refreshInterval" (list "duration" "a duration such as 10m")
    "keep" (list "duration" "a duration such as 2m")
    "outage" (list "duration" "a duration such as 30m")
    "refreshAt" (list "percentages" "percentages of the life such as 70%-80%")
    "mountPath" (list "directory" "an absolute directory path")
    "fileName" (list "fileName" "the name of a file, not a path")
    "fileMode" (list "mode" "permissions in octal digits such as \"0644\", in quotes, and let the owner read")
    "configMap" (list "configMap" "the name of a ConfigMap")
-}}
  {{- $value := get $ $key -}}
  {{- if not (kindIs "string" $value) -}}
    {{- fail (printf "renewd: token.%s must be a text in quotes, not %v" $key $value) -}}
  {{- end -}}
  {{- if not (mustRegexMatch (include (printf "renewd.pattern.%s" (first $rule)) $) $value) -}}
    {{- fail (printf "renewd: token.%s %q must be %s" $key $value (last $rule)) -}}
  {{- end -}}
{{- end -}}
{{- if hasPrefix "/renewd/" (printf "%s/" .mountPath) -}}
  {{- fail (printf "renewd: token.mountPath must not be %s: /renewd is the program in the sidecar" .mountPath) -}}
{{- end -}}
{{- if or (lt (int .expirationSeconds) 600) (gt (int .expirationSeconds) 86400) -}}
  {{- fail (printf "renewd: token.expirationSeconds %v must be within 600 and 86400" .expirationSeconds) -}}
{{- end -}}
{{- range $key := list "runAsUser" "startupTimeoutSeconds" -}}
  {{- $value := get $ $key -}}
  {{- if and (not (kindIs "invalid" $value)) (or (kindIs "string" $value) (lt (int64 $value) 1)) -}}
    {{- fail (printf "renewd: sidecar.%s must be a number from 1 on, not %v" $key $value) -}}
  {{- end -}}
{{- end -}}
{{- range $key := list "extraArgs" "extraEnv" -}}
  {{- if not (kindIs "slice" (get $ $key)) -}}
    {{- fail (printf "renewd: sidecar.%s must be a list" $key) -}}
  {{- end -}}
{{- end -}}
{{- range $key := list "config" "logPolicy" -}}
  {{- if gt (get $ $key | len) 100000 -}}
    {{- fail (printf "renewd: token.%s has %d bytes, and a variable of the environment holds 100000: use a ConfigMap" $key (get $ $key | len)) -}}
  {{- end -}}
{{- end -}}
{{- if and .configMap (or .config .logPolicy) -}}
  {{- fail "renewd: token.configMap excludes token.config and token.logPolicy: put both into the ConfigMap, as config.yaml and log-policy.yaml" -}}
{{- end -}}
{{- end -}}
