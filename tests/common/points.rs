//! Which faults are tried where: each at each write, and those that are too many for that by chance. No I/O but the clock.

use super::{
    others::{Deed, Everyday},
    scenarios::{Extent, Scenario},
    strikes::{Counted, Counts, Fault, Strike},
};
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{SystemTime, UNIX_EPOCH},
};

/// How many pairs of faults are tried in a scenario.
const PAIRS: usize = 12;
/// At how many writes of a scenario another version comes.
const VERSIONS: usize = 4;
/// How many requests about the Lease are tried one by one, and how many of the later ones by chance.
const FIRST_REQUESTS: usize = 6;
const LATER_REQUESTS: usize = 2;
/// At how many requests about the Lease of a database: as many as a run makes.
const MOST_OF_A_LOCK: usize = 20;
/// How many points of a long scenario are tried.
const OF_A_LONG_ONE: usize = 12;
/// Others do something up to this many seconds after a write, so that a run is at work for most of them.
const LATE: usize = 25;

/// Chance that can be had again: what is thrown follows from the seed and from what it is thrown for.
#[derive(Clone, Copy)]
pub struct Dice(u64);

impl Dice {
    /// By `SEED`, or by the day: each day tries something else, and all machines the same.
    pub fn new() -> Self {
        let day = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() / 86_400);
        Self(std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(day))
    }

    pub fn seed(self) -> u64 {
        self.0
    }

    /// A number below `sides`.
    fn throw(self, what: impl Hash, sides: usize) -> usize {
        let mut hasher = DefaultHasher::new();
        (self.0, what).hash(&mut hasher);
        usize::try_from(hasher.finish() % sides.max(1) as u64).unwrap_or_default()
    }

    fn one_of<T: Copy>(self, what: impl Hash, list: &[T]) -> T {
        list[self.throw(what, list.len())]
    }
}

/// What befalls the operator in one run of a scenario.
pub type Strikes = Vec<Strike>;

/// A way to run every scenario.
pub struct Sweep {
    pub title: &'static str,
    pub replicas: usize,
    /// By the scenario and its requests when nothing befalls it.
    pub points: fn(&Scenario, Counts, Dice) -> Vec<Strikes>,
    /// Whether only the databases and what the objects say in the end are compared.
    pub loosely: bool,
}

pub const SWEEPS: [Sweep; 7] = [
    Sweep { title: "one operator", replicas: 1, points: each_fault, loosely: false },
    Sweep { title: "one operator, one watch behind", replicas: 1, points: one_behind, loosely: false },
    Sweep { title: "one operator, two faults", replicas: 1, points: pairs, loosely: false },
    Sweep { title: "one operator, after another version", replicas: 1, points: versions, loosely: true },
    Sweep { title: "one operator, and the Lease of a database", replicas: 1, points: of_a_lock, loosely: false },
    Sweep { title: "two, of which one leads", replicas: 2, points: of_a_leader, loosely: false },
    Sweep { title: "two, and the Lease", replicas: 2, points: of_a_lease, loosely: false },
];

fn at(at: usize, fault: Fault) -> Strike {
    Strike { at, of: Counted::Writes, fault }
}

/// A long scenario gets some of its points alone.
fn some(scenario: &Scenario, points: Vec<Strikes>, dice: Dice) -> Vec<Strikes> {
    if scenario.extent != Extent::Long || points.len() <= OF_A_LONG_ONE {
        return points;
    }
    let chosen = |n| points[dice.throw((scenario.name, "some", points.len(), n), points.len())].clone();
    (0..OF_A_LONG_ONE).map(chosen).collect()
}

/// What differs by the code alone is tried by turns: of the ways to hear nothing of a write, and of those to be refused, the
/// conflict and one of the others at each write.
fn each_fault(scenario: &Scenario, Counts { writes, .. }: Counts, dice: Dice) -> Vec<Strikes> {
    let of = |write| {
        let lost = dice.one_of((scenario.name, "lost", write), &Fault::LOST);
        let refused = dice.one_of((scenario.name, "refused", write), &Fault::REFUSED);
        Fault::ALONE.into_iter().chain([lost, refused]).map(move |fault| vec![at(write, fault)])
    };
    some(scenario, (1..=writes).flat_map(of).collect(), dice)
}

