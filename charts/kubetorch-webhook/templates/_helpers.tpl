{{- define "kubetorch-webhook.labels" -}}
app.kubernetes.io/name: kubetorch-webhook
app.kubernetes.io/part-of: kubetorch
{{- end }}

{{- define "kubetorch-webhook.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}
