//! What all the catalogs in memory may take together, so that large schemas can't fill it; no I/O.

use std::sync::{Arc, LazyLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// KiB that a catalog may take, with what the memory allocator adds: a schema of about 150,000 columns.
const LARGEST: u32 = 32 * 1024;
/// KiB that the large ones may take together.
const TOGETHER: usize = 48 * 1024;
/// KiB that a catalog takes without asking: most never need more.
const FREE: u32 = 1024;

static LARGE: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(TOGETHER)));

/// Why a catalog may not grow any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// It is too large whatever else is there.
    Always,
    /// Other large ones are being read.
    Now,
}

/// The part of the budget that a catalog holds, until it is dropped. All are equal: it says nothing about the catalog.
#[derive(Debug, Default)]
pub(super) struct Share {
    bytes: usize,
    permit: Option<OwnedSemaphorePermit>,
    held: u32,
}

impl Share {
    /// Makes room for so many bytes more.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        self.bytes += bytes;
        let needed = u32::try_from(self.bytes / 1024).unwrap_or(u32::MAX);
        if needed > LARGEST {
            return Err(Full::Always);
        }
        if needed <= FREE || needed - FREE <= self.held {
            return Ok(());
        }
        // A MiB at a time, so that it is seldom asked for.
        let more = (needed - FREE - self.held).max(1024);
        let permit = LARGE.clone().try_acquire_many_owned(more).map_err(|_| Full::Now)?;
        self.held += more;
        match &mut self.permit {
            Some(held) => held.merge(permit),
            None => self.permit = Some(permit),
        }
        Ok(())
    }
}
