//! Growing pauses for each object that fails, with jitter; no I/O.

use crate::memory::Memory;
use kube::runtime::{utils::Backoff, watcher::DefaultBackoff};
use std::{
    hash::{BuildHasher, DefaultHasher, Hash, Hasher, RandomState},
    time::Duration,
};

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// Objects that fail at a time; more than that begin with short pauses again.
const MOST: u64 = 100_000;
/// An object that was not heard of for so long has gone.
const UNUSED: Duration = Duration::from_secs(3600);

/// Counts failures in a row by the object's UID.
pub struct BackOff {
    failures: Memory<u32>,
    seed: u64,
}

impl Default for BackOff {
    fn default() -> Self {
        Self::seeded(RandomState::new().hash_one(()))
    }
}

impl BackOff {
    /// With a jitter that is the same each time.
    pub fn seeded(seed: u64) -> Self {
        Self { failures: Memory::new(MOST, UNUSED), seed }
    }

    fn random(&self, of: impl Hash) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.seed, of).hash(&mut hasher);
        hasher.finish()
    }

    /// The pause after one more failure: doubling from a second to a minute, give or take a quarter, so that objects
    /// that failed together do not come back together.
    pub fn failed(&self, uid: &str) -> Duration {
        let count = self.failures.change(uid, |count| count.unwrap_or(0).saturating_add(1));
        let pause = FIRST.saturating_mul(1 << (count - 1).min(6)).min(LONGEST);
        jitter(pause, 0.25, self.random((uid, count)))
    }

    /// Forgets the failures of an object.
    pub fn succeeded(&self, uid: &str) {
        self.failures.forget(uid);
    }

    /// A part of an interval, another one for each object.
    pub fn part(&self, uid: &str, interval: Duration) -> Duration {
        interval.mul_f64((self.random((uid, "part")) % 10_001) as f64 / 10_000.0)
    }

    /// An interval, give or take a tenth.
    pub fn spread(&self, uid: &str, interval: Duration, now: i64) -> Duration {
        jitter(interval, 0.1, self.random((uid, now)))
    }
}

/// Pauses of a watch that was interrupted: those of kube, but no longer than some seconds, or the end of a run would
/// be noticed half a minute after the API server is back. There are four watches for each namespace, or four in all.
#[derive(Default)]
pub struct WatchBackOff(DefaultBackoff);

const LONGEST_OF_A_WATCH: Duration = Duration::from_secs(5);

impl Iterator for WatchBackOff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(LONGEST_OF_A_WATCH))
    }
}

impl Backoff for WatchBackOff {
    fn reset(&mut self) {
        self.0.reset();
    }
}

fn jitter(pause: Duration, part: f64, random: u64) -> Duration {
    let unit = (random % 10_001) as f64 / 10_000.0;
    pause.mul_f64(1.0 - part + 2.0 * part * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_start_again() {
        let back_off = BackOff::default();
        let first = back_off.failed("a");
        assert!(first >= Duration::from_millis(750) && first <= Duration::from_millis(1250), "{first:?}");
        let last = (0..100).map(|_| back_off.failed("a")).last().unwrap();
        assert!(last >= Duration::from_secs(45) && last <= Duration::from_secs(75), "{last:?}");
        assert!(back_off.failed("b") < Duration::from_secs(2));
        back_off.succeeded("a");
        assert!(back_off.failed("a") < Duration::from_secs(2));
    }
}
