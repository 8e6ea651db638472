//! The pod of a Job: defaults, the user's podTemplate over them, and over both what must hold; builds objects only.

use super::{
    CONTAINER,
    database_env::{ca_volume, connection_env, database_env},
    job::JobInput,
    program,
    scratch::Scratch,
    task::Task,
};
use crate::api::{DatabaseMigration, LABEL_OBJECT, PodMetadata, PodTemplate};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use kube::{ResourceExt, api::ObjectMeta};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Where the runner is mounted.
pub(super) const PROGRAM_VOLUME: &str = "alembic-operator-runner";

/// Why no pod can be made of what the user gave.
#[derive(Debug, thiserror::Error)]
#[error("{field} is not a pod spec: {source}")]
pub struct PodTemplateError {
    field: &'static str,
    source: serde_json::Error,
}

impl PodTemplateError {
    /// `field` is where it stands in the object.
    pub fn new(field: &'static str, source: serde_json::Error) -> Self {
        Self { field, source }
    }
}

/// Where the user's part of most pods stands.
pub const FIELD: &str = "spec.podTemplate.spec";

/// What the container named `alembic` does.
pub enum Payload<'a> {
    /// A task of the runner, whose program is in a ConfigMap.
    Runner { task: &'a Task },
    /// Something of the user's.
    Command { command: &'a [String], args: &'a [String] },
}

/// The pod template of a Job; `user` is what is merged into it.
pub fn pod_template(
    input: JobInput,
    user: Option<&PodTemplate>,
    labels: &BTreeMap<String, String>,
    payload: &Payload,
    deadline: Option<i64>,
) -> Result<PodTemplateSpec, PodTemplateError> {
    let user = user.cloned().unwrap_or_default();
    check(&user.spec, FIELD)?;
    let mut spec = defaults(runs_as_default_user(&user.spec));
    merge(&mut spec, Value::Object(user.spec));
    with_last_words(&mut spec);
    merge(&mut spec, fixed(input, payload, deadline)?);
    if let Some(server) = input.scratch.and_then(Scratch::server) {
        merge(&mut spec, server);
    }
    Ok(PodTemplateSpec {
        metadata: Some(pod_metadata(input.object, user.metadata, labels)),
        spec: Some(read_pod_spec(spec, FIELD)?),
    })
}

/// Where an init container of the user's fails, the last lines of its log tell why.
fn with_last_words(spec: &mut Value) {
    let containers = spec.get_mut("initContainers").and_then(Value::as_array_mut).into_iter().flatten();
    for container in containers.filter_map(Value::as_object_mut) {
        container.entry("terminationMessagePolicy").or_insert_with(|| json!("FallbackToLogsOnError"));
    }
}

/// A pod spec out of JSON.
pub(super) fn read_pod_spec(spec: Value, field: &'static str) -> Result<PodSpec, PodTemplateError> {
    serde_json::from_value(spec).map_err(|error| PodTemplateError::new(field, error))
}

/// The user's labels and annotations, and over them those by which the pod is found.
pub(super) fn pod_metadata(
    object: &DatabaseMigration,
    user: PodMetadata,
    labels: &BTreeMap<String, String>,
) -> ObjectMeta {
    let mut annotations = BTreeMap::from(DO_NOT_DISTURB.map(|(k, v)| (k.to_owned(), v.to_owned())));
    annotations.extend(user.annotations);
    annotations.insert(LABEL_OBJECT.to_owned(), object.name_any());
    let mut all_labels = user.labels;
    all_labels.extend(labels.clone());
    ObjectMeta { labels: Some(all_labels), annotations: Some(annotations), ..ObjectMeta::default() }
}

/// Whether the user's part is a pod spec, by itself: what the merge replaces would hide a mistake.
pub fn check(spec: &Map<String, Value>, field: &'static str) -> Result<(), PodTemplateError> {
    read_pod_spec(Value::Object(spec.clone()), field).map(drop)
}

