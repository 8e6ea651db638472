//! The memory of what the operator watches, kept as it keeps it and decoded as a plain reflector does; run by `make bench-scale`.
//! Each figure is from a process of its own. No I/O but print.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use alembic_operator::{
    api::{DatabaseMigration, Watched},
    index::{Indexed, job_keys, job_works, object_key, pod_keys, pod_works},
};
use k8s_openapi::api::{batch::v1::Job, core::v1::Pod};
use kube::runtime::{reflector::store, watcher::Event};
use serde_json::{Value, json};
use std::{fs, process::Command, time::Instant};

const RUNS: usize = 3;

/// A number as UIDs look: what differs between objects is not what packing saves.
fn uid(seed: usize) -> String {
    let mix = |n: u64| n.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(31).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let (a, b) = (mix(seed as u64 + 1), mix(mix(seed as u64 + 7)));
    format!("{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}", a >> 32, a & 0xffff, (a >> 16) & 0xfff, b & 0xfff, b >> 16)
}

fn hash(seed: usize) -> String {
    uid(seed).replace('-', "")[..16].to_owned()
}

fn run(n: usize, number: usize) -> Value {
    json!({ "number": number, "planHash": hash(n * 10 + number), "direction": "upgrade", "from": [&hash(number)[..12]], "to": [&hash(number + 1)[..12]],
        "image": format!("registry.example.com/shop@sha256:{}{}", hash(number), hash(number + 50)), "generation": number, "attempts": 1,
        "hazardous": false, "transactional": true, "job": format!("tenant-{n:05}-run-{}", &hash(n * 10 + number)[..10]),
        "result": "Succeeded", "startedAt": "2026-11-26T20:46:50Z", "finishedAt": "2026-11-26T20:46:55Z" })
}

/// A full status, three runs in its history.
fn object(n: usize) -> Value {
    let condition = |type_: &str, status: &str, reason: &str, message: &str| {
        json!({ "type": type_, "status": status, "reason": reason, "message": message, "observedGeneration": 3,
            "lastTransitionTime": "2026-11-26T20:46:56Z" })
    };
    let conditions = [
        condition("Ready", "True", "AtTarget", "the version rows are 3f2a9c1d7e55"),
        condition("Reconciling", "False", "AtTarget", ""),
        condition("Stalled", "False", "AtTarget", ""),
        condition("Planned", "True", "NothingToDo", "the version rows are the target's"),
        condition("Approved", "True", "NothingToDo", "no plan is pending"),
        condition("HazardFree", "True", "NothingToDo", "no plan is pending"),
        condition("Drifted", "False", "InSync", "the schema is as the last run left it"),
        condition("SingleHead", "True", "OneHead", "the image has one head"),
        condition("BackedUp", "Unknown", "NotWanted", "no backup is asked for"),
    ];
    let history: Vec<Value> = (1..=RUNS).rev().map(|number| run(n, number)).collect();
    json!({
        "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
        "metadata": { "name": format!("tenant-{n:05}"), "namespace": "shop", "uid": uid(n), "generation": 3,
            "resourceVersion": (1_000_000 + n).to_string(), "creationTimestamp": "2026-11-20T08:00:00Z",
            "labels": { "app": "shop", "tenant": format!("{n:05}"), "app.kubernetes.io/managed-by": "Helm" },
            "annotations": { "meta.helm.sh/release-name": "shop", "meta.helm.sh/release-namespace": "shop" } },
        "spec": { "image": "registry.example.com/shop:1.4.2", "targetRevision": "head",
            "database": { "urlFrom": { "secretKeyRef": { "name": format!("tenant-{n:05}"), "key": "url" } } },
            "policy": { "downgrade": "Allow" } },
        "status": { "observedGeneration": 3, "conditions": conditions, "current": "3f2a9c1d7e55", "target": "3f2a9c1d7e55",
            "currentRevisions": ["3f2a9c1d7e55"], "targetRevisions": ["3f2a9c1d7e55"], "heads": ["3f2a9c1d7e55"],
            "pending": { "count": 0, "steps": "0", "revisions": [] },
            "database": { "dialect": "postgresql", "version": "15.20", "identity": hash(n + 7) },
            "image": { "ref": "registry.example.com/shop:1.4.2", "name": "shop:1.4.2", "digest": format!("sha256:{}", hash(5)), "alembic": "1.20.1", "inspection": hash(9) },
            "images": (0..3).map(|i| format!("registry.example.com/shop@sha256:{}{}", hash(i), hash(i + 50))).collect::<Vec<_>>(),
            "drift": { "missing": 0, "unexpected": 0, "modified": 0 },
            "runs": { "started": RUNS, "lastSuccess": run(n, RUNS), "baseline": RUNS },
            "lastRun": run(n, RUNS), "history": history },
    })
}

