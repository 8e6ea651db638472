//! The Jobs around a run: the user's pod that backs up, and the one that verifies in the application's image; builds
//! objects, sends nothing.

use super::{
    job::{JobInput, replacing_disrupted, stage_labels, wrap},
    names::{name_part, short_hash},
    pod_template::{
        Payload, PodTemplateError, default_container_security, default_pod, merge, pod_metadata, pod_template,
        read_pod_spec, runs_as_default_user,
    },
};
use crate::api::{ANNOTATION_STAGE, BackupTemplate, DatabaseMigration, Verify};
use k8s_openapi::api::{batch::v1::Job, core::v1::PodTemplateSpec};
use kube::{
    ResourceExt,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, time::Duration};

/// What a backup or a verification is for, as its annotation keeps it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StageRecord {
    /// Of the DatabaseMigration.
    pub uid: String,
    /// Number of the run that it comes before or after.
    pub run: i64,
    /// Hash of the plan, or of spec.verify.
    pub hash: String,
    /// The version rows before the run, and those after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to: Vec<String>,
}

impl StageRecord {
    /// What an object's annotation says; `None` where it has none that can be read.
    pub fn of(object: &impl ResourceExt) -> Option<Self> {
        object.annotations().get(ANNOTATION_STAGE).and_then(|record| serde_json::from_str(record).ok())
    }
}

/// Name of the Job or Backup before a run. It depends on all that asks for it anew: the plan, the run that is tried for the
/// first time, the generation and the request.
pub fn backup_name(object: &DatabaseMigration, plan_hash: &str, first: i64, requested_at: Option<&str>) -> String {
    let generation = object.metadata.generation.unwrap_or_default().to_string();
    let uid = object.uid().unwrap_or_default();
    let asked = [&uid, plan_hash, &first.to_string(), &generation, requested_at.unwrap_or_default()];
    format!("{}-backup-{}", name_part(object), short_hash(&asked, 10))
}

/// Name of the Job that verifies a run. `asked` tells apart how often one run is verified.
pub fn verify_name(object: &DatabaseMigration, run: i64, asked: &str) -> String {
    let hash = short_hash(&[&object.uid().unwrap_or_default(), asked], 6);
    format!("{}-verify-{run}-{hash}", name_part(object))
}

/// The Job of a backup.
pub fn backup_job(
    object: &DatabaseMigration,
    name: &str,
    record: &StageRecord,
    template: &BackupTemplate,
    timeout: Duration,
) -> Result<Job, PodTemplateError> {
    let labels = stage_labels(object, "backup");
    let mut spec = default_pod(runs_as_default_user(&template.spec));
    merge(&mut spec, Value::Object(template.spec.clone()));
    let env = [
        ("ALEMBIC_OPERATOR_PLAN", record.hash.clone()),
        ("ALEMBIC_OPERATOR_FROM", record.from.join(",")),
        ("ALEMBIC_OPERATOR_TO", record.to.join(",")),
        ("ALEMBIC_OPERATOR_OBJECT", format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())),
    ];
    let env = env.map(|(name, value)| json!({ "name": name, "value": value }));
    for kind in ["containers", "initContainers"] {
        for container in spec.get_mut(kind).and_then(Value::as_array_mut).into_iter().flatten() {
            let mut whole = json!({
                "securityContext": default_container_security(),
                // Without a word of its own, the last lines of its log tell why it failed.
                "terminationMessagePolicy": "FallbackToLogsOnError",
            });
            merge(&mut whole, container.take());
            merge(&mut whole, json!({ "env": env }));
            *container = whole;
        }
    }
    merge(&mut spec, json!({ "restartPolicy": "Never", "activeDeadlineSeconds": timeout.as_secs().max(1) }));
    let template = PodTemplateSpec {
        metadata: Some(pod_metadata(object, template.metadata.clone(), &labels)),
        spec: Some(read_pod_spec(spec, BACKUP_FIELD)?),
    };
    Ok(replacing_disrupted(wrap(object, name.to_owned(), labels, annotations(record)?, template)))
}

/// Where the pod spec of a backup stands.
pub const BACKUP_FIELD: &str = "spec.backup.job.template.spec";
/// Where that of a verification does.
pub const VERIFY_FIELD: &str = "spec.verify.podTemplate.spec";

/// The Job of a verification.
pub fn verify_job(
    input: JobInput,
    name: &str,
    record: &StageRecord,
    verify: &Verify,
    timeout: Duration,
) -> Result<Job, PodTemplateError> {
    let labels = stage_labels(input.object, "verify");
    let deadline = i64::try_from(timeout.as_secs().max(1)).unwrap_or(i64::MAX);
    let user = verify.pod_template.as_ref().or(input.object.spec.pod_template.as_ref());
    let template = pod_template(input, user, &labels, &Payload::Command(verify), Some(deadline))?;
    Ok(replacing_disrupted(wrap(input.object, name.to_owned(), labels, annotations(record)?, template)))
}

