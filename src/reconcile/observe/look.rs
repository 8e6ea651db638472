//! What probe and compare Jobs have found, and which look is due next; reads only what was observed.

use super::jobs::{LookView, redact};
use crate::{
    api::{DatabaseMigration, Reason, parse_duration},
    db::{Snapshot, VersionRows},
    jobs::{Ended, Look, LookRecord, PodState, Report, RunState, look_epoch},
    reconcile::{
        checks::{pod_failed, reason_of_class, requested_at},
        observed::{DatabaseView, JobView, ModelsView, Problem},
    },
    text,
};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);
/// Comparing costs a pod and a reading of the whole catalog.
const DEFAULT_DRIFT_INTERVAL: Duration = Duration::from_secs(3600);
/// A look that failed is repeated after this time.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// What Jobs that look again and again have found.
pub struct Looked<View> {
    pub view: View,
    /// The look that a Job has to make next.
    pub next: Option<LookRecord>,
    /// Jobs whose looks nobody needs any more.
    pub old: Vec<String>,
    /// The one that stands.
    pub job: Option<EndedJob>,
}

/// The database as Jobs see it. While the next look is made, the one before it stands.
pub fn look(
    object: &DatabaseMigration,
    looks: Vec<LookView>,
    secrets: &[&str],
    now: Timestamp,
) -> Looked<DatabaseView> {
    let newest = newest(looks, look_epoch(object, requested_at(object), ""), secrets);
    let stands = newest.stands.as_ref().map(|job| seen(&job.ended));
    let interval = object.spec.database.probe.interval.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_INTERVAL);
    let good = matches!(stands, Some(DatabaseView::Seen(_)));
    let next = newest.due(if good { interval } else { interval.min(AFTER_FAILURE) }, now);
    let view = match (stands, newest.working) {
        (Some(view), None) => view,
        (Some(view), _) if good => view,
        (_, working) => DatabaseView::Looking(working),
    };
    Looked { view, next, old: newest.old, job: newest.stands }
}

/// The comparison with the models of `image`, as Jobs make it.
pub fn compare(
    object: &DatabaseMigration,
    looks: Vec<LookView>,
    image: &str,
    secrets: &[&str],
    now: Timestamp,
) -> Looked<ModelsView> {
    let newest = newest(looks, look_epoch(object, requested_at(object), image), secrets);
    let stands = newest.stands.as_ref().map(|job| compared(&job.ended));
    let interval = object.spec.drift.interval.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_DRIFT_INTERVAL);
    let good = matches!(stands, Some(ModelsView::Compared(_)));
    let next = newest.due(if good { interval } else { interval.min(AFTER_FAILURE * 10) }, now);
    Looked { view: stands.unwrap_or(ModelsView::Comparing(newest.working)), next, old: newest.old, job: newest.stands }
}

/// The replays of one history: the Job at work is the view. One that has ended well stands for good.
pub fn replays(looks: Vec<LookView>, record: &LookRecord, secrets: &[&str], now: Timestamp) -> Looked<Option<JobView>> {
    let newest = newest(looks, record.epoch.clone(), secrets);
    let good = newest.stands.as_ref().is_some_and(|job| reported(&job.ended).is_ok());
    let next = newest.due(if good { Duration::MAX } else { AFTER_FAILURE * 10 }, now);
    let next = next.map(|next| LookRecord { catalog: record.catalog.clone(), ..next });
    Looked { view: newest.working, next, old: newest.old, job: newest.stands }
}

/// The looks of one epoch.
struct Newest {
    /// The newest that has ended.
    stands: Option<EndedJob>,
    /// The one that has not.
    working: Option<JobView>,
    following: LookRecord,
    old: Vec<String>,
}

/// A Job whose pod has ended.
pub struct EndedJob {
    pub number: i64,
    pub pod: Option<String>,
    pub ended: Ended,
    created: Option<Timestamp>,
}

fn newest(mut looks: Vec<LookView>, epoch: String, secrets: &[&str]) -> Newest {
    looks.sort_by_key(|look| look.record.number);
    let following =
        LookRecord { epoch: epoch.clone(), number: looks.last().map_or(0, |l| l.record.number) + 1, catalog: None };
    let (mut current, past): (Vec<_>, Vec<_>) = looks.into_iter().partition(|look| look.record.epoch == epoch);
    let mut old: Vec<String> = past.into_iter().map(|look| look.job.name).collect();
    let working = current.pop_if(|look| !matches!(look.job.state, PodState::Ended(_))).map(|look| look.job);
    let stands = current.pop().and_then(|mut look| {
        redact(&mut look.job, secrets);
        match look.job.state {
            PodState::Ended(ended) => {
                Some(EndedJob { number: look.record.number, pod: look.pod, ended, created: look.job.created })
            }
            _ => None,
        }
    });
    old.extend(current.into_iter().map(|look| look.job.name));
    Newest { stands, working, following, old }
}

impl Newest {
    /// The look to make now, when the newest has lasted.
    fn due(&self, lasts: Duration, now: Timestamp) -> Option<LookRecord> {
        if self.working.is_some() {
            return None;
        }
        let age =
            |job: &EndedJob| job.ended.finished_at.or(job.created).map_or(0, |at| now.duration_since(at).as_secs());
        let due = self.stands.as_ref().is_none_or(|job| age(job) >= i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX));
        due.then(|| self.following.clone())
    }
}

/// What a Job reported, or why it reported nothing.
pub fn reported(ended: &Ended) -> Result<Report, Problem> {
    let report = ended.report().map_err(|error| {
        let why = ended.reason.clone().unwrap_or_default();
        let code = ended.exit_code.unwrap_or_default();
        Problem::new(Reason::PodFailed, pod_failed(ended.ran, code, &why, &error, ended.message.as_deref()))
    })?;
    match report.error {
        Some(failure) => Err(Problem::new(reason_of_class(&failure.class), failure.message)),
        None if report.state == RunState::Done => Ok(report),
        None => Err(Problem::new(Reason::PodFailed, "the Job ended before it had read anything")),
    }
}

fn seen(ended: &Ended) -> DatabaseView {
    match reported(ended).map(|report| report.look) {
        Ok(Some(look)) => DatabaseView::Seen(snapshot(look)),
        Ok(None) => DatabaseView::Failed(Problem::new(Reason::PodFailed, "the Job read nothing")),
        Err(problem) => DatabaseView::Failed(problem),
    }
}

fn compared(ended: &Ended) -> ModelsView {
    match reported(ended).map(|report| report.drift) {
        Ok(Some(drift)) => ModelsView::Compared(drift),
        Ok(None) => ModelsView::Failed(Problem::new(Reason::PodFailed, "the Job compared nothing")),
        Err(problem) => ModelsView::Failed(problem),
    }
}

fn snapshot(look: Look) -> Snapshot {
    let names = |names: Vec<String>| names.into_iter().map(|name| text::clean(&name, 128));
    Snapshot {
        dialect: look.dialect,
        server_version: look.version,
        rows: if look.table { VersionRows::Rows(names(look.rows).collect()) } else { VersionRows::NoTable },
        tables: names(look.tables).take(6).collect(),
        column: look.column,
        identity: None,
        read_only: false,
    }
}
