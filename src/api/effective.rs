//! The spec that holds for an object: its own over the shared settings; no I/O.

use super::{ApprovalPolicy, DatabaseMigration, Defaults, Enforce, When};
use kube::core::{DeserializeGuard, DynamicObject, error_boundary::InvalidObject};
use serde_json::{Map, Value};

/// Where an object says the second field of the first one, the third is not taken from the settings: the two exclude each other.
const EXCLUDES: [(&str, &str, &str); 4] = [
    ("backup", "job", "cnpg"),
    ("backup", "cnpg", "job"),
    ("backup.cnpg", "method", "pluginName"),
    ("policy.approval", "mode", "threshold"),
];

impl Defaults {
    /// The spec that holds for an object, from the one that it has. Maps are merged; of anything else, lists too, the object's
    /// own stands in the place of the platform's.
    pub fn under(&self, own: Value) -> Value {
        let Value::Object(own) = own else { return own };
        let mut spec = self.spec.clone();
        lay_over(&mut spec, own, "");
        let mut spec = Value::Object(spec);
        if !self.enforce.is_empty() {
            copy(&self.spec, &mut spec, &["policy", "hazards"]);
        }
        for enforce in &self.enforce {
            match enforce {
                Enforce::Approval => self.hold_approval(&mut spec),
                Enforce::Backup => self.hold_backup(&mut spec),
            }
        }
        spec
    }

    fn hold_approval(&self, spec: &mut Value) {
        let approval = |policy: Option<&Value>| -> ApprovalPolicy {
            let value = policy.and_then(|policy| policy.get("approval")).cloned();
            value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
        };
        let (asked, least) = (approval(spec.get("policy")), approval(self.spec.get("policy")));
        if asked.strictness() < least.strictness() {
            copy(&self.spec, spec, &["policy", "approval"]);
        }
    }

    fn hold_backup(&self, spec: &mut Value) {
        let when = |backup: Option<&Value>| -> When {
            let value = backup.and_then(|backup| backup.get("when")).cloned();
            value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
        };
        let stricter = when(spec.get("backup")).max(when(self.spec.get("backup")));
        copy(&self.spec, spec, &["backup"]);
        spec["backup"]["when"] = serde_json::json!(stricter);
    }
}

/// Reads an object with the platform's settings under its spec: nothing behind this knows which field came from where.
pub fn read(object: DynamicObject, defaults: Option<&Defaults>) -> DeserializeGuard<DatabaseMigration> {
    let DynamicObject { metadata, mut data, .. } = object;
    let mut part = |name| data.get_mut(name).map(Value::take).unwrap_or_default();
    let (spec, status) = (part("spec"), part("status"));
    let spec = match defaults {
        Some(defaults) => defaults.under(spec),
        None => spec,
    };
    let parts = serde_json::from_value(spec).and_then(|spec| Ok((spec, serde_json::from_value(status)?)));
    DeserializeGuard(match parts {
        Ok((spec, status)) => Ok(DatabaseMigration { metadata, spec, status }),
        Err(error) => Err(InvalidObject { error: error.to_string(), metadata }),
    })
}

/// Reads an object with the settings that the operator last found under its spec.
pub fn read_effective(object: DynamicObject) -> DeserializeGuard<DatabaseMigration> {
    let told = object.data.pointer("/status/defaults").cloned();
    let defaults: Option<Defaults> = told.and_then(|told| serde_json::from_value(told).ok());
    read(object, defaults.as_ref())
}

