//! Any spec, valid or not, over any state of the world: no panic, no run that was not asked for, and nothing left once the spec is corrected.

use super::{fixtures::*, *};
use crate::{
    api::StageResult,
    db::VersionRows,
    jobs::{BackupRequest, Ended, JobInput, RunRequest, Trouble, run_job},
    reconcile::{checks::spec_problem, facts::ModelsView},
};
use kube::ResourceExt;
use proptest::prelude::*;
use serde_json::{Value, json};

fn text() -> impl Strategy<Value = String> {
    let odd = vec!["", "head", "a", "base", "zz", "a,b", "+1", "b-1", "a:b", "x@head", ",", "\u{202e}evil", "é"];
    prop_oneof![prop::sample::select(odd).prop_map(str::to_owned), "\\PC{0,40}"]
}

fn duration() -> impl Strategy<Value = String> {
    let odd = vec!["", "0s", "1s", "5m", "99999999999h", "1h1h", "-1s", "ten"];
    prop::sample::select(odd).prop_map(str::to_owned)
}

/// A spec as the API server might hand it out, were there no rules in the CRD.
fn spec() -> impl Strategy<Value = Value> {
    let template = prop::sample::select(vec![
        json!(null),
        json!({}),
        json!({ "containers": "none" }),
        json!({ "containers": [{ "name": "alembic", "image": "mine", "env": [{ "name": "ALEMBIC_OPERATOR_TASK", "value": "x" }] }] }),
        json!({ "containers": [{ "name": "alembic", "volumeMounts": 3 }], "volumes": [{}], "restartPolicy": "Always" }),
        json!({ "serviceAccountName": 7 }),
    ]);
    let limit = prop::sample::select(vec![i32::MIN, -1, 0, 1, 3, i32::MAX]);
    let words = (text(), text(), text(), text());
    let times = (duration(), duration(), duration(), duration());
    let choices = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (words, times, choices, limit, template).prop_map(|(words, times, choices, limit, template)| {
        let mut spec = json!({
            "image": words.0, "targetRevision": words.1, "historyLimit": limit, "suspend": choices.0,
            "database": { "urlFrom": { "secretKeyRef": { "name": "s", "key": "k" } }, "versionTable": words.2,
                "probe": { "interval": times.0, "timeout": times.1 } },
            "timeouts": { "lock": times.2, "run": times.3 },
            "policy": { "downgrade": if choices.1 { "Allow" } else { "Deny" } },
            "strategy": if choices.2 { "Stepwise" } else { "Together" },
            "drift": { "mode": if choices.3 { "Models" } else { "Disabled" } },
        });
        if choices.4 {
            spec["adopt"] = json!({ "revision": words.3 });
        }
        if !template.is_null() {
            spec["podTemplate"] = json!({ "spec": template });
        }
        spec
    })
}

