//! Parsers of what comes from outside, given anything: they answer or refuse, and never panic or take more than they
//! may. `PROPTEST_CASES` sets how long to try.

#![allow(clippy::unwrap_used)]

use alembic_operator::{
    api::parse_duration,
    db::{Endpoint, dialect_name, secret_texts},
    jobs::{Inspection, Joiner, Report, pinned, pod_state},
    revisions::Target,
    text,
};
use k8s_openapi::api::core::v1::Pod;
use proptest::prelude::*;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

/// A text that was good before something happened to it.
fn damaged(good: &'static [&'static str]) -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), any::<prop::sample::Index>(), "\\PC{0,6}|[\\x00-\\x1f]{1,3}");
    (prop::sample::select(good), prop::collection::vec(edit, 0..5)).prop_map(|(text, edits)| {
        let mut letters: Vec<char> = text.chars().collect();
        for (from, length, with) in edits {
            let from = from.index(letters.len() + 1);
            let to = (from + length.index(8)).min(letters.len());
            letters.splice(from..to, with.chars());
        }
        letters.into_iter().collect()
    })
}

const REPORTS: &[&str] = &[
    r#"{"protocol":1,"action":"run","nonce":"ab","state":"failed","error":{"class":"MigrationFailed","message":"m","revision":"b","detail":"d"},"steps_done":1,"running":"b","started":true}"#,
    r#"{"state":"done","nonce":"ab12","frames":2,"bytes":17,"sha256":"00"}"#,
    r#"{"state":"done","look":{"dialect":"sqlite","version":"3","table":true,"rows":["a"],"tables":[],"column":32}}"#,
    r#"{"state":"done","drift":{"missing":1,"unexpected":0,"modified":4294967295,"objects":[{"change":"Missing","object":"table x"}]}}"#,
];
const INSPECTIONS: &[&str] = &[
    r#"{"alembic":"1.20.1","dialect":"postgresql","version_table":"v","version_table_schema":null,"transactional_ddl":true,"transaction_per_migration":false,"external_transaction":false,"revisions":[{"id":"a","down":[],"deps":["l"],"labels":["l"],"file":"a.py","sha256":"0","upgrade":"present","downgrade":"missing"},{"id":"b","down":["a"],"file":"b.py","sha256":"1","upgrade":"present","downgrade":"raises"}]}"#,
];
const URLS: &[&str] = &[
    "postgresql+psycopg2://user:p%40ss@host:5432/name?sslmode=verify-full",
    "mysql+pymysql://u:p@[::1]:3306/d?ssl_ca=/x&charset=utf8mb4",
    "postgresql://u:p@/d?host=/tmp",
    "sqlite:////data/shop.db",
];
const TARGETS: &[&str] = &["head", "heads", "base", "branch@head", "ae10+2", "a:b", "a, b", "branch@ae1-3", "+1"];
const PODS: &[&str] = &[
    r#"{"status":{"phase":"Pending","containerStatuses":[{"name":"alembic","image":"i","imageID":"r@sha256:0","ready":false,"restartCount":0,"state":{"waiting":{"reason":"ErrImagePull","message":"no"}}}]}}"#,
    r#"{"status":{"phase":"Failed","reason":"Evicted","message":"disk","containerStatuses":[{"name":"alembic","image":"i","imageID":"","ready":false,"restartCount":0,"state":{"terminated":{"exitCode":1,"message":"{}"}}}]}}"#,
];

