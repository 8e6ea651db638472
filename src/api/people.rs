//! What people say to an object by its annotations and its spec, and who said it: read from the metadata; no I/O.

use super::{
    ANNOTATION_APPROVE, ANNOTATION_REASON, ANNOTATION_REJECT, ANNOTATION_SUSPEND, DatabaseMigration,
    DatabaseMigrationSet,
};
use crate::text::{clean, fit};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, Time};
use kube::ResourceExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who let a run start, where its plan had to be approved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunApproval {
    /// `Spec` (spec.policy.approvedPlan) or `Annotation` (alembic-operator.dev/approve).
    pub how: String,
    /// The field manager that wrote it, as the API server keeps it: a GitOps tool, or kubectl-dbmigration and its user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Time>,
    /// The annotation alembic-operator.dev/reason: why, in somebody's own words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

fn suspended_by(in_spec: bool, object: &impl ResourceExt) -> Option<&'static str> {
    let annotated = object.annotations().get(ANNOTATION_SUSPEND).is_some_and(|value| value == "true");
    match (in_spec, annotated) {
        (true, _) => Some("spec.suspend"),
        (false, true) => Some("the annotation alembic-operator.dev/suspend"),
        (false, false) => None,
    }
}

impl DatabaseMigrationSet {
    /// Whether a batch may begin, as far as the set itself goes.
    pub fn may_begin(&self) -> bool {
        self.metadata.deletion_timestamp.is_none() && self.suspended_by().is_none()
    }

    /// What keeps new batches from being started, if so: the spec, or the annotation that GitOps does not revert.
    pub fn suspended_by(&self) -> Option<&'static str> {
        suspended_by(self.spec.suspend, self)
    }
}

impl DatabaseMigration {
    /// What keeps new runs from being started, if so: the spec, or the annotation that GitOps does not revert.
    pub fn suspended_by(&self) -> Option<&'static str> {
        suspended_by(self.spec.suspend, self)
    }

    /// The plan that the annotation approves.
    pub fn approved_plan(&self) -> Option<&str> {
        self.annotation(ANNOTATION_APPROVE)
    }

    /// The plan that must not run.
    pub fn rejected_plan(&self) -> Option<&str> {
        self.annotation(ANNOTATION_REJECT)
    }

    /// Why the plan was approved or rejected, in somebody's own words.
    pub fn given_reason(&self) -> Option<String> {
        self.annotation(ANNOTATION_REASON).map(|reason| fit(&clean(&reason.replace('\n', " "), 200), 256))
    }

    /// Who approved a plan: by the spec if `in_spec`, and else by the annotation.
    pub fn approval_of(&self, in_spec: bool) -> RunApproval {
        let path = match in_spec {
            true => ["spec", "policy", "approvedPlan"],
            false => ["metadata", "annotations", ANNOTATION_APPROVE],
        };
        let (manager, at) = self.written_by(&path).unzip();
        RunApproval {
            how: if in_spec { "Spec" } else { "Annotation" }.to_owned(),
            manager: manager.map(|manager| fit(&clean(manager, 128), 128)),
            at: at.flatten(),
            reason: if in_spec { None } else { self.given_reason() },
        }
    }

    /// Who wrote a field last, and when, as the API server keeps it.
    fn written_by(&self, path: &[&str]) -> Option<(&str, Option<Time>)> {
        let owns = |entry: &&ManagedFieldsEntry| {
            let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
            path.iter().try_fold(fields?, |fields, part| fields.get(format!("f:{part}"))).map(|_: &Value| ())
        };
        let entries = self.metadata.managed_fields.iter().flatten().filter(|entry| owns(entry).is_some());
        let newest = entries.max_by_key(|entry| entry.time.as_ref().map(|time| time.0))?;
        Some((newest.manager.as_deref().unwrap_or("unknown"), newest.time.clone()))
    }

    fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations().get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn object(annotations: Value) -> DatabaseMigration {
        serde_json::from_value(json!({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
            "metadata": { "name": "shop", "annotations": annotations, "managedFields": [
                { "manager": "argocd-controller", "operation": "Apply", "time": "2026-11-26T20:00:00Z",
                  "fieldsV1": { "f:spec": { "f:policy": { "f:approvedPlan": {} } } } },
                { "manager": "kubectl-dbmigration (ada)", "operation": "Update", "time": "2026-11-26T21:00:00Z",
                  "fieldsV1": { "f:metadata": { "f:annotations": { "f:alembic-operator.dev/approve": {} } } } } ] },
            "spec": { "image": "shop:1", "targetRevision": "head", "database": { "urlFrom": { "secretKeyRef": { "name": "db", "key": "url" } } } },
        }))
        .unwrap()
    }

    #[test]
    fn who_approved_is_what_the_api_server_kept() {
        let object =
            object(json!({ "alembic-operator.dev/approve": "0123", "alembic-operator.dev/reason": "quiet\nhour" }));
        let by_annotation = object.approval_of(false);
        assert_eq!(by_annotation.manager.as_deref(), Some("kubectl-dbmigration (ada)"));
        assert_eq!((by_annotation.how.as_str(), by_annotation.reason.as_deref()), ("Annotation", Some("quiet hour")));
        let in_spec = object.approval_of(true);
        assert_eq!((in_spec.manager.as_deref(), in_spec.reason), (Some("argocd-controller"), None));
    }

    #[test]
    fn an_annotation_suspends_where_it_says_true() {
        let of = |value: &str| object(json!({ "alembic-operator.dev/suspend": value })).suspended_by().is_some();
        assert_eq!((of("true"), of("false"), of("")), (true, false, false));
        assert_eq!(object(json!({ "alembic-operator.dev/reject": "" })).rejected_plan(), None);
    }
}