fn state() -> impl Strategy<Value = PodState> {
    let message = prop::sample::select(vec![
        None,
        Some(r#"{"state":"done","started":true}"#.to_owned()),
        Some(r#"{"state":"failed","started":true,"error":{"class":"MigrationFailed","message":"m"}}"#.to_owned()),
        Some("{".to_owned()),
    ]);
    prop_oneof![
        Just(PodState::Waiting),
        Just(PodState::Running),
        Just(PodState::Blocked(Trouble::Rejected("quota".into()))),
        (message, any::<bool>(), any::<Option<i32>>()).prop_map(|(message, ran, exit_code)| PodState::Ended(Ended {
            message,
            ran,
            exit_code,
            ..Ended::default()
        })),
    ]
}

fn world() -> impl Strategy<Value = Facts> {
    let rows = prop::collection::btree_set(prop::sample::select(vec!["a", "b", "c", "zz", ""]), 0..3);
    let tables = prop::collection::vec(Just("users".to_owned()), 0..2);
    let ids = prop::sample::select(vec!["", "a", "a b", "a b c"]);
    (rows, tables, ids, prop::option::of(state()), 0..3u8).prop_map(|(rows, tables, ids, run, view)| {
        let rows = VersionRows::Rows(rows.into_iter().map(str::to_owned).collect());
        let mut observed = stored(ids, "");
        if let DatabaseView::Seen(snapshot) = &mut observed.database {
            snapshot.rows = if view == 0 { VersionRows::NoTable } else { rows };
            snapshot.tables = tables;
        }
        observed.models = ModelsView::Comparing(None);
        observed.active = run.map(super::fixtures::run);
        observed
    })
}

fn with(spec: &Value) -> Option<DatabaseMigration> {
    let mut object = object("head");
    object.spec = serde_json::from_value(spec.clone()).ok()?;
    Some(object)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_spec_does_harm(spec in spec(), observed in world(), deleted in any::<bool>()) {
        let Some(mut object) = with(&spec) else { return Ok(()) };
        if deleted {
            object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
        }
        if observed.active.is_some() {
            object = active(object, record());
        }
        let decision = decide(&object, &observed, now());
        prop_assert_eq!(format!("{decision:?}"), format!("{:?}", decide(&object, &observed, now())));
        prop_assert_eq!(decision.status.conditions.len(), ConditionType::ALL.len());
        if let Some((record, run)) = started(&decision) {
            prop_assert!(!deleted && !object.spec.suspend && spec_problem(&object.spec).is_none());
            prop_assert!(run.direction != "downgrade" || spec["policy"]["downgrade"] == "Allow");
            prop_assert!(record.from != record.to && record.to == run.end);
            let request = RunRequest::new(&object, record.clone(), run);
            let made = run_job(JobInput { object: &object, image: &record.image, scratch: None }, &request);
            prop_assert!(made.is_ok_and(|job| job.name_any().len() <= 63));
        }
    }

    #[test]
    fn no_run_starts_before_its_backup_is_complete(spec in spec(), observed in world(), state in state()) {
        let Some(mut object) = with(&spec) else { return Ok(()) };
        let pod = json!({ "containers": [{ "name": "dump", "image": "i" }] });
        object.spec.stages.backup = serde_json::from_value(json!({ "when": "Always", "job": { "template": { "spec": pod } } })).unwrap();
        let object = if observed.active.is_some() { active(object, record()) } else { object };
        let first = decide(&object, &observed, now());
        let stamps = |decision: &Decision| started(decision).is_some_and(|(_, run)| run.direction == "stamp");
        prop_assert!(started(&first).is_none() || stamps(&first));
        let Some(ask) = requested::<BackupRequest>(&first) else { return Ok(()) };
        let mut later = observed.clone();
        later.active = None;
        later.jobs = vec![JobView { name: ask.name.clone(), record: ask.record.clone(), ..job(state.clone()) }];
        let second = decide(&after(object, &first), &later, now());
        let complete = matches!(&state, PodState::Ended(ended) if ended.ran && ended.exit_code == Some(0));
        let run = started(&second).map(|(record, _)| record.plan_hash.clone());
        prop_assert!(run.is_none() || complete);
        if let Some(hash) = run {
            let backup = second.status.stages.backup.unwrap();
            prop_assert_eq!((backup.stage.result, backup.stage.plan_hash), (StageResult::Succeeded, hash));
        }
    }

    #[test]
    fn a_spec_that_is_corrected_leaves_nothing(spec in spec()) {
        let good = object("head");
        let settled = after(good.clone(), &decide(&good, &stored("a b", "b"), now()));
        let Some(mut bad) = with(&spec) else { return Ok(()) };
        bad.status.clone_from(&settled.status);
        bad.metadata.generation = Some(2);
        let misled = decide(&bad, &stored("a b", "b"), now());
        if misled.status.runs.active.is_some() {
            // Nothing was wrong with it: it asks for a downgrade, and allows it.
            return Ok(());
        }
        let mut mended = after(good, &misled);
        mended.metadata.generation = Some(3);
        let again = decide(&mended, &stored("a b", "b"), now());
        prop_assert_eq!(reason(&again), "AtTarget");
        let plain = |status: &DatabaseMigrationStatus| {
            let mut status = status.clone();
            status.conditions.clear();
            status.observed_generation = None;
            status
        };
        prop_assert_eq!(plain(&again.status), plain(&settled.status.unwrap_or_default()));
    }
}
