//! The waves of a rollout: which target is in which, and when the next one may begin; no I/O.

use super::member::Target;
use crate::{
    api::{Promotion, Rollout, WaveState, WaveStatus, parse_duration},
    jobs::short_hash,
};
use k8s_openapi::{
    apimachinery::pkg::{apis::meta::v1::Time, util::intstr::IntOrString},
    jiff::{SignedDuration, Timestamp},
};

/// What no wave takes.
pub const REST: &str = "rest";

/// The names of all waves, the last one included.
pub fn names(rollout: &Rollout) -> Vec<&str> {
    rollout.waves.iter().map(|wave| wave.name.as_str()).chain([REST]).collect()
}

/// The number of the wave that a target is in. It follows from the set and the target alone, and not from the others: the same
/// targets are not first in every set, and nobody moves when another one comes or goes.
pub fn wave_of(set: &str, rollout: &Rollout, target: &Target) -> usize {
    let share = usize::from_str_radix(&short_hash(&[set, &target.key()], 6), 16).unwrap_or_default() % 1000;
    let takes = |wave: &crate::api::Wave| match (&wave.r#match, &wave.up_to) {
        (Some(labels), _) => labels.iter().all(|(key, value)| target.labels.get(key) == Some(value)),
        (None, Some(part)) => share < percent(part).saturating_mul(10),
        (None, None) => false,
    };
    rollout.waves.iter().position(takes).unwrap_or(rollout.waves.len())
}

fn percent(text: &str) -> usize {
    text.trim_end_matches('%').parse().unwrap_or(0)
}

/// How many of so many targets may fail.
pub fn budget(rollout: &Rollout, total: usize) -> usize {
    match &rollout.failure_budget {
        None => 0,
        Some(IntOrString::Int(number)) => usize::try_from(*number).unwrap_or(0),
        Some(IntOrString::String(text)) if text.ends_with('%') => total * percent(text).min(100) / 100,
        Some(IntOrString::String(text)) => text.parse().unwrap_or(0),
    }
}

/// How the targets of a wave stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub total: usize,
    pub done: usize,
    pub failed: usize,
}

impl Tally {
    /// How many are still to be migrated, or are at it.
    pub fn open(&self) -> usize {
        self.total.saturating_sub(self.done + self.failed)
    }
}

/// The waves after a look: those before the first that is not through stay through, and those after it wait.
pub fn advance(
    rollout: &Rollout,
    before: &[WaveStatus],
    tallies: &[Tally],
    now: Timestamp,
    promoted: impl Fn(&str) -> bool,
) -> Vec<WaveStatus> {
    let nothing_left = tallies.iter().all(|tally| tally.open() == 0 && tally.failed == 0);
    let mut waits = false;
    let status = |(number, (name, tally)): (usize, (&str, &Tally))| {
        let known = before.iter().find(|wave| wave.name == name);
        let (state, since) = match known {
            _ if waits => (WaveState::Waiting, None),
            Some(known) if known.state == WaveState::Passed => (WaveState::Passed, None),
            _ if nothing_left || tally.total == 0 => (WaveState::Passed, None),
            known => stands(rollout, number, known, tally, now, &promoted),
        };
        waits |= state != WaveState::Passed;
        WaveStatus {
            name: name.to_owned(),
            total: number_of(tally.total),
            done: number_of(tally.done),
            failed: number_of(tally.failed),
            state,
            since,
        }
    };
    names(rollout).into_iter().zip(tallies).enumerate().map(status).collect()
}

/// Where the first wave stands that is not through.
fn stands(
    rollout: &Rollout,
    number: usize,
    known: Option<&WaveStatus>,
    tally: &Tally,
    now: Timestamp,
    promoted: &impl Fn(&str) -> bool,
) -> (WaveState, Option<Time>) {
    if tally.failed > budget(rollout, tally.total) {
        return (WaveState::Paused, None);
    }
    if tally.open() > 0 {
        return (WaveState::Running, None);
    }
    let Some(wave) = rollout.waves.get(number) else { return (WaveState::Passed, None) };
    let since = known.and_then(|known| known.since.clone()).unwrap_or(Time(now));
    let soak = wave.then.soak.as_deref().and_then(parse_duration).and_then(|soak| SignedDuration::try_from(soak).ok());
    if soak.is_some_and(|soak| now.duration_since(since.0) < soak) {
        return (WaveState::Soaking, Some(since));
    }
    if wave.then.promotion == Promotion::Required && !promoted(&wave.name) {
        return (WaveState::AwaitingPromotion, Some(since));
    }
    (WaveState::Passed, None)
}

/// The number of the first wave that is not through, and its status.
pub fn current(waves: &[WaveStatus]) -> Option<(usize, &WaveStatus)> {
    waves.iter().enumerate().find(|(_, wave)| wave.state != WaveState::Passed)
}

