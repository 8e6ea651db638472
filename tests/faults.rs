//! Sweeps over what can fail: every scenario once undisturbed, then once for each write that the operator makes and
//! each fault that can befall it there. Each must end as the undisturbed one did. What is too much for that is tried by chance:
//! two faults in one run, one watch behind the others, another version of the operator; and what others do to what is done every
//! day must leave the database and the object in order. In memory, in virtual time.
//!
//! `STATES` is a file to write every state of a DatabaseMigration to instead, for `make test-gitops`.
//! `FAULTS` is a part of the names of the points to try, such as `adoption/Crash/3`.
//! `SOAK` is set for `make soak`: thousands of releases, and nothing else.
//! `SEED` is that of an earlier run, which is printed; without it, the day is one.

#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::panic)]

mod common;

use common::{
    cluster::Cluster,
    conformance::{CASES, Server},
    others::{Deed, EVERY_DAY, Everyday},
    points::{Dice, SWEEPS, Strikes, Sweep, of_others},
    scenarios::{ALL, Extent, Scenario},
    soak, states,
    strikes::{Counts, Fault, Strike},
};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
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
    counts: Counts,
    /// Every state of a DatabaseMigration that was ever to be seen.
    states: Vec<Arc<Value>>,
}

/// Runs something on a cluster of its own, in virtual time.
fn on_a_cluster<T, F: Future<Output = T>>(
    strikes: &[Strike],
    replicas: usize,
    what: impl FnOnce(Arc<Cluster>) -> F,
) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let attempt = || runtime.block_on(async { what(Cluster::start(strikes, replicas)).await });
    catch_unwind(AssertUnwindSafe(attempt)).map_err(|panic| text(&*panic))
}

fn run(scenario: &Scenario, strikes: &[Strike], replicas: usize) -> Result<Outcome, String> {
    on_a_cluster(strikes, replicas, |cluster| async move {
        (scenario.run)(cluster.clone()).await;
        at_rest(&cluster).await;
        let states = cluster.store.past("databasemigrations.alembic-operator.dev");
        Outcome { end: cluster.end(), counts: cluster.counts(), states }
    })
}

/// Nothing is written any more once everything is done, by the operator that woke up late neither.
async fn at_rest(cluster: &Cluster) {
    cluster.settled().await;
    let before = *cluster.store.work().borrow();
    cluster.settled().await;
    assert_eq!(*cluster.store.work().borrow(), before, "a further pass writes");
}

/// What is done every day, with what others do meanwhile; what is wrong in the end, and how many writes it took.
fn disturbed(everyday: &Everyday, deed: Option<Deed>, strikes: &[Strike]) -> Result<(Vec<String>, usize), String> {
    on_a_cluster(strikes, 1, |cluster| async move {
        everyday.run(cluster.clone()).await;
        at_rest(&cluster).await;
        (everyday.judge(&cluster, deed), cluster.counts().writes)
    })
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

/// What befalls one run of a scenario.
struct Point<'a> {
    sweep: &'a Sweep,
    scenario: &'a Scenario,
    strikes: Strikes,
}

/// Such as `Crash/3`, or `Crash/3+Stale/9`.
fn named(strikes: &[Strike]) -> String {
    strikes.iter().map(|strike| format!("{:?}/{}", strike.fault, strike.at)).collect::<Vec<_>>().join("+")
}

impl Point<'_> {
    fn name(&self) -> String {
        format!("{}/{}/{}", self.sweep.title, self.scenario.name, named(&self.strikes))
    }

    /// What differs from the undisturbed end.
    fn attempt(&self, reference: &End) -> Vec<String> {
        let mut outcome = match run(self.scenario, &self.strikes, self.sweep.replicas) {
            Ok(outcome) => outcome,
            Err(panic) => return vec![panic],
        };
        let mut expected = reference.clone();
        // A request that was on its way for minutes can start one pod too many, which finds nothing to do.
        if self.strikes.iter().any(|strike| matches!(strike.fault, Fault::Paused | Fault::Hang)) {
            forgive_late(&expected, &mut outcome.end);
        }
        for end in [&mut expected, &mut outcome.end] {
            match self.scenario.extent {
                // Who came first is chance between two objects; what was done to the database is not.
                Extent::Race => end.retain(|name, _| name.starts_with("database ")),
                Extent::Long => *end = outline(end),
                Extent::Whole if self.sweep.loosely => *end = outline(end),
                Extent::Whole => {}
            }
        }
        differences(&expected, &outcome.end)
    }
}

/// The databases, and what the objects say.
fn outline(end: &End) -> End {
    let ready = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
        conditions.filter(|c| c["type"] == "Ready").map(|c| c["reason"].clone()).collect::<Value>()
    };
    let part = |(name, value): (&String, &Value)| match name.split(' ').next() {
        Some("database") => Some((name.clone(), value.clone())),
        Some(resource) if resource.starts_with("databasemigrations") => Some((name.clone(), ready(value))),
        _ => None,
    };
    end.iter().filter_map(part).collect()
}

fn forgive_late(expected: &End, found: &mut End) {
    const JOBS: &str = "Jobs ever created";
    for action in ["inspect", "probe", "compare", "replay", "rehearse", "run", "backup", "verify"] {
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
        let cluster = Cluster::start(&[], 0);
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
        Some(path) => states::write(Path::new(&path), |scenario| run(scenario, &[], 1).map(|outcome| outcome.states)),
        None if std::env::var_os("SOAK").is_some() => at_length(),
        None => sweeps(),
    }
}

