//! Generated files and documents say what the code says. `UPDATE=1 cargo test --test golden` writes the generated ones.

#![allow(clippy::unwrap_used, clippy::panic)]

mod chart;
mod circles;
mod markdown;
mod objects;
mod pages;
mod pictures;
mod reference;
mod rules;

use alembic_operator::cli;
use std::{fs, path::Path};

/// A file or folder of the repository.
fn root(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Compares a file with what it is generated from, or writes it.
fn generated(path: &str, text: &str) {
    let file = root(path);
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, text).unwrap();
    }
    let there = fs::read_to_string(&file).unwrap_or_default();
    assert!(there == text, "{path} is not what the code generates; run: UPDATE=1 cargo test --test golden");
}

#[test]
fn the_crd_is_generated_from_the_types() {
    let crd = cli::crd().unwrap();
    generated("crds/alembic-operator.dev_databasemigrations.yaml", &crd);
    generated("charts/alembic-operator/files/crd.yaml", &crd);
    let sets = cli::set_crd().unwrap();
    generated("crds/alembic-operator.dev_databasemigrationsets.yaml", &sets);
    generated("charts/alembic-operator/files/crd-sets.yaml", &sets);
}

/// What Kustomize has to know of the resource, wherever its schema names an image or another object.
#[test]
fn the_kustomize_configuration_is_generated_from_the_crd() {
    let crd: serde_json::Value = serde_yaml::from_str(&cli::crd().unwrap()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut places = Vec::new();
    kustomized(schema, "spec", &mut places);
    let of = |kind: &str| {
        let paths = places.iter().filter(|(of, _)| *of == kind);
        paths.map(|(_, path)| format!("      - {{path: {path}, kind: DatabaseMigration}}\n")).collect::<String>()
    };
    let mut text = "# Tells Kustomize where a DatabaseMigration names images and other objects; generated from the CRD.\nimages:\n".to_owned();
    text += &of("image").replace("      - ", "  - ");
    text += "nameReference:\n";
    for kind in ["Secret", "ConfigMap", "ServiceAccount", "PersistentVolumeClaim"] {
        text += &format!("  - kind: {kind}\n    version: v1\n    fieldSpecs:\n{}", of(kind));
    }
    assert!(text.contains("path: spec/image,") && text.contains("path: spec/database/urlFrom/secretKeyRef/name,"));
    generated("kustomize/databasemigration.yaml", &text);
}

/// The places of a schema that Kustomize may have to change, by the kind of what they name.
fn kustomized(schema: &serde_json::Value, path: &str, places: &mut Vec<(&'static str, String)>) {
    const BY_END: [(&str, &str); 8] = [
        ("Secret", "secretKeyRef/name"),
        ("Secret", "secretRef/name"),
        ("Secret", "imagePullSecrets/name"),
        ("ConfigMap", "configMapKeyRef/name"),
        ("ConfigMap", "configMapRef/name"),
        ("ServiceAccount", "serviceAccountName"),
        ("PersistentVolumeClaim", "claimName"),
        ("image", "/image"),
    ];
    // The schema of a pod is left to the API server.
    const OF_A_POD: [(&str, &str); 16] = [
        ("image", "initContainers/image"),
        ("image", "containers/image"),
        ("Secret", "imagePullSecrets/name"),
        ("Secret", "initContainers/env/valueFrom/secretKeyRef/name"),
        ("Secret", "initContainers/envFrom/secretRef/name"),
        ("Secret", "containers/env/valueFrom/secretKeyRef/name"),
        ("Secret", "containers/envFrom/secretRef/name"),
        ("Secret", "volumes/secret/secretName"),
        ("Secret", "volumes/projected/sources/secret/name"),
        ("ConfigMap", "initContainers/env/valueFrom/configMapKeyRef/name"),
        ("ConfigMap", "initContainers/envFrom/configMapRef/name"),
        ("ConfigMap", "containers/env/valueFrom/configMapKeyRef/name"),
        ("ConfigMap", "containers/envFrom/configMapRef/name"),
        ("ConfigMap", "volumes/configMap/name"),
        ("ServiceAccount", "serviceAccountName"),
        ("PersistentVolumeClaim", "volumes/persistentVolumeClaim/claimName"),
    ];
    let is_a_pod = schema["x-kubernetes-preserve-unknown-fields"] == true && path.ends_with("/spec");
    if is_a_pod {
        places.extend(OF_A_POD.iter().map(|(kind, end)| (*kind, format!("{path}/{end}"))));
        return;
    }
    // The short forms of a container's fields.
    let short = |form: &str, end: &str| path.ends_with(form).then(|| format!("{path}/{end}"));
    let open = schema["x-kubernetes-preserve-unknown-fields"] == true;
    for (form, kind, end) in [
        ("/env", "Secret", "valueFrom/secretKeyRef/name"),
        ("/env", "ConfigMap", "valueFrom/configMapKeyRef/name"),
        ("/envFrom", "Secret", "secretRef/name"),
        ("/envFrom", "ConfigMap", "configMapRef/name"),
    ] {
        places.extend(short(form, end).filter(|_| open).map(|path| (kind, path)));
    }
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        kustomized(field, &format!("{path}/{name}"), places);
    }
    if schema["items"].is_object() {
        kustomized(&schema["items"], path, places);
    }
    if schema["type"] == "string" {
        places.extend(BY_END.iter().filter(|(_, end)| path.ends_with(end)).map(|(kind, _)| (*kind, path.to_owned())));
    }
}

/// `kubectl explain` shows a sentence for every field.
#[test]
fn every_field_of_the_crd_is_documented() {
    let mut bare = Vec::new();
    for crd in [cli::crd(), cli::set_crd()] {
        let crd: serde_json::Value = serde_yaml::from_str(&crd.unwrap()).unwrap();
        undocumented(&crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"], "", &mut bare);
    }
    assert!(bare.is_empty(), "{bare:?}");
}

fn undocumented(schema: &serde_json::Value, path: &str, bare: &mut Vec<String>) {
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let path = format!("{path}.{name}");
        if field["description"].as_str().is_none_or(str::is_empty) {
            bare.push(path.clone());
        }
        undocumented(field, &path, bare);
        undocumented(&field["items"], &path, bare);
    }
}

/// API servers warn about the formats uint32 and uint64 on every apply.
#[test]
fn no_number_is_unsigned() {
    assert!(!(cli::crd().unwrap() + &cli::set_crd().unwrap()).contains("format: uint"));
}

/// YAML reads some words as booleans, and the API server then knows no such value.
#[test]
fn no_value_of_the_crd_is_a_boolean_in_yaml() {
    let text = fs::read_to_string(root("crds/alembic-operator.dev_databasemigrations.yaml")).unwrap();
    let value = |line: &str| line.trim().strip_prefix("- ").map(|word| word.trim_matches(['"', '\'']).to_lowercase());
    let read_otherwise = ["yes", "no", "on", "off", "true", "false", "y", "n"];
    let found: Vec<_> = text.lines().filter_map(value).filter(|word| read_otherwise.contains(&word.as_str())).collect();
    assert!(found.is_empty(), "{found:?}");
}

/// The pure rooms of the house stay pure: what decides and plans does no I/O.
#[test]
fn pure_modules_do_no_io() {
    let decides = &["kube::Api", "sqlx::", "tokio::", "async ", "tracing::", "::now()"][..];
    let reconcile = [
        "checks",
        "decide",
        "decide.rs",
        "drift.rs",
        "due",
        "effects.rs",
        "facts.rs",
        "gates",
        "pauses.rs",
        "situation.rs",
        "status.rs",
    ];
    let reconcile = reconcile.map(|room| (format!("src/reconcile/{room}"), decides));
    let others = [
        ("src/revisions", &["kube::", "sqlx::", "tokio::", "std::fs", "std::net"][..]),
        ("src/lint", &["kube::", "sqlx::", "tokio::", "std::fs", "std::net", "::now()"][..]),
        ("src/api", &["kube::Api", "sqlx::", "tokio::"][..]),
        ("src/jobs", &["kube::Api", "sqlx::", "tokio::", "async "][..]),
    ]
    .map(|(room, forbidden)| (room.to_owned(), forbidden));
    for (dir, forbidden) in reconcile.into_iter().chain(others) {
        assert!(root(&dir).exists(), "{dir} is not there");
        for file in files(&root(&dir)) {
            let text = fs::read_to_string(&file).unwrap();
            for word in forbidden {
                assert!(!text.contains(word), "{} uses {word}", file.display());
            }
        }
    }
}

#[test]
fn every_module_says_what_it_is_for() {
    for file in files(&root("src")) {
        if file.extension().is_some_and(|e| e == "rs") {
            let text = fs::read_to_string(&file).unwrap();
            assert!(text.starts_with("//! "), "{}", file.display());
        }
    }
}

fn files(path: &Path) -> Vec<std::path::PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    fs::read_dir(path).unwrap().flat_map(|entry| files(&entry.unwrap().path())).collect()
}
