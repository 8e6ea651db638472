//! How a pod is told where its database is: variables, and the volume with the server's CA; builds objects only.

use super::{
    job::JobInput,
    task::{PASSWORD_ENV, PLACE_ENV, USERNAME_ENV},
};
use crate::{
    api::{Connection, Part, SecretKey, ValueFrom},
    db::CA_FILE,
};
use serde_json::{Value, json};

const TLS_VOLUME: &str = "alembic-operator-tls";

/// The variables by which an application finds its database.
pub(super) fn database_env(input: JobInput, url: Option<&ValueFrom>, parts: Option<&Connection>) -> Vec<Value> {
    let database = &input.object.spec.database;
    if let Some(scratch) = input.scratch {
        return database.env_names().iter().map(|name| json!({ "name": name, "value": scratch.url() })).collect();
    }
    let mut env = Vec::new();
    if let Some(ValueFrom { secret_key_ref }) = url {
        env.extend(database.env_names().iter().map(|name| secret_env(name, secret_key_ref)));
    }
    if let Some(connection) = parts {
        let from_a_secret = connection.places().filter(|(_, part)| part.secret().is_some());
        env.extend(from_a_secret.map(|(end, part)| part_env(&format!("{PLACE_ENV}{end}"), &part)));
        env.push(secret_env(USERNAME_ENV, &connection.username_from.secret_key_ref));
        env.extend(connection.password_from.as_ref().map(|p| secret_env(PASSWORD_ENV, &p.secret_key_ref)));
    }
    if database.tls.is_some() {
        env.extend(libpq_tls_env());
    }
    env
}

/// A variable that the kubelet fills in from a Secret.
pub(super) fn secret_env(name: &str, key: &SecretKey) -> Value {
    json!({ "name": name, "valueFrom": { "secretKeyRef": { "name": key.name, "key": key.key } } })
}

/// A variable with a part of the URL, wherever that is.
pub(super) fn part_env(name: &str, part: &Part) -> Value {
    match part {
        Part::Text(text) => json!({ "name": name, "value": text }),
        Part::Secret(key) => secret_env(name, key),
    }
}

/// What makes libpq verify the server by the CA of `spec.database.tls`.
pub(super) fn libpq_tls_env() -> [Value; 2] {
    [json!({ "name": "PGSSLROOTCERT", "value": CA_FILE }), json!({ "name": "PGSSLMODE", "value": "verify-full" })]
}

/// The volume with the CA of `spec.database.tls`, and where a container mounts it.
pub(super) fn ca_volume(key: &SecretKey) -> (Value, Value) {
    let (dir, file) = CA_FILE.rsplit_once('/').unwrap_or(("", CA_FILE));
    let items = json!([{ "key": key.key, "path": file }]);
    let volume =
        json!({ "name": TLS_VOLUME, "secret": { "secretName": key.name, "items": items, "defaultMode": 0o444 } });
    (volume, json!({ "name": TLS_VOLUME, "mountPath": dir, "readOnly": true }))
}

/// The parts of the URL that the spec itself has; the runner has them in its task.
pub(super) fn connection_env(input: JobInput) -> Vec<Value> {
    let Some(connection) = &input.object.spec.database.connection else { return Vec::new() };
    let variable = |end: &str, part: &Part| part_env(&format!("{PLACE_ENV}{end}"), part);
    let mut env = vec![variable("DIALECT", &Part::Text(connection.dialect.as_str().to_owned()))];
    env.extend(connection.places().filter(|(_, part)| part.text().is_some()).map(|(end, part)| variable(end, &part)));
    env
}
