{{- define "kubetorch-webhook.labels" -}}
app.kubernetes.io/name: kubetorch-webhook
app.kubernetes.io/part-of: kubetorch
{{- end }}

{{- /* A released chart names an image; one from the repository has to be told which. */}}
{{- define "kubetorch-webhook.image" -}}
{{- with .Values.image -}}
{{- $tag := .tag -}}
{{- if and (not $tag) (ne $.Chart.AppVersion "unreleased") }}{{ $tag = $.Chart.AppVersion }}{{ end -}}
{{- if not (or $tag .digest) -}}
{{- fail "this chart is not a release, so no image is published for it: build one with make image, push it, and set image.repository and image.tag (or image.digest)" -}}
{{- end -}}
{{ .repository }}{{ with $tag }}:{{ . }}{{ end }}{{ with .digest }}@{{ . }}{{ end }}
{{- end -}}
{{- end }}

{{- /* The namespaces that are neither judged nor counted. */}}
{{- define "kubetorch-webhook.excluded" -}}
{{ concat .Values.excludedNamespaces (list .Release.Namespace .Values.knativeNamespace) | uniq | join ", " }}
{{- end }}

{{- /* Where this chart is found: a release in its registry, one from the repository in its folder. */}}
{{- define "kubetorch-webhook.reference" -}}
{{- if eq .Chart.AppVersion "unreleased" -}}
charts/kubetorch-webhook
{{- else -}}
oci://ghcr.io/kubetorch/charts/{{ .Chart.Name }} --version {{ .Chart.Version }}
{{- end -}}
{{- end }}
