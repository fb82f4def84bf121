{{- define "plexica-operator.labels" -}}
app.kubernetes.io/name: plexica-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- define "plexica-operator.selector" -}}
app.kubernetes.io/name: plexica-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "plexica-operator.image" -}}
{{ printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) | quote }}
{{- end }}
{{- define "plexica-webhooks.labels" -}}
app.kubernetes.io/name: plexica-webhooks
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}
{{- define "plexica-webhooks.selector" -}}
app.kubernetes.io/name: plexica-webhooks
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
