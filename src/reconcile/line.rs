//! Who may start a run, and who waits for a place: so many runs are at work at a time, in all and on one database server. Who has
//! waited longest is next. No I/O of its own.

#[cfg(test)]
mod tests;

use crate::{
    api::{ConditionType, DatabaseMigration, LABEL_SERVER, Reason, Watched},
    index::{AT_WORK, Indexed, pod_works},
    jobs::{has_begun, is_replaced},
    metrics::Metrics,
};
use futures::channel::mpsc::UnboundedSender;
use k8s_openapi::{
    api::{batch::v1::Job, core::v1::Pod},
    jiff::{SignedDuration, Timestamp},
};
use kube::{
    ResourceExt,
    runtime::reflector::{ObjectRef, Store},
};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::sync::Notify;

/// How long a place that was given counts without its Job being seen: the watch may be behind.
const UNSEEN: SignedDuration = SignedDuration::from_secs(30);
/// Who was called and has not come by then lets others go first.
const ANSWER: SignedDuration = SignedDuration::from_secs(10);
/// How soon it is called once more.
const AGAIN: SignedDuration = SignedDuration::from_secs(30);
/// How often the line is gone through while somebody waits, whatever is heard of the runs.
const ROUND: Duration = Duration::from_secs(5);

/// How many runs may be at work.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub all: usize,
    /// On one database server.
    pub server: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { all: 50, server: 10 }
    }
}

/// The runs at work, as the watches and the places given say, and the line of those who wait. There is one in the process.
pub struct Line {
    limits: Limits,
    metrics: Arc<Metrics>,
    rooms: Mutex<Vec<Room>>,
    state: Mutex<State>,
    news: Notify,
}

/// What one watch knows: the namespace that it is for, or all. One whose first list has not come has no runs that count: it may
/// be one that the operator may not read, and must not hold up the others.
pub struct Room {
    pub jobs: Arc<Indexed<Job>>,
    pub pods: Arc<Indexed<Pod>>,
    pub objects: Store<Watched>,
    /// Makes a pass over an object at once.
    pub call: UnboundedSender<ObjectRef<Watched>>,
}

#[derive(Default)]
struct State {
    line: BTreeMap<Spot, Waiter>,
    /// Since when somebody waits, by UID.
    since: HashMap<String, Timestamp>,
    /// Places that were given, by the object's UID, until the Job is seen at work.
    given: HashMap<String, Given>,
}

/// Waiting since, and the UID.
type Spot = (Timestamp, String);

struct Waiter {
    object: ObjectRef<Watched>,
    server: Option<String>,
    called: Option<Called>,
}

/// When somebody was called: first, and last.
#[derive(Clone, Copy)]
struct Called {
    first: Timestamp,
    last: Timestamp,
}

struct Given {
    /// Namespace and name.
    job: (String, String),
    server: Option<String>,
    at: Timestamp,
}

/// Who asks for a place.
pub struct Asking<'a> {
    uid: String,
    object: ObjectRef<Watched>,
    /// A hash of the database's server, where it has one.
    server: Option<&'a str>,
    /// Since when the status says that it waits: a restart does not send anybody to the end of the line.
    since: Option<Timestamp>,
}

impl<'a> Asking<'a> {
    pub fn new(object: &DatabaseMigration, server: Option<&'a str>) -> Self {
        let ready = object.status.as_ref().and_then(|status| status.condition(ConditionType::Ready));
        let waits = ready.filter(|ready| ready.reason == Reason::Queued.as_str());
        Self {
            uid: object.uid().unwrap_or_default(),
            object: ObjectRef::new(&object.name_any()).within(&object.namespace().unwrap_or_default()),
            server,
            since: waits.map(|ready| ready.last_transition_time.0),
        }
    }
}

/// Whether an object may start a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    Free,
    Taken(Taken),
}

/// Where it stands in the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub place: usize,
    pub waiting: usize,
    pub by: By,
}

/// Who has the places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// As many runs as may be at work.
    All(usize),
    /// As many as may be on the database's server.
    Server(usize),
    /// Those who are next in the line.
    Earlier,
}

/// The runs at work.
#[derive(Clone, Default)]
struct AtWork {
    all: usize,
    servers: HashMap<String, usize>,
}

impl AtWork {
    fn add(&mut self, server: Option<&str>) {
        self.all += 1;
        if let Some(server) = server {
            *self.servers.entry(server.to_owned()).or_default() += 1;
        }
    }

    /// Why one more has no place.
    fn full(&self, limits: Limits, server: Option<&str>) -> Option<By> {
        let there = server.and_then(|server| self.servers.get(server)).copied().unwrap_or_default();
        if self.all >= limits.all {
            Some(By::All(limits.all))
        } else {
            (there >= limits.server).then_some(By::Server(limits.server))
        }
    }
}

impl Room {
    /// The runs whose pods have not ended. The Job's own condition comes a second or two later.
    fn at_work(&self) -> impl Iterator<Item = Arc<Job>> {
        let ended = |job: &Job| {
            let pods = self.pods.with_key(&job.uid().unwrap_or_default());
            !pods.is_empty() && pods.iter().all(|pod| !pod_works(pod) && !is_replaced(job, pod))
        };
        self.jobs.with_key(AT_WORK).into_iter().filter(move |job| !ended(job))
    }

    fn has(&self, object: &ObjectRef<Watched>, uid: &str) -> bool {
        self.objects.get(object).is_some_and(|there| there.uid().as_deref() == Some(uid))
    }
}

impl Line {
    pub fn new(limits: Limits, metrics: Arc<Metrics>) -> Self {
        Self { limits, metrics, rooms: Mutex::default(), state: Mutex::default(), news: Notify::new() }
    }