/// More of what every sweep tries with few.
fn at_length() -> ExitCode {
    let filter = std::env::var("FAULTS").unwrap_or_default();
    let mut tried = Tried { filter, dice: Dice::new(), points: 0, failures: Vec::new() };
    tried.many(&soak::LONG);
    tried.failures.iter().for_each(|failure| println!("\n{failure}"));
    if tried.failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What was tried so far.
struct Tried {
    filter: String,
    dice: Dice,
    points: usize,
    failures: Vec<String>,
}

fn sweeps() -> ExitCode {
    let filter = std::env::var("FAULTS").unwrap_or_default();
    let begun = Instant::now();
    let mut tried = Tried { filter, dice: Dice::new(), points: 0, failures: Vec::new() };
    println!("\nSEED={}", tried.dice.seed());
    for sweep in &SWEEPS {
        println!("\n{}", sweep.title);
        for scenario in ALL {
            tried.scenario(sweep, scenario);
        }
    }
    tried.many(&soak::SHORT);
    println!("\n{OTHERS}");
    for everyday in &EVERY_DAY {
        tried.everyday(everyday);
    }
    let Tried { filter, points, failures, dice } = tried;
    for failure in failures.iter().take(if filter.is_empty() { 12 } else { usize::MAX }) {
        println!("\n{failure}");
    }
    let took = begun.elapsed().as_secs_f64();
    println!("\n{points} faults in {took:.0} s, {} of them with another end (SEED={})", failures.len(), dice.seed());
    if failures.is_empty() && points > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

const MANY: &str = "many";
const OTHERS: &str = "others meanwhile";

impl Tried {
    /// Only what the filter can be about is run at all.
    fn is_wanted(&self, title: &str, name: &str) -> bool {
        let point = format!("{title}/{name}/");
        self.filter.is_empty() || point.contains(&self.filter) || self.filter.contains(&point)
    }

    fn scenario(&mut self, sweep: &Sweep, scenario: &Scenario) {
        if !self.is_wanted(sweep.title, scenario.name) {
            return;
        }
        let begun = Instant::now();
        let reference = match run(scenario, &[], sweep.replicas) {
            Ok(outcome) => outcome,
            Err(panic) => {
                return self.failures.push(format!("{}/{} fails undisturbed: {panic}", sweep.title, scenario.name));
            }
        };
        let strikes = (sweep.points)(scenario, reference.counts, self.dice);
        let points = strikes.into_iter().map(|strikes| Point { sweep, scenario, strikes });
        let points: Vec<Point> = points.filter(|point| point.name().contains(&self.filter)).collect();
        let failed = try_all(&points, |point| named_failure(&point.name(), point.attempt(&reference.end)));
        self.tell(scenario.name, reference.counts.writes, points.len(), failed, begun);
    }

    /// Releases go on for ever, and may come for all objects at once.
    fn many(&mut self, extent: &soak::Extent) {
        println!("\n{MANY}");
        self.one("many releases leave no more behind than few", || {
            match on_a_cluster(&[], 1, |cluster| soak::soak(cluster, extent))? {
                (few, many) if few == many => Ok(()),
                (few, many) => Err(format!("after few: {few:?}\n  after many: {many:?}")),
            }
        });
        self.one("a new image for all objects at once", || {
            on_a_cluster(&[], 1, |cluster| soak::storm(cluster, extent))
        });
    }

    fn one(&mut self, name: &str, attempt: impl FnOnce() -> Result<(), String>) {
        if !self.is_wanted(MANY, name) {
            return;
        }
        let begun = Instant::now();
        let failed = attempt().err().and_then(|wrong| named_failure(&format!("{MANY}/{name}"), vec![wrong]));
        self.tell(name, 0, 1, failed.into_iter().collect(), begun);
    }

    fn everyday(&mut self, everyday: &Everyday) {
        if !self.is_wanted(OTHERS, everyday.name) {
            return;
        }
        let begun = Instant::now();
        let writes = match disturbed(everyday, None, &[]) {
            Ok((wrong, writes)) if wrong.is_empty() => writes,
            Ok((wrong, _)) => {
                return self.failures.push(format!("{} is wrong undisturbed: {wrong:?}", everyday.name));
            }
            Err(panic) => return self.failures.push(format!("{} fails undisturbed: {panic}", everyday.name)),
        };
        let name = |strikes: &Strikes| format!("{OTHERS}/{}/{}", everyday.name, named(strikes));
        let points = of_others(everyday, writes, self.dice);
        let points: Vec<_> = points.into_iter().filter(|(_, strikes)| name(strikes).contains(&self.filter)).collect();
        let failed = try_all(&points, |(deed, strikes)| {
            let wrong = disturbed(everyday, Some(*deed), strikes).map_or_else(|panic| vec![panic], |(wrong, _)| wrong);
            named_failure(&name(strikes), wrong)
        });
        self.tell(everyday.name, writes, points.len(), failed, begun);
    }

    fn tell(&mut self, name: &str, writes: usize, points: usize, failed: Vec<String>, begun: Instant) {
        if points > 0 {
            let verdict = if failed.is_empty() { "as it must".to_owned() } else { format!("{} DIFFER", failed.len()) };
            let took = begun.elapsed().as_secs_f64();
            println!("  {name:42} {writes:3} writes, {points:4} faults, {took:3.0} s: {verdict}");
        }
        self.points += points;
        self.failures.extend(failed);
    }
}

fn named_failure(name: &str, wrong: Vec<String>) -> Option<String> {
    (!wrong.is_empty()).then(|| format!("{name}\n  {}", wrong.join("\n  ")))
}

/// Tries the points on every core; what is wrong with them.
fn try_all<T: Sync>(points: &[T], attempt: impl Fn(&T) -> Option<String> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(text) = attempt(point) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}
