{{/*
The init container, in the application's own image. Takes a dict:
  image            the application's image, as its container has it
  command          the Python that has Alembic (default [python3]; spec.alembic.command of the DatabaseMigration)
  args             arguments of the gate, such as [--url-env, DATABASE_URL]
  env, envFrom     the variables that env.py reads, as the application's container has them
  workingDir, imagePullPolicy, resources, extraVolumeMounts
*/}}
{{- define "alembic-gate.container" -}}
- name: wait-for-schema
  image: {{ required "alembic-gate.container needs image" .image | quote }}
  {{- with .imagePullPolicy }}
  imagePullPolicy: {{ . }}
  {{- end }}
  command: {{ concat (.command | default (list "python3")) (list "/gate/gate.py") (.args | default list) | toJson }}
  {{- with .workingDir }}
  workingDir: {{ . | quote }}
  {{- end }}
  terminationMessagePolicy: FallbackToLogsOnError
  securityContext:
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities:
      drop: [ALL]
  {{- with .env }}
  env: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .envFrom }}
  envFrom: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .resources }}
  resources: {{- toYaml . | nindent 4 }}
  {{- end }}
  volumeMounts:
    - name: gate
      mountPath: /gate
      readOnly: true
    {{- with .extraVolumeMounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}

{{/*
The volume, of the ConfigMap that the operator keeps. Takes the name of the DatabaseMigration.
*/}}
{{- define "alembic-gate.volume" -}}
- name: gate
  configMap:
    name: {{ . }}-gate
{{- end }}