fn shown(text: &str) -> bool {
    text.chars().all(|c| c == '\n' || !c.is_control())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reports(message in prop_oneof![any::<String>(), damaged(REPORTS)], log in any::<String>(), piece in 1..100usize) {
        if let Ok(report) = Report::parse(&message) {
            if let Some(error) = &report.error {
                prop_assert!(shown(&error.message) && error.message.chars().count() <= 900 && error.class.chars().count() <= 64);
            }
            if let Some(drift) = &report.drift {
                prop_assert!(drift.objects.len() <= 10 && drift.objects.iter().all(|o| shown(&o.object)));
            }
            if let Some(frames) = &report.frames {
                if let Ok(mut joiner) = Joiner::new(frames) {
                    let log = format!("{log}\n@alembic-operator ab12 0 {log}\n@alembic-operator ab12 4294967295 AA==");
                    log.as_bytes().chunks(piece).for_each(|piece| joiner.feed(piece));
                    let _ = joiner.finish();
                }
                prop_assert!(frames.tail_lines() > 0);
            }
        }
    }

    #[test]
    fn inspections(json in prop_oneof![any::<Vec<u8>>(), damaged(INSPECTIONS).prop_map(String::into_bytes)]) {
        let _ = Inspection::parse(&json);
    }

    #[test]
    fn urls(text in prop_oneof![any::<String>(), damaged(URLS)]) {
        let url = SecretString::from(text.clone());
        let hidden = secret_texts(&url);
        let _ = dialect_name(&url);
        match Endpoint::parse(&url) {
            Ok(endpoint) => {
                let place = endpoint.place();
                prop_assert!(shown(&place), "{place:?}");
                let debug = format!("{endpoint:?}");
                prop_assert!(!debug.contains("p%40ss") && !debug.contains("p@ss"));
            }
            Err(error) => {
                let told = error.to_string();
                prop_assert!(shown(&told) && told.chars().count() < 400, "{told:?}");
            }
        }
        // What is masked is no longer there; what is too short to mask protects nothing.
        let masked = text::redact(&format!("it said {text}."), &hidden.iter().map(ExposeSecret::expose_secret).collect::<Vec<_>>());
        for secret in hidden.iter().map(ExposeSecret::expose_secret).filter(|s| s.chars().count() >= 6 && !"it said ***@".contains(*s)) {
            prop_assert!(!masked.contains(secret), "{masked:?} has {secret:?}");
        }
    }

    #[test]
    fn targets(text in prop_oneof![any::<String>(), damaged(TARGETS)]) {
        let _ = Target::parse(&text);
    }

    #[test]
    fn durations(text in prop_oneof![any::<String>(), "[0-9]{0,25}h[0-9]{0,25}m[0-9]{0,25}s"]) {
        let _ = parse_duration(&text);
    }

    #[test]
    fn images(reference in any::<String>(), id in any::<String>()) {
        let _ = pinned(&reference, &id);
    }

    #[test]
    fn pods(text in damaged(PODS)) {
        if let Ok(pod) = serde_json::from_str::<Pod>(&text) {
            let _ = pod_state(&pod);
        }
    }

    #[test]
    fn texts(text in any::<String>(), max in 1..200usize) {
        let cut = text::clean(&text, max);
        prop_assert!(shown(&cut) && cut.chars().count() <= max);
        prop_assert!(text::clean_end(&text, max).chars().count() <= max);
    }
}

#[test]
fn a_bomb_in_a_report_is_refused_before_it_is_unpacked() {
    let report = json!({ "state": "done", "nonce": "ab", "frames": u32::MAX, "bytes": u64::MAX, "sha256": "" });
    let frames = Report::parse(&report.to_string()).unwrap().frames.unwrap();
    assert!(Joiner::new(&frames).is_err());
    let deep = "[".repeat(100_000);
    assert!(Report::parse(&deep).is_err() && Inspection::parse(deep.as_bytes()).is_err());
    let many: Vec<Value> = (0..30_000).map(|n| json!({"id": format!("r{n}"), "file": "f", "sha256": "0", "upgrade": "present", "downgrade": "present"})).collect();
    let graph = json!({"alembic":"1","dialect":"d","version_table":"v","version_table_schema":null,"transactional_ddl":true,"transaction_per_migration":false,"external_transaction":false,"revisions": many});
    assert!(Inspection::parse(graph.to_string().as_bytes()).is_err());
}