fn one_behind(scenario: &Scenario, Counts { writes, .. }: Counts, dice: Dice) -> Vec<Strikes> {
    let first = 1 + dice.throw((scenario.name, "behind"), 2);
    let of = |write| vec![at(write, dice.one_of((scenario.name, "behind", write), &Fault::WATCHED))];
    some(scenario, (first..=writes).step_by(2).map(of).collect(), dice)
}

fn pairs(scenario: &Scenario, Counts { writes, .. }: Counts, dice: Dice) -> Vec<Strikes> {
    let all: Vec<Fault> =
        Fault::ALONE.into_iter().chain(Fault::WATCHED).chain(Fault::LOST).chain(Fault::REFUSED).collect();
    let pair = |n: usize| {
        let one = |which| {
            let write = 1 + dice.throw((scenario.name, "pair", n, which), writes);
            at(write, dice.one_of((scenario.name, "fault", n, which), &all))
        };
        let mut pair = vec![one("first"), one("second")];
        pair.sort_by_key(|strike| strike.at);
        pair
    };
    // While one process waits for another to be done, that one must not end.
    let possible = |pair: &Strikes| {
        let [first, second] = pair.as_slice() else { return false };
        first.at != second.at && !(first.fault == Fault::Paused && second.fault.ends_the_process())
    };
    let wanted = if scenario.extent == Extent::Long { 1 } else { PAIRS };
    (0..wanted * 4).map(pair).filter(possible).take(wanted).collect()
}

fn versions(scenario: &Scenario, Counts { writes, .. }: Counts, dice: Dice) -> Vec<Strikes> {
    let wanted = if scenario.extent == Extent::Long { 1 } else { VERSIONS };
    let of = |n| vec![at(1 + dice.throw((scenario.name, "version", n), writes), Fault::OtherVersion)];
    (0..wanted).map(of).collect()
}

/// By turns: a process that dies at each write is tried alone already.
fn of_a_leader(scenario: &Scenario, Counts { writes, .. }: Counts, dice: Dice) -> Vec<Strikes> {
    let of = |write| vec![at(write, dice.one_of((scenario.name, "leader", write), &Fault::OF_A_LEADER))];
    some(scenario, (1..=writes).map(of).collect(), dice)
}

/// The election is the same whatever is done.
fn of_a_lease(scenario: &Scenario, Counts { election, .. }: Counts, dice: Dice) -> Vec<Strikes> {
    if !["first upgrade", "deletion during a run"].contains(&scenario.name) {
        return Vec::new();
    }
    let later = |n| FIRST_REQUESTS + 1 + dice.throw((scenario.name, "lease", n), election.min(60));
    let of = |at| Fault::OF_A_LEASE.map(|fault| vec![Strike { at, of: Counted::Election, fault }]);
    (1..=FIRST_REQUESTS).chain((0..LATER_REQUESTS).map(later)).flat_map(of).collect()
}

/// Each request about the Lease of a database. Its writes are tried among all others too.
fn of_a_lock(scenario: &Scenario, Counts { lock, .. }: Counts, dice: Dice) -> Vec<Strikes> {
    let of = |at| Fault::OF_A_LEASE.map(|fault| vec![Strike { at, of: Counted::Lock, fault }]);
    some(scenario, (1..=lock.min(MOST_OF_A_LOCK)).flat_map(of).collect(), dice)
}

/// What others do at each write of what is done every day.
pub fn of_others(everyday: &Everyday, writes: usize, dice: Dice) -> Vec<(Deed, Strikes)> {
    let of = |write| {
        everyday.deeds().map(move |deed| {
            let after = dice.throw((everyday.name, deed as usize, write), LATE);
            (deed, vec![at(write, Fault::Others(deed, after as u64))])
        })
    };
    (1..=writes).flat_map(of).collect()
}
