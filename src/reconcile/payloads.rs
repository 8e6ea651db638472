//! What all the payloads in memory may take together, so that pods with a long result can't fill it; no I/O.

use crate::jobs::{Frames, MAX_PAYLOAD};
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that a payload takes without asking: most never need more.
const FREE: u64 = 256 * 1024;

/// The room for the large ones: as much as the largest. Those who wait for it are served in their order.
pub struct Payloads(Arc<Semaphore>);

impl Default for Payloads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(kib(MAX_PAYLOAD))))
    }
}

impl Payloads {
    /// Waits for room. It is held until what comes back is dropped.
    pub async fn room(&self, frames: &Frames) -> Option<OwnedSemaphorePermit> {
        let size = frames.size().min(MAX_PAYLOAD);
        if size <= FREE {
            return None;
        }
        let permits = u32::try_from(kib(size)).unwrap_or(u32::MAX);
        // It is never closed.
        self.0.clone().acquire_many_owned(permits).await.ok()
    }
}

fn kib(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(1024)).unwrap_or(usize::MAX)
}