fn labels(n: usize) -> Value {
    json!({ "app.kubernetes.io/managed-by": "alembic-operator", "alembic-operator.dev/object": format!("tenant-{n:05}"),
        "alembic-operator.dev/action": "run", "alembic-operator.dev/server": hash(1) })
}

/// The Job of a run that has ended, as the operator's watch leaves it.
fn job(n: usize, number: usize) -> Value {
    let owner = json!([{ "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration", "name": format!("tenant-{n:05}"), "uid": uid(n), "controller": true, "blockOwnerDeletion": true }]);
    let record =
        json!({ "uid": uid(n), "number": number, "key": hash(n * 10 + number), "request": { "run": run(n, number) } });
    let ended = |type_: &str| {
        json!({ "type": type_, "status": "True", "reason": "CompletionsReached", "message": "Reached expected number of succeeded pods",
        "lastProbeTime": "2026-11-26T20:46:57Z", "lastTransitionTime": "2026-11-26T20:46:57Z" })
    };
    json!({
        "metadata": { "name": format!("tenant-{n:05}-run-{}", &hash(n * 10 + number)[..10]), "namespace": "shop", "uid": uid(n * 10 + number),
            "resourceVersion": (2_000_000 + n).to_string(), "creationTimestamp": "2026-11-26T20:46:50Z", "generation": 2,
            "labels": labels(n), "annotations": { "alembic-operator.dev/object": format!("tenant-{n:05}"), "alembic-operator.dev/record": record.to_string() },
            "ownerReferences": owner },
        "spec": { "suspend": false, "template": {}, "podFailurePolicy": { "rules": [{ "action": "Ignore", "onPodConditions": [{ "type": "DisruptionTarget", "status": "True" }] }] } },
        "status": { "conditions": [ended("SuccessCriteriaMet"), ended("Complete")], "succeeded": 1, "ready": 0, "terminating": 0,
            "startTime": "2026-11-26T20:46:50Z", "completionTime": "2026-11-26T20:46:57Z", "uncountedTerminatedPods": {} },
    })
}

