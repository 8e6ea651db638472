//! Sweeps over what can fail: every scenario once undisturbed, then once for each write that the operator makes and
//! each fault that can befall it there. Each must end as the undisturbed one did. In memory, in virtual time.
//!
//! `STATES` is a file to write every state of a DatabaseMigration to instead, for `make test-gitops`.
//! `FAULTS` is a part of the names of the points to try, such as `adoption/Crash/3`.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{
    cluster::Cluster,
    conformance::{CASES, Server},
    connection::Fault,
    scenarios::{ALL, Scenario},
    states,
};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

type End = BTreeMap<String, Value>;

/// What one run of a scenario came to.
struct Outcome {
    end: End,
    writes: usize,
    /// Every state of a DatabaseMigration that was ever to be seen.
    states: Vec<Arc<Value>>,
}

fn run(scenario: &Scenario, fault: Option<(usize, Fault)>, replicas: usize) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let attempt = || {
        runtime.block_on(async {
            let cluster = Cluster::start(fault, replicas);
            (scenario.run)(cluster.clone()).await;
            // Nothing is written any more once everything is done, by the operator that woke up late neither.
            cluster.settled().await;
            let at_rest = *cluster.store.work().borrow();
            cluster.settled().await;
            assert_eq!(*cluster.store.work().borrow(), at_rest, "a further pass writes");
            let states = cluster.store.past("databasemigrations.alembic-operator.dev");
            Outcome { end: cluster.end(), writes: cluster.writes(), states }
        })
    };
    catch_unwind(AssertUnwindSafe(attempt)).map_err(|panic| text(&*panic))
}

fn text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned())).unwrap_or_default()
}

fn differences(expected: &End, found: &End) -> Vec<String> {
    let whole = |end: &End| serde_json::to_value(end).unwrap_or_default();
    let mut list = Vec::new();
    differ("", &whole(expected), &whole(found), &mut list);
    list
}

/// Where two values differ, down to the smallest part.
fn differ(path: &str, expected: &Value, found: &Value, list: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(one), Value::Object(other)) => {
            let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
            for key in keys {
                differ(&format!("{path}/{key}"), &expected[key], &found[key], list);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (place, (one, other)) in one.iter().zip(other).enumerate() {
                differ(&format!("{path}/{place}"), one, other, list);
            }
        }
        _ if expected == found => {}
        _ => list.push(format!("{path}\n    undisturbed: {expected:.300}\n    now:         {found:.300}")),
    }
}

/// A way to run every scenario, and what can befall the first operator on it.
struct Sweep {
    title: &'static str,
    replicas: usize,
    faults: &'static [Fault],
}

const SWEEPS: [Sweep; 2] = [
    Sweep { title: "one operator", replicas: 1, faults: &Fault::ALL },
    Sweep { title: "two, of which one leads", replicas: 2, faults: &Fault::OF_A_LEADER },
];

/// One fault at one write of one scenario.
struct Point<'a> {
    sweep: &'a Sweep,
    scenario: &'a Scenario,
    fault: Fault,
    at: usize,
}

impl Point<'_> {
    fn name(&self) -> String {
        format!("{}/{}/{:?}/{}", self.sweep.title, self.scenario.name, self.fault, self.at)
    }

    /// What differs from the undisturbed end.
    fn attempt(&self, reference: &End) -> Vec<String> {
        let mut outcome = match run(self.scenario, Some((self.at, self.fault)), self.sweep.replicas) {
            Ok(outcome) => outcome,
            Err(panic) => return vec![panic],
        };
        let mut expected = reference.clone();
        // A request that was on its way for minutes can start one pod too many, which finds nothing to do.
        if matches!(self.fault, Fault::Paused | Fault::Hang) {
            forgive_late(&expected, &mut outcome.end);
        }
        // Who came first is chance between two objects; what was done to the database is not.
        if self.scenario.is_a_race {
            for end in [&mut expected, &mut outcome.end] {
                end.retain(|name, _| name.starts_with("database "));
            }
        }
        differences(&expected, &outcome.end)
    }
}

fn forgive_late(expected: &End, found: &mut End) {
    const JOBS: &str = "Jobs ever created";
    for action in ["inspect", "probe", "replay", "rehearse", "run", "backup", "verify"] {
        let expected = expected.get(JOBS).and_then(|jobs| jobs[action].as_u64()).unwrap_or_default();
        if let Some(count) = found.get_mut(JOBS).and_then(|jobs| jobs.get_mut(action))
            && count.as_u64() == Some(expected + 1)
        {
            *count = expected.into();
        }
    }
}

