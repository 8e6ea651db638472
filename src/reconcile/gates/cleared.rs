//! A run that passed every gate; no I/O.

use crate::{api::RunRecord, jobs::RunRequest};

/// A run that may start. Only a plan that passed every gate becomes one.
#[derive(Clone, Debug)]
pub struct Start(RunRequest);

impl Start {
    pub(super) fn new(request: RunRequest) -> Self {
        Self(request)
    }

    pub fn request(&self) -> &RunRequest {
        &self.0
    }

    /// The run as the status remembers it.
    pub fn record(&self) -> RunRecord {
        self.0.run_record()
    }
}
