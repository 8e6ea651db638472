//! What can go wrong at a request of an operator, and where it does. No I/O.

use super::others::Deed;
use std::sync::{Arc, Mutex, PoisonError};

/// What goes wrong at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process dies when the write is stored and before the answer arrives.
    Crash,
    /// The same, and the next process at first sees the world as it was before the write.
    CrashStale,
    /// The write is stored, and the answer is this status code instead.
    LostAnswer(u16),
    /// The write is stored, and the connection breaks.
    Broken,
    /// The write is refused with this status code.
    Refused(u16),
    /// From the write on, lists and watches stand still for a while.
    Stale,
    /// From the write on, the watch of one resource stands still for a while, as one that is behind the others.
    Behind(&'static str),
    /// From the write on, watches miss what happens, and then have to begin anew.
    Missed,
    /// The API server is away for two minutes from the write on.
    Away,
    /// The process stands still before the write, for longer than a Lease lasts, and then goes on.
    Hang,
    /// The write hangs; another process takes over and brings everything to its end, and only then is it stored. The
    /// first process works on all the while.
    Paused,
    /// The process dies when the write is stored, and one of another version wrote into the status before the next begins.
    OtherVersion,
    /// Somebody else does something, so many seconds after the write.
    Others(Deed, u64),
}

impl Fault {
    /// What can befall the leader of two.
    pub const OF_A_LEADER: [Self; 2] = [Self::Crash, Self::Hang];

    /// What can befall a request about the Lease.
    pub const OF_A_LEASE: [Self; 9] = [
        Self::Crash,
        Self::LostAnswer(500),
        Self::LostAnswer(409),
        Self::Broken,
        Self::Refused(500),
        Self::Refused(409),
        Self::Refused(404),
        Self::Hang,
        Self::Others(Deed::DeleteLease, 0),
    ];

    /// Resources that are watched, each by a stream of its own.
    pub const WATCHED: [Self; 4] = [
        Self::Behind("databasemigrations.alembic-operator.dev"),
        Self::Behind("jobs.batch"),
        Self::Behind("pods"),
        Self::Behind("configmaps"),
    ];

    /// Ways to hear nothing of a write that was stored.
    pub const LOST: [Self; 4] = [Self::LostAnswer(500), Self::LostAnswer(504), Self::LostAnswer(429), Self::Broken];

    /// Ways to be refused for a while.
    pub const REFUSED: [Self; 2] = [Self::Refused(500), Self::Refused(429)];

    /// What befalls a process that works alone, each tried at every write.
    pub const ALONE: [Self; 8] = [
        Self::Crash,
        Self::CrashStale,
        Self::LostAnswer(409),
        Self::Refused(409),
        Self::Stale,
        Self::Missed,
        Self::Away,
        Self::Paused,
    ];

    /// Whether another process takes the place of the one that it befalls.
    pub fn ends_the_process(self) -> bool {
        matches!(self, Self::Crash | Self::CrashStale | Self::Paused | Self::OtherVersion)
    }
}

/// Which requests of a process are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Every write but those of the election.
    Writes,
    /// All about the Lease of the election.
    Election,
    /// All about a Lease that stands for the lock of a database; its writes are among the others as well. Not the lists of
    /// them, which go on all the time.
    Lock,
}

/// How many requests of each sort there were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub writes: usize,
    pub election: usize,
    pub lock: usize,
}

/// What befalls a process, and at which of its requests.
#[derive(Clone, Copy, Debug)]
pub struct Strike {
    /// From 1.
    pub at: usize,
    pub of: Counted,
    pub fault: Fault,
}

/// What befalls the first operator, and those that come after it.
#[derive(Default)]
pub struct Plan {
    strikes: Vec<Strike>,
    counts: Mutex<Counts>,
}

impl Plan {
    pub fn new(strikes: &[Strike]) -> Arc<Self> {
        Arc::new(Self { strikes: strikes.to_vec(), ..Self::default() })
    }

    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request; what befalls it.
    pub fn next(&self, sorts: &[Counted]) -> Option<Fault> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let mut struck = None;
        for sort in sorts {
            let count = match sort {
                Counted::Writes => &mut counts.writes,
                Counted::Election => &mut counts.election,
                Counted::Lock => &mut counts.lock,
            };
            *count += 1;
            let hit = self.strikes.iter().find(|strike| strike.of == *sort && strike.at == *count);
            struck = struck.or(hit.map(|strike| strike.fault));
        }
        struck
    }
}
