//! A run that passed every gate; no I/O.

use crate::{api::RunRecord, jobs::RunRequest};

/// A run that may start. Only a plan that passed every gate becomes one.
#[derive(Clone, Debug)]
pub struct Start {
    request: RunRequest,
    /// The Lease that it must hold, where the engine's own lock is not used.
    lease: Option<String>,
    /// A hash of the database's server, where it has one.
    server: Option<String>,
}

impl Start {
    pub(super) fn new(request: RunRequest, lease: Option<String>, server: Option<String>) -> Self {
        Self { request, lease, server }
    }

    pub fn request(&self) -> &RunRequest {
        &self.request
    }

    pub fn lease(&self) -> Option<&str> {
        self.lease.as_deref()
    }

    pub fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    /// The run as the status remembers it.
    pub fn record(&self) -> RunRecord {
        self.request.run_record()
    }
}
