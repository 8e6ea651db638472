//! Any spec, valid or not, over any state of the world: no panic, no run that was not asked for, and nothing left once the spec is corrected.

use super::{fixtures::*, *};
use crate::{
    api::StageResult,
    db::VersionRows,
    jobs::{BackupRequest, Ended, JobInput, RunRequest, Trouble, run_job},
    reconcile::{
        checks::spec_problem,
        facts::{ImageView, ModelsView, SchemaView},
    },
};
use kube::ResourceExt;
use proptest::{prelude::*, strategy::ValueTree};
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
    let times = prop::collection::vec(duration(), 12);
    let choices = prop::collection::vec(0..5usize, 24);
    (words, times, choices, limit, template).prop_map(|(words, times, choices, limit, template)| {
        let mut choices = choices.into_iter();
        let mut one_of = |list: &[Value]| list[choices.next().unwrap_or_default() % list.len()].clone();
        let whens = || [json!("Never"), json!("OnHazard"), json!("Always")];
        let pod = json!({ "containers": [{ "name": "dump", "image": "i" }] });
        let mut spec = json!({
            "image": words.0, "targetRevision": words.1, "historyLimit": limit,
            "suspend": one_of(&[json!(false), json!(true)]),
            "imagePullPolicy": one_of(&[json!("Always"), json!("Never"), json!("IfNotPresent")]),
            "database": {
                "urlFrom": { "secretKeyRef": { "name": "s", "key": "k" } }, "versionTable": words.2,
                "versionTableSchema": one_of(&[json!(null), json!("app"), json!("")]),
                "driver": one_of(&[json!(null), json!("psycopg"), json!("")]),
                "lock": one_of(&[json!("Database"), json!("Lease")]),
                "urlEnv": one_of(&[json!([]), json!(["DATABASE_URL"]), json!(["", "="])]),
                "probe": { "mode": one_of(&[json!("InProcess"), json!("Job")]), "interval": times[0], "timeout": times[1] },
            },
            "alembic": {
                "config": one_of(&[json!(null), json!("alembic.ini"), json!("")]),
                "workingDir": one_of(&[json!(null), json!("/app"), json!("..")]),
                "command": one_of(&[json!([]), json!(["uv", "run", "python"]), json!([""])]),
            },
            "timeouts": { "lock": times[2], "statement": times[3], "run": times[4] },
            "policy": {
                "downgrade": one_of(&[json!("Allow"), json!("Deny")]),
                "approval": { "mode": one_of(&[json!("Auto"), json!("OnHazard"), json!("Always"), json!("Never")]) },
                "approvedPlan": one_of(&[json!(null), json!(""), json!("0123456789abcdef")]),
                "hazards": { "allow": one_of(&[json!([]), json!([{ "code": "D01", "revision": "a", "reason": "r" }])]) },
            },
            "strategy": one_of(&[json!("Stepwise"), json!("Together")]),
            "drift": {
                "mode": one_of(&[json!("Models"), json!("Disabled"), json!("Snapshot"), json!("Replay")]),
                "onDrift": one_of(&[json!("Report"), json!("Block")]), "interval": times[5], "timeout": times[6],
                "exclude": one_of(&[json!([]), json!(["table x*"]), json!([""])]),
                "acceptedFingerprint": one_of(&[json!(null), json!("f")]),
            },
            "retry": { "limit": limit },
            "rehearsal": { "when": one_of(&whens()), "source": one_of(&[json!("Dump"), json!("History")]) },
            "scratch": { "image": one_of(&[json!(null), json!("postgres:15"), json!("")]) },
            "backup": { "when": one_of(&whens()), "timeout": times[7] },
            "verify": {
                "when": one_of(&whens()), "timeout": times[8], "command": one_of(&[json!([]), json!(["./smoke"])]),
                "onFailure": one_of(&[json!("Hold"), json!("Downgrade")]),
            },
        });
        match one_of(&[json!(0), json!(1), json!(2)]).as_u64() {
            Some(0) => spec["backup"]["job"] = json!({ "template": { "spec": pod } }),
            Some(1) => spec["backup"]["cnpg"] = json!({ "cluster": "main" }),
            _ => {}
        }
        match one_of(&[json!(0), json!(1), json!(2)]).as_u64() {
            Some(0) => spec["adopt"] = json!({ "revision": words.3, "verify": "Models" }),
            Some(1) => spec["adopt"] = json!({ "revision": words.3, "from": "a" }),
            _ => {}
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
    let views = (0..6u8, 0..8u8, 0..5u8, 0..4u8);
    let odd = (prop::option::of(prop::sample::select(vec!["1", "2"])), any::<bool>());
    (rows, tables, ids, prop::option::of(state()), state(), views, odd).prop_map(
        |(rows, tables, ids, run, waiting, (database, image, models, schema), (identity, read_only))| {
            let rows = VersionRows::Rows(rows.into_iter().map(str::to_owned).collect());
            let mut observed = stored(ids, "");
            if let DatabaseView::Seen(snapshot) = &mut observed.database {
                snapshot.rows = if database == 0 { VersionRows::NoTable } else { rows };
                snapshot.tables = tables;
                snapshot.identity = identity.map(str::to_owned);
                snapshot.read_only = read_only;
            }
            let problem = || Problem::new(Reason::DatabaseUnreachable, "away");
            let at_work = || JobView { record: wanted().record, ..job(waiting.clone()) };
            match database {
                1 => observed.database = DatabaseView::Failed(problem()),
                2 => observed.database = DatabaseView::Busy,
                3 => observed.database = DatabaseView::Looking(None),
                _ => {}
            }
            match image {
                0 => observed.image = ImageView::Absent,
                1 => observed.image = ImageView::InProgressElsewhere,
                2 => observed.image = ImageView::InProgress(at_work()),
                3 => observed.image = ImageView::Failed { job: at_work(), problem: problem() },
                4 => {
                    let image = super::fixtures::image("shop@sha256:1", ids);
                    observed.image = ImageView::Reported { job: "shop-inspect".into(), image };
                }
                _ => {}
            }
            observed.models = match models {
                0 => ModelsView::NotLooked,
                1 => ModelsView::NotAtHeads,
                2 => ModelsView::Failed(problem()),
                _ => ModelsView::Comparing(None),
            };
            if schema == 0 {
                observed.schema = SchemaView::Failed(problem());
            }
            observed.active = run.map(super::fixtures::run);
            observed
        },
    )
}

/// Most specs are read: what nobody can read tries nothing.
#[test]
fn the_specs_that_are_tried_can_be_read() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let read = |runner: &mut _| spec().new_tree(runner).is_ok_and(|tree| with(&tree.current()).is_some());
    let count = (0..200).filter(|_| read(&mut runner)).count();
    assert!(count > 100, "{count} of 200");
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
            let rows_seen = matches!(observed.database, DatabaseView::Seen(_));
            let known = matches!(observed.image, ImageView::Stored(_) | ImageView::Reported { .. });
            prop_assert!(rows_seen && known);
            if run.direction != "stamp" {
                let mode = &spec["policy"]["approval"]["mode"];
                prop_assert!(mode != "Always" && mode != "Never" && spec["rehearsal"]["when"] != "Always");
            }
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
