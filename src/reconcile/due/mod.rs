//! Which check is due next, and what the Jobs have found that are made again and again; no I/O.

mod image;
mod models;
mod needed;
mod schema;

pub use image::{best_first, is_missing, is_waited_for, unneeded};
pub use models::{models, needs_older_models};
pub use needed::{is_pending, needs_other_images, ran_before, version_table};
pub use schema::{Due, Replay, ReplayStep, comparison, reason, replay, replay_step};

use super::facts::{DatabaseView, JobView, ModelsView};
use crate::{
    api::{DatabaseMigration, DurationField, Problem},
    db::Snapshot,
    jobs::{Differences, Ended, JobRecord},
};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// Comparing with the models costs a pod and a reading of the whole catalog.
const MODELS_INTERVAL: Duration = Duration::from_secs(3600);
/// What failed is tried again after this time; what costs a whole catalog or a server, after ten times that.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// How long the answer of a Job stands.
#[derive(Clone, Copy, Debug)]
pub struct Lasts {
    good: Duration,
    failed: Duration,
}

impl Lasts {
    /// Of a reading of the version rows.
    pub fn probe(object: &DatabaseMigration) -> Self {
        let good = DurationField::ProbeInterval.or_default(&object.spec);
        Self { good, failed: good.min(AFTER_FAILURE) }
    }

    /// Of a comparison with the models.
    pub fn models(object: &DatabaseMigration) -> Self {
        let good = DurationField::DriftInterval.of(&object.spec).unwrap_or(MODELS_INTERVAL);
        Self { good, failed: good.min(AFTER_FAILURE * 10) }
    }

    /// Of a replay: what a history makes of an empty database does not change.
    fn replay() -> Self {
        Self { good: Duration::MAX, failed: AFTER_FAILURE * 10 }
    }
}

/// What the Jobs of one kind have come to that answer one question.
#[derive(Debug)]
pub struct Answers<T> {
    /// What the newest that has ended found. It stands while the next one is made.
    pub found: Option<Result<T, Problem>>,
    /// The newest that has ended.
    pub latest: Option<JobView>,
    /// The one that has not.
    pub working: Option<JobView>,
    /// What is asked of the Job that has to be made next.
    pub next: Option<JobRecord>,
    /// Jobs whose answers nobody needs any more.
    pub obsolete: Vec<String>,
}

/// Reads the Jobs of one kind. Those with another key than `wanted` answered another question.
pub fn answers<'a, T>(
    jobs: impl Iterator<Item = &'a JobView>,
    wanted: JobRecord,
    read: fn(&Ended) -> Result<T, Problem>,
    lasts: Lasts,
    now: Timestamp,
) -> Answers<T> {
    let mut jobs: Vec<JobView> = jobs.cloned().collect();
    jobs.sort_by_key(|job| job.record.number);
    let number = jobs.last().map_or(0, |last| last.record.number) + 1;
    let (mut current, past): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.record.key == wanted.key);
    let mut obsolete: Vec<String> = past.into_iter().map(|job| job.name).collect();
    let working = current.pop_if(|job| job.ended().is_none());
    let latest = current.pop_if(|job| job.ended().is_some());
    obsolete.extend(current.into_iter().map(|job| job.name));
    let found = latest.as_ref().and_then(JobView::ended).map(read);
    let lasts = if matches!(found, Some(Ok(_))) { lasts.good } else { lasts.failed };
    let is_due = working.is_none() && latest.as_ref().is_none_or(|job| age(job, now) >= seconds(lasts));
    Answers { found, latest, working, next: is_due.then_some(JobRecord { number, ..wanted }), obsolete }
}

