//! What Jobs that look again and again have found, and which look is due next; no I/O.

use super::facts::{DatabaseView, JobView, ModelsView};
use crate::{
    api::{DatabaseMigration, parse_duration},
    jobs::{JobRecord, compared, probed, reported},
};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

const DEFAULT_INTERVAL: Duration = Duration::from_secs(300);
/// Comparing costs a pod and a reading of the whole catalog.
const DEFAULT_DRIFT_INTERVAL: Duration = Duration::from_secs(3600);
/// A look that failed is repeated after this time.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// What the Jobs of one kind have come to.
pub struct Looked<View> {
    pub view: View,
    /// The look that a Job has to make next.
    pub next: Option<JobRecord>,
    /// Jobs whose looks nobody needs any more.
    pub obsolete: Vec<String>,
    /// The one that stands.
    pub latest: Option<JobView>,
}

/// The database as Jobs see it. While the next look is made, the one before it stands.
pub fn probes<'a>(
    object: &DatabaseMigration,
    jobs: impl Iterator<Item = &'a JobView>,
    wanted: JobRecord,
    now: Timestamp,
) -> Looked<DatabaseView> {
    let looks = Looks::of(jobs, wanted);
    let stands = looks.latest.as_ref().and_then(JobView::ended).map(probed);
    let stands = stands.map(|read| read.map_or_else(DatabaseView::Failed, DatabaseView::Seen));
    let interval = object.spec.database.probe.interval.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_INTERVAL);
    let good = matches!(stands, Some(DatabaseView::Seen(_)));
    let next = looks.due(if good { interval } else { interval.min(AFTER_FAILURE) }, now);
    let view = match (stands, looks.working) {
        (Some(view), None) => view,
        (Some(view), _) if good => view,
        (_, working) => DatabaseView::Looking(working),
    };
    Looked { view, next, obsolete: looks.obsolete, latest: looks.latest }
}

/// The comparison with the models, as Jobs make it.
pub fn comparisons<'a>(
    object: &DatabaseMigration,
    jobs: impl Iterator<Item = &'a JobView>,
    wanted: JobRecord,
    now: Timestamp,
) -> Looked<ModelsView> {
    let looks = Looks::of(jobs, wanted);
    let stands = looks.latest.as_ref().and_then(JobView::ended).map(compared);
    let stands = stands.map(|found| found.map_or_else(ModelsView::Failed, ModelsView::Compared));
    let interval = object.spec.drift.interval.as_deref().and_then(parse_duration).unwrap_or(DEFAULT_DRIFT_INTERVAL);
    let good = matches!(stands, Some(ModelsView::Compared(_)));
    let next = looks.due(if good { interval } else { interval.min(AFTER_FAILURE * 10) }, now);
    let view = stands.unwrap_or(ModelsView::Comparing(looks.working));
    Looked { view, next, obsolete: looks.obsolete, latest: looks.latest }
}

/// The replays of one history: the Job at work is the view. One that has ended well stands for good.
pub fn replays<'a>(
    jobs: impl Iterator<Item = &'a JobView>,
    wanted: JobRecord,
    now: Timestamp,
) -> Looked<Option<JobView>> {
    let looks = Looks::of(jobs, wanted);
    let good = looks.latest.as_ref().and_then(JobView::ended).is_some_and(|ended| reported(ended).is_ok());
    let next = looks.due(if good { Duration::MAX } else { AFTER_FAILURE * 10 }, now);
    Looked { view: looks.working, next, obsolete: looks.obsolete, latest: looks.latest }
}

/// The Jobs that answer one question.
struct Looks {
    /// The newest that has ended.
    latest: Option<JobView>,
    /// The one that has not.
    working: Option<JobView>,
    following: JobRecord,
    obsolete: Vec<String>,
}

impl Looks {
    fn of<'a>(jobs: impl Iterator<Item = &'a JobView>, wanted: JobRecord) -> Self {
        let mut jobs: Vec<JobView> = jobs.cloned().collect();
        jobs.sort_by_key(|job| job.record.number);
        let number = jobs.last().map_or(0, |last| last.record.number) + 1;
        let (mut current, past): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.record.key == wanted.key);
        let mut obsolete: Vec<String> = past.into_iter().map(|job| job.name).collect();
        let working = current.pop_if(|job| job.ended().is_none());
        let latest = current.pop_if(|job| job.ended().is_some());
        obsolete.extend(current.into_iter().map(|job| job.name));
        Self { latest, working, following: JobRecord { number, ..wanted }, obsolete }
    }

    /// The look to make now, when the newest has lasted.
    fn due(&self, lasts: Duration, now: Timestamp) -> Option<JobRecord> {
        if self.working.is_some() {
            return None;
        }
        let ended_at = |job: &JobView| job.ended().and_then(|ended| ended.finished_at).or(job.created);
        let age = |job: &JobView| ended_at(job).map_or(0, |at| now.duration_since(at).as_secs());
        let lasts = i64::try_from(lasts.as_secs()).unwrap_or(i64::MAX);
        self.latest.as_ref().is_none_or(|job| age(job) >= lasts).then(|| self.following.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Ended, PodState, Request};

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

    fn looks(jobs: &[JobView]) -> Looks {
        Looks::of(jobs.iter(), wanted("b"))
    }

    #[test]
    fn the_first_look_is_due_at_once_and_numbers_go_on() {
        assert_eq!(looks(&[]).due(Duration::MAX, at(0)).map(|record| record.number), Some(1));
        let after = looks(&[job(7, "a", ended(0))]);
        assert_eq!(after.due(Duration::MAX, at(0)).map(|record| record.number), Some(8));
        assert_eq!(after.obsolete, ["a7"]);
    }

    #[test]
    fn a_look_lasts_from_its_end_and_none_begins_beside_another() {
        let one = looks(&[job(1, "b", ended(10))]);
        assert_eq!(one.due(Duration::from_secs(60), at(69)), None);
        assert!(one.due(Duration::from_secs(60), at(70)).is_some());
        let two = looks(&[job(1, "b", ended(0)), job(2, "b", PodState::Running)]);
        assert_eq!(two.due(Duration::ZERO, at(9999)), None);
        assert_eq!(two.latest.map(|job| job.name).as_deref(), Some("b1"));
    }

    #[test]
    fn only_the_newest_end_is_kept() {
        let three = looks(&[job(3, "b", ended(0)), job(1, "b", ended(0)), job(2, "b", ended(0))]);
        assert_eq!(three.latest.map(|job| job.name).as_deref(), Some("b3"));
        assert_eq!(three.obsolete, ["b1", "b2"]);
    }

    #[test]
    fn a_report_that_can_not_be_read_is_a_failure_that_is_soon_repeated() {
        let object = DatabaseMigration::new("shop", Default::default());
        let jobs = [job(1, "b", ended(0))];
        let looked = probes(&object, jobs.iter(), wanted("b"), at(29));
        assert!(matches!(looked.view, DatabaseView::Failed(_)) && looked.next.is_none());
        assert!(probes(&object, jobs.iter(), wanted("b"), at(30)).next.is_some());
        assert!(comparisons(&object, jobs.iter(), wanted("b"), at(299)).next.is_none());
        assert!(comparisons(&object, jobs.iter(), wanted("b"), at(300)).next.is_some());
        assert!(replays(jobs.iter(), wanted("b"), at(300)).next.is_some());
    }
}
