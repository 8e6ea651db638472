//! A target of a set as a `DatabaseMigration` that is nowhere but in memory: the planner, the inspection and the pods are those of a
//! single object. No I/O.

use super::member::Target;
use crate::{
    api::{
        self, DatabaseMigration, DatabaseMigrationSet, DatabaseMigrationStatus, Defaults, LockKind, ProbeMode, Problem,
        Reason, RunRecord, RunResult, RunStatus, SetServer, When,
    },
    reconcile::spec_problem,
};
use kube::{
    ResourceExt,
    api::ObjectMeta,
    core::{DynamicObject, TypeMeta},
};
use serde_json::{Value, json};

/// What stands for every target on a server, with the settings of the platform under its spec.
pub fn of_server(
    set: &DatabaseMigrationSet,
    server: &SetServer,
    defaults: Option<&Defaults>,
) -> Result<DatabaseMigration, Problem> {
    let invalid = |error: String| Problem::new(Reason::InvalidSpec, format!("spec.template: {error}"));
    let mut spec = serde_json::to_value(&set.spec.template).map_err(|error| invalid(error.to_string()))?;
    if !spec.get("database").is_some_and(Value::is_object) {
        spec["database"] = json!({});
    }
    spec["database"]["urlFrom"] = json!(server.url_from);
    let x = spec.pointer("/alembic/x").and_then(Value::as_array).cloned().unwrap_or_default();
    let each = set.spec.per_target.x.iter().map(|text| Value::from(text.as_str()));
    let x: Vec<Value> = x.into_iter().chain(each).collect();
    if !x.is_empty() {
        if !spec.get("alembic").is_some_and(Value::is_object) {
            spec["alembic"] = json!({});
        }
        spec["alembic"]["x"] = json!(x);
    }
    let metadata = ObjectMeta {
        name: Some(set.name_any()),
        namespace: set.namespace(),
        uid: set.uid(),
        generation: set.metadata.generation,
        annotations: set.metadata.annotations.clone(),
        ..ObjectMeta::default()
    };
    let object = DynamicObject { types: None::<TypeMeta>, metadata, data: json!({ "spec": spec, "status": {} }) };
    let mut object = api::read(object, defaults).0.map_err(|error| invalid(error.error))?;
    object.status = Some(status(set));
    if let Some(problem) = spec_problem(&object.spec) {
        return Err(problem);
    }
    match asked_in_vain(&object) {
        Some((what, why)) => {
            let message =
                format!("the platform's settings have {what}, {why}; use a DatabaseMigration for each database");
            Err(Problem::new(Reason::InvalidSpec, message))
        }
        None => Ok(object),
    }
}

/// What the platform asks for and no set can do: nothing of it is passed over.
fn asked_in_vain(object: &DatabaseMigration) -> Option<(&'static str, &'static str)> {
    let (stages, database) = (&object.spec.stages, &object.spec.database);
    [
        (stages.backup.when != When::Never, "backup", "which a set can't do"),
        (stages.rehearsal.when != When::Never, "rehearsal", "which a set can't do"),
        (stages.verify.when != When::Never, "verify", "which a set can't do"),
        (database.lock == LockKind::Lease, "database.lock: Lease", "which a set can't take"),
        (
            database.probe.mode == ProbeMode::Job,
            "probe.mode: Job",
            "and the databases of a set are read by the operator",
        ),
    ]
    .into_iter()
    .find_map(|(asked, what, why)| asked.then_some((what, why)))
}

/// As much of the status of an object as the inspection and the planner ask for.
fn status(set: &DatabaseMigrationSet) -> DatabaseMigrationStatus {
    let status = set.status.clone().unwrap_or_default();
    let changed = status.rollout.as_ref().and_then(|rollout| rollout.image_changed);
    let last_run = changed.map(|number| RunStatus {
        result: RunResult::Refused,
        reason: Some(Reason::ImageChanged.to_string()),
        record: RunRecord { number, ..RunRecord::default() },
        ..RunStatus::default()
    });
    DatabaseMigrationStatus {
        image: status.image,
        images: status.images,
        last_handled_reconcile_at: status.last_handled_reconcile_at,
        last_run,
        ..DatabaseMigrationStatus::default()
    }
}

/// The same with what is a target's own.
pub fn of_target(set: &DatabaseMigrationSet, object: &DatabaseMigration, target: &Target) -> DatabaseMigration {
    let mut object = object.clone();
    let expanded = |text: &str| {
        text.replace("$(name)", &target.name)
            .replace("$(database)", target.database.as_deref().unwrap_or_default())
            .replace("$(schema)", target.schema.as_deref().unwrap_or_default())
    };
    let own = set.spec.per_target.x.len();
    let shared = object.spec.alembic.x.len().saturating_sub(own);
    object.spec.alembic.x.iter_mut().skip(shared).for_each(|text| *text = expanded(text));
    object.spec.database.version_table_schema = target.schema.clone();
    object
}

/// The same without what differs from target to target: the batch's runner fills that in.
pub fn of_batch(set: &DatabaseMigrationSet, object: &DatabaseMigration) -> DatabaseMigration {
    let mut object = object.clone();
    let shared = object.spec.alembic.x.len().saturating_sub(set.spec.per_target.x.len());
    object.spec.alembic.x.truncate(shared);
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(spec: Value) -> Option<Problem> {
        let set: DatabaseMigrationSet = serde_json::from_value(json!({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigrationSet",
            "metadata": {"name": "app", "namespace": "shop", "uid": "u1"},
            "spec": {"template": {"image": "shop:1", "targetRevision": "head"}, "targets": [],
                "servers": [{"name": "main", "urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}]},
        }))
        .unwrap();
        let defaults: Defaults = serde_json::from_value(json!({ "hash": "h", "spec": spec })).unwrap();
        of_server(&set, &set.spec.servers[0], Some(&defaults)).err()
    }

    #[test]
    fn what_the_platform_asks_for_and_no_set_can_do_is_refused() {
        assert_eq!(problem(json!({})), None);
        for (spec, word) in [
            (json!({"database": {"lock": "Lease"}}), "database.lock: Lease"),
            (json!({"database": {"probe": {"mode": "Job"}}}), "probe.mode: Job"),
            (json!({"verify": {"when": "Always", "command": ["true"]}}), "verify"),
        ] {
            let problem = problem(spec).unwrap();
            assert_eq!(problem.reason, Reason::InvalidSpec);
            assert!(problem.message.contains(word), "{}", problem.message);
        }
    }
}
