//! What all the payloads in memory may take together, so that pods with a long result can't fill it; no I/O.

use crate::jobs::{Frames, MAX_PAYLOAD};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{error::Elapsed, timeout},
};

/// Bytes that a payload takes without asking: most never need more.
const FREE: u64 = 256 * 1024;

const PATIENCE: Duration = Duration::from_secs(1);

/// The room for the large ones: as much as the largest. Those who wait for it are served in their order.
pub struct Payloads(Arc<Semaphore>);

impl Default for Payloads {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(kib(MAX_PAYLOAD))))
    }
}

impl Payloads {
    /// Waits a moment for room, which is held until what comes back is dropped: a pass that waits is one less for other objects.
    /// Fails when there is none.
    pub async fn room(&self, frames: &Frames) -> Result<Option<OwnedSemaphorePermit>, Elapsed> {
        let size = frames.size().min(MAX_PAYLOAD);
        if size <= FREE {
            return Ok(None);
        }
        let permits = u32::try_from(kib(size)).unwrap_or(u32::MAX);
        // It is never closed.
        Ok(timeout(PATIENCE, self.0.clone().acquire_many_owned(permits)).await?.ok())
    }
}

fn kib(bytes: u64) -> usize {
    usize::try_from(bytes.div_ceil(1024)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: u64) -> Frames {
        serde_json::from_value(serde_json::json!({ "nonce": "n", "frames": 1, "bytes": bytes, "sha256": "0" })).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn large_ones_share_their_room_and_small_ones_need_none() {
        let payloads = Payloads::default();
        let half = payloads.room(&frames(MAX_PAYLOAD / 2)).await.unwrap();
        assert!(payloads.room(&frames(MAX_PAYLOAD)).await.is_err(), "it comes back later");
        let other = payloads.room(&frames(MAX_PAYLOAD / 2)).await.unwrap();
        assert!(payloads.room(&frames(FREE)).await.unwrap().is_none());
        assert!(payloads.room(&frames(FREE + 1)).await.is_err());
        drop((half, other));
        // What claims to be larger is refused by its reader.
        assert!(payloads.room(&frames(u64::MAX)).await.unwrap().is_some());
    }
}