/// Autoscalers must not move a migration to another node.
const DO_NOT_DISTURB: [(&str, &str); 2] =
    [("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true")];

/// Many images name no user, or one by name, and both are refused under the restricted Pod Security Standard.
const DEFAULT_USER: i64 = 65532;

/// Whether nothing says which user a pod runs as.
pub(super) fn runs_as_default_user(user: &Map<String, Value>) -> bool {
    let own = |spec: &Value| spec.pointer("/securityContext/runAsUser").is_some();
    let container_has = user.get("containers").and_then(Value::as_array).is_some_and(|c| c.iter().any(own));
    !container_has && user.get("securityContext").and_then(|s| s.get("runAsUser")).is_none()
}

/// What the user's template may change of any pod.
pub(super) fn default_pod(default_user: bool) -> Value {
    let mut security = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    if default_user {
        merge(&mut security, json!({ "runAsUser": DEFAULT_USER, "runAsGroup": DEFAULT_USER, "fsGroup": DEFAULT_USER }));
    }
    json!({ "automountServiceAccountToken": false, "enableServiceLinks": false, "securityContext": security })
}

/// The same of a container.
pub(super) fn default_container_security() -> Value {
    json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } })
}

/// What the user's template may change of a pod in the application's image.
fn defaults(default_user: bool) -> Value {
    let mut env = vec![
        json!({ "name": "PYTHONUNBUFFERED", "value": "1" }),
        json!({ "name": "PYTHONDONTWRITEBYTECODE", "value": "1" }),
    ];
    if default_user {
        // This user has no home in the image, and tools such as uv want to write there.
        env.push(json!({ "name": "HOME", "value": "/tmp" }));
    }
    let mut pod = default_pod(default_user);
    pod["containers"] = json!([{ "name": CONTAINER, "env": env, "securityContext": default_container_security() }]);
    pod
}

/// What it may not.
fn fixed(input: JobInput, payload: &Payload, deadline: Option<i64>) -> Result<Value, PodTemplateError> {
    let spec = &input.object.spec;
    let mut container =
        json!({ "name": CONTAINER, "image": input.image, "terminationMessagePath": "/dev/termination-log" });
    let mut pod = json!({ "restartPolicy": "Never" });
    match payload {
        Payload::Runner { task } => {
            let mut command = spec.alembic.command.clone();
            if command.is_empty() {
                command.push("python3".to_owned());
            }
            command.push(program::FOLDER.to_owned());
            let mount = json!({ "name": PROGRAM_VOLUME, "mountPath": program::FOLDER, "readOnly": true });
            let task = task.to_json().map_err(|error| PodTemplateError::new("the task", error))?;
            let mut env = vec![json!({ "name": "ALEMBIC_OPERATOR_TASK", "value": task })];
            let database = &spec.database;
            env.extend(database_env(input, database.migration_url(), database.migration_parts()));
            let runner = json!({ "command": command, "args": [], "env": env, "terminationMessagePolicy": "File", "volumeMounts": [mount] });
            merge(&mut container, runner);
            pod["volumes"] = json!([{ "name": PROGRAM_VOLUME, "configMap": { "name": program::name(), "items": program::items(), "defaultMode": 0o444 } }]);
        }
        Payload::Command { command, args } => {
            let mut env = connection_env(input);
            // The application's own, whatever migrations use.
            env.extend(database_env(input, spec.database.url_from.as_ref(), spec.database.connection.as_ref()));
            // Without a word of its own, the last lines of its log tell why it failed.
            merge(&mut container, json!({ "env": env, "terminationMessagePolicy": "FallbackToLogsOnError" }));
            for (field, words) in [("command", command), ("args", args)] {
                if !words.is_empty() {
                    container[field] = json!(words);
                }
            }
        }
    }
    if let Some(policy) = spec.image_pull_policy {
        container["imagePullPolicy"] = policy.as_str().into();
    }
    if let Some(dir) = &spec.alembic.working_dir {
        container["workingDir"] = dir.as_str().into();
    }
    pod["containers"] = json!([container]);
    if let (Some(tls), None) = (&spec.database.tls, input.scratch) {
        let (volume, mount) = ca_volume(&tls.ca_from.secret_key_ref);
        merge(&mut pod, json!({ "volumes": [volume], "containers": [{ "name": CONTAINER, "volumeMounts": [mount] }] }));
    }
    if let Some(seconds) = deadline {
        // On the pod and not on the Job, which would delete the pod and with it the word about the step that ran.
        pod["activeDeadlineSeconds"] = seconds.into();
    }
    Ok(pod)
}

