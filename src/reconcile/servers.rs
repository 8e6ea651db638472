//! Whose turn it is to ask a database: a server that does not answer, and a namespace with many of them, hold up nobody else;
//! no I/O of its own.

use crate::memory::Memory;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// How long a pass waits for its turn. It holds one of the passes at work meanwhile, so it comes back later instead.
const PATIENCE: Duration = Duration::from_secs(1);
/// For how long a server that did not answer is taken to be silent without being asked.
const SILENCE: Duration = Duration::from_secs(5);
/// A namespace has the turns of this many servers, whatever the number of hosts that its objects name.
const SERVERS_OF_A_NAMESPACE: usize = 2;
const MOST: u64 = 10_000;
const UNUSED: Duration = Duration::from_secs(3600);

/// Bounds the connections to each database server and of each namespace, whatever the number of objects.
pub struct Servers {
    limit: usize,
    servers: Memory<Arc<Server>>,
    namespaces: Memory<Arc<Semaphore>>,
}

struct Server {
    turns: Arc<Semaphore>,
    /// Of one at a time, while nobody knows whether the server answers.
    trial: Arc<Semaphore>,
    health: Mutex<Health>,
}

#[derive(Clone, Copy)]
enum Health {
    Unknown,
    Answers,
    /// It did not answer within this time, and is not asked before that moment.
    Silent {
        within: Duration,
        until: Instant,
    },
}

impl Server {
    fn health(&self) -> Health {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answers(&self) -> bool {
        matches!(self.health(), Health::Answers)
    }

    /// How long the last wait without an answer was, if that is as long as this one would wait: somebody more patient may
    /// still get an answer.
    fn silent_for(&self, timeout: Duration) -> Option<Duration> {
        match self.health() {
            Health::Silent { within, until } if timeout <= within && Instant::now() < until => Some(within),
            _ => None,
        }
    }

    fn set(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }
}

/// Whether a server may be asked now.
pub enum Turn {
    /// It may, as long as this is held.
    Granted(Granted),
    /// It has just been asked and did not answer within this time.
    Silent(Duration),
    /// Others ask it, or many servers are asked for this namespace.
    Later,
}

/// A turn at a server.
pub struct Granted {
    server: Arc<Server>,
    _turns: (OwnedSemaphorePermit, OwnedSemaphorePermit),
}

impl Granted {
    /// Remembers whether the server answered within a time. Any answer counts, a refusal too.
    pub fn over(self, answered: bool, within: Duration) {
        self.server.set(match answered {
            true => Health::Answers,
            false => Health::Silent { within, until: Instant::now() + SILENCE },
        });
    }
}

impl Servers {
    /// `limit` connections at a time to each server.
    pub fn new(limit: usize) -> Self {
        Self { limit, servers: Memory::new(MOST, UNUSED), namespaces: Memory::new(MOST, UNUSED) }
    }

    /// Asks for a turn at a server, for an object that would wait so long for its answer.
    pub async fn turn(&self, server: &str, namespace: &str, timeout: Duration) -> Turn {
        let server = self.servers.get_or(server, || {
            let (turns, trial) = (Arc::new(Semaphore::new(self.limit)), Arc::new(Semaphore::new(1)));
            Arc::new(Server { turns, trial, health: Mutex::new(Health::Unknown) })
        });
        let most = self.limit * SERVERS_OF_A_NAMESPACE;
        let namespace = self.namespaces.get_or(namespace, || Arc::new(Semaphore::new(most)));
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(within) = server.silent_for(timeout) {
                return Turn::Silent(within);
            }
            let answers = server.answers();
            let queue = if answers { &server.turns } else { &server.trial };
            let Some(turn) = within(deadline, queue).await else { return Turn::Later };
            // Meanwhile another one may have learned that it answers, or that it does not.
            if server.answers() != answers || server.silent_for(timeout).is_some() {
                continue;
            }
            let Some(share) = within(deadline, &namespace).await else { return Turn::Later };
            return Turn::Granted(Granted { server, _turns: (turn, share) });
        }
    }
}

async fn within(deadline: Instant, queue: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
    // They are never closed.
    timeout_at(deadline, queue.clone().acquire_owned()).await.ok()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_secs(10);

    async fn granted(servers: &Servers, server: &str, namespace: &str) -> Option<Granted> {
        match servers.turn(server, namespace, TEN).await {
            Turn::Granted(granted) => Some(granted),
            Turn::Silent(_) | Turn::Later => None,
        }
    }

    /// A server that has answered once.
    async fn healthy(servers: &Servers, server: &str) {
        granted(servers, server, "other").await.unwrap().over(true, TEN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_healthy_server_has_its_connections() {
        let servers = Servers::new(3);
        healthy(&servers, "db").await;
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(granted(&servers, "db", "shop").await.unwrap());
        }
        let asked = Instant::now();
        assert!(matches!(servers.turn("db", "shop", TEN).await, Turn::Later));
        assert!(asked.elapsed() <= PATIENCE + Duration::from_millis(10), "a pass does not wait for long");
        held.pop();
        assert!(granted(&servers, "db", "shop").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_costs_one_turn_at_a_time() {
        let servers = Servers::new(8);
        let trial = granted(&servers, "silent", "shop").await.unwrap();
        assert!(granted(&servers, "silent", "shop").await.is_none(), "nobody knows yet whether it answers");
        trial.over(false, TEN);
        let asked = Instant::now();
        for _ in 0..1000 {
            assert!(matches!(servers.turn("silent", "shop", TEN).await, Turn::Silent(TEN)));
        }
        assert_eq!(asked.elapsed(), Duration::ZERO, "a thousand objects hear of it without waiting");
        tokio::time::sleep(SILENCE).await;
        let trial = granted(&servers, "silent", "shop").await.unwrap();
        assert!(granted(&servers, "silent", "shop").await.is_none());
        trial.over(true, TEN);
        assert!(granted(&servers, "silent", "shop").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn the_impatience_of_one_is_not_held_against_the_server() {
        let servers = Servers::new(8);
        granted(&servers, "slow", "shop").await.unwrap().over(false, Duration::from_secs(1));
        assert!(matches!(servers.turn("slow", "shop", Duration::from_secs(1)).await, Turn::Silent(_)));
        assert!(granted(&servers, "slow", "shop").await.is_some(), "ten seconds may do");
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_full_of_silent_hosts_leaves_turns_to_others() {
        let servers = Servers::new(2);
        let mut held = Vec::new();
        for host in 0..20 {
            held.extend(granted(&servers, &format!("silent-{host}"), "greedy").await);
        }
        assert_eq!(held.len(), 4);
        assert!(granted(&servers, "db", "shop").await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_the_first_answer_goes_on_with_it() {
        let servers = Arc::new(Servers::new(8));
        let trial = granted(&servers, "db", "shop").await.unwrap();
        let waiting: Vec<_> = (0..8)
            .map(|_| {
                let servers = servers.clone();
                tokio::spawn(async move { granted(&servers, "db", "shop").await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(10)).await;
        trial.over(true, TEN);
        for task in waiting {
            assert!(task.await.unwrap().is_some());
        }
    }
}
