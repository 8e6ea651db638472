//! When the schema of each object was last compared; no I/O.

use crate::memory::Memory;
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// When the schema of each object was last compared, by the object's UID. Nothing of it is kept: after a start the
/// comparisons are spread over an interval, so that they do not all come at once.
pub struct DriftSchedule(Memory<Check>);

#[derive(Clone)]
struct Check {
    /// What the comparison was made for.
    reason: String,
    at: Timestamp,
}

/// Objects whose checks are remembered; those of more than that are made at each pass.
const MOST: u64 = 100_000;
/// An object asks at each pass; one that has not done so for so long has gone.
const UNUSED: Duration = Duration::from_secs(8 * 24 * 3600);

impl Default for DriftSchedule {
    fn default() -> Self {
        Self(Memory::new(MOST, UNUSED))
    }
}

impl DriftSchedule {
    /// Remembers that a comparison was made and what came of it is stored.
    pub fn done(&self, uid: &str, reason: String, at: Timestamp) {
        self.0.set(uid, Check { reason, at });
    }

    /// The last comparison: what it was made for, and when.
    pub fn last(&self, uid: &str) -> Option<(String, Timestamp)> {
        self.0.get(uid).map(|check| (check.reason, check.at))
    }
}
