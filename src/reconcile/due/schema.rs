//! When the schema is compared, and what has to be replayed for that; no I/O.

use super::{Lasts, answers, seconds};
use crate::{
    api::{
        Change, ConditionType, DatabaseMigration, DatabaseMigrationStatus, DriftMode, DurationField, OnDrift, Problem,
    },
    db::has_catalog,
    jobs::{Kind, ReplayRequest, reported},
    reconcile::{
        checks::{self, accepted_drift, requested_at},
        facts::{
            DatabaseView, Facts,
            ImageView::{Reported, Stored},
            JobView, ReplayView,
        },
    },
};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// The history run again, as far as its Jobs have come.
#[derive(Debug)]
pub enum Replay {
    NotWanted,
    Impossible(Problem),
    Wanted(Box<WantedReplay>),
}

/// A replay that the comparison needs.
#[derive(Debug)]
pub struct WantedReplay {
    pub request: ReplayRequest,
    /// The newest that has ended.
    pub ended: Option<JobView>,
    pub working: Option<JobView>,
    /// Whether there is to be another one.
    pub due: bool,
}

/// The replay that an object needs, and the Jobs that nobody waits for any more.
pub fn replay(object: &DatabaseMigration, facts: &Facts, now: Timestamp) -> (Replay, Vec<String>) {
    if object.spec.drift.mode != DriftMode::Replay {
        return (Replay::NotWanted, facts.of(Kind::Replay).map(|job| job.name.clone()).collect());
    }
    let (Stored(image) | Reported { image, .. }, DatabaseView::Seen(snapshot)) = (&facts.image, &facts.database) else {
        return (Replay::NotWanted, Vec::new());
    };
    match checks::replay(object, image, &snapshot.rows.clone().into_set(), &facts.scheme) {
        Err(problem) => (Replay::Impossible(problem), Vec::new()),
        Ok(request) => {
            let read = |ended: &_| reported(ended).map(drop);
            let so_far = answers(facts.of(Kind::Replay), request.record.clone(), read, Lasts::replay(), now);
            let due = so_far.next.is_some();
            let record = so_far.next.unwrap_or_else(|| request.record.clone());
            let request = ReplayRequest { record, ..request };
            let wanted = WantedReplay { request, ended: so_far.latest, working: so_far.working, due };
            (Replay::Wanted(Box::new(wanted)), so_far.obsolete)
        }
    }
}

/// What is known of a replay, or what has to be read for that.
#[derive(Debug)]
pub enum ReplayStep<'a> {
    Known(Box<ReplayView>),
    /// What this Job left in its log.
    Read {
        key: String,
        ended: &'a JobView,
    },
}

/// How far a replay has come. `stored` is that of the stored baseline.
pub fn replay_step<'a>(replay: &'a Replay, stored: Option<&str>) -> ReplayStep<'a> {
    let known = |view| ReplayStep::Known(Box::new(view));
    let wanted = match replay {
        Replay::NotWanted => return known(ReplayView::NotWanted),
        Replay::Impossible(problem) => {
            return known(ReplayView::Failed { key: String::new(), problem: problem.clone() });
        }
        Replay::Wanted(wanted) => wanted,
    };
    let key = wanted.request.record.key.clone();
    if stored == Some(key.as_str()) {
        return known(ReplayView::Stored { key });
    }
    match (&wanted.working, &wanted.ended) {
        (Some(job), _) => known(ReplayView::Working { key, job: job.clone() }),
        (None, Some(ended)) if !wanted.due => ReplayStep::Read { key, ended },
        _ => known(ReplayView::Next { key, request: Box::new(wanted.request.clone()) }),
    }
}

/// What a comparison would be made for. It is made again as soon as this changes. `None` where none is wanted, or there is
/// nothing to compare.
pub fn reason(object: &DatabaseMigration, facts: &Facts, replay: &Replay) -> Option<String> {
    let DatabaseView::Seen(snapshot) = &facts.database else { return None };
    if !has_catalog(&snapshot.dialect) {
        return None;
    }
    let of_replay = match replay {
        Replay::Wanted(wanted) => {
            let ended = wanted.ended.as_ref().map(|job| job.record.number);
            format!(" {} {ended:?} {}", wanted.request.record.key, wanted.working.is_some())
        }
        // Without the image nobody knows what the history is.
        Replay::NotWanted if object.spec.drift.mode == DriftMode::Replay => return None,
        Replay::NotWanted | Replay::Impossible(_) => String::new(),
    };
    if !object.spec.drift.mode.by_catalog() || !knows_table(object, facts) {
        return None;
    }
    let recorded = object.status.as_ref().map_or(0, |s| s.recorded_runs());
    let runs = facts.active.as_ref().map_or(recorded, |run| run.record.number);
    let asked = (requested_at(object), accepted_drift(object));
    Some(format!("{:?} {runs} {:?} {asked:?}{of_replay}", object.metadata.generation, Some(&snapshot.rows)))
}

/// Without it the version table itself would be a part of the schema.
fn knows_table(object: &DatabaseMigration, facts: &Facts) -> bool {
    object.spec.database.version_table.is_some() || matches!(facts.image, Stored(_) | Reported { .. })
}

/// Whether the schema is compared in this pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    Now,
    NotYet,
    /// Not yet: the last one counts as made at this time.
    NotSince(Timestamp),
}

