//! A status whose every field is at its limit; no I/O.

use super::*;
use crate::{
    api::{
        BackupMethod, BackupStatus, CancelledRun, Change, ConditionType, DatabaseStatus, Defaults, DriftStatus,
        DriftedObject, Enforce, ExecutedHazard, ExecutedStatus, HazardStatus, ImageStatus, Pending, PlanStatus,
        PlanStep, RehearsalStatus, RehearsalStep, Reversible, RunApproval, RunRecord, RunResult, RunStatus, RunsStatus,
        StageResult, StagesStatus, SucceededRun, UnfinishedRun, VerifyStatus, Waiting,
    },
    reconcile::status::shown_rows,
};
use k8s_openapi::{
    apimachinery::pkg::apis::meta::v1::{Condition, Time},
    jiff::Timestamp,
};

/// The worst that a text of so many characters can be: each takes four bytes.
fn wide(characters: usize) -> String {
    "🐘".repeat(characters)
}

/// The worst that a text of so many bytes can be: each takes two in JSON.
fn quotes(bytes: usize) -> String {
    "\"".repeat(bytes)
}

fn some(count: usize, text: impl Fn() -> String) -> Vec<String> {
    (0..count).map(|number| format!("{number:02}{}", text())).collect()
}

fn time() -> Time {
    Time(Timestamp::from_second(1_800_000_000).unwrap())
}

/// As many rows as a run can have.
fn rows() -> Vec<String> {
    let mut rows = some(100, || quotes(30));
    keep_bytes(&mut rows, MOST_ROWS);
    rows
}

fn image() -> String {
    format!("{}@sha256:{}", "i".repeat(1024), "0".repeat(64))
}

fn record() -> RunRecord {
    RunRecord {
        number: i64::MAX,
        plan_hash: "0".repeat(12),
        direction: "downgrade".into(),
        from: rows(),
        to: rows(),
        image: image(),
        generation: i64::MAX,
        requested_at: Some(quotes(256)),
        attempts: i32::MAX,
        locked_out: i32::MAX,
        transactional: true,
        rolls_back: Some(i64::MAX),
        release_from: Some(rows()),
        hazardous: true,
        approval: Some(approval()),
    }
}

fn approval() -> RunApproval {
    RunApproval { how: "Annotation".into(), manager: Some(quotes(128)), at: Some(time()), reason: Some(quotes(256)) }
}

/// As large as the operator lets them be when it starts.
fn defaults() -> Defaults {
    let spec = serde_json::Map::from_iter([("podTemplate".to_owned(), "d".repeat(4096).into())]);
    Defaults { hash: "0".repeat(16), spec, enforce: vec![Enforce::Approval, Enforce::Backup] }
}

fn run() -> RunStatus {
    RunStatus {
        record: record(),
        job: "j".repeat(63),
        result: RunResult::Failed,
        revision: Some("r".repeat(128)),
        reason: Some("PartiallyApplied".into()),
        message: Some(wide(1200)),
        started_at: Some(time()),
        finished_at: Some(time()),
    }
}

fn stage() -> StageStatus {
    StageStatus {
        job: "j".repeat(63),
        plan_hash: "0".repeat(12),
        result: StageResult::Failed,
        message: Some(wide(900)),
        started_at: Some(time()),
        finished_at: Some(time()),
    }
}

fn plan() -> PlanStatus {
    let step = || PlanStep {
        revision: "r".repeat(128),
        title: wide(120),
        message: wide(120),
        reversible: Reversible::Irreversible,
        opaque: some(5, || wide(200)),
    };
    let hazard = || HazardStatus {
        code: "D02".into(),
        severity: "critical".into(),
        revision: Some("r".repeat(512)),
        table: Some(wide(128)),
        statement: wide(160),
        message: wide(300),
        advice: "a".repeat(300),
        also: some(10, || "D02".into()),
    };
    PlanStatus {
        hash: "0".repeat(12),
        replaces: Some("0".repeat(12)),
        direction: "downgrade".into(),
        from: some(50, || wide(126)),
        to: some(50, || wide(126)),
        step_count: i32::MAX,
        steps: (0..10).map(|_| step()).collect(),
        hazard_summary: Some("9999C 9999H 9999M 9999L".into()),
        hazards: (0..10).map(|_| hazard()).collect(),
        allowances: some(10, || wide(200)),
        config_map: Some("m".repeat(253)),
    }
}

fn rehearsal() -> RehearsalStatus {
    let step = || RehearsalStep {
        phase: "downgrade again".into(),
        revision: "r".repeat(128),
        milliseconds: i64::MAX,
        locks: some(10, || wide(100)),
        rewritten: some(10, || wide(100)),
        sampled: true,
    };
    RehearsalStatus {
        stage: stage(),
        reversible: Some(false),
        steps: (0..10).map(|_| step()).collect(),
        residue: some(10, || wide(200)),
        executed: Some(ExecutedStatus {
            revisions: some(40, || "r".repeat(120)),
            reading: some(40, || "r".repeat(120)),
            hazards: vec![ExecutedHazard::default(); 10],
        }),
    }
}

