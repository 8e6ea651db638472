//! Every DatabaseMigration in the documentation and the examples is one that the API server takes: the CRD's schema, and its
//! rules in CEL; no network.

use super::{files, markdown::all, root};
use alembic_operator::{
    api::{DatabaseMigration, DatabaseMigrationSpec, Rollout},
    cli,
};
use kube::core::cel::validate_cel_schema;
use serde::Deserialize;
use serde_json::{Value, json};
use std::{fs, path::PathBuf};

#[test]
fn every_object_in_the_pages_is_valid() {
    let mut problems = Vec::new();
    let mut checked = 0;
    for page in all() {
        for block in page.blocks().iter().filter(|block| block.language == "yaml") {
            for object in parsed(&block.text, &format!("{}:{}", page.path, block.line)) {
                let Some(object) = migration(object) else { continue };
                checked += 1;
                problems.extend(
                    wrong(&object).into_iter().map(|problem| format!("{}:{}: {problem}", page.path, block.line)),
                );
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(checked > 15, "only {checked} objects were found");
}

#[test]
fn every_example_is_valid() {
    // The templates of a chart are YAML only once Helm has rendered them; tests/gitops does.
    let is_yaml = |file: &&PathBuf| {
        file.extension().is_some_and(|end| end == "yaml")
            && !file.components().any(|part| part.as_os_str() == "templates")
    };
    for file in files(&root("examples")).iter().filter(is_yaml) {
        let text = fs::read_to_string(file).unwrap();
        for object in parsed(&text, &file.display().to_string()) {
            if object["kind"] == "DatabaseMigration" {
                assert_eq!(wrong(&object), Vec::<String>::new(), "{}", file.display());
            }
        }
    }
}

/// The check itself sees what the API server would refuse.
#[test]
fn what_the_api_server_refuses_is_seen() {
    let with = |field: &str| migration(serde_yaml::from_str(&format!("spec: {{{field}}}")).unwrap()).unwrap();
    for field in [
        "tagretRevision: head",
        "targetRevision: 5",
        "targetRevision: +1",
        "drift: {mode: Sometimes}",
        "drift: {mode: Disabled, onDrift: Block}",
        "database: {urlFrom: {secretKeyRef: {name: shop-db}}}",
        "verify: {timeout: 5m}",
        "verify: {when: Always, timeout: 5m}",
        "rehearsal: {source: History}",
        "scratch: {image: postgres}",
    ] {
        assert!(!wrong(&with(field)).is_empty(), "{field}");
    }
}

fn parsed(text: &str, place: &str) -> Vec<Value> {
    let documents = serde_yaml::Deserializer::from_str(text).map(Value::deserialize);
    documents.map(|object| object.unwrap_or_else(|error| panic!("{place}: {error}"))).collect()
}

/// A whole object, or the part of one: a block that begins with `spec`, over the smallest object.
fn migration(object: Value) -> Option<Value> {
    match object["kind"].as_str() {
        Some("DatabaseMigration") => Some(object),
        Some(_) => None,
        None => {
            let part = object.get("spec")?.as_object()?;
            let mut spec = json!({
                "image": "registry.example.com/shop:1.4.2",
                "targetRevision": "head",
                "database": { "urlFrom": { "secretKeyRef": { "name": "shop-db", "key": "url" } } },
            });
            for (field, value) in part {
                spec[field] = value.clone();
            }
            // A part shows its own fields; where the database comes from is said elsewhere.
            if part
                .get("database")
                .is_some_and(|database| database.get("urlFrom").or(database.get("connection")).is_none())
            {
                spec["database"]["urlFrom"] = json!({ "secretKeyRef": { "name": "shop-db", "key": "url" } });
            }
            Some(
                json!({ "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": { "name": "shop" }, "spec": spec }),
            )
        }
    }
}

/// A promotion and a metric name a wave by its name alone.
#[test]
fn each_wave_of_a_set_has_a_name_of_its_own() {
    let waves = |names: [&str; 2]| json!({ "waves": names.map(|name| json!({ "name": name, "upTo": "10%" })) });
    let wrong = |rollout| validate_cel_schema::<Rollout>(&rollout, None).err().map(|errors| errors.to_string());
    assert_eq!((wrong(json!({})), wrong(waves(["canary", "third"]))), (None, None));
    assert!(wrong(waves(["canary", "canary"])).is_some_and(|error| error.contains("a name of its own")));
}

/// What the API server would say against an object.
fn wrong(object: &Value) -> Vec<String> {
    let crd: Value = serde_yaml::from_str(&cli::crd().unwrap()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut problems = Vec::new();
    if object["apiVersion"] != "alembic-operator.dev/v1alpha1" {
        problems.push(format!("apiVersion {}", object["apiVersion"]));
    }
    against_schema(schema, &object["spec"], "spec", &mut problems);
    if problems.is_empty() {
        let rules = validate_cel_schema::<DatabaseMigrationSpec>(&object["spec"], None);
        problems.extend(rules.err().map(|errors| errors.to_string()));
        problems
            .extend(serde_json::from_value::<DatabaseMigration>(object.clone()).err().map(|error| error.to_string()));
    }
    problems
}

/// Unknown and missing fields, types, and words that are none of an enum's.
fn against_schema(schema: &Value, value: &Value, path: &str, problems: &mut Vec<String>) {
    if let Some(words) = schema["enum"].as_array().filter(|words| !words.contains(value)) {
        problems.push(format!("{path} is {value}, and none of {words:?}"));
    }
    let fits = match schema["type"].as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64(),
        _ => true,
    };
    if !fits {
        problems.push(format!("{path} is no {}", schema["type"]));
    }
    for field in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(field).is_none() {
            problems.push(format!("{path}.{field} is missing"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        match schema["properties"].get(name).or(schema.get("additionalProperties")) {
            Some(known) => against_schema(known, inner, &path, problems),
            None if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            None => problems.push(format!("{path} is no field")),
        }
    }
    for (number, item) in value.as_array().into_iter().flatten().enumerate() {
        against_schema(&schema["items"], item, &format!("{path}[{number}]"), problems);
    }
}