/// Asks the API server in memory, or with CONFORMANCE=real the one of KUBECONFIG, what the sweeps rely on.
fn conformance(real: bool) -> Vec<String> {
    let mut failures = Vec::new();
    for (number, (name, case)) in CASES.iter().enumerate() {
        let builder = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(!real).build();
        let attempt = || builder().map(|runtime| runtime.block_on(server(real, number).map(case).flatten()));
        let outcome = catch_unwind(AssertUnwindSafe(attempt)).map_err(|panic| text(&*panic));
        let verdict = match outcome {
            Ok(Ok(())) => "as relied on".to_owned(),
            Ok(Err(error)) => format!("NOT TRIED: {error}"),
            Err(panic) => format!("NOT SO: {panic}"),
        };
        println!("  {name:38} {verdict}");
        if verdict != "as relied on" {
            failures.push(format!("conformance: {name}: {verdict}"));
        }
    }
    failures
}

async fn server(real: bool, number: usize) -> Server {
    if !real {
        let cluster = Cluster::start(None, 0);
        return Server { client: cluster.client(), namespace: "conformance".to_owned() };
    }
    let client = kube::Client::try_default().await.unwrap_or_else(|error| panic!("no API server: {error}"));
    let namespace = format!("{}-{number}", std::env::var("CONFORMANCE_NAMESPACE").unwrap_or_default());
    let made = json!({ "metadata": { "name": namespace } });
    let made: Namespace = serde_json::from_value(made).unwrap_or_default();
    let namespaces: kube::Api<Namespace> = kube::Api::all(client.clone());
    namespaces.create(&Default::default(), &made).await.unwrap_or_else(|error| panic!("no namespace: {error}"));
    Server { client, namespace }
}

fn main() -> ExitCode {
    let real = std::env::var("CONFORMANCE").is_ok_and(|value| value == "real");
    std::panic::set_hook(Box::new(|_| {}));
    println!("\nwhat the {} API server does", if real { "real" } else { "simulated" });
    let unlike = conformance(real);
    if real || !unlike.is_empty() {
        return if unlike.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    match std::env::var_os("STATES") {
        Some(path) => states::write(Path::new(&path), |scenario| run(scenario, None, 1).map(|outcome| outcome.states)),
        None => sweeps(),
    }
}

fn sweeps() -> ExitCode {
    let filter = std::env::var("FAULTS").unwrap_or_default();
    let begun = Instant::now();
    let mut failures = Vec::new();
    let mut all = 0;
    for sweep in &SWEEPS {
        println!("\n{}: {:?}", sweep.title, sweep.faults);
        // Only what the filter can be about is run at all.
        let wanted = |scenario: &&Scenario| {
            let point = format!("{}/{}/", sweep.title, scenario.name);
            filter.is_empty() || point.contains(&filter) || filter.contains(scenario.name)
        };
        for scenario in ALL.iter().filter(wanted) {
            let reference = match run(scenario, None, sweep.replicas) {
                Ok(outcome) => outcome,
                Err(panic) => {
                    failures.push(format!("{}/{} fails undisturbed: {panic}", sweep.title, scenario.name));
                    continue;
                }
            };
            let at_each = |at| sweep.faults.iter().map(move |fault| Point { sweep, scenario, fault: *fault, at });
            let points: Vec<Point> = (1..=reference.writes).flat_map(at_each).collect();
            let points: Vec<Point> = points.into_iter().filter(|point| point.name().contains(&filter)).collect();
            if points.is_empty() {
                continue;
            }
            let failed = try_all(&points, &reference.end);
            all += points.len();
            let verdict =
                if failed.is_empty() { "ends the same".to_owned() } else { format!("{} DIFFER", failed.len()) };
            println!("  {:38} {:3} writes, {:4} faults: {verdict}", scenario.name, reference.writes, points.len());
            failures.extend(failed);
        }
    }
    for failure in failures.iter().take(if filter.is_empty() { 12 } else { usize::MAX }) {
        println!("\n{failure}");
    }
    println!("\n{all} faults in {:.0} s, {} of them with another end", begun.elapsed().as_secs_f64(), failures.len());
    if failures.is_empty() && all > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tries the points on every core.
fn try_all(points: &[Point], reference: &End) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let differing = point.attempt(reference);
                    if !differing.is_empty() {
                        let text = format!("{}\n  {}", point.name(), differing.join("\n  "));
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}
