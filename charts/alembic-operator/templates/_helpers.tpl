{{- define "alembic-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "alembic-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains (include "alembic-operator.name" .) .Release.Name }}
{{- .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "alembic-operator.name" .) | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "alembic-operator.selector" -}}
app.kubernetes.io/name: {{ include "alembic-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "alembic-operator.labels" -}}
{{ include "alembic-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | quote }}
{{- with omit .Values.commonLabels "app.kubernetes.io/name" "app.kubernetes.io/instance" }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "alembic-operator.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{/* An object's metadata; with a list of it and labels of its own. */}}
{{- define "alembic-operator.metadata" -}}
name: {{ include "alembic-operator.fullname" . }}
namespace: {{ include "alembic-operator.namespace" . }}
labels: {{- include "alembic-operator.labels" . | nindent 2 }}
{{- end }}

{{- define "alembic-operator.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "alembic-operator.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "alembic-operator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ default .Chart.AppVersion .Values.image.tag }}
{{- end }}
{{- end }}

{{/* What the operator may do: Secrets are read by name and never listed, and no database is touched but through Jobs. */}}
{{- define "alembic-operator.rules" -}}
- apiGroups: [alembic-operator.dev]
  resources: [databasemigrations, databasemigrationsets]
  verbs: [get, list, watch, patch]
- apiGroups: [alembic-operator.dev]
  resources: [databasemigrations/status, databasemigrationsets/status]
  verbs: [patch]
# The Job of a run is created suspended; a patch releases it, and gives it its owner once it has ended.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# A pod is deleted only as it was seen, when it can't start and something else is asked for.
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch, delete]
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# Why a Job has no pod is told by events alone.
- apiGroups: [""]
  resources: [events]
  verbs: [list]
# An inspection that no object uses any more is deleted.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- if .Values.backup.cnpg }}
# Never deleted: a backup outlives the object that it was made for.
- apiGroups: [postgresql.cnpg.io]
  resources: [backups]
  verbs: [get, create]
{{- end }}
{{- end }}

{{/* CEL: the request is the operator's own, or of somebody whom the values trust. */}}
{{- define "alembic-operator.operates" -}}
request.userInfo.username in [{{ range .Values.approval.trustedUsers }}'{{ . }}', {{ end }}'system:serviceaccount:{{ include "alembic-operator.namespace" . }}:{{ include "alembic-operator.serviceAccount" . }}']
{{- end }}

{{/* CEL: the request is of a controller of the cluster, which makes pods of Jobs and deletes what has no owner or namespace left. */}}
{{- define "alembic-operator.controls" -}}
request.userInfo.username in ['system:kube-controller-manager', 'system:serviceaccount:kube-system:job-controller', 'system:serviceaccount:kube-system:generic-garbage-collector', 'system:serviceaccount:kube-system:namespace-controller', 'system:serviceaccount:kube-system:ttl-after-finished-controller', 'system:serviceaccount:kube-system:pod-garbage-collector']
{{- end }}

{{/* CEL variables: what the request changes, and what the object demanded before it, whose policy stands at `policy`. */}}
{{- define "alembic-operator.said" -}}
- name: ofStatus
  expression: "request.?subResource.orValue('') == 'status'"
- name: was
  expression: "oldObject == null ? dyn({}) : dyn(oldObject.spec)"
- name: is
  expression: "object == null ? dyn({}) : dyn(object.spec)"
- name: saidBefore
  expression: "oldObject == null ? dyn({}) : dyn(oldObject.metadata.?annotations.orValue({}))"
- name: said
  expression: "object == null ? dyn({}) : dyn(object.metadata.?annotations.orValue({}))"
- name: rejected
  expression: "variables.saidBefore[?'alembic-operator.dev/reject'].orValue('')"
# What an object demands that its namesake, deleted and created again, would not: by its own words, where the defaults ask for less.
- name: approval
  expression: "dyn({{ .policy }}.?approval.orValue({}))"
- name: mode
  expression: "variables.approval.?mode.orValue('{{ .mode }}')"
- name: threshold
  expression: "variables.approval.?threshold.orValue(variables.approval.?mode.hasValue() ? 'High' : '{{ .threshold }}')"
- name: strictness
  expression: >-
    {{ toJson .strictness | replace "\"" "'" }}[variables.mode == 'OnHazard' ? variables.threshold : variables.mode]
{{- end }}

{{/* The validation of what only the operator writes, and those who may approve anyway. */}}
{{- define "alembic-operator.only-the-operator" -}}
- expression: >-
    {{ .unless }} || authorizer.group('alembic-operator.dev').resource('databasemigrations').namespace(request.namespace).check('approve').allowed()
  messageExpression: >-
    request.userInfo.username + " may not write what has the label app.kubernetes.io/managed-by: alembic-operator: the operator takes it for its own. It needs the verb approve on databasemigrations.alembic-operator.dev"
  reason: Forbidden
{{- end }}
