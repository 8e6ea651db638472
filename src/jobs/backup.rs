//! The backup before a run: the user's pod in a Job, or a Backup of CloudNativePG; builds objects, sends nothing.

use super::{
    JobRecord, JobRequest, Kind, Request,
    job::{annotations, job, labels},
    pod_template::{
        PodTemplateError, default_container_security, default_pod, merge, pod_metadata, read_pod_spec,
        runs_as_default_user,
    },
};
use crate::api::{BackupJob, BackupMethod, CnpgBackup, DatabaseMigration};
use k8s_openapi::api::{batch::v1::Job, core::v1::PodTemplateSpec};
use kube::{
    ResourceExt,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use serde_json::{Value, json};
use std::time::Duration;

/// Where the pod spec of a backup stands.
pub const BACKUP_FIELD: &str = "spec.backup.job.template.spec";

/// A backup that must be complete before a run.
#[derive(Clone, Debug, PartialEq)]
pub struct BackupRequest {
    /// Of the Job or Backup; another name is another backup.
    pub name: String,
    pub method: BackupMethod,
    pub record: JobRecord,
    pub timeout: Duration,
}

impl JobRequest for BackupRequest {
    fn record(&self) -> &JobRecord {
        &self.record
    }

    fn mounts_runner(&self) -> bool {
        false
    }

    fn job(&self, object: &DatabaseMigration) -> Result<Option<Job>, PodTemplateError> {
        let Some(BackupJob { template }) = &object.spec.stages.backup.job else { return Ok(None) };
        let labels = labels(object, Kind::Backup);
        let mut spec = default_pod(runs_as_default_user(&template.spec));
        merge(&mut spec, Value::Object(template.spec.clone()));
        let env = env(object, &self.record);
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
        let deadline = self.timeout.as_secs().max(1);
        merge(&mut spec, json!({ "restartPolicy": "Never", "activeDeadlineSeconds": deadline }));
        let template = PodTemplateSpec {
            metadata: Some(pod_metadata(object, template.metadata.clone(), &labels)),
            spec: Some(read_pod_spec(spec, BACKUP_FIELD)?),
        };
        job(object, &self.record, template).map(Some)
    }
}

/// What tells the user's containers what they back up for.
fn env(object: &DatabaseMigration, record: &JobRecord) -> Vec<Value> {
    let (plan, from, to) = match &record.request {
        Request::Backup { plan_hash, from, to } => (plan_hash.clone(), from.join(","), to.join(",")),
        _ => Default::default(),
    };
    let name = format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    let env = [("PLAN", plan), ("FROM", from), ("TO", to), ("OBJECT", name)];
    env.map(|(name, value)| json!({ "name": format!("ALEMBIC_OPERATOR_{name}"), "value": value })).into()
}

/// CloudNativePG's kind of a backup; its CRD need not be there.
pub fn cnpg_backup() -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk("postgresql.cnpg.io", "v1", "Backup"))
}

/// A Backup of CloudNativePG. Nobody owns it: a backup outlives the object that it was made for.
pub fn cnpg_object(
    object: &DatabaseMigration,
    request: &BackupRequest,
    cnpg: &CnpgBackup,
) -> Result<DynamicObject, PodTemplateError> {
    let mut spec = json!({ "cluster": { "name": cnpg.cluster }, "method": cnpg.method });
    if let Some(plugin) = &cnpg.plugin_name {
        spec["pluginConfiguration"] = json!({ "name": plugin });
    }
    let mut backup = DynamicObject::new(&request.name, &cnpg_backup());
    backup.metadata.namespace = object.namespace();
    backup.metadata.labels = Some(labels(object, Kind::Backup));
    backup.metadata.annotations = Some(annotations(object, &request.record)?);
    backup.data = json!({ "spec": spec });
    Ok(backup)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        api::{CnpgMethod, LABEL_OBJECT},
        jobs::fixtures::object,
    };

    fn request() -> BackupRequest {
        let rows = |row: &str| vec![row.to_owned()];
        let request = Request::Backup { plan_hash: "0123".into(), from: rows("a"), to: rows("b") };
        let record = JobRecord::new(&object(json!({})), request, 1, "k".into());
        BackupRequest {
            name: "shop-backup-1".into(),
            method: BackupMethod::Job,
            record,
            timeout: Duration::from_secs(60),
        }
    }

    fn backup(template: Value) -> Result<Job, PodTemplateError> {
        let object = object(json!({"backup": {"when": "Always", "job": {"template": template}}}));
        request().job(&object).map(Option::unwrap)
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
        assert_eq!(JobRecord::of(&job), Some(request().record));
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
    fn a_backup_of_cloudnativepg_is_labelled_and_owned_by_nobody() {
        let cnpg =
            CnpgBackup { cluster: "main".into(), method: CnpgMethod::Plugin, plugin_name: Some("barman".into()) };
        let made = cnpg_object(&object(json!({})), &request(), &cnpg).unwrap();
        let json = serde_json::to_value(&made).unwrap();
        assert_eq!((&json["apiVersion"], &json["kind"]), (&json!("postgresql.cnpg.io/v1"), &json!("Backup")));
        assert_eq!(
            json["spec"],
            json!({"cluster": {"name": "main"}, "method": "plugin", "pluginConfiguration": {"name": "barman"}})
        );
        assert!(made.owner_references().is_empty() && made.labels()[LABEL_OBJECT] == "shop");
        assert_eq!(cnpg_backup().plural, "backups");
    }
}