fn drift() -> DriftStatus {
    let object = || DriftedObject {
        change: Change::Modified,
        object: wide(200),
        expected: Some(wide(200)),
        actual: Some(wide(200)),
    };
    DriftStatus {
        missing: i32::MAX,
        unexpected: i32::MAX,
        modified: i32::MAX,
        objects: (0..10).map(|_| object()).collect(),
        fingerprint: Some("f".repeat(64)),
        config_map: Some("m".repeat(253)),
    }
}

/// Every field at its limit. There is no `..`: a new field has to be thought of here.
fn full() -> DatabaseMigrationStatus {
    let condition = |type_: ConditionType| Condition {
        type_: type_.as_str().into(),
        status: "Unknown".into(),
        reason: "R".repeat(40),
        message: quotes(1024),
        observed_generation: Some(i64::MAX),
        last_transition_time: time(),
    };
    DatabaseMigrationStatus {
        observed_generation: Some(i64::MAX),
        conditions: ConditionType::ALL.into_iter().map(condition).collect(),
        waiting: Some(Waiting { reason: "R".repeat(40), since: time() }),
        current: Some(quotes(700)),
        target: Some(quotes(700)),
        current_revisions: shown_rows(&some(1000, || wide(500)).into_iter().collect()),
        target_revisions: some(50, || "t".repeat(510)),
        heads: some(50, || "h".repeat(510)),
        pending: Some(Pending {
            count: i32::MAX,
            steps: format!("-{}", usize::MAX),
            revisions: some(10, || "p".repeat(510)),
        }),
        plan: Some(plan()),
        database: Some(DatabaseStatus {
            dialect: wide(32),
            version: wide(64),
            identity: Some(quotes(256)),
            replaced: Some(quotes(256)),
        }),
        image: Some(ImageStatus {
            reference: "i".repeat(1024),
            name: format!("{} (0123456789ab)", "i".repeat(128)),
            digest: Some("d".repeat(71)),
            alembic: Some(wide(32)),
            inspection: Some(quotes(140)),
        }),
        images: (0..10).map(|_| image()).collect(),
        drift: Some(drift()),
        stages: StagesStatus {
            rehearsal: Some(rehearsal()),
            backup: Some(BackupStatus { stage: stage(), method: BackupMethod::Cnpg }),
            verify: Some(VerifyStatus { stage: stage(), run: i64::MAX, hash: "0".repeat(12) }),
        },
        defaults: Some(defaults()),
        runs: RunsStatus {
            started: i64::MAX,
            active: Some(record()),
            cancelled: Some(CancelledRun { reason: "PodStuck".into(), message: wide(200) }),
            last_success: Some(SucceededRun { run: record(), job: "j".repeat(63) }),
            unfinished: Some(UnfinishedRun { number: i64::MAX, direction: "downgrade".into(), from: rows() }),
            baseline: Some(i64::MAX),
        },
        last_run: Some(run()),
        history: (0..9).map(|_| run()).collect(),
        last_handled_reconcile_at: Some(quotes(256)),
    }
}

#[test]
fn a_status_has_room_whatever_fills_it() {
    let full = full();
    assert!(bytes(&full) > 8 * MOST, "{}", bytes(&full));
    let fitted = fitted(full.clone());
    assert!(bytes(&fitted) <= MOST, "{}", bytes(&fitted));
    // What is decided by.
    assert_eq!((&fitted.runs, &fitted.current_revisions), (&full.runs, &full.current_revisions));
    assert_eq!(fitted.conditions.len(), ConditionType::ALL.len());
    let reason =
        |status: &DatabaseMigrationStatus| status.last_run.as_ref().map(|run| (run.number, run.reason.clone()));
    assert_eq!(reason(&fitted), reason(&full));
    assert_eq!(super::fitted(fitted.clone()), fitted, "a second time changes nothing");
}

#[test]
fn an_ordinary_status_keeps_every_word() {
    let mut status = full();
    (status.runs.active, status.database, status.defaults) = (None, None, None);
    status.runs.last_success.iter_mut().for_each(|success| success.run.approval = None);
    status.history.truncate(2);
    status.images.truncate(2);
    (status.current, status.target, status.stages.backup, status.stages.verify) = (None, None, None, None);
    (status.plan, status.stages.rehearsal, status.drift) = (None, None, None);
    (status.heads, status.target_revisions, status.pending) = (vec!["a".into()], vec!["a".into()], None);
    status.conditions.iter_mut().for_each(|condition| condition.message = "m".repeat(200));
    for run in status.last_run.iter_mut().chain(&mut status.history) {
        run.message = Some("m".repeat(900));
        (run.record.approval, run.record.release_from) = (None, None);
    }
    assert!(bytes(&status) <= MOST);
    assert_eq!(fitted(status.clone()), status);
}

#[test]
fn ten_failed_runs_give_way_before_the_plan_does() {
    let mut status = full();
    status.plan = Some(PlanStatus { from: vec![], to: vec![], steps: vec![], ..plan() });
    (status.stages.rehearsal, status.drift, status.stages.backup, status.stages.verify) = (None, None, None, None);
    let fitted = fitted(status);
    assert!(bytes(&fitted) <= MOST && fitted.history.len() < 9);
}
