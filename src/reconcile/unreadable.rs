//! Objects that can't be read as a whole, as one that an older CRD let through or a newer operator wrote: that is told, and
//! nothing else is done about them, but that a deletion goes through. Does network I/O.

use super::{act::as_manager, context::Context};
use crate::{
    api::{ConditionType, DatabaseMigration, FINALIZER, MANAGER, Reason, Watched},
    call::call,
    error::Error,
    index::object_key,
    jobs::{JobRecord, Kind, is_finished},
    text,
};
use k8s_openapi::{
    api::batch::v1::Job,
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};
use kube::{
    Api, Resource, ResourceExt,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde_json::json;

/// Writes the conditions that say so; what else the status holds is left as it is.
pub async fn tell(object: &Watched, error: &str, context: &Context) -> Result<(), Error> {
    let name = object.name_any();
    let namespace = object.namespace().unwrap_or_default();
    let kind = ApiResource::erase::<DatabaseMigration>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), &namespace, &kind);
    let Some(live) = call(&format!("get {name}"), api.get_opt(&name)).await? else { return Ok(()) };
    let message = text::fit(&text::clean(&format!("the object can't be read: {error}"), 900), 1024);
    tracing::error!(object = name, error = message, "unreadable");
    let before: Vec<Condition> = serde_json::from_value(live.data["status"]["conditions"].clone()).unwrap_or_default();
    let conditions = with_problem(before.clone(), &message, live.metadata.generation, context.now());
    if conditions == before {
        return Ok(());
    }
    let status = json!({ "observedGeneration": live.metadata.generation, "conditions": conditions });
    let patch = json!({ "metadata": { "resourceVersion": live.metadata.resource_version }, "status": status });
    let (params, patch) = (as_manager(), Patch::Merge(&patch));
    call(&format!("write the status of {name}"), api.patch_status(&name, &params, &patch)).await.map(drop)
}

/// Ready, Reconciling and Stalled as they are to be; the others stay, and so does the time of what is not new.
fn with_problem(
    mut conditions: Vec<Condition>,
    message: &str,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let states =
        [(ConditionType::Ready, "False"), (ConditionType::Reconciling, "False"), (ConditionType::Stalled, "True")];
    for (type_, status) in states {
        let place = conditions.iter().position(|known| known.type_ == type_.as_str());
        let known = place.map(|place| conditions.remove(place));
        let since = known.filter(|known| known.status == status).map_or(Time(now), |known| known.last_transition_time);
        let condition = Condition {
            type_: type_.as_str().to_owned(),
            status: status.to_owned(),
            reason: Reason::InvalidSpec.as_str().to_owned(),
            message: message.to_owned(),
            observed_generation: generation,
            last_transition_time: since,
        };
        conditions.insert(place.unwrap_or(conditions.len()), condition);
    }
    conditions
}

/// Lets a deletion go through once no run of the object works any more.
pub async fn let_go(object: &Watched, context: &Context) -> Result<(), Error> {
    let uid = object.uid().unwrap_or_default();
    let works = |job: &Job| {
        let record = JobRecord::of(job);
        !is_finished(job) && record.is_some_and(|record| record.kind() == Kind::Run && record.uid == uid)
    };
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    let jobs = context.stores.jobs.with_key(&object_key(&namespace, &name));
    if !object.finalizers().iter().any(|name| name == FINALIZER) || jobs.iter().any(|job| works(job)) {
        return Ok(());
    }
    let api: Api<DatabaseMigration> = Api::namespaced(context.client.clone(), &namespace);
    let body = json!({
        "apiVersion": DatabaseMigration::api_version(&()),
        "kind": DatabaseMigration::kind(&()),
        "metadata": { "uid": uid, "resourceVersion": object.resource_version(), "finalizers": [] },
    });
    let params = PatchParams::apply(&format!("{MANAGER}-finalizer")).force();
    let patch = Patch::Apply(&body);
    call(&format!("set the finalizer of {name}"), api.patch_metadata(&name, &params, &patch)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_conditions_and_the_times_stay() {
        let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).unwrap();
        let other = Condition {
            type_: "Drifted".to_owned(),
            status: "False".to_owned(),
            reason: "InSync".to_owned(),
            message: String::new(),
            observed_generation: Some(1),
            last_transition_time: Time(at(0)),
        };
        let first = with_problem(vec![other.clone()], "odd", Some(2), at(10));
        assert_eq!((first.len(), &first[0]), (4, &other));
        assert_eq!(with_problem(first.clone(), "odd", Some(2), at(20)), first, "nothing is written again");
        let stalled = &with_problem(first, "other", Some(3), at(30))[3];
        assert_eq!((stalled.status.as_str(), stalled.last_transition_time.0), ("True", at(10)));
    }
}
