//! The pod of a Job: defaults, the user's podTemplate over them, and over both what must hold; builds objects only.

use super::{
    CONTAINER,
    job::JobInput,
    scratch::Scratch,
    task::{PASSWORD_ENV, Task, USERNAME_ENV},
};
use crate::{
    api::{LABEL_OBJECT, SecretKey, ValueFrom},
    db::CA_FILE,
};
use k8s_openapi::api::core::v1::{PodSpec, PodTemplateSpec};
use kube::{ResourceExt, api::ObjectMeta};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Where the runner is mounted.
const PROGRAM_DIR: &str = "/alembic-operator";
const PROGRAM_VOLUME: &str = "alembic-operator-runner";
const TLS_VOLUME: &str = "alembic-operator-tls";

/// Why no pod can be made of `spec.podTemplate`.
#[derive(Debug, thiserror::Error)]
#[error("spec.podTemplate.spec is not a pod spec: {0}")]
pub struct PodTemplateError(#[from] pub serde_json::Error);

/// The pod template of a Job.
pub fn pod_template(
    input: JobInput,
    labels: &BTreeMap<String, String>,
    task: &Task,
    program: &str,
    deadline: Option<i64>,
) -> Result<PodTemplateSpec, PodTemplateError> {
    let user = input.object.spec.pod_template.clone().unwrap_or_default();
    check(&user.spec)?;
    let mut spec = defaults(runs_as_default_user(&user.spec));
    merge(&mut spec, Value::Object(user.spec));
    merge(&mut spec, fixed(input, task, program, deadline)?);
    if let Some(server) = input.scratch.and_then(Scratch::server) {
        merge(&mut spec, server);
    }
    let spec: PodSpec = serde_json::from_value(spec)?;

    let mut annotations = BTreeMap::from(DO_NOT_DISTURB.map(|(k, v)| (k.to_owned(), v.to_owned())));
    annotations.extend(user.metadata.annotations);
    annotations.insert(LABEL_OBJECT.to_owned(), input.object.name_any());
    let mut all_labels = user.metadata.labels;
    all_labels.extend(labels.clone());
    Ok(PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(all_labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(spec),
    })
}

/// Whether the user's part is a pod spec, by itself: what the merge replaces would hide a mistake.
pub fn check(spec: &Map<String, Value>) -> Result<(), PodTemplateError> {
    serde_json::from_value::<PodSpec>(Value::Object(spec.clone()))?;
    Ok(())
}

/// Autoscalers must not move a migration to another node.
const DO_NOT_DISTURB: [(&str, &str); 2] =
    [("cluster-autoscaler.kubernetes.io/safe-to-evict", "false"), ("karpenter.sh/do-not-disrupt", "true")];

/// Many images name no user, or one by name, and both are refused under the restricted Pod Security Standard.
const DEFAULT_USER: i64 = 65532;

fn runs_as_default_user(user: &Map<String, Value>) -> bool {
    let own = |spec: &Value| spec.pointer("/securityContext/runAsUser").is_some();
    let container_has = user.get("containers").and_then(Value::as_array).is_some_and(|c| c.iter().any(own));
    !container_has && user.get("securityContext").and_then(|s| s.get("runAsUser")).is_none()
}

/// What the user's template may change.
fn defaults(default_user: bool) -> Value {
    let mut security = json!({ "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } });
    let mut env = vec![
        json!({ "name": "PYTHONUNBUFFERED", "value": "1" }),
        json!({ "name": "PYTHONDONTWRITEBYTECODE", "value": "1" }),
    ];
    if default_user {
        merge(&mut security, json!({ "runAsUser": DEFAULT_USER, "runAsGroup": DEFAULT_USER, "fsGroup": DEFAULT_USER }));
        // This user has no home in the image, and tools such as uv want to write there.
        env.push(json!({ "name": "HOME", "value": "/tmp" }));
    }
    json!({
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "securityContext": security,
        "containers": [{
            "name": CONTAINER,
            "env": env,
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        }],
    })
}

/// What it may not.
fn fixed(input: JobInput, task: &Task, program: &str, deadline: Option<i64>) -> Result<Value, PodTemplateError> {
    let spec = &input.object.spec;
    let mut command = spec.alembic.command.clone();
    if command.is_empty() {
        command.push("python3".to_owned());
    }
    command.push(format!("{PROGRAM_DIR}/runner.py"));
    let mut container = json!({
        "name": CONTAINER,
        "image": input.image,
        "command": command,
        "args": [],
        "env": env(input, task)?,
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "volumeMounts": [{ "name": PROGRAM_VOLUME, "mountPath": PROGRAM_DIR, "readOnly": true }],
    });
    if let Some(policy) = spec.image_pull_policy {
        container["imagePullPolicy"] = policy.as_str().into();
    }
    if let Some(dir) = &spec.alembic.working_dir {
        container["workingDir"] = dir.as_str().into();
    }
    let mut pod = json!({
        "restartPolicy": "Never",
        "containers": [container],
        "volumes": [{ "name": PROGRAM_VOLUME, "configMap": { "name": program, "defaultMode": 0o444 } }],
    });
    if let (Some(tls), None) = (&spec.database.tls, input.scratch) {
        let key = &tls.ca_from.secret_key_ref;
        let (dir, file) = CA_FILE.rsplit_once('/').unwrap_or(("", CA_FILE));
        let items = json!([{ "key": key.key, "path": file }]);
        let volume =
            json!({ "name": TLS_VOLUME, "secret": { "secretName": key.name, "items": items, "defaultMode": 0o444 } });
        let mount = json!({ "name": TLS_VOLUME, "mountPath": dir, "readOnly": true });
        merge(&mut pod, json!({ "volumes": [volume], "containers": [{ "name": CONTAINER, "volumeMounts": [mount] }] }));
    }
    if let Some(seconds) = deadline {
        // On the pod and not on the Job, which would delete the pod and with it the word about the step that ran.
        pod["activeDeadlineSeconds"] = seconds.into();
    }
    Ok(pod)
}

fn env(input: JobInput, task: &Task) -> Result<Vec<Value>, PodTemplateError> {
    let database = &input.object.spec.database;
    let from = |name: &str, key: &SecretKey| json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": key.name, "key": key.key } } });
    let mut env = vec![json!({ "name": "ALEMBIC_OPERATOR_TASK", "value": task.to_json()? })];
    if let Some(scratch) = input.scratch {
        env.extend(database.env_names().iter().map(|name| json!({ "name": name, "value": scratch.url() })));
        return Ok(env);
    }
    if let Some(ValueFrom { secret_key_ref }) = &database.url_from {
        env.extend(database.env_names().iter().map(|name| from(name, secret_key_ref)));
    }
    if let Some(connection) = &database.connection {
        env.push(from(USERNAME_ENV, &connection.username_from.secret_key_ref));
        env.extend(connection.password_from.as_ref().map(|p| from(PASSWORD_ENV, &p.secret_key_ref)));
    }
    if database.tls.is_some() {
        env.push(json!({ "name": "PGSSLROOTCERT", "value": CA_FILE }));
        env.push(json!({ "name": "PGSSLMODE", "value": "verify-full" }));
    }
    Ok(env)
}

/// Lays one JSON value over another as a strategic merge does: objects by key, lists of named things by their name
/// (mounts by their path), everything else replaced.
fn merge(base: &mut Value, over: Value) {
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
    use crate::{api::DatabaseMigration, runner::task::Action};

    fn pod(spec: Value) -> Result<PodTemplateSpec, PodTemplateError> {
        let object: DatabaseMigration = serde_json::from_value(json!({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "shop"},
            "spec": spec,
        }))
        .unwrap();
        let task = Task::new(&object, Action::Inspect);
        pod_template(
            JobInput { object: &object, image: "shop@sha256:ab", scratch: None },
            &BTreeMap::new(),
            &task,
            "program",
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