/// Its pod, with the runner's report.
fn pod(n: usize, number: usize) -> Value {
    let name = format!("tenant-{n:05}-run-{}", &hash(n * 10 + number)[..10]);
    let report = json!({ "state": "done", "started": true, "steps_done": 4, "rows": [&hash(number)[..12]], "transactional": true,
        "steps": (0..4).map(|s| json!({ "revision": &hash(s)[..12], "seconds": 0.1 })).collect::<Vec<_>>() });
    let condition = |type_: &str| json!({ "type": type_, "status": "True", "lastTransitionTime": "2026-11-26T20:46:57Z", "lastProbeTime": null });
    let conditions =
        ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"].map(condition);
    json!({
        "metadata": { "name": format!("{name}-{}", &hash(n)[..5]), "namespace": "shop", "uid": uid(n * 10 + number + 5), "resourceVersion": (3_000_000 + n).to_string(),
            "creationTimestamp": "2026-11-26T20:46:50Z", "labels": labels(n), "annotations": { "alembic-operator.dev/object": format!("tenant-{n:05}") },
            "ownerReferences": [{ "apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid(n * 10 + number), "controller": true, "blockOwnerDeletion": true }] },
        "status": { "phase": "Succeeded", "startTime": "2026-11-26T20:46:50Z", "podIP": "10.1.2.3",
            "conditions": conditions,
            "containerStatuses": [{ "name": "migrate", "image": "registry.example.com/shop:1.4.2", "ready": false, "started": false, "restartCount": 0,
                "imageID": format!("registry.example.com/shop@sha256:{}", hash(5)), "containerID": format!("containerd://{}", hash(n + number)),
                "state": { "terminated": { "exitCode": 0, "reason": "Completed", "message": report.to_string(), "startedAt": "2026-11-26T20:46:51Z", "finishedAt": "2026-11-26T20:46:55Z" } } }] },
    })
}

fn of<K: serde::de::DeserializeOwned>(value: Value) -> Event<K> {
    Event::Apply(serde_json::from_slice(&serde_json::to_vec(&value).unwrap()).unwrap())
}

/// As the operator keeps them; how long it took is the price.
fn kept(count: usize, runs: usize) {
    let begun = Instant::now();
    let (objects, mut writer) = store::<Watched>();
    let (jobs, pods) = (Indexed::new(job_keys, job_works), Indexed::new(pod_keys, pod_works));
    for n in 0..count {
        writer.apply_watcher_event(&of(object(n)));
        for number in 1..=runs {
            jobs.follow(&of(job(n, number)));
            pods.follow(&of(pod(n, number)));
        }
    }
    let took = begun.elapsed();
    let begun = Instant::now();
    let read = objects.state().iter().take(1000).filter(|object| object.read().is_ok()).count();
    let each = begun.elapsed() / u32::try_from(read.max(1)).unwrap();
    println!("{} {:.1} {}", rss(), took.as_secs_f64(), each.as_micros());
}

/// As three plain reflectors would.
fn decoded(count: usize, runs: usize) {
    let (_objects, mut writer) = store::<DatabaseMigration>();
    let (_jobs, mut job_writer) = store::<Job>();
    let (_pods, mut pod_writer) = store::<Pod>();
    for n in 0..count {
        writer.apply_watcher_event(&of(object(n)));
        for number in 1..=runs {
            job_writer.apply_watcher_event(&of(job(n, number)));
            pod_writer.apply_watcher_event(&of(pod(n, number)));
        }
    }
    println!("{} 0 0", rss());
}

/// How long finding the Jobs of one object and their pods takes, beside those of so many.
fn found(count: usize) -> f64 {
    let (jobs, pods) = (Indexed::new(job_keys, job_works), Indexed::new(pod_keys, pod_works));
    for n in 0..count {
        for number in 1..=RUNS {
            jobs.follow(&of(job(n, number)));
            pods.follow(&of(pod(n, number)));
        }
    }
    let look = |n: usize| {
        let own = jobs.with_key(&object_key("shop", &format!("tenant-{n:05}")));
        own.iter().map(|job| pods.with_key(job.metadata.uid.as_deref().unwrap()).len()).sum::<usize>()
    };
    let begun = Instant::now();
    let seen: usize = (0..1000).map(|n| look(n % count)).sum();
    assert_eq!(seen, 1000 * RUNS);
    begun.elapsed().as_secs_f64() * 1000.0
}

/// KiB that the process has in memory.
fn rss() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, how, count, runs] = arguments.as_slice()
        && let (Ok(count), Ok(runs)) = (count.parse(), runs.parse())
    {
        return if how == "kept" { kept(count, runs) } else { decoded(count, runs) };
    }
    let this = std::env::current_exe().unwrap();
    let measured = |how: &str, count: usize, runs: usize| -> Vec<f64> {
        let told = Command::new(&this).args([how, &count.to_string(), &runs.to_string()]).output().unwrap();
        String::from_utf8_lossy(&told.stdout).split_whitespace().map(|word| word.parse().unwrap()).collect()
    };
    let nothing = measured("kept", 0, 0)[0];
    let mib = |figures: &[f64]| (figures[0] - nothing) / 1024.0;
    println!("memory of what is watched, beside plain reflectors (MiB)");
    for (count, runs) in [(1_000, 0), (1_000, RUNS), (10_000, 0), (10_000, RUNS)] {
        let (kept, decoded) = (measured("kept", count, runs), measured("decoded", count, runs));
        println!(
            "  {count:6} objects, {runs} kept runs each: {:6.1} beside {:6.1}, {:.1} times less; listed in {:.1} s, read in {} µs",
            mib(&kept),
            mib(&decoded),
            mib(&decoded) / mib(&kept),
            kept[1],
            kept[2]
        );
    }
    let (few, many) = (found(3), found(10_000));
    println!(
        "an object's {RUNS} Jobs and their pods found in {few:.0} µs beside 9 Jobs, in {many:.0} µs beside 30,000"
    );
}
