//! The Job in which Alembic writes the next revision's file for a person. It is the plugin's own: its labels are none that the
//! operator watches, it changes nothing, and Kubernetes deletes it where the plugin could not. No I/O.

use super::{
    JobInput,
    config_maps::shared_owner,
    names::{author_job_name, label_value},
    pod_template::{PROGRAM_VOLUME, Payload, PodTemplateError, pod_template},
    program,
    task::{Action, Task},
    users_pod::users_pod,
};
use crate::api::{DatabaseMigration, LABEL_ACTION, LABEL_OBJECT};
use k8s_openapi::api::{
    batch::v1::{Job, JobSpec},
    core::v1::{ConfigMap, PodTemplateSpec},
};
use kube::{Resource, ResourceExt, api::ObjectMeta};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who makes such a Job. The operator watches what is managed by itself.
pub const AUTHOR: &str = "kubectl-dbmigration";

/// Seconds that its pod may take, image pulls included.
pub const AUTHOR_DEADLINE: i64 = 10 * 60;
/// Seconds after its end at which Kubernetes deletes it, where nobody else has.
const KEPT: i32 = 10 * 60;

/// What `alembic revision --autogenerate` is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NextRevision {
    pub message: Option<String>,
    /// The head to build on, where there are several.
    pub head: Option<String>,
    pub splice: bool,
    pub branch_label: Option<String>,
    pub version_path: Option<String>,
    pub rev_id: Option<String>,
    pub depends_on: Vec<String>,
    /// Only what was changed by hand.
    pub by_hand: Option<ByHand>,
}

/// What was changed by hand, and which way it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ByHand {
    /// Write what was done, or what undoes it.
    pub keep: bool,
    /// Kind and name of each object, as drift calls them; none where the models themselves were compared.
    pub objects: Vec<String>,
}

/// What `alembic merge` is told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Merge {
    pub message: Option<String>,
    /// The revisions to join; all heads where there are none.
    pub revisions: Vec<String>,
    pub rev_id: Option<String>,
}

/// Which file is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Author {
    Revision(NextRevision),
    Merge(Merge),
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Authored {
    pub files: Vec<RevisionFile>,
    /// What a person has to check.
    pub review: Vec<ReviewNote>,
    /// Notes that were left out.
    #[serde(default)]
    pub more: u32,
}

/// A revision's file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct RevisionFile {
    /// Below the script directory.
    pub path: String,
    pub revision: String,
    /// The revisions that it builds on.
    pub down: Vec<String>,
    pub text: String,
}

/// A point to check, of a kind such as `drops` or `not seen`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct ReviewNote {
    pub kind: String,
    pub text: String,
}

/// The Job; `asked_at` makes its name its own.
pub fn author_job(input: JobInput, author: Author, asked_at: &str) -> Result<Job, PodTemplateError> {
    let object = input.object;
    let action = match author {
        Author::Revision(revision) => Action::Revision(revision),
        Author::Merge(merge) => Action::Merge(merge),
    };
    let task = Task::new(object, action);
    let user = users_pod(&object.spec);
    let name = author_job_name(object, asked_at);
    let payload = Payload::Runner { task: &task };
    let mut template = pod_template(input, user.as_ref(), &labels(object), &payload, Some(AUTHOR_DEADLINE))?;
    mount_own_program(&mut template, &name);
    Ok(Job {
        metadata: ObjectMeta {
            name: Some(name),
            namespace: object.namespace(),
            labels: Some(labels(object)),
            owner_references: Some(shared_owner(object).into_iter().collect()),
            ..ObjectMeta::default()
        },
        spec: Some(JobSpec {
            backoff_limit: Some(0),
            completions: Some(1),
            parallelism: Some(1),
            ttl_seconds_after_finished: Some(KEPT),
            template,
            ..JobSpec::default()
        }),
        status: None,
    })
}