    /// Counts the runs of one more watch, too.
    pub fn watch(&self, room: Room) {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner).push(room);
    }

    /// Something has become of a Job or a pod.
    pub fn heard(&self) {
        self.news.notify_one();
    }

    /// Whether a run may start now; asking changes nothing.
    pub fn place(&self, asking: &Asking, now: Timestamp) -> Place {
        let mut state = self.state();
        self.place_in(&mut state, asking, now)
    }

    /// Takes a place for a Job, if there still is one. Of two passes that saw the same place one gets it.
    pub fn take(&self, asking: &Asking, job: (String, String), now: Timestamp) -> bool {
        let mut state = self.state();
        if self.place_in(&mut state, asking, now) != Place::Free {
            return false;
        }
        state.leave(&asking.uid);
        let server = asking.server.map(str::to_owned);
        state.given.insert(asking.uid.clone(), Given { job, server, at: now });
        true
    }

    /// Gives a place back whose Job could not be made.
    pub fn give_back(&self, asking: &Asking) {
        self.state().given.remove(&asking.uid);
        self.heard();
    }

    /// Puts somebody into the line, who keeps the place from then on.
    pub fn wait(&self, asking: &Asking, now: Timestamp) {
        let mut state = self.state();
        let since = *state.since.entry(asking.uid.clone()).or_insert(asking.since.unwrap_or(now));
        let server = asking.server.map(str::to_owned);
        let called = state.line.remove(&(since, asking.uid.clone())).and_then(|before| before.called);
        // Another one was faster: it is called again.
        let called = called.filter(|_| self.place_in(&mut state, asking, now) == Place::Free);
        state.line.insert((since, asking.uid.clone()), Waiter { object: asking.object.clone(), server, called });
        self.heard();
    }

    /// Takes somebody out of the line who waits no more.
    pub fn leave(&self, uid: &str) {
        if self.state().leave(uid) {
            self.heard();
        }
    }

    /// Calls those who are next whenever a place is free; for ever.
    pub async fn keep_moving(&self, clock: fn() -> Timestamp) {
        loop {
            let waits = self.call(clock());
            let news = self.news.notified();
            if waits {
                let _ = tokio::time::timeout(ROUND, news).await;
            } else {
                news.await;
            }
        }
    }

    /// Calls those who may start now, and says whether anybody waits.
    fn call(&self, now: Timestamp) -> bool {
        let mut state = self.state();
        let rooms = self.rooms();
        let mut at_work = at_work(&rooms, &mut state, None, now);
        self.metrics.line(at_work.all, state.line.len());
        let mut gone = Vec::new();
        for ((_, uid), waiter) in &mut state.line {
            if at_work.all >= self.limits.all {
                break;
            }
            if at_work.full(self.limits, waiter.server.as_deref()).is_some() {
                continue;
            }
            let Some(room) = rooms.iter().find(|room| room.has(&waiter.object, uid)) else {
                gone.push(uid.clone());
                continue;
            };
            if waiter.called.is_none_or(|called| now.duration_since(called.last) > AGAIN) {
                let first = waiter.called.map_or(now, |called| called.first);
                waiter.called = Some(Called { first, last: now });
                // A watch that ends takes the passes with it.
                let _ = room.call.unbounded_send(waiter.object.clone());
            }
            if !waiter.lets_others_go(now) {
                at_work.add(waiter.server.as_deref());
            }
        }
        for uid in gone {
            state.leave(&uid);
        }
        !state.line.is_empty()
    }

    fn place_in(&self, state: &mut State, asking: &Asking, now: Timestamp) -> Place {
        let known = state.since.get(&asking.uid).copied();
        let spot = (known.or(asking.since).unwrap_or(Timestamp::MAX), asking.uid.clone());
        let before = at_work(&self.rooms(), state, Some(&asking.uid), now);
        let mut then = before.clone();
        let mut place = 1;
        for (_, earlier) in state.line.range(..spot.clone()) {
            place += 1;
            let server = earlier.server.as_deref();
            if !earlier.lets_others_go(now) && then.full(self.limits, server).is_none() {
                then.add(server);
            }
        }
        let full = before.full(self.limits, asking.server);
        let taken = full.or_else(|| then.full(self.limits, asking.server).map(|_| By::Earlier));
        let waiting = state.line.len() + usize::from(!state.line.contains_key(&spot));
        taken.map_or(Place::Free, |by| Place::Taken(Taken { place, waiting, by }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rooms(&self) -> MutexGuard<'_, Vec<Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn leave(&mut self, uid: &str) -> bool {
        self.since.remove(uid).is_some_and(|since| self.line.remove(&(since, uid.to_owned())).is_some())
    }
}

impl Waiter {
    fn lets_others_go(&self, now: Timestamp) -> bool {
        self.called.is_some_and(|called| now.duration_since(called.first) > ANSWER)
    }
}

/// The runs at work, and the places given whose Jobs are not seen yet, but for one's own.
fn at_work(rooms: &[Room], state: &mut State, own: Option<&str>, now: Timestamp) -> AtWork {
    let mut at_work = AtWork::default();
    for job in rooms.iter().flat_map(Room::at_work) {
        at_work.add(job.labels().get(LABEL_SERVER).map(String::as_str));
    }
    let seen = |(namespace, name): &(String, String)| {
        rooms.iter().any(|room| room.jobs.get(namespace, name).is_some_and(|job| has_begun(&job)))
    };
    state.given.retain(|_, given| now.duration_since(given.at) < UNSEEN && !seen(&given.job));
    for (_, given) in state.given.iter().filter(|(uid, _)| Some(uid.as_str()) != own) {
        at_work.add(given.server.as_deref());
    }
    at_work
}
