//! The Job that verifies a run, in the application's image; builds objects, sends nothing.

use super::{
    JobInput, JobRecord, JobRequest, Kind,
    job::{job, labels},
    pod_template::{Payload, PodTemplateError, pod_template},
    users_pod::users_pod,
};
use crate::api::DatabaseMigration;
use k8s_openapi::api::batch::v1::Job;
use std::time::Duration;

/// Where the pod spec of a verification stands.
pub const VERIFY_FIELD: &str = "spec.verify.podTemplate.spec";

/// A verification that must have passed before the object is Ready.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifyRequest {
    pub record: JobRecord,
    pub image: String,
    pub timeout: Duration,
}

impl JobRequest for VerifyRequest {
    fn record(&self) -> &JobRecord {
        &self.record
    }

    fn mounts_runner(&self) -> bool {
        false
    }

    fn job(&self, object: &DatabaseMigration) -> Result<Option<Job>, PodTemplateError> {
        let verify = &object.spec.stages.verify;
        let deadline = i64::try_from(self.timeout.as_secs().max(1)).unwrap_or(i64::MAX);
        let user = verify.pod_template.clone().or_else(|| users_pod(&object.spec));
        let input = JobInput { object, image: &self.image, scratch: None };
        let payload = Payload::Command { command: &verify.command, args: &verify.args };
        let template = pod_template(input, user.as_ref(), &labels(object, Kind::Verify), &payload, Some(deadline))?;
        job(object, &self.record, template).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Request, fixtures::object};
    use serde_json::json;

    fn request(object: &DatabaseMigration, image: &str) -> VerifyRequest {
        let record = JobRecord::new(object, Request::Verify { hash: "0123".into() }, 1, "k".into());
        VerifyRequest { record, image: image.into(), timeout: Duration::from_secs(60) }
    }

    #[test]
    fn a_verification_gets_the_url_as_a_run_does_and_no_runner() {
        let verify = json!({"when": "Always", "command": ["./smoke"], "args": ["--fast"]});
        let object = object(json!({"alembic": {"workingDir": "/app"}, "verify": verify,
            "podTemplate": {"spec": {"serviceAccountName": "app"}}}));
        let job = request(&object, "shop@sha256:ab").job(&object).unwrap().unwrap();
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
        let mut object = object(json!({"verify": {"when": "Always", "command": ["./smoke"]}}));
        object.spec.database = serde_json::from_value(
            json!({"connection": {"dialect": "mysql", "host": "h", "port": 3307, "name": "shop",
            "usernameFrom": key("u"), "passwordFrom": key("p")}}),
        )
        .unwrap();
        let job = request(&object, "i").job(&object).unwrap().unwrap();
        let env = job.spec.unwrap().template.spec.unwrap().containers[0].env.clone().unwrap();
        let names: Vec<_> =
            env.iter().filter(|e| e.name.starts_with("ALEMBIC")).map(|e| e.name.rsplit('_').next().unwrap()).collect();
        assert_eq!(names, ["DIALECT", "HOST", "PORT", "NAME", "USERNAME", "PASSWORD"]);
    }
}
