//! `alembic-operator run --defaults FILE`: reads the settings that hold for every object, and refuses what would hold for none or
//! break each of them; reads one file, no network.

use crate::{
    api::{DatabaseMigration, DatabaseMigrationSpec, Defaults, Enforce, When},
    jobs::short_hash,
    reconcile::spec_problem,
};
use anyhow::{Context as _, bail, ensure};
use kube::CustomResourceExt;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::path::Path;

/// Every status carries the settings, so they have to be short.
const MAX_BYTES: usize = 4096;

/// What an object says for itself alone.
const OF_ONE_OBJECT: [&str; 8] = [
    "/image",
    "/targetRevision",
    "/adopt",
    "/database/urlFrom",
    "/database/connection",
    "/database/migrationUrlFrom",
    "/policy/approvedPlan",
    "/drift/acceptedFingerprint",
];

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    defaults: Map<String, Value>,
    #[serde(default)]
    enforce: Vec<Enforce>,
}

/// Reads and checks the file.
pub fn read(file: &Path) -> anyhow::Result<Defaults> {
    let shown = file.display();
    let text = std::fs::read_to_string(file).with_context(|| format!("--defaults: {shown} can't be read"))?;
    parse(&text).with_context(|| format!("--defaults: {shown} can't be used"))
}

fn parse(text: &str) -> anyhow::Result<Defaults> {
    let File { defaults, enforce } = serde_yaml::from_str(text)?;
    let spec = Value::Object(defaults.clone());
    if let Some(field) = OF_ONE_OBJECT.into_iter().find(|field| spec.pointer(field).is_some()) {
        bail!("defaults{}: each object says this for itself", field.replace('/', "."));
    }
    let crd = serde_json::to_value(DatabaseMigration::crd())?;
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    if let Some(field) = unknown(&spec, schema, "defaults") {
        bail!("{field}: there is no such field");
    }
    for enforced in &enforce {
        let (said, what) = match enforced {
            Enforce::Approval => {
                (spec.pointer("/policy/approval/mode").is_some(), "Approval needs defaults.policy.approval.mode")
            }
            Enforce::Backup => {
                let when = spec.pointer("/backup/when").filter(|when| **when != json!(When::Never));
                (when.is_some(), "Backup needs defaults.backup.when: OnHazard or Always")
            }
        };
        ensure!(said, "enforce: {what}");
    }
    let whole = spec.to_string();
    ensure!(whole.len() <= MAX_BYTES, "defaults: {} bytes as JSON; at most {MAX_BYTES} are allowed", whole.len());
    let hash = short_hash(&[&whole, &serde_json::to_string(&enforce)?], 16);
    let defaults = Defaults { hash, spec: defaults, enforce };
    check(&defaults)?;
    Ok(defaults)
}

/// The smallest object has to be valid over them.
fn check(defaults: &Defaults) -> anyhow::Result<()> {
    let url = json!({ "urlFrom": { "secretKeyRef": { "name": "db", "key": "url" } } });
    let smallest = json!({ "image": "app", "targetRevision": "head", "database": url });
    let spec: DatabaseMigrationSpec = serde_json::from_value(defaults.under(smallest)).context("defaults")?;
    match spec_problem(&spec) {
        Some(problem) => bail!("defaults: {}", problem.message),
        None => Ok(()),
    }
}

/// The first field that the CRD does not have: a misspelt one would hold for no object.
fn unknown(value: &Value, schema: &Value, path: &str) -> Option<String> {
    if schema["x-kubernetes-preserve-unknown-fields"] == json!(true) {
        return None;
    }
    match value {
        Value::Object(map) => map.iter().find_map(|(key, value)| {
            let path = format!("{path}.{key}");
            match schema["properties"].get(key).or_else(|| schema.get("additionalProperties")) {
                Some(schema) => unknown(value, schema, &path),
                None => Some(path),
            }
        }),
        Value::Array(list) => list.iter().find_map(|value| unknown(value, &schema["items"], path)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        format!("{:#}", parse(text).unwrap_err())
    }

    #[test]
    fn settings_are_read_and_have_a_hash() {
        let text = "defaults:\n  policy: {approval: {mode: Always}}\n  podTemplate: {spec: {nodeSelector: {disk: fast}}}\n  drift: {interval: 1h}\nenforce: [Approval]\n";
        let one = parse(text).unwrap();
        assert_eq!((one.hash.len(), one.enforce.as_slice()), (16, &[Enforce::Approval][..]));
        let other = parse(&text.replace("fast", "slow")).unwrap();
        assert_ne!(one.hash, other.hash, "a change is seen");
        assert_eq!(parse("{}").unwrap().spec, Map::new());
    }

    #[test]
    fn what_can_not_hold_is_refused_with_its_field() {
        for (text, told) in [
            ("defaults: {polcy: {downgrade: Allow}}", "defaults.polcy: there is no such field"),
            ("defaults: {policy: {hazards: {allow: [{cod: D01}]}}}", "defaults.policy.hazards.allow.cod"),
            ("defaults: {policy: {downgrade: Perhaps}}", "unknown variant `Perhaps`"),
            ("defaults: {image: \"app:1\"}", "defaults.image: each object says this for itself"),
            ("defaults: {database: {connection: {dialect: mysql}}}", "defaults.database.connection: each object"),
            ("defaults: {timeouts: {lock: soon}}", "spec.timeouts.lock is not a duration"),
            ("defaults: {backup: {when: Always}}", "set exactly one of job and cnpg"),
            ("defaults: {backup: {timeout: 1h}}", "missing field `when`"),
            ("defaults: {podTemplate: {spec: {containers: none}}}", "spec.podTemplate"),
            ("enforce: [Approval]", "Approval needs defaults.policy.approval.mode"),
            ("enforce: [Backup]", "Backup needs defaults.backup.when"),
            ("enforce: [Everything]", "unknown variant `Everything`"),
            ("default: {}", "unknown field `default`"),
            ("defaults: [1]", "invalid type"),
        ] {
            let message = refused(text);
            assert!(message.contains(told), "{text}: {message}");
        }
        let long = format!("defaults: {{podTemplate: {{metadata: {{annotations: {{a: {}}}}}}}}}", "x".repeat(5000));
        assert!(refused(&long).contains("at most 4096"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let message = format!("{:#}", read(Path::new("/nowhere/defaults.yaml")).unwrap_err());
        assert!(message.contains("/nowhere/defaults.yaml can't be read"), "{message}");
    }
}
