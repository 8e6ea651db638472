//! What probe Jobs have read of the version table, and which look is due next; reads only what was observed.

use super::jobs::{LookView, redact};
use crate::{
    api::{DatabaseMigration, Reason, parse_duration},
    db::{Snapshot, VersionRows},
    reconcile::{
        checks::{pod_failed, reason_of_class, requested_at},
        observed::{DatabaseView, Problem},
    },
    runner::{Ended, Look, LookRecord, PodState, Report, RunState, look_epoch},
    text,
};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);
/// A look that failed is repeated after this time.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// The database as Jobs see it.
pub struct Looked {
    pub view: DatabaseView,
    /// The look that a Job has to make next.
    pub next: Option<LookRecord>,
    /// Jobs whose looks nobody needs any more.
    pub old: Vec<String>,
}

/// The newest look of the present epoch, and the one to make when it has grown old. While that is made, the one before
/// it stands.
pub fn look(object: &DatabaseMigration, mut looks: Vec<LookView>, secrets: &[&str], now: Timestamp) -> Looked {
    let epoch = look_epoch(object, requested_at(object));
    looks.sort_by_key(|look| look.record.number);
    let next = LookRecord { epoch: epoch.clone(), number: looks.last().map_or(0, |l| l.record.number) + 1 };
    let (mut current, past): (Vec<LookView>, Vec<LookView>) = looks.into_iter().partition(|l| l.record.epoch == epoch);
    let mut old: Vec<String> = past.into_iter().map(|look| look.job.name).collect();
    let Some(mut newest) = current.pop() else {
        return Looked { view: DatabaseView::Looking(None), next: Some(next), old };
    };
    let before = current.pop();
    old.extend(current.into_iter().map(|look| look.job.name));
    redact(&mut newest.job, secrets);
    let PodState::Ended(ended) = &newest.job.state else {
        let stands = before.and_then(|mut before| {
            redact(&mut before.job, secrets);
            match &before.job.state {
                PodState::Ended(ended) => Some(view(ended)),
                _ => None,
            }
        });
        let view = stands.filter(|view| matches!(view, DatabaseView::Seen(_)));
        return Looked { view: view.unwrap_or(DatabaseView::Looking(Some(newest.job))), next: None, old };
    };
    old.extend(before.map(|look| look.job.name));
    let view = view(ended);
    let interval = object.spec.database.probe.interval.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_INTERVAL);
    let lasts = if matches!(view, DatabaseView::Seen(_)) { interval } else { interval.min(AFTER_FAILURE) };
    let age = ended.finished_at.or(newest.job.created).map_or(0, |at| now.duration_since(at).as_secs());
    let due = age >= i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX);
    Looked { view, next: due.then_some(next), old }
}

fn view(ended: &Ended) -> DatabaseView {
    let report = match ended.message.as_deref().map_or(Err(crate::runner::ReportError::Empty), Report::parse) {
        Ok(report) => report,
        Err(error) => {
            let why = ended.reason.clone().unwrap_or_default();
            let code = ended.exit_code.unwrap_or_default();
            let message = pod_failed(ended.ran, code, &why, &error, ended.message.as_deref());
            return DatabaseView::Failed(Problem::new(Reason::PodFailed, message));
        }
    };
    match (report.state, report.look, report.error) {
        (RunState::Done, Some(look), _) => DatabaseView::Seen(snapshot(look)),
        (_, _, Some(failure)) => DatabaseView::Failed(Problem::new(reason_of_class(&failure.class), failure.message)),
        _ => DatabaseView::Failed(Problem::new(Reason::PodFailed, "the probe Job ended before it had read anything")),
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
    }
}
