//! The CRD's rules, tried as the API server tries them: what would be ignored, and durations out of bounds, are refused. No
//! network.

use alembic_operator::{api::DurationField, cli};
use kube::core::cel::Validator;
use serde_json::{Value, json};

fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
        }
        (into, from) => *into = from,
    }
}

/// What the rules say of an object with this in its spec.
fn told(schema: &Value, spec: Value) -> String {
    let mut object = json!({
        "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "shop"},
        "spec": {"image": "i", "targetRevision": "head", "database": {"urlFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}},
    });
    merge(&mut object["spec"], spec);
    match Validator::new().validate(schema, &object, None) {
        Ok(()) => String::new(),
        Err(errors) => errors.as_slice().iter().map(|error| format!("{}\n", error.message)).collect(),
    }
}

fn schema() -> Value {
    let crd: Value = serde_yaml::from_str(&cli::crd().unwrap()).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone()
}

#[test]
fn durations_are_kept_in_bounds() {
    let schema = schema();
    for field in DurationField::ALL {
        let spec = |text: &str| {
            let mut spec = field.path().rsplit('.').fold(json!(text), |inner, name| json!({ name: inner }));
            for stage in ["backup", "verify"] {
                if spec[stage].is_object() {
                    spec[stage]["when"] = json!("Never");
                }
            }
            spec
        };
        let bounds = field.bounds();
        let seconds = |duration: std::time::Duration| format!("{}s", duration.as_secs());
        let above = format!("{}s", bounds.most.as_secs() + 1);
        for good in [seconds(bounds.least), seconds(bounds.most), "1m".to_owned()] {
            assert_eq!(told(&schema, spec(&good)), "", "{} {good}", field.path());
        }
        for bad in [above.as_str(), "8000h"] {
            assert!(told(&schema, spec(bad)).contains(field.path()), "{} {bad}", field.path());
        }
        assert_eq!(told(&schema, spec("0s")).is_empty(), bounds.zero_is_none, "{}", field.path());
    }
}

#[test]
fn what_would_be_ignored_is_refused() {
    let schema = schema();
    let cases = [
        (json!({"drift": {"mode": "Models", "exclude": ["audit.*"]}}), "drift.exclude"),
        (json!({"drift": {"mode": "Models", "timeout": "10s"}}), "drift.timeout"),
        (json!({"drift": {"mode": "Models", "acceptedFingerprint": "f"}}), "drift.acceptedFingerprint"),
        (json!({"drift": {"mode": "Disabled", "interval": "10m"}}), "drift.interval"),
        (json!({"drift": {"mode": "Disabled", "onDrift": "Block"}}), "drift.onDrift"),
        (json!({"database": {"probe": {"mode": "Job", "timeout": "10s"}}}), "database.probe.timeout"),
        (json!({"database": {"probe": {"mode": "Job"}}, "drift": {"timeout": "10s"}}), "drift.timeout"),
    ];
    for (spec, field) in cases {
        let told = told(&schema, spec.clone());
        assert!(told.contains(field), "{spec}: {told}");
    }
    let obeyed = [
        json!({"drift": {"mode": "Models", "interval": "10m", "onDrift": "Block"}}),
        json!({"drift": {"exclude": ["audit.*"], "timeout": "10s", "acceptedFingerprint": "f"}}),
        json!({"drift": {"mode": "Replay", "exclude": ["audit.*"]}}),
        json!({"database": {"probe": {"mode": "Job", "interval": "10m"}}}),
        json!({"database": {"probe": {"timeout": "10s"}}, "drift": {"timeout": "10s"}}),
    ];
    for spec in obeyed {
        assert_eq!(told(&schema, spec.clone()), "", "{spec}");
    }
}