/// Whether a comparison is due: after a run and when something else is asked for at once, else at the interval. `last` is what
/// the last one was made for, and when; `None` after a start of the operator. `delay` spreads those over the interval.
pub fn comparison(
    object: &DatabaseMigration,
    last: Option<(&str, Timestamp)>,
    reason: &str,
    delay: impl FnOnce(Duration) -> Duration,
    now: Timestamp,
) -> Due {
    let drift = &object.spec.drift;
    let interval = DurationField::DriftInterval.or_default(&object.spec);
    let at_rest = object.status.as_ref().is_some_and(|status| {
        status.observed_generation == object.metadata.generation && status.is_true(ConditionType::Ready)
    });
    match last {
        Some((before, at)) => {
            // The interval is that of the passes, which have a jitter.
            let lasted = now.duration_since(at).as_secs() >= seconds(interval.mul_f64(0.85));
            // Before a run that drift would block, only a comparison at this moment will do.
            let blocks = !at_rest && drift.on_drift == OnDrift::Block;
            if before != reason || lasted || blocks { Due::Now } else { Due::NotYet }
        }
        // What the status says stands for a while, unless a run may be next.
        None if at_rest && object.status.as_ref().is_some_and(is_known) => Due::NotSince(now - delay(interval)),
        None => Due::Now,
    }
}

fn is_known(status: &DatabaseMigrationStatus) -> bool {
    let condition = status.condition(ConditionType::Drifted);
    condition.is_some_and(|known| known.reason == "InSync" || Change::of_reason(&known.reason).is_some())
}

#[cfg(test)]
mod tests {
    use super::{
        super::needed::tests::{facts, object},
        *,
    };
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    /// An object at its target whose schema was compared before.
    fn at_rest() -> DatabaseMigration {
        let condition = |type_: &str, status: &str, reason: &str| Condition {
            type_: type_.into(),
            status: status.into(),
            reason: reason.into(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(at(0)),
        };
        let mut object = DatabaseMigration::new("shop", Default::default());
        let conditions = vec![condition("Ready", "True", "AtTarget"), condition("Drifted", "False", "InSync")];
        object.status = Some(DatabaseMigrationStatus { conditions, ..DatabaseMigrationStatus::default() });
        object
    }

    fn due(object: &DatabaseMigration, last: Option<(&str, i64)>, second: i64) -> Due {
        let last = last.map(|(reason, second)| (reason, at(second)));
        comparison(object, last, "run 2", |interval| interval / 2, at(second))
    }

    #[test]
    fn a_comparison_is_made_at_the_interval_and_at_once_for_another_reason() {
        let object = at_rest();
        assert_eq!(due(&object, Some(("run 2", 0)), 254), Due::NotYet);
        assert_eq!(due(&object, Some(("run 2", 0)), 255), Due::Now);
        assert_eq!(due(&object, Some(("run 1", 0)), 1), Due::Now);
    }

    #[test]
    fn before_a_run_that_drift_blocks_only_this_moment_counts() {
        let mut object = at_rest();
        object.spec.drift.on_drift = OnDrift::Block;
        assert_eq!(due(&object, Some(("run 2", 0)), 1), Due::NotYet);
        object.metadata.generation = Some(2);
        assert_eq!(due(&object, Some(("run 2", 0)), 1), Due::Now);
    }

    #[test]
    fn after_a_start_what_the_status_says_stands_for_a_while() {
        let mut object = at_rest();
        assert_eq!(due(&object, None, 0), Due::NotSince(at(-150)));
        object.status = None;
        assert_eq!(due(&object, None, 0), Due::Now);
    }

    #[test]
    fn another_mode_clears_the_replays_away() {
        let job = JobView { name: "shop-replay-1".into(), ..JobView::default() };
        let record = crate::jobs::JobRecord {
            request: crate::jobs::Request::Replay { catalog: "postgresql".into() },
            ..crate::jobs::JobRecord::default()
        };
        let facts = Facts { jobs: vec![JobView { record, ..job }], ..Facts::default() };
        let (wanted, obsolete) = replay(&DatabaseMigration::new("shop", Default::default()), &facts, at(0));
        assert!(matches!(wanted, Replay::NotWanted));
        assert_eq!(obsolete, ["shop-replay-1"]);
        assert_eq!(reason(&at_rest(), &facts, &wanted), None, "no database was seen");
    }

    #[test]
    fn a_replay_is_read_only_when_nothing_else_is_known_of_it() {
        let mut object = object("head");
        object.spec.drift.mode = DriftMode::Replay;
        object.spec.scratch = serde_json::from_value(serde_json::json!({"image": "postgres:15"})).unwrap();
        let facts = Facts { scheme: "postgresql+psycopg".to_owned(), ..facts("a b", "b") };
        let (Replay::Wanted(wanted), _) = replay(&object, &facts, at(0)) else { panic!("it can be replayed") };
        let key = wanted.request.record.key.clone();
        let job = |name: &str| Some(JobView { name: name.to_owned(), ..JobView::default() });
        let so_far = |ended, working, due| {
            Replay::Wanted(Box::new(WantedReplay { request: wanted.request.clone(), ended, working, due }))
        };
        let step = |replay: &Replay, stored| match replay_step(replay, stored) {
            ReplayStep::Known(view) => match *view {
                ReplayView::Stored { .. } => "stored".to_owned(),
                ReplayView::Working { job, .. } => format!("working {}", job.name),
                ReplayView::Next { .. } => "next".to_owned(),
                other => format!("{other:?}"),
            },
            ReplayStep::Read { ended, .. } => format!("read {}", ended.name),
        };
        assert_eq!(step(&so_far(job("e"), None, true), Some(&key)), "stored");
        assert_eq!(step(&so_far(job("e"), None, false), Some("of another")), "read e");
        assert_eq!(step(&so_far(job("e"), job("w"), false), None), "working w");
        assert_eq!(step(&so_far(job("e"), None, true), None), "next");
        assert_eq!(step(&Replay::NotWanted, Some(&key)), "NotWanted");
    }
}
