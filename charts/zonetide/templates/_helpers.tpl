{{/* Labels of everything in this chart. */}}
{{- define "zonetide.labels" -}}
{{ include "zonetide.selector" . }}
app.kubernetes.io/component: operator
app.kubernetes.io/part-of: zonetide
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What selects the operator's pods. */}}
{{- define "zonetide.selector" -}}
app.kubernetes.io/name: zonetide-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{/* Name of what belongs to no namespace: two releases must not fight for it. */}}
{{- define "zonetide.clusterName" -}}
{{ printf "zonetide-operator-%s-%s" .Release.Namespace .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}
