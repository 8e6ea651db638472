{{/* The settings for every object, as the operator reads them; empty where there are none. */}}
{{- define "alembic-operator.shared" -}}
{{- if or .Values.defaults .Values.enforce }}
{{- toYaml (dict "defaults" .Values.defaults "enforce" .Values.enforce) }}
{{- end }}
{{- end }}

{{/* The operator's pod. */}}
{{- define "alembic-operator.pod" -}}
serviceAccountName: {{ include "alembic-operator.serviceAccount" . }}
enableServiceLinks: false
terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
containers:
  - name: operator
    image: {{ include "alembic-operator.image" . | quote }}
    imagePullPolicy: {{ .Values.image.pullPolicy }}
    args:
      - run
      - --listen=0.0.0.0:8080
      - --namespaces={{ join "," .Values.watchNamespaces }}
      {{- if gt (int .Values.replicas) 1 }}
      - --leader-election
      {{- end }}
      - --concurrency={{ .Values.concurrency }}
      {{- with .Values.shard }}
      - --shard={{ . }}
      {{- end }}
      - --max-runs={{ .Values.maxRuns }}
      - --max-runs-per-server={{ .Values.maxRunsPerServer }}
      - --probe-connections={{ .Values.probeConnections }}
      {{- with .Values.allowHosts }}
      - --allow-hosts={{ join "," . }}
      {{- end }}
      - --metrics-objects={{ .Values.metrics.objects }}
      {{- if include "alembic-operator.shared" . }}
      - --defaults=/etc/alembic-operator/defaults.yaml
      {{- end }}
      {{- if .Values.approval.restrict }}
      - --approval-restricted
      {{- end }}
      {{- with .Values.notifications.webhook }}
      {{- if .secretName }}
      - --webhook-url-file=/etc/alembic-webhook/url
      - --webhook-format={{ .format }}
      {{- with .events }}
      - --webhook-events={{ join "," . }}
      {{- end }}
      {{- with .source }}
      - --webhook-source={{ . }}
      {{- end }}
      {{- end }}
      {{- end }}
      - --log-format={{ .Values.log.format }}
      - --log={{ .Values.log.filter }}
      {{- with .Values.extraArgs }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    env:
      - name: POD_NAME
        valueFrom: {fieldRef: {fieldPath: metadata.name}}
      {{- with .Values.extraEnv }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    ports:
      - name: http
        containerPort: 8080
    livenessProbe:
      httpGet: {path: /healthz, port: http}
      {{- with .Values.livenessProbe }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    readinessProbe:
      httpGet: {path: /readyz, port: http}
      {{- with .Values.readinessProbe }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- with .Values.startupProbe }}
    startupProbe:
      httpGet: {path: /healthz, port: http}
      {{- toYaml . | nindent 6 }}
    {{- end }}
    resources: {{- toYaml .Values.resources | nindent 6 }}
    securityContext: {{- toYaml .Values.securityContext | nindent 6 }}
    {{- $webhook := .Values.notifications.webhook }}
    {{- if or (include "alembic-operator.shared" .) $webhook.secretName .Values.extraVolumeMounts }}
    volumeMounts:
      {{- if include "alembic-operator.shared" . }}
      - name: defaults
        mountPath: /etc/alembic-operator
        readOnly: true
      {{- end }}
      {{- if $webhook.secretName }}
      - {name: webhook, mountPath: /etc/alembic-webhook, readOnly: true}
      {{- end }}
      {{- with .Values.extraVolumeMounts }}
      {{- toYaml . | nindent 6 }}
      {{- end }}
    {{- end }}
  {{- with .Values.extraContainers }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or (include "alembic-operator.shared" .) $webhook.secretName .Values.extraVolumes }}
volumes:
  {{- if include "alembic-operator.shared" . }}
  - name: defaults
    configMap:
      name: {{ include "alembic-operator.fullname" . }}-defaults
  {{- end }}
  {{- if $webhook.secretName }}
  - name: webhook
    secret:
      secretName: {{ $webhook.secretName }}
      items: [{key: {{ $webhook.key | quote }}, path: url}]
  {{- end }}
  {{- with .Values.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- $own := dict "labelSelector" (dict "matchLabels" (include "alembic-operator.selector" $ | fromYaml)) }}
  {{- range . }}
  - {{- toYaml (merge (deepCopy .) $own) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