/// What a person made is nothing that the operator's own Jobs may run, so the program is not the one that they share.
fn mount_own_program(template: &mut PodTemplateSpec, name: &str) {
    let volumes = template.spec.iter_mut().flat_map(|spec| spec.volumes.iter_mut().flatten());
    for volume in volumes.filter(|volume| volume.name == PROGRAM_VOLUME) {
        if let Some(map) = &mut volume.config_map {
            map.name = name.to_owned();
        }
    }
}

/// The ConfigMap with the program of such a Job, which goes with it.
pub fn author_program(job: &Job) -> ConfigMap {
    ConfigMap {
        metadata: ObjectMeta {
            name: job.metadata.name.clone(),
            namespace: job.namespace(),
            labels: job.metadata.labels.clone(),
            owner_references: Some(job.owner_ref(&()).into_iter().collect()),
            ..ObjectMeta::default()
        },
        data: Some(program::data()),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

fn labels(object: &DatabaseMigration) -> BTreeMap<String, String> {
    BTreeMap::from([
        ("app.kubernetes.io/managed-by".to_owned(), AUTHOR.to_owned()),
        (LABEL_OBJECT.to_owned(), label_value(&object.name_any())),
        (LABEL_ACTION.to_owned(), "revision".to_owned()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::JobRecord;
    use serde_json::{Value, json};

    fn object() -> DatabaseMigration {
        serde_json::from_value(json!({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
            "metadata": { "name": "shop", "namespace": "demo", "uid": "7e7e" },
            "spec": { "image": "shop:1", "targetRevision": "head",
                "database": { "urlFrom": { "secretKeyRef": { "name": "db", "key": "url" } } } },
        }))
        .unwrap()
    }

    fn job(author: Author) -> Job {
        author_job(JobInput { object: &object(), image: "shop@sha256:ab", scratch: None }, author, "now").unwrap()
    }

    #[test]
    fn the_job_is_none_that_the_operator_knows_and_goes_by_itself() {
        let job = job(Author::Merge(Merge::default()));
        assert_eq!(JobRecord::of(&job), None);
        assert_ne!(job.labels()["app.kubernetes.io/managed-by"], crate::api::MANAGER);
        let spec = job.spec.as_ref().unwrap();
        assert_eq!((spec.ttl_seconds_after_finished, spec.backoff_limit), (Some(KEPT), Some(0)));
        assert_eq!(job.owner_references()[0].block_owner_deletion, None);
        assert!(job.name_any().starts_with("shop-revision-"));
        let mut made = job.clone();
        made.metadata.uid = Some("0123".into());
        let map = author_program(&made);
        assert_eq!((map.name_any(), map.owner_references()[0].uid.as_str()), (job.name_any(), "0123"));
        let volumes = json!(job.spec.unwrap().template.spec.unwrap().volumes);
        assert_eq!(volumes[0]["configMap"]["name"], map.name_any(), "and not what the operator's own Jobs run");
    }

    #[test]
    fn its_pod_is_as_that_of_every_other_job() {
        let asked = NextRevision { message: Some("more".into()), ..NextRevision::default() };
        let job = job(Author::Revision(asked));
        let pod = json!(job.spec.unwrap().template.spec.unwrap());
        let container = &pod["containers"][0];
        assert_eq!(container["image"], "shop@sha256:ab");
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["activeDeadlineSeconds"], AUTHOR_DEADLINE);
        let env = container["env"].as_array().unwrap();
        let value = |name: &str| env.iter().find(|variable| variable["name"] == name).unwrap();
        assert_eq!(value("DATABASE_URL")["valueFrom"]["secretKeyRef"]["name"], "db");
        let task: Value = serde_json::from_str(value("ALEMBIC_OPERATOR_TASK")["value"].as_str().unwrap()).unwrap();
        assert_eq!(
            (&task["action"], &task["message"], &task["by_hand"]),
            (&json!("revision"), &json!("more"), &Value::Null)
        );
    }
}
