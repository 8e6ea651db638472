//! Whether a run needs a backup first, and how far that is; no I/O.

use super::{
    plan::Chosen,
    stage::{Progress, overdue, progress},
};
use crate::{
    api::{BackupMethod, BackupResult, BackupStatus, BackupWhen, DatabaseMigration, parse_duration},
    jobs::{StageRecord, backup_name},
    reconcile::observed::{CnpgView, Stages},
    revisions::Direction,
};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use std::{collections::BTreeSet, time::Duration};

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);

/// A backup that must be complete before a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupAsk {
    /// Of the Job or Backup; another name is another backup.
    pub name: String,
    pub method: BackupMethod,
    pub record: StageRecord,
    pub timeout: Duration,
}

/// Why a run needs no backup, in the words of a condition; `None` where it does.
pub fn not_required(when: BackupWhen, chosen: &Chosen) -> Option<&'static str> {
    match when {
        _ if chosen.plan.direction == Direction::Stamp => Some("an adoption changes no data"),
        BackupWhen::Never => Some("spec.backup.when is Never"),
        BackupWhen::OnHazard if !chosen.dangerous() => Some("the plan has no hazard"),
        BackupWhen::OnHazard | BackupWhen::Always => None,
    }
}

/// The backup before a run. `first` is the number of the run that tried the same thing first: what a locked table has
/// stopped and the database has taken back is tried again over the backup that there is.
pub fn backup_ask(
    object: &DatabaseMigration,
    chosen: &Chosen,
    first: i64,
    requested_at: Option<&str>,
) -> Option<BackupAsk> {
    let spec = &object.spec.backup;
    if not_required(spec.when, chosen).is_some() {
        return None;
    }
    let list = |rows: &BTreeSet<String>| rows.iter().cloned().collect();
    Some(BackupAsk {
        name: backup_name(object, &chosen.hash, first, requested_at),
        method: if spec.cnpg.is_some() { BackupMethod::Cnpg } else { BackupMethod::Job },
        record: StageRecord {
            uid: object.uid().unwrap_or_default(),
            run: first,
            hash: chosen.hash.clone(),
            from: list(&chosen.plan.from),
            to: list(&chosen.plan.end),
        },
        timeout: spec.timeout.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_TIMEOUT),
    })
}

/// How far a backup is. What is recorded of its end stands, whatever has become of its Job.
pub fn backup_progress(ask: &BackupAsk, recorded: Option<&BackupStatus>, stages: &Stages, now: Timestamp) -> Progress {
    let recorded = recorded.filter(|recorded| recorded.reference == ask.name);
    let at = |recorded: &BackupStatus| recorded.completed_at.as_ref().map(|time| time.0);
    match recorded {
        Some(end) if end.result == BackupResult::Completed => return Progress::Passed { at: at(end) },
        Some(end) if end.result == BackupResult::Failed => {
            return Progress::Failed { message: end.message.clone().unwrap_or_default(), at: at(end) };
        }
        _ => {}
    }
    match ask.method {
        BackupMethod::Job => {
            let job = stages.backups.iter().map(|backup| &backup.job).find(|job| job.name == ask.name);
            progress(job, ask.timeout, now)
        }
        BackupMethod::Cnpg => {
            let since = recorded.and_then(|recorded| recorded.started_at.as_ref()).map(|time| time.0);
            cnpg_progress(ask, stages.cnpg.as_ref(), since, now)
        }
    }
}

fn cnpg_progress(ask: &BackupAsk, cnpg: Option<&CnpgView>, since: Option<Timestamp>, now: Timestamp) -> Progress {
    let failed = |message: String| Progress::Failed { message, at: Some(now) };
    match cnpg {
        Some(CnpgView::Completed { name }) if *name == ask.name => Progress::Passed { at: Some(now) },
        Some(CnpgView::Failed { name, message }) if *name == ask.name => failed(match message.as_str() {
            "" => "CloudNativePG does not say why".to_owned(),
            words => words.to_owned(),
        }),
        Some(CnpgView::Gone { name }) if *name == ask.name => failed("somebody deleted it".to_owned()),
        Some(CnpgView::Working { name }) if *name == ask.name => match overdue(since, ask.timeout, now) {
            true => failed(format!("it did not end within {} s", ask.timeout.as_secs())),
            false => Progress::Working(None),
        },
        _ => Progress::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn ask(method: BackupMethod) -> BackupAsk {
        let timeout = Duration::from_secs(60);
        BackupAsk { name: "b".into(), method, record: StageRecord::default(), timeout }
    }

    fn recorded(name: &str, result: BackupResult) -> BackupStatus {
        BackupStatus { reference: name.into(), result, started_at: Some(Time(at(0))), ..BackupStatus::default() }
    }

    #[test]
    fn a_recorded_end_stands_for_its_own_ask_alone() {
        let of = |recorded| backup_progress(&ask(BackupMethod::Job), Some(&recorded), &Stages::default(), at(1));
        assert!(matches!(of(recorded("b", BackupResult::Completed)), Progress::Passed { .. }));
        assert!(matches!(of(recorded("b", BackupResult::Failed)), Progress::Failed { .. }));
        assert_eq!(of(recorded("other", BackupResult::Completed)), Progress::Absent);
        assert_eq!(of(recorded("b", BackupResult::Running)), Progress::Absent, "its Job is gone: it is made again");
    }

    #[test]
    fn a_backup_of_cloudnativepg_is_polled_up_to_its_deadline() {
        let of = |view: Option<CnpgView>, second| {
            let stages = Stages { cnpg: view, ..Stages::default() };
            backup_progress(&ask(BackupMethod::Cnpg), Some(&recorded("b", BackupResult::Running)), &stages, at(second))
        };
        let name = || "b".to_owned();
        assert_eq!(of(None, 1), Progress::Absent);
        assert_eq!(of(Some(CnpgView::Working { name: name() }), 60), Progress::Working(None));
        assert!(matches!(of(Some(CnpgView::Working { name: name() }), 61), Progress::Failed { .. }));
        assert!(matches!(of(Some(CnpgView::Completed { name: name() }), 1), Progress::Passed { .. }));
        assert!(
            matches!(of(Some(CnpgView::Gone { name: name() }), 1), Progress::Failed { message, .. } if message.contains("deleted"))
        );
        assert_eq!(of(Some(CnpgView::Completed { name: "other".into() }), 1), Progress::Absent);
    }
}
