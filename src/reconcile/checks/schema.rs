//! What a reading of the schema means: what it should be, how it differs, and whether that is to be kept; no I/O.

use crate::{
    api::{DatabaseMigrationStatus, DriftedObject, RunRecord},
    db::{Baseline, Catalog, Exclude, fingerprint},
    text::{self, rows_in_line},
};
use std::collections::BTreeSet;

/// Why a schema becomes what the live one is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BaselineOrigin {
    /// A run was verified by the version rows.
    AfterRun,
    /// The database is at its target and nothing was known of its schema.
    First,
    /// A person said that it may stay so.
    Accepted,
    /// Another server version spells definitions in another way.
    EngineUpgraded,
    /// The history was run again on a scratch database.
    Replayed,
}

/// What a replay of the history is known by, and the schema that it made, as far as there is one.
pub struct Replayed<'a> {
    pub key: &'a str,
    pub catalog: Result<&'a Catalog, String>,
}

/// A comparison of the live schema.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    pub baseline: Baseline,
    pub differences: Vec<DriftedObject>,
    /// Of the live schema, as a person would accept it.
    pub fingerprint: String,
    pub taken: Option<BaselineOrigin>,
    /// The fingerprint that was accepted and is not what is there.
    pub stale: Option<String>,
}

/// What one comparison is made with.
pub struct Look<'a> {
    pub catalog: &'a Catalog,
    /// The version rows of the same moment.
    pub rows: &'a BTreeSet<String>,
    pub kept: Option<&'a Baseline>,
    pub status: &'a DatabaseMigrationStatus,
    pub at_target: bool,
    pub exclude: &'a Exclude,
    pub accepted: &'a [&'a str],
    /// In mode Replay: what the schema is compared with in place of itself.
    pub replayed: Option<Replayed<'a>>,
}

/// Why nobody knows what the schema should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotCompared {
    /// Nothing is known yet, or not for these version rows.
    NoBaseline(String),
    /// A baseline was stored once and is not there any more: whatever has changed since must not pass for the rule.
    Lost(String),
}

