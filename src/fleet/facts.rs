//! What a look at the world found for a set; no I/O.

use super::member::{Line, Member, Target};
use crate::{
    api::{BatchStatus, Problem},
    db::Sizes,
    jobs::{BatchReport, InspectRequest, Inspected, PodState},
    reconcile::ImageView,
};
use std::sync::Arc;

/// A batch that the status names.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BatchView {
    pub status: BatchStatus,
    /// Keys of its targets, in the order of its task; none once its Job is gone.
    pub members: Vec<String>,
    /// Whether its Job is there.
    pub there: bool,
    /// Whether it still has to be let begin.
    pub suspended: bool,
    /// Its Job as it was seen, where it is never let begin since the set is suspended or goes.
    pub withdrawn: Option<Withdrawn>,
    pub state: PodState,
    /// What it left behind, once it has ended.
    pub report: Option<BatchReport>,
}

impl BatchView {
    pub fn has_ended(&self) -> bool {
        !self.there || self.withdrawn.is_some() || matches!(self.state, PodState::Ended(_))
    }
}

/// The Job of a batch that is deleted as it was seen: one that was let begin since is another version, and the API server refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withdrawn {
    pub job: String,
    pub uid: Option<String>,
    pub version: Option<String>,
}

/// The Job of a batch that the status does not name: it has ended, or was never let begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherBatch {
    pub job: String,
    pub number: i64,
    pub suspended: bool,
    /// Whether it goes with the set.
    pub owned: bool,
}

/// What one look at the world found.
#[derive(Debug, Default)]
pub struct Facts {
    /// Whether only some may approve.
    pub restricted: bool,
    /// What kept the look from being whole.
    pub problem: Option<Problem>,
    /// Whether the targets were listed and read in this look.
    pub looked: bool,
    /// Whether so many targets have gone at once that somebody had to say that it is meant.
    pub vanished: bool,
    /// Each server by its name, and where it is: what an approval is given for.
    pub places: Vec<String>,
    /// The targets, sorted by their keys.
    pub members: Vec<Member>,
    /// The lines of the pages as they stand.
    pub lines: Vec<Line>,
    pub batches: Vec<BatchView>,
    pub others: Vec<OtherBatch>,
    pub image: ImageView,
    pub wanted: Option<InspectRequest>,
    /// The target whose database is used for the inspection.
    pub example: Option<Target>,
    /// Inspect Jobs that nobody waits for any more.
    pub obsolete: Vec<String>,
    pub remembered: Vec<Arc<Inspected>>,
    /// The largest table of each name, over all targets.
    pub sizes: Option<Sizes>,
    pub server_version: String,
}