/// Seconds since a Job ended.
fn age(job: &JobView, now: Timestamp) -> i64 {
    let at = job.ended().and_then(|ended| ended.finished_at).or(job.created);
    at.map_or(0, |at| now.duration_since(at).as_secs())
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

impl Answers<Snapshot> {
    /// The database as Jobs read it. A reading that failed is no answer while another one is made.
    pub fn database(self) -> DatabaseView {
        match (self.found, self.working) {
            (Some(Ok(snapshot)), _) => DatabaseView::Seen(snapshot),
            (Some(Err(problem)), None) => DatabaseView::Failed(problem),
            (_, working) => DatabaseView::Looking(working),
        }
    }
}

impl Answers<Differences> {
    /// The comparison with the models, as Jobs make it.
    pub fn models(self) -> ModelsView {
        match self.found {
            Some(found) => found.map_or_else(ModelsView::Failed, ModelsView::Compared),
            None => ModelsView::Comparing(self.working),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{PodState, Request, compared, probed, reported};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn wanted(key: &str) -> JobRecord {
        JobRecord { key: key.into(), number: 1, request: Request::Compare, ..JobRecord::default() }
    }

    fn job(number: i64, key: &str, state: PodState) -> JobView {
        let record = JobRecord { number, ..wanted(key) };
        JobView { name: format!("{key}{number}"), created: Some(at(0)), record, state, ..JobView::default() }
    }

    fn ended(second: i64) -> PodState {
        PodState::Ended(Ended { finished_at: Some(at(second)), ran: true, exit_code: Some(0), ..Ended::default() })
    }

    /// Answers that stand for a minute.
    fn of(jobs: &[JobView], second: i64) -> Answers<()> {
        let minute = Duration::from_secs(60);
        answers(jobs.iter(), wanted("b"), |_| Ok(()), Lasts { good: minute, failed: Duration::ZERO }, at(second))
    }

    #[test]
    fn the_first_is_due_at_once_and_numbers_go_on() {
        assert_eq!(of(&[], 0).next.map(|record| record.number), Some(1));
        let after = of(&[job(7, "a", ended(0))], 0);
        assert_eq!((after.next.map(|record| record.number), after.obsolete), (Some(8), vec!["a7".to_owned()]));
    }

    #[test]
    fn an_answer_stands_from_its_end_and_no_job_begins_beside_another() {
        let one = [job(1, "b", ended(10))];
        assert!(of(&one, 69).next.is_none() && of(&one, 70).next.is_some());
        let two = of(&[job(1, "b", ended(0)), job(2, "b", PodState::Running)], 9999);
        assert_eq!((two.next, two.latest.map(|job| job.name)), (None, Some("b1".to_owned())));
    }

    #[test]
    fn only_the_newest_end_is_kept() {
        let three = of(&[job(3, "b", ended(0)), job(1, "b", ended(0)), job(2, "b", ended(0))], 0);
        assert_eq!(three.latest.map(|job| job.name).as_deref(), Some("b3"));
        assert_eq!(three.obsolete, ["b1", "b2"]);
    }

    #[test]
    fn a_report_that_can_not_be_read_is_a_failure_that_is_soon_repeated() {
        let object = DatabaseMigration::new("shop", Default::default());
        let jobs = [job(1, "b", ended(0))];
        let probe = |second| answers(jobs.iter(), wanted("b"), probed, Lasts::probe(&object), at(second));
        assert!(probe(29).next.is_none() && probe(30).next.is_some());
        assert!(matches!(probe(29).database(), DatabaseView::Failed(_)));
        let models = |second| answers(jobs.iter(), wanted("b"), compared, Lasts::models(&object), at(second));
        assert!(models(299).next.is_none() && models(300).next.is_some());
        let read = |ended: &Ended| reported(ended).map(drop);
        assert!(answers(jobs.iter(), wanted("b"), read, Lasts::replay(), at(300)).next.is_some());
    }

    #[test]
    fn a_good_answer_stands_while_the_next_one_is_made_and_a_failure_does_not() {
        let jobs = [job(1, "b", ended(0)), job(2, "b", PodState::Running)];
        let lasts = Lasts { good: Duration::ZERO, failed: Duration::ZERO };
        let of = |read: fn(&Ended) -> Result<Snapshot, Problem>| {
            answers(jobs.iter(), wanted("b"), read, lasts, at(0)).database()
        };
        assert!(matches!(of(probed), DatabaseView::Looking(Some(_))));
        let seen: fn(&Ended) -> Result<Snapshot, Problem> = |_| {
            Ok(Snapshot {
                dialect: String::new(),
                server_version: String::new(),
                rows: crate::db::VersionRows::NoTable,
                tables: Vec::new(),
                column: None,
                identity: None,
                read_only: false,
            })
        };
        assert!(matches!(of(seen), DatabaseView::Seen(_)));
    }
}
