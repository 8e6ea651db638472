//! Who is next, and what counts as a run at work; no network.

use super::*;
use crate::index::{job_keys, job_works, pod_keys, pod_works};
use futures::channel::mpsc::{UnboundedReceiver, unbounded};
use kube::{
    core::DeserializeGuard,
    runtime::{
        reflector::store::{Writer, store},
        watcher::Event,
    },
};
use serde_json::json;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn object(name: &str) -> DatabaseMigration {
    let url = json!({ "urlFrom": { "secretKeyRef": { "name": "db", "key": "url" } } });
    let spec = json!({ "image": "shop:1", "targetRevision": "head", "database": url });
    let metadata = json!({ "name": name, "namespace": "shop", "uid": name });
    serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
}

fn reference(name: &str) -> (String, String) {
    ("shop".to_owned(), name.to_owned())
}

fn watched(name: &str) -> Watched {
    Watched::new(DeserializeGuard(Ok(object(name))))
}

/// A line with the watches that it counts by.
struct Hall {
    line: Line,
    jobs: Arc<Indexed<Job>>,
    pods: Arc<Indexed<Pod>>,
    objects: Writer<Watched>,
    calls: UnboundedReceiver<ObjectRef<Watched>>,
}

impl Hall {
    fn new(all: usize, server: usize) -> Self {
        let (objects, object_writer) = store();
        let (jobs, pods) = (Indexed::new(job_keys, job_works), Indexed::new(pod_keys, pod_works));
        let (jobs, pods) = (Arc::new(jobs), Arc::new(pods));
        let (call, calls) = unbounded();
        let line = Line::new(Limits { all, server }, Arc::default());
        line.watch(Room { jobs: jobs.clone(), pods: pods.clone(), objects, call });
        let mut hall = Self { line, jobs, pods, objects: object_writer, calls };
        for name in ["a", "b", "c", "d"] {
            hall.objects.apply_watcher_event(&Event::Apply(watched(name)));
        }
        hall
    }

    fn asks(&self, name: &str, server: &str, second: i64) -> Place {
        self.line.place(&Asking::new(&object(name), Some(server)), at(second))
    }

    fn place(&self, name: &str, server: &str, second: i64) -> (usize, By) {
        match self.asks(name, server, second) {
            Place::Taken(taken) => (taken.place, taken.by),
            Place::Free => panic!("{name} may start"),
        }
    }

    fn takes(&self, name: &str, server: &str, second: i64) -> bool {
        self.line.take(&Asking::new(&object(name), Some(server)), reference(name), at(second))
    }

    fn waits(&self, name: &str, server: &str, second: i64) {
        self.line.wait(&Asking::new(&object(name), Some(server)), at(second));
    }

    fn job(&self, name: &str, server: &str, suspended: bool) {
        let labels = json!({ crate::api::LABEL_ACTION: "run", LABEL_SERVER: server });
        let metadata = json!({ "name": name, "namespace": "shop", "uid": format!("job {name}"), "labels": labels });
        let job = json!({ "metadata": metadata, "spec": { "template": {}, "suspend": suspended } });
        self.jobs.follow(&Event::Apply(serde_json::from_value(job).unwrap()));
    }

    fn pod(&self, job: &str, phase: &str) {
        let owner = json!([{ "apiVersion": "batch/v1", "kind": "Job", "name": job, "uid": format!("job {job}") }]);
        let metadata = json!({ "name": job, "namespace": "shop", "ownerReferences": owner });
        let pod = json!({ "metadata": metadata, "status": { "phase": phase } });
        self.pods.follow(&Event::Apply(serde_json::from_value(pod).unwrap()));
    }

    fn called(&mut self, second: i64) -> Vec<String> {
        self.line.call(at(second));
        std::iter::from_fn(|| self.calls.try_recv().ok()).map(|object| object.name).collect()
    }
}

#[test]
fn a_run_counts_from_its_place_to_the_end_of_its_pod() {
    let hall = Hall::new(1, 1);
    assert!(hall.takes("a", "x", 0));
    assert_eq!(hall.place("b", "x", 0), (1, By::All(1)));
    assert_eq!(hall.asks("a", "x", 1), Place::Free, "a pass that repeats itself finds its own place");
    // The suspended Job is the same run as the place that was given for it.
    hall.job("a", "x", true);
    assert_eq!(hall.place("b", "x", 1), (1, By::All(1)));
    hall.job("a", "x", false);
    hall.pod("a", "Running");
    assert_eq!(hall.place("b", "x", 3600), (1, By::All(1)));
    hall.pod("a", "Succeeded");
    assert_eq!(hall.asks("b", "x", 3601), Place::Free, "the Job's own condition comes later");
}

