//! What the plugin shows of sets, and how people answer them. What computes text is pure; `cluster` talks to the API server.

mod answer;
#[cfg(test)]
mod answer_tests;
mod cluster;
mod commands;
mod logs;
mod plans;
pub mod status;
pub mod targets;
#[cfg(test)]
pub mod tests;

use crate::api::{DatabaseMigrationSet, DatabaseMigrationSetStatus, WaveState, WaveStatus};
use std::borrow::Cow;

pub use logs::of_target;
pub use plans::document;

/// A set's status; of one that has none, an empty one.
pub fn status_of(set: &DatabaseMigrationSet) -> Cow<'_, DatabaseMigrationSetStatus> {
    set.status.as_ref().map_or_else(|| Cow::Owned(DatabaseMigrationSetStatus::default()), Cow::Borrowed)
}

/// The wave that waits for somebody to let the next one begin, with the number of its rollout.
pub fn promotable(status: &DatabaseMigrationSetStatus) -> Option<(i64, &WaveStatus)> {
    let rollout = status.rollout.as_ref()?;
    let wave = rollout.waves.iter().find(|wave| wave.state == WaveState::AwaitingPromotion)?;
    Some((rollout.number, wave))
}