pub fn number_of(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{Then, Wave};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + second).unwrap()
    }

    fn rollout(soak: Option<&str>, promotion: Promotion, budget: Option<&str>) -> Rollout {
        let labels = BTreeMap::from([("tier".to_owned(), "internal".to_owned())]);
        let then = Then { soak: soak.map(str::to_owned), promotion };
        Rollout {
            waves: vec![
                Wave { name: "canary".into(), r#match: Some(labels), then, ..Wave::default() },
                Wave { name: "tenth".into(), up_to: Some("10%".into()), ..Wave::default() },
            ],
            failure_budget: budget.map(|text| IntOrString::String(text.into())),
        }
    }

    fn tally(total: usize, done: usize, failed: usize) -> Tally {
        Tally { total, done, failed }
    }

    fn states(waves: &[WaveStatus]) -> Vec<WaveState> {
        waves.iter().map(|wave| wave.state).collect()
    }

    #[test]
    fn targets_are_spread_and_stay() {
        let plan = rollout(None, Promotion::Automatic, None);
        let target = |n: usize| Target { name: format!("t{n}"), server: "main".into(), ..Target::default() };
        let waves: Vec<usize> = (0..2000).map(|n| wave_of("uid", &plan, &target(n))).collect();
        let tenth = waves.iter().filter(|wave| **wave == 1).count();
        assert!((150..250).contains(&tenth) && !waves.contains(&0), "{tenth}");
        let mut internal = target(7);
        internal.labels.insert("tier".into(), "internal".into());
        assert_eq!(wave_of("uid", &plan, &internal), 0);
        let others: Vec<usize> = (0..2000).map(|n| wave_of("other", &plan, &target(n))).collect();
        assert_ne!(waves, others);
    }

    #[test]
    fn a_wave_soaks_and_then_waits_for_somebody() {
        use WaveState::*;
        let plan = rollout(Some("10m"), Promotion::Required, None);
        let tallies = [tally(2, 2, 0), tally(3, 0, 0), tally(5, 0, 0)];
        let first = advance(&plan, &[], &tallies, at(0), |_| false);
        assert_eq!(states(&first), [Soaking, Waiting, Waiting]);
        let later = advance(&plan, &first, &tallies, at(599), |_| true);
        assert_eq!(states(&later), [Soaking, Waiting, Waiting]);
        let waits = advance(&plan, &later, &tallies, at(600), |_| false);
        assert_eq!(states(&waits), [AwaitingPromotion, Waiting, Waiting]);
        let promoted = advance(&plan, &waits, &tallies, at(700), |wave| wave == "canary");
        assert_eq!(states(&promoted), [Passed, Running, Waiting]);
        // What passed stays so, whoever joins it.
        let joined = advance(&plan, &promoted, &[tally(3, 2, 1), tallies[1], tallies[2]], at(800), |_| false);
        assert_eq!(states(&joined), [Passed, Running, Waiting]);
        let done = [tally(2, 2, 0), tally(3, 3, 0), tally(5, 5, 0)];
        assert_eq!(states(&advance(&plan, &[], &done, at(0), |_| false)), [Passed; 3], "nothing was to be done");
    }

    #[test]
    fn failures_up_to_the_budget_are_left_behind() {
        use WaveState::*;
        let run = |budget: Option<&str>, failed| {
            let plan = rollout(None, Promotion::Automatic, budget);
            states(&advance(&plan, &[], &[tally(0, 0, 0), tally(100, 90, failed), tally(9, 0, 0)], at(0), |_| false))
        };
        assert_eq!(run(None, 0), [Passed, Running, Waiting]);
        assert_eq!(run(None, 1), [Passed, Paused, Waiting]);
        assert_eq!(run(Some("10"), 10), [Passed, Passed, Running]);
        assert_eq!(run(Some("9%"), 10), [Passed, Paused, Waiting]);
    }

    proptest! {
        /// Nothing of a wave begins before all before it are through, and what is through stays so.
        #[test]
        fn waves_come_one_after_the_other(
            looks in proptest::collection::vec(proptest::collection::vec((0usize..5, 0usize..5), 3), 1..8),
            budget in 0usize..3, soak in proptest::bool::ANY, promoted in proptest::bool::ANY,
        ) {
            let plan = rollout(soak.then_some("1m"), Promotion::Required, Some(&budget.to_string()));
            let mut known: Vec<WaveStatus> = Vec::new();
            for (second, look) in looks.into_iter().enumerate() {
                let tallies: Vec<Tally> = look.into_iter().map(|(done, failed)| tally(9, done, failed.min(9 - done))).collect();
                let next = advance(&plan, &known, &tallies, at(40 * second as i64), |_| promoted);
                prop_assert_eq!(next.len(), 3);
                let first = next.iter().position(|wave| wave.state != WaveState::Passed).unwrap_or(3);
                prop_assert!(next.iter().skip(first + 1).all(|wave| wave.state == WaveState::Waiting));
                for (wave, before) in next.iter().zip(&known) {
                    prop_assert!(before.state != WaveState::Passed || wave.state == WaveState::Passed);
                }
                for (number, wave) in next.iter().enumerate() {
                    let was = known.get(number).is_some_and(|before| before.state == WaveState::Passed);
                    prop_assert!(was || wave.state != WaveState::Passed || tallies[number].open() == 0 && tallies[number].failed <= budget);
                }
                known = next;
            }
        }
    }
}