#[test]
fn a_place_without_a_job_is_free_again_after_a_while() {
    let hall = Hall::new(1, 1);
    assert!(hall.takes("a", "x", 0));
    assert_eq!(hall.place("b", "x", 29), (1, By::All(1)));
    assert_eq!(hall.asks("b", "x", 31), Place::Free);
    let hall = Hall::new(1, 1);
    assert!(hall.takes("a", "x", 0));
    hall.line.give_back(&Asking::new(&object("a"), Some("x")));
    assert_eq!(hall.asks("b", "x", 1), Place::Free);
}

#[test]
fn one_server_has_its_own_limit() {
    let hall = Hall::new(3, 1);
    assert!(hall.takes("a", "x", 0));
    assert_eq!(hall.place("b", "x", 0), (1, By::Server(1)));
    hall.waits("b", "x", 0);
    assert!(hall.takes("c", "y", 1), "who waits for another server holds nobody up");
    assert_eq!(hall.line.place(&Asking::new(&object("d"), None), at(1)), Place::Free, "a file has no server");
}

#[test]
fn who_waits_longest_is_next_and_called_at_once() {
    let mut hall = Hall::new(1, 1);
    hall.job("old", "x", false);
    for (name, second) in [("c", 1), ("b", 2), ("d", 2)] {
        hall.waits(name, "x", second);
    }
    assert_eq!((hall.place("c", "x", 3).0, hall.place("b", "x", 3).0, hall.place("d", "x", 3).0), (1, 2, 3));
    assert_eq!(hall.place("a", "x", 3).0, 4, "who comes now is last");
    assert_eq!(hall.called(3), [""; 0]);
    hall.pod("old", "Failed");
    assert_eq!(hall.called(4), ["c"]);
    assert_eq!(hall.called(5), [""; 0], "once");
    assert_eq!(hall.place("b", "x", 5), (2, By::Earlier));
    assert!(!hall.takes("a", "x", 5), "nobody jumps the line");
    assert!(hall.takes("c", "x", 6));
    assert_eq!(hall.place("b", "x", 6), (1, By::All(1)));
}

#[test]
fn who_does_not_come_lets_others_go_first() {
    let mut hall = Hall::new(1, 1);
    hall.waits("a", "x", 0);
    hall.waits("b", "x", 1);
    assert_eq!(hall.called(2), ["a"]);
    assert_eq!(hall.called(13), ["b"]);
    assert_eq!(hall.called(33), ["a"], "it is called again");
    assert_eq!(hall.asks("a", "x", 34), Place::Free, "and keeps its place in the line");
    assert!(hall.takes("b", "x", 34));
    assert_eq!(hall.place("a", "x", 35), (1, By::All(1)));
}

#[test]
fn who_is_gone_or_wants_nothing_leaves_the_line() {
    let mut hall = Hall::new(1, 1);
    hall.waits("a", "x", 0);
    hall.waits("gone", "x", 0);
    hall.waits("b", "x", 0);
    hall.line.leave("a");
    assert_eq!(hall.called(1), ["b"]);
    let other = hall.line.state().line.len();
    hall.objects.apply_watcher_event(&Event::Delete(watched("b")));
    assert_eq!((hall.called(2).len(), other), (0, 2));
    hall.called(40);
    assert!(hall.line.state().since.is_empty());
}

#[test]
fn a_restart_keeps_the_order() {
    let hall = Hall::new(1, 1);
    let waiting = |name: &str, second: i64| {
        let mut object = object(name);
        let ready = json!({ "type": "Ready", "status": "False", "reason": "Queued", "message": "", "lastTransitionTime": at(second).to_string() });
        object.status = Some(serde_json::from_value(json!({ "conditions": [ready] })).unwrap());
        object
    };
    hall.takes("d", "x", 100);
    let (early, late) = (waiting("b", 10), waiting("a", 20));
    hall.line.wait(&Asking::new(&late, Some("x")), at(101));
    hall.line.wait(&Asking::new(&early, Some("x")), at(102));
    let place = |object: &DatabaseMigration| hall.line.place(&Asking::new(object, Some("x")), at(103));
    assert!(
        matches!((place(&early), place(&late)), (Place::Taken(one), Place::Taken(other)) if (one.place, other.place) == (1, 2))
    );
}

#[test]
fn a_thousand_all_come_to_their_turn() {
    let mut hall = Hall::new(50, 10);
    let names: Vec<String> = (0..1000).map(|n| format!("n{n:04}")).collect();
    for (n, name) in names.iter().enumerate() {
        hall.objects.apply_watcher_event(&Event::Apply(watched(name)));
        hall.waits(name, &format!("server {}", n % 7), n as i64 / 100);
    }
    let (mut second, mut done) = (20, Vec::new());
    while done.len() < names.len() {
        let called = hall.called(second);
        assert!(!called.is_empty() && called.len() <= 50, "{} after {}", called.len(), done.len());
        for name in called {
            let n: usize = name[1..].parse().unwrap();
            assert!(hall.takes(&name, &format!("server {}", n % 7), second), "{name}");
            done.push(name);
        }
        // Their runs take longer than a place counts without its Job.
        second += 31;
    }
    let mut sorted = done.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(sorted.len(), 1000, "each once");
}
