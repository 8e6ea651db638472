//! Whether a run needs a backup first, and how far that is; no I/O.

use super::{plan::Chosen, stage::stage_progress};
use crate::{
    api::{BackupMethod, BackupStatus, DatabaseMigration, DurationField, When},
    jobs::{BackupRequest, JobRecord, Kind, Progress, Request, overdue},
    reconcile::facts::{CnpgView, Facts},
    revisions::Direction,
};
use k8s_openapi::jiff::Timestamp;
use std::collections::BTreeSet;

/// Why a run needs no backup, in the words of a condition; `None` where it does.
pub fn not_required(when: When, chosen: &Chosen) -> Option<&'static str> {
    match when {
        _ if chosen.plan.direction == Direction::Stamp => Some("an adoption changes no data"),
        When::Never => Some("spec.backup.when is Never"),
        When::OnHazard if !chosen.dangerous() => Some("the plan has no hazard"),
        When::OnHazard | When::Always => None,
    }
}

/// The backup before a run. `first` is the number of the run that tried the same thing first: what a locked table has
/// stopped and the database has rolled back is tried again over the backup that there is.
pub fn backup_request(
    object: &DatabaseMigration,
    chosen: &Chosen,
    first: i64,
    requested_at: Option<&str>,
) -> Option<BackupRequest> {
    let spec = &object.spec.stages.backup;
    if not_required(spec.when, chosen).is_some() {
        return None;
    }
    let list = |rows: &BTreeSet<String>| rows.iter().cloned().collect();
    let request =
        Request::Backup { plan_hash: chosen.hash.clone(), from: list(&chosen.plan.from), to: list(&chosen.plan.end) };
    let generation = object.metadata.generation.unwrap_or_default();
    let key = format!("{} {generation} {}", chosen.hash, requested_at.unwrap_or_default());
    let record = JobRecord::new(object, request, first, key);
    Some(BackupRequest {
        name: record.name(object),
        method: if spec.cnpg.is_some() { BackupMethod::Cnpg } else { BackupMethod::Job },
        record,
        timeout: DurationField::Backup.or_default(&object.spec),
    })
}

/// How far a backup is. What is recorded of its end stands, whatever has become of its Job.
pub fn backup_progress(
    request: &BackupRequest,
    recorded: Option<&BackupStatus>,
    facts: &Facts,
    now: Timestamp,
) -> Progress {
    let recorded = recorded.map(|backup| &backup.stage).filter(|stage| stage.job == request.name);
    match stage_progress(recorded, Kind::Backup, &request.name, request.timeout, facts, now) {
        Progress::Absent if request.method == BackupMethod::Cnpg => {
            let since = recorded.and_then(|stage| stage.started_at.as_ref()).map(|time| time.0);
            cnpg_progress(request, facts.cnpg.as_ref(), since, now)
        }
        progress => progress,
    }
}

fn cnpg_progress(
    request: &BackupRequest,
    cnpg: Option<&CnpgView>,
    since: Option<Timestamp>,
    now: Timestamp,
) -> Progress {
    let failed = |message: String| Progress::Done(Err(message), Some(now));
    match cnpg {
        Some(CnpgView::Completed { name }) if *name == request.name => Progress::Done(Ok(()), Some(now)),
        Some(CnpgView::Failed { name, message }) if *name == request.name => failed(match message.as_str() {
            "" => "CloudNativePG does not say why".to_owned(),
            words => words.to_owned(),
        }),
        Some(CnpgView::Gone { name }) if *name == request.name => failed("somebody deleted it".to_owned()),
        Some(CnpgView::Working { name }) if *name == request.name => match overdue(since, request.timeout, now) {
            true => failed(format!("it did not end within {} s", request.timeout.as_secs())),
            false => Progress::Running,
        },
        _ => Progress::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{StageResult, StageStatus};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use std::time::Duration;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn request(method: BackupMethod) -> BackupRequest {
        BackupRequest { name: "b".into(), method, record: JobRecord::default(), timeout: Duration::from_secs(60) }
    }

    fn recorded(name: &str, result: StageResult) -> BackupStatus {
        let stage = StageStatus { job: name.into(), result, started_at: Some(Time(at(0))), ..StageStatus::default() };
        BackupStatus { stage, ..BackupStatus::default() }
    }

    #[test]
    fn a_recorded_end_stands_for_its_own_request_alone() {
        let of = |recorded| backup_progress(&request(BackupMethod::Job), Some(&recorded), &Facts::default(), at(1));
        assert!(matches!(of(recorded("b", StageResult::Succeeded)), Progress::Done(Ok(()), _)));
        assert!(matches!(of(recorded("b", StageResult::Failed)), Progress::Done(Err(_), _)));
        assert_eq!(of(recorded("other", StageResult::Succeeded)), Progress::Absent);
        assert_eq!(of(recorded("b", StageResult::Running)), Progress::Absent, "its Job is gone: it is made again");
    }

    #[test]
    fn a_backup_of_cloudnativepg_is_polled_up_to_its_deadline() {
        let of = |view: Option<CnpgView>, second| {
            let facts = Facts { cnpg: view, ..Facts::default() };
            let recorded = recorded("b", StageResult::Running);
            backup_progress(&request(BackupMethod::Cnpg), Some(&recorded), &facts, at(second))
        };
        let name = || "b".to_owned();
        assert_eq!(of(None, 1), Progress::Absent);
        assert_eq!(of(Some(CnpgView::Working { name: name() }), 60), Progress::Running);
        assert!(matches!(of(Some(CnpgView::Working { name: name() }), 61), Progress::Done(Err(_), _)));
        assert!(matches!(of(Some(CnpgView::Completed { name: name() }), 1), Progress::Done(Ok(()), _)));
        let gone = of(Some(CnpgView::Gone { name: name() }), 1);
        assert!(matches!(gone, Progress::Done(Err(message), _) if message.contains("deleted")));
        assert_eq!(of(Some(CnpgView::Completed { name: "other".into() }), 1), Progress::Absent);
    }
}