/// Lays an object's own fields over what is there.
fn lay_over(below: &mut Map<String, Value>, own: Map<String, Value>, path: &str) {
    for (place, said, excluded) in EXCLUDES {
        if place == path && own.contains_key(said) {
            below.remove(excluded);
        }
    }
    for (key, value) in own {
        match (below.get_mut(&key), value) {
            (Some(Value::Object(there)), Value::Object(own)) => {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                lay_over(there, own, &path);
            }
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

/// Lets a field be as the settings have it, or not be where they say nothing of it.
fn copy(from: &Map<String, Value>, to: &mut Value, path: &[&str]) {
    let Some((last, above)) = path.split_last() else { return };
    let mut source = Some(from);
    let mut target = to;
    for part in above {
        source = source.and_then(|map| map.get(*part)?.as_object());
        if !target[*part].is_object() {
            target[*part] = Value::Object(Map::new());
        }
        target = &mut target[*part];
    }
    let Some(target) = target.as_object_mut() else { return };
    match source.and_then(|map| map.get(*last)) {
        Some(value) => drop(target.insert((*last).to_owned(), value.clone())),
        None => drop(target.remove(*last)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn defaults(spec: Value, enforce: &[Enforce]) -> Defaults {
        let Value::Object(spec) = spec else { panic!("a partial spec is an object") };
        Defaults { hash: "0123456789abcdef".into(), spec, enforce: enforce.to_vec() }
    }

    #[test]
    fn the_object_wins_where_it_says_something() {
        let shared = defaults(
            json!({ "policy": { "downgrade": "Allow", "approval": { "mode": "OnHazard", "threshold": "Low" } },
                "timeouts": { "lock": "5s", "run": "1h" }, "database": { "urlEnv": ["URL"] } }),
            &[],
        );
        let own = json!({ "image": "shop:1", "policy": { "downgrade": "Deny" }, "timeouts": { "lock": "1s" },
            "database": { "urlEnv": ["A", "B"] } });
        let spec = shared.under(own);
        assert_eq!(
            spec,
            json!({ "image": "shop:1",
                "policy": { "downgrade": "Deny", "approval": { "mode": "OnHazard", "threshold": "Low" } },
                "timeouts": { "lock": "1s", "run": "1h" }, "database": { "urlEnv": ["A", "B"] } })
        );
    }

    #[test]
    fn what_excludes_each_other_is_not_mixed() {
        let backup = json!({ "when": "Always", "cnpg": { "cluster": "main", "method": "plugin", "pluginName": "p" } });
        let shared = defaults(
            json!({ "backup": backup, "policy": { "approval": { "mode": "OnHazard", "threshold": "Low" } } }),
            &[],
        );
        let job = json!({ "template": { "spec": {} } });
        let spec = shared.under(json!({ "backup": { "when": "OnHazard", "job": job } }));
        assert_eq!(spec["backup"], json!({ "when": "OnHazard", "job": job }));
        let spec = shared.under(json!({ "backup": { "cnpg": { "cluster": "own", "method": "volumeSnapshot" } } }));
        assert_eq!(spec["backup"]["cnpg"], json!({ "cluster": "own", "method": "volumeSnapshot" }));
        let spec = shared.under(json!({ "policy": { "approval": { "mode": "Always" } } }));
        assert_eq!(spec["policy"]["approval"], json!({ "mode": "Always" }));
    }

    #[test]
    fn an_enforced_approval_can_be_made_stricter_alone() {
        let shared = defaults(
            json!({ "policy": { "approval": { "mode": "OnHazard", "threshold": "High" } } }),
            &[Enforce::Approval],
        );
        let least = json!({ "mode": "OnHazard", "threshold": "High" });
        for (own, holds) in [
            (json!({}), &least),
            (json!({ "mode": "Auto" }), &least),
            (json!({ "threshold": "Critical" }), &least),
            (json!({ "threshold": "Low" }), &json!({ "mode": "OnHazard", "threshold": "Low" })),
            (json!({ "mode": "Always" }), &json!({ "mode": "Always" })),
            (json!({ "mode": "Never" }), &json!({ "mode": "Never" })),
        ] {
            let allow = json!([{ "code": "D01", "reason": "no" }]);
            let spec = shared.under(json!({ "policy": { "approval": own, "hazards": { "allow": allow } } }));
            assert_eq!(&spec["policy"]["approval"], holds, "{own}");
            assert_eq!(spec["policy"].get("hazards"), None, "the object allows itself nothing");
        }
        assert_eq!(shared.under(json!({}))["policy"], json!({ "approval": least }));
    }

    #[test]
    fn an_enforced_backup_is_the_platforms() {
        let ours = json!({ "when": "OnHazard", "cnpg": { "cluster": "main" } });
        let shared = defaults(json!({ "backup": ours }), &[Enforce::Backup]);
        assert_eq!(shared.under(json!({}))["backup"], ours);
        let own = json!({ "backup": { "when": "Always", "timeout": "1s", "job": { "template": { "spec": {} } } } });
        assert_eq!(shared.under(own)["backup"], json!({ "when": "Always", "cnpg": { "cluster": "main" } }));
        assert_eq!(shared.under(json!({ "backup": { "when": "Never" } }))["backup"], ours);
        assert_eq!(shared.under(json!({ "backup": "no object" }))["backup"], ours);
    }
}