/// Lays one JSON value over another as a strategic merge does: objects by key, lists of named things by their name
/// (mounts by their path), everything else replaced.
pub(super) fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(existing) => merge(existing, value),
                    None => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (Value::Array(base), Value::Array(over)) => merge_lists(base, over),
        (base, over) => *base = over,
    }
}

fn merge_lists(base: &mut Vec<Value>, over: Vec<Value>) {
    let Some(key) =
        ["mountPath", "name"].into_iter().find(|key| !over.is_empty() && over.iter().all(|v| v.get(key).is_some()))
    else {
        *base = over;
        return;
    };
    for value in over {
        match base.iter_mut().find(|existing| existing.get(key) == value.get(key)) {
            // A variable has a value or a source; keeping the other's half would make it invalid.
            Some(existing) if value.get("value").is_some() || value.get("valueFrom").is_some() => *existing = value,
            Some(existing) => merge(existing, value),
            None => base.push(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::task::{Action, USERNAME_ENV};
    use crate::jobs::users_pod;

    fn pod(spec: Value) -> Result<PodTemplateSpec, PodTemplateError> {
        let object: DatabaseMigration = serde_json::from_value(json!({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "shop"},
            "spec": spec,
        }))
        .unwrap();
        let task = Task::new(&object, Action::Inspect);
        pod_template(
            JobInput { object: &object, image: "shop@sha256:ab", scratch: None },
            users_pod(&object.spec).as_ref(),
            &BTreeMap::new(),
            &Payload::Runner { task: &task },
            None,
        )
    }

    fn minimal() -> Value {
        json!({"image": "shop:1", "targetRevision": "head",
               "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}})
    }

    #[test]
    fn fits_the_restricted_standard() {
        let spec = pod(minimal()).unwrap().spec.unwrap();
        let security = spec.security_context.unwrap();
        assert_eq!((security.run_as_non_root, security.run_as_user), (Some(true), Some(65532)));
        assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
        let container = spec.containers[0].security_context.clone().unwrap();
        assert_eq!(container.allow_privilege_escalation, Some(false));
        assert_eq!(container.capabilities.unwrap().drop, Some(vec!["ALL".to_owned()]));
        assert_eq!(spec.automount_service_account_token, Some(false));
    }

    #[test]
    fn the_url_comes_from_the_secret_alone() {
        let text = serde_json::to_string(&pod(minimal()).unwrap()).unwrap();
        assert!(
            text.contains(r#"{"name":"DATABASE_URL","valueFrom":{"secretKeyRef":{"key":"url","name":"db"}}}"#),
            "{text}"
        );
    }

    #[test]
    fn migrations_take_a_url_of_their_own() {
        let parts = json!({"dialect": "postgresql", "host": "pooler", "name": "shop", "usernameFrom": {"secretKeyRef": {"name": "db", "key": "user"}}});
        for mut database in [minimal()["database"].clone(), json!({ "connection": parts })] {
            database["migrationUrlFrom"] = json!({"secretKeyRef": {"name": "db", "key": "direct"}});
            let text = serde_json::to_string(
                &pod(json!({"image": "shop:1", "targetRevision": "head", "database": database})).unwrap(),
            )
            .unwrap();
            let direct = r#"{"name":"DATABASE_URL","valueFrom":{"secretKeyRef":{"key":"direct","name":"db"}}}"#;
            assert!(text.contains(direct), "{text}");
            // The task is JSON within the JSON of the pod.
            assert!(text.contains(r#"\"connection\":null"#), "{text}");
            assert!(!text.contains(r#"\"pooler\""#) && !text.contains(USERNAME_ENV), "{text}");
        }
    }

    #[test]
    fn the_place_of_a_database_may_be_in_a_secret() {
        let from = |key: &str| json!({ "secretKeyRef": { "name": "rds", "key": key } });
        let parts = json!({ "dialect": "postgresql", "hostFrom": from("endpoint"), "port": 5433, "nameFrom": from("database"),
            "usernameFrom": from("username") });
        let text = serde_json::to_string(
            &pod(json!({"image": "shop:1", "targetRevision": "head", "database": { "connection": parts }})).unwrap(),
        )
        .unwrap();
        for (variable, key) in [("HOST", "endpoint"), ("NAME", "database"), ("USERNAME", "username")] {
            let variable = format!(
                r#"{{"name":"ALEMBIC_OPERATOR_DB_{variable}","valueFrom":{{"secretKeyRef":{{"key":"{key}","name":"rds"}}}}}}"#
            );
            assert_eq!(text.matches(&variable).count(), 1, "{variable} in {text}");
        }
        assert!(
            text.contains(r#"\"host_env\":\"ALEMBIC_OPERATOR_DB_HOST\""#) && text.contains(r#"\"port\":5433"#),
            "{text}"
        );
    }

    #[test]
    fn the_template_is_merged_and_can_not_take_over() {
        let mut spec = minimal();
        spec["podTemplate"] = json!({"metadata": {"labels": {"team": "shop"}}, "spec": {
            "serviceAccountName": "migrator", "restartPolicy": "Always",
            "securityContext": {"runAsUser": 1000},
            "containers": [
                {"name": "alembic", "image": "evil", "command": ["sh"], "resources": {"limits": {"memory": "1Gi"}},
                 "env": [{"name": "DATABASE_URL", "value": "x"}, {"name": "MODE", "value": "prod"}],
                 "volumeMounts": [{"name": "ca", "mountPath": "/ca"}]},
                {"name": "proxy", "image": "proxy:1"}],
            "volumes": [{"name": "ca", "secret": {"secretName": "ca"}}]}});
        let template = pod(spec).unwrap();
        assert_eq!(template.metadata.unwrap().labels.unwrap()["team"], "shop");
        let spec = template.spec.unwrap();
        assert_eq!(spec.restart_policy.as_deref(), Some("Never"));
        assert_eq!(spec.service_account_name.as_deref(), Some("migrator"));
        assert_eq!(spec.security_context.unwrap().run_as_user, Some(1000));
        assert_eq!((spec.containers.len(), spec.volumes.unwrap().len()), (2, 2));
        let container = &spec.containers[0];
        assert_eq!(container.image.as_deref(), Some("shop@sha256:ab"));
        assert_eq!(container.command.as_ref().unwrap()[0], "python3");
        assert_eq!(container.volume_mounts.as_ref().unwrap().len(), 2);
        let env = container.env.as_ref().unwrap();
        let url = env.iter().find(|e| e.name == "DATABASE_URL").unwrap();
        assert!(url.value.is_none() && url.value_from.is_some());
        assert!(env.iter().any(|e| e.name == "MODE") && !env.iter().any(|e| e.name == "HOME"));
    }

    #[test]
    fn nonsense_is_an_error_that_names_the_field() {
        let mut spec = minimal();
        spec["podTemplate"] = json!({"spec": {"containers": 5}});
        assert!(pod(spec).unwrap_err().to_string().contains("spec.podTemplate.spec"));
    }
}