impl Look<'_> {
    /// How the live schema differs from what it should be; else why nobody knows what it should be.
    pub fn compare(&self) -> Result<Compared, NotCompared> {
        let live = fingerprint(self.catalog, self.exclude);
        let is_accepted = self.accepted.contains(&live.as_str());
        let (mut baseline, mut taken) = match self.baseline() {
            Ok(found) => found,
            Err(_) if is_accepted => (self.now(), Some(BaselineOrigin::Accepted)),
            Err(why) => {
                let why = format!("{why}; to compare with it as it is now, accept fingerprint {live}");
                return Err(if self.is_lost() { NotCompared::Lost(why) } else { NotCompared::NoBaseline(why) });
            }
        };
        let mut differences = baseline.compare(self.catalog, self.exclude);
        if !differences.is_empty() && is_accepted {
            (baseline, taken) = (self.now(), Some(BaselineOrigin::Accepted));
            differences.clear();
        }
        let stale = self.accepted.first().filter(|_| !differences.is_empty()).map(|stale| text::clean(stale, 64));
        let failed = self.status.recorded_runs() > baseline.run;
        let baseline = baseline.noting(&differences, self.catalog, failed);
        Ok(Compared { baseline, differences, fingerprint: live, taken, stale })
    }

    fn baseline(&self) -> Result<(Baseline, Option<BaselineOrigin>), String> {
        match &self.replayed {
            Some(replayed) => self.replayed_baseline(replayed),
            None => self.snapshot(),
        }
    }

    fn replayed_baseline(&self, replayed: &Replayed) -> Result<(Baseline, Option<BaselineOrigin>), String> {
        let key = Some(replayed.key.to_owned());
        if let Some(kept) = self.kept.filter(|kept| kept.replay == key && kept.comparable(self.catalog)) {
            return Ok((kept.clone(), None));
        }
        let catalog = replayed.catalog.clone()?;
        let made = Baseline { replay: key, ..Baseline::of(catalog, self.status.recorded_runs(), self.rows) };
        if !made.comparable(self.catalog) {
            return Err(format!(
                "the history was run on {}, the database is on {}: name a server of that version in spec.scratch.image",
                made.engine, self.catalog.engine
            ));
        }
        Ok((made, Some(BaselineOrigin::Replayed)))
    }

    fn snapshot(&self) -> Result<(Baseline, Option<BaselineOrigin>), String> {
        // One that was made by running the history is none that was taken from the database.
        let Some(kept) = self.kept.filter(|kept| kept.replay.is_none()) else {
            if self.is_lost() {
                let why = "the baseline that was stored is gone, so nobody knows whether the schema has changed";
                return Err(why.to_owned());
            }
            return match self.run() {
                Some(_) => Ok((self.now(), Some(BaselineOrigin::AfterRun))),
                None if self.at_target => Ok((self.now(), Some(BaselineOrigin::First))),
                None => Err("nothing is known of what the schema should be before the first run".to_owned()),
            };
        };
        if let Some(run) = self.run().filter(|run| run.number > kept.run) {
            let from: BTreeSet<String> = run.from.iter().cloned().collect();
            // What was drift before the run is drift after it, unless the run was that which changed it.
            let known = kept.comparable(self.catalog) && kept.rows == from;
            let taken = if known { Baseline::after(self.catalog, run.number, self.rows, kept) } else { self.now() };
            return Ok((taken, Some(BaselineOrigin::AfterRun)));
        }
        if kept.rows != *self.rows {
            return Err(format!(
                "the version rows are {}, and the schema is known for {} alone: something else than this object has changed it, or a run ended half-way",
                rows_in_line(self.rows),
                rows_in_line(&kept.rows)
            ));
        }
        if !kept.comparable(self.catalog) {
            return Ok((Baseline { run: kept.run, ..self.now() }, Some(BaselineOrigin::EngineUpgraded)));
        }
        Ok((kept.clone(), None))
    }

    fn is_lost(&self) -> bool {
        let taken = self.kept.filter(|kept| kept.replay.is_none());
        self.replayed.is_none() && taken.is_none() && self.status.runs.baseline.is_some()
    }

    /// The newest run that succeeded, if it led to the version rows that are there.
    fn run(&self) -> Option<&RunRecord> {
        self.status.runs.led_to(self.rows).map(|success| &success.run)
    }

    fn now(&self) -> Baseline {
        let replay = self.replayed.as_ref().map(|replayed| replayed.key.to_owned());
        Baseline { replay, ..Baseline::of(self.catalog, self.status.recorded_runs(), self.rows) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Change, RunStatus, RunsStatus, SucceededRun};

    fn catalog(objects: &[(&str, &str)]) -> Catalog {
        let rows = objects.iter().map(|(name, definition)| ("table".into(), (*name).into(), (*definition).into()));
        Catalog::new("postgresql 15".into(), rows)
    }

    fn set(rows: &[&str]) -> BTreeSet<String> {
        rows.iter().map(|row| (*row).to_owned()).collect()
    }

    /// After run 2, which was to lead from r1 to r2.
    fn ran(well: bool) -> DatabaseMigrationStatus {
        let run = RunRecord { number: 2, from: vec!["r1".into()], to: vec!["r2".into()], ..RunRecord::default() };
        let last_success = well.then(|| SucceededRun { run: run.clone(), ..SucceededRun::default() });
        DatabaseMigrationStatus {
            last_run: Some(RunStatus { record: run, ..RunStatus::default() }),
            runs: RunsStatus { last_success, ..RunsStatus::default() },
            ..Default::default()
        }
    }

    struct Case<'a> {
        live: &'a [(&'a str, &'a str)],
        rows: &'a [&'a str],
        kept: Option<&'a Baseline>,
        status: DatabaseMigrationStatus,
        at_target: bool,
        accepted: Option<&'a str>,
    }

    impl Case<'_> {
        fn compare(&self) -> Result<Compared, NotCompared> {
            let (catalog, rows, exclude) = (catalog(self.live), set(self.rows), Exclude::default());
            Look {
                catalog: &catalog,
                rows: &rows,
                kept: self.kept,
                status: &self.status,
                at_target: self.at_target,
                exclude: &exclude,
                accepted: &self.accepted.into_iter().collect::<Vec<_>>(),
                replayed: None,
            }
            .compare()
        }
    }

    fn words(why: &NotCompared) -> &str {
        match why {
            NotCompared::NoBaseline(why) | NotCompared::Lost(why) => why,
        }
    }

    const A: &[(&str, &str)] = &[("a", "1")];
    const AB: &[(&str, &str)] = &[("a", "1"), ("b", "1")];

    fn case<'a>(live: &'a [(&'a str, &'a str)], rows: &'a [&'a str], kept: Option<&'a Baseline>) -> Case<'a> {
        Case { live, rows, kept, status: Default::default(), at_target: true, accepted: None }
    }

    #[test]
    fn the_first_look_at_the_target_is_what_later_ones_compare_with() {
        let first = case(A, &["r"], None).compare().unwrap();
        assert_eq!((first.taken, first.differences.len()), (Some(BaselineOrigin::First), 0));
        let second = case(AB, &["r"], Some(&first.baseline)).compare().unwrap();
        assert_eq!((second.taken, second.differences[0].change), (None, Change::Unexpected));
        let third = case(A, &["r"], Some(&second.baseline)).compare().unwrap();
        assert_eq!(third.differences, vec![]);
        assert!(
            Case { at_target: false, ..case(A, &["r"], None) }
                .compare()
                .is_err_and(|why| words(&why).contains("first run"))
        );
    }

    #[test]
    fn a_verified_run_makes_a_new_one_once() {
        let before = Baseline::of(&catalog(A), 1, &set(&["r1"]));
        let run = || Case { status: ran(true), ..case(AB, &["r2"], Some(&before)) };
        let after = run().compare().unwrap();
        assert_eq!((after.taken, after.baseline.run, after.differences.len()), (Some(BaselineOrigin::AfterRun), 2, 0));
        let again = Case { kept: Some(&after.baseline), ..run() }.compare().unwrap();
        assert_eq!((again.taken, &again.baseline), (None, &after.baseline));
        assert!(Case { status: ran(false), ..run() }.compare().is_err_and(|why| words(&why).contains("r2")));
        let half_done = Case { status: ran(false), ..case(AB, &["r1"], Some(&before)) };
        assert_eq!(half_done.compare().unwrap().differences.len(), 1);
    }

    #[test]
    fn a_baseline_that_is_lost_accepts_nothing() {
        let mut status = ran(true);
        status.runs.baseline = Some(2);
        let lost = || Case { status: status.clone(), ..case(AB, &["r2"], None) };
        assert!(matches!(lost().compare(), Err(NotCompared::Lost(_))));
        let live = fingerprint(&catalog(AB), &Exclude::default());
        assert_eq!(Case { accepted: Some(&live), ..lost() }.compare().unwrap().taken, Some(BaselineOrigin::Accepted));
        // Nor does one that the history made in its place.
        let of_history = Baseline { replay: Some("k".into()), ..Baseline::of(&catalog(AB), 2, &set(&["r2"])) };
        assert!(Case { kept: Some(&of_history), ..lost() }.compare().is_err());
    }

    #[test]
    fn a_person_can_accept_what_is_there_and_nothing_else() {
        let kept = Baseline::of(&catalog(A), 1, &set(&["r"]));
        let found = case(AB, &["r"], Some(&kept)).compare().unwrap();
        let accepting =
            |accepted| Case { accepted: Some(accepted), ..case(AB, &["r"], Some(&kept)) }.compare().unwrap();
        let accepted = accepting(&found.fingerprint);
        assert_eq!((accepted.taken, accepted.differences.len()), (Some(BaselineOrigin::Accepted), 0));
        let stale = accepting("0123");
        assert_eq!((stale.taken, stale.differences.len(), stale.stale.as_deref()), (None, 1, Some("0123")));
    }

    #[test]
    fn another_server_version_is_no_drift() {
        let kept = Baseline { engine: "postgresql 14".into(), ..Baseline::of(&catalog(A), 1, &set(&["r"])) };
        let found = case(AB, &["r"], Some(&kept)).compare().unwrap();
        assert_eq!((found.taken, found.differences.len()), (Some(BaselineOrigin::EngineUpgraded), 0));
    }
}