fn annotations(record: &StageRecord) -> Result<BTreeMap<String, String>, PodTemplateError> {
    let json = serde_json::to_string(record).map_err(|error| PodTemplateError::new("the record", error))?;
    Ok(BTreeMap::from([(ANNOTATION_STAGE.to_owned(), json)]))
}

/// CloudNativePG's kind of a backup; its CRD need not be there.
pub fn cnpg_backup() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("postgresql.cnpg.io", "v1", "Backup"))
}

/// A Backup of CloudNativePG. Nobody owns it: a backup outlives the object that it was made for.
pub fn cnpg_object(
    object: &DatabaseMigration,
    name: &str,
    record: &StageRecord,
    cnpg: &crate::api::CnpgBackup,
) -> Result<DynamicObject, PodTemplateError> {
    let mut spec = json!({ "cluster": { "name": cnpg.cluster }, "method": cnpg.method });
    if let Some(plugin) = &cnpg.plugin_name {
        spec["pluginConfiguration"] = json!({ "name": plugin });
    }
    let mut backup = DynamicObject::new(name, &cnpg_backup());
    backup.metadata.namespace = object.namespace();
    backup.metadata.labels = Some(stage_labels(object, "backup"));
    backup.metadata.annotations = Some(annotations(record)?);
    backup.data = json!({ "spec": spec });
    Ok(backup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{CnpgBackup, CnpgMethod, LABEL_OBJECT};

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn object(extra: Value) -> DatabaseMigration {
        let mut spec = json!({"image": "shop:1", "targetRevision": "head",
            "database": {"urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}});
        merge(&mut spec, extra);
        serde_json::from_value(json!({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
            "metadata": {"name": "shop", "namespace": "shop", "uid": "u", "generation": 1}, "spec": spec,
        }))
        .unwrap()
    }

    fn record() -> StageRecord {
        let rows = |row: &str| vec![row.to_owned()];
        StageRecord { uid: "u".into(), run: 1, hash: "0123".into(), from: rows("a"), to: rows("b") }
    }

    fn backup(template: Value) -> Result<Job, PodTemplateError> {
        let template: BackupTemplate = serde_json::from_value(template).unwrap();
        backup_job(&object(json!({})), "shop-backup-1", &record(), &template, TIMEOUT)
    }

    #[test]
    fn a_backup_fits_the_restricted_standard_and_knows_what_it_is_for() {
        let job = backup(json!({"metadata": {"labels": {"team": "shop"}}, "spec": {
            "restartPolicy": "Always", "serviceAccountName": "dumper",
            "containers": [{"name": "dump", "image": "postgres:15", "command": ["pg_dump"],
                "env": [{"name": "ALEMBIC_OPERATOR_PLAN", "value": "mine"}, {"name": "MODE", "value": "full"}]}]}}))
        .unwrap();
        let owner = &job.owner_references()[0];
        assert_eq!((owner.uid.as_str(), owner.controller), ("u", Some(true)));
        assert_eq!(StageRecord::of(&job), Some(record()));
        let spec = job.spec.unwrap();
        assert_eq!((spec.backoff_limit, spec.pod_replacement_policy.as_deref()), (Some(0), Some("Failed")));
        assert_eq!(spec.template.metadata.unwrap().labels.unwrap()["team"], "shop");
        let pod = spec.template.spec.unwrap();
        assert_eq!((pod.restart_policy.as_deref(), pod.active_deadline_seconds), (Some("Never"), Some(60)));
        assert_eq!(pod.service_account_name.as_deref(), Some("dumper"));
        let security = pod.security_context.unwrap();
        assert_eq!((security.run_as_non_root, security.run_as_user), (Some(true), Some(65532)));
        let container = &pod.containers[0];
        let own = container.security_context.clone().unwrap();
        assert_eq!((own.allow_privilege_escalation, own.capabilities.unwrap().drop.unwrap().len()), (Some(false), 1));
        let env = container.env.as_ref().unwrap();
        let value = |name: &str| env.iter().find(|e| e.name == name).and_then(|e| e.value.as_deref());
        assert_eq!((value("ALEMBIC_OPERATOR_PLAN"), value("MODE")), (Some("0123"), Some("full")));
        assert_eq!((value("ALEMBIC_OPERATOR_FROM"), value("ALEMBIC_OPERATOR_OBJECT")), (Some("a"), Some("shop/shop")));
    }

    #[test]
    fn what_the_user_says_of_security_stands() {
        let job = backup(
            json!({"spec": {"securityContext": {"runAsUser": 999}, "containers": [{"name": "dump", "image": "i",
            "terminationMessagePolicy": "File", "securityContext": {"readOnlyRootFilesystem": true}}]}}),
        );
        let pod = job.unwrap().spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.security_context.unwrap().run_as_user, Some(999));
        let own = pod.containers[0].security_context.clone().unwrap();
        assert_eq!((own.read_only_root_filesystem, own.allow_privilege_escalation), (Some(true), Some(false)));
        assert_eq!(pod.containers[0].termination_message_policy.as_deref(), Some("File"));
        let wrong = backup(json!({"spec": {"containers": [{"name": "dump", "image": 5}]}}));
        assert!(wrong.unwrap_err().to_string().contains("spec.backup.job.template.spec"));
    }

    #[test]
    fn a_verification_gets_the_url_as_a_run_does_and_no_runner() {
        let verify: Verify = serde_json::from_value(json!({"command": ["./smoke"], "args": ["--fast"]})).unwrap();
        let object =
            object(json!({"alembic": {"workingDir": "/app"}, "podTemplate": {"spec": {"serviceAccountName": "app"}}}));
        let input = JobInput { object: &object, image: "shop@sha256:ab", scratch: None };
        let job = verify_job(input, "shop-verify-1", &record(), &verify, TIMEOUT).unwrap();
        let pod = job.spec.unwrap().template.spec.unwrap();
        assert_eq!((pod.active_deadline_seconds, pod.service_account_name.as_deref()), (Some(60), Some("app")));
        assert!(pod.volumes.is_none_or(|volumes| volumes.is_empty()));
        let container = &pod.containers[0];
        assert_eq!(container.image.as_deref(), Some("shop@sha256:ab"));
        assert_eq!(
            (container.command.as_deref(), container.args.as_deref()),
            (Some(&["./smoke".into()][..]), Some(&["--fast".into()][..]))
        );
        assert_eq!(container.working_dir.as_deref(), Some("/app"));
        assert_eq!(container.termination_message_policy.as_deref(), Some("FallbackToLogsOnError"));
        let env = container.env.as_ref().unwrap();
        assert!(env.iter().any(|e| e.name == "DATABASE_URL" && e.value_from.is_some()));
        assert!(!env.iter().any(|e| e.name == "ALEMBIC_OPERATOR_TASK"));
    }

    #[test]
    fn a_connection_in_parts_is_given_in_parts() {
        let key = |key: &str| json!({"secretKeyRef": {"name": "db", "key": key}});
        let mut object = object(json!({}));
        object.spec.database = serde_json::from_value(
            json!({"connection": {"dialect": "mysql", "host": "h", "port": 3307, "name": "shop",
            "usernameFrom": key("u"), "passwordFrom": key("p")}}),
        )
        .unwrap();
        let verify: Verify = serde_json::from_value(json!({"command": ["./smoke"]})).unwrap();
        let input = JobInput { object: &object, image: "i", scratch: None };
        let job = verify_job(input, "v", &record(), &verify, TIMEOUT).unwrap();
        let env = job.spec.unwrap().template.spec.unwrap().containers[0].env.clone().unwrap();
        let names: Vec<_> =
            env.iter().filter(|e| e.name.starts_with("ALEMBIC")).map(|e| e.name.rsplit('_').next().unwrap()).collect();
        assert_eq!(names, ["DIALECT", "HOST", "NAME", "PORT", "USERNAME", "PASSWORD"]);
    }

    #[test]
    fn a_backup_of_cloudnativepg_is_labelled_and_owned_by_nobody() {
        let cnpg =
            CnpgBackup { cluster: "main".into(), method: CnpgMethod::Plugin, plugin_name: Some("barman".into()) };
        let made = cnpg_object(&object(json!({})), "shop-backup-1", &record(), &cnpg).unwrap();
        let json = serde_json::to_value(&made).unwrap();
        assert_eq!((&json["apiVersion"], &json["kind"]), (&json!("postgresql.cnpg.io/v1"), &json!("Backup")));
        assert_eq!(
            json["spec"],
            json!({"cluster": {"name": "main"}, "method": "plugin", "pluginConfiguration": {"name": "barman"}})
        );
        assert!(made.owner_references().is_empty() && made.labels()[LABEL_OBJECT] == "shop");
        assert_eq!(cnpg_backup().plural, "backups");
    }

    #[test]
    fn names_tell_apart_what_is_asked_anew() {
        let mut one = object(json!({}));
        let name = |object: &DatabaseMigration, first, requested| backup_name(object, "0123", first, requested);
        let before = name(&one, 1, None);
        assert!(before.len() <= 57 && before == name(&one, 1, None));
        assert!(before != name(&one, 2, None) && before != name(&one, 1, Some("now")));
        one.metadata.generation = Some(2);
        assert_ne!(before, name(&one, 1, None));
    }
}
