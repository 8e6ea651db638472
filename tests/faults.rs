//! Sweeps over what can fail: every scenario once undisturbed, then once for each write that the operator makes and
//! each fault that can befall it there. Each must end as the undisturbed one did. In memory, in virtual time.
//!
//! `FAULTS` names a part of a scenario's name, or `NAME/Fault/NUMBER` for one point with all that differs.

#![allow(clippy::print_stdout)]

mod common;

use common::{
    cluster::Cluster,
    connection::Fault,
    scenarios::{ALL, Scenario},
};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

type End = BTreeMap<String, Value>;

/// What one run of a scenario came to.
struct Outcome {
    end: End,
    writes: usize,
}

fn run(scenario: &Scenario, fault: Option<(usize, Fault)>) -> Result<Outcome, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let attempt = || {
        runtime.block_on(async {
            let cluster = Cluster::start(fault);
            (scenario.run)(cluster.clone()).await;
            // Nothing is written any more once everything is done, by the operator that woke up late neither.
            cluster.settled().await;
            let at_rest = cluster.store.revision();
            cluster.settled().await;
            assert_eq!(cluster.store.revision(), at_rest, "a further pass writes");
            Outcome { end: cluster.end(), writes: cluster.writes() }
        })
    };
    catch_unwind(AssertUnwindSafe(attempt)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|t| (*t).to_owned())).unwrap_or_default()
    })
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

fn forgive_late(expected: &End, found: &mut End) {
    const JOBS: &str = "Jobs ever created";
    for action in ["inspect", "probe", "run"] {
        let expected = expected.get(JOBS).and_then(|jobs| jobs[action].as_u64()).unwrap_or_default();
        if let Some(count) = found.get_mut(JOBS).and_then(|jobs| jobs.get_mut(action))
            && count.as_u64() == Some(expected + 1)
        {
            *count = expected.into();
        }
    }
}

fn try_point(scenario: &Scenario, reference: &Outcome, at: usize, fault: Fault) -> Option<String> {
    let found = match run(scenario, Some((at, fault))) {
        Ok(mut outcome) => {
            // A request that was on its way for minutes can start one pod too many, which finds nothing to do.
            if fault == Fault::Paused {
                forgive_late(&reference.end, &mut outcome.end);
            }
            // Who came first is chance between two objects; what was done to the database is not.
            if scenario.is_a_race {
                outcome.end.retain(|name, _| name.starts_with("database "));
                let mut expected = reference.end.clone();
                expected.retain(|name, _| name.starts_with("database "));
                return told(scenario, fault, at, differences(&expected, &outcome.end));
            }
            differences(&reference.end, &outcome.end)
        }
        Err(panic) => vec![panic],
    };
    told(scenario, fault, at, found)
}

fn told(scenario: &Scenario, fault: Fault, at: usize, found: Vec<String>) -> Option<String> {
    (!found.is_empty()).then(|| format!("{}/{fault:?}/{at}\n  {}", scenario.name, found.join("\n  ")))
}

fn main() -> ExitCode {
    let filter = std::env::var("FAULTS").unwrap_or_default();
    let mut parts = filter.split('/');
    let (name, fault, number) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    std::panic::set_hook(Box::new(|_| {}));
    let begun = Instant::now();
    let mut failures = Vec::new();
    let mut all = 0;
    for scenario in ALL.iter().filter(|scenario| scenario.name.contains(name)) {
        let reference = match run(scenario, None) {
            Ok(outcome) => outcome,
            Err(panic) => {
                println!("{:40} fails undisturbed: {panic}", scenario.name);
                failures.push(scenario.name.to_owned());
                continue;
            }
        };
        let points: Vec<(usize, Fault)> = (1..=reference.writes)
            .flat_map(|at| Fault::ALL.into_iter().map(move |fault| (at, fault)))
            .filter(|(at, f)| fault.is_none_or(|n| format!("{f:?}") == n) && number.is_none_or(|n| at.to_string() == n))
            .collect();
        let failed = sweep(scenario, &reference, &points);
        all += points.len();
        let verdict = if failed.is_empty() { "all end the same".to_owned() } else { format!("{} DIFFER", failed.len()) };
        println!("{:40} {:3} writes, {:4} faults: {verdict}", scenario.name, reference.writes, points.len());
        failures.extend(failed);
    }
    for failure in failures.iter().take(if filter.is_empty() { 12 } else { usize::MAX }) {
        println!("\n{failure}");
    }
    println!("\n{all} faults in {:.1} s, {} of them with another end", begun.elapsed().as_secs_f64(), failures.len());
    if failures.is_empty() && all > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tries the points on every core.
fn sweep(scenario: &Scenario, reference: &Outcome, points: &[(usize, Fault)]) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((at, fault)) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(failure) = try_point(scenario, reference, *at, *fault) {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner)
}
