//! The init container that copies the live schema to the scratch database of a rehearsal; builds objects only.

use super::{
    database_env::{ca_volume, libpq_tls_env, part_env, secret_env},
    job::JobInput,
    pod::COPY_CONTAINER,
    pod_template::PodTemplateError,
    scratch::{MARK, PASSWORD, Scratch},
};
use crate::{api::ValueFrom, db::CA_FILE};
use k8s_openapi::api::batch::v1::Job;
use serde_json::{Value, json};

/// The kubelet replaces $(NAME) in a command where it knows a variable NAME: no command of the script is called like one.
/// Nor does a dollar stand beside another, of which it would leave one.
const SCRIPT: &str = include_str!("copy.sh");

/// The version table, whose rows are copied too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionTableName {
    pub name: String,
    pub schema: Option<String>,
}

/// A Job with a scratch database, its pod's schema copied before the application's container starts: after the other init
/// containers, so that the server is there. Without a table no rows are copied. `None` where there is no server to copy to,
/// as for SQLite.
pub fn with_copy(
    mut job: Job,
    input: JobInput,
    scratch: &Scratch,
    table: Option<&VersionTableName>,
) -> Result<Option<Job>, PodTemplateError> {
    let Some(image) = &scratch.image else { return Ok(None) };
    let Some((port, user, name)) = scratch.login() else { return Ok(None) };
    let mut env = vec![
        json!({ "name": "DIALECT", "value": scratch.dialect() }),
        json!({ "name": "VERSION_TABLE", "value": table.map_or("", |t| t.name.as_str()) }),
        json!({ "name": "VERSION_SCHEMA", "value": table.and_then(|t| t.schema.as_deref()).unwrap_or_default() }),
        json!({ "name": "SCRATCH_HOST", "value": "127.0.0.1" }),
        json!({ "name": "SCRATCH_PORT", "value": port }),
        json!({ "name": "SCRATCH_USER", "value": user }),
        json!({ "name": "SCRATCH_PASSWORD", "value": PASSWORD }),
        json!({ "name": "SCRATCH_NAME", "value": name }),
        json!({ "name": "SCRATCH_MARK", "value": MARK }),
    ];
    env.extend(live(input));
    let mut container = json!({
        "name": COPY_CONTAINER,
        "image": image,
        "command": ["sh", "-c", SCRIPT],
        "env": env,
        "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        // What the client programs say goes into the pod's status; they name no password.
        "terminationMessagePolicy": "FallbackToLogsOnError",
    });
    let pod = job.spec.as_mut().and_then(|spec| spec.template.spec.as_mut());
    let Some(pod) = pod else { return Ok(None) };
    if let Some(tls) = &input.object.spec.database.tls {
        // The application's container has none of it on a scratch database.
        let (volume, mount) = ca_volume(&tls.ca_from.secret_key_ref);
        container["volumeMounts"] = json!([mount]);
        pod.volumes.get_or_insert_default().push(read(volume)?);
    }
    pod.init_containers.get_or_insert_default().push(read(container)?);
    Ok(Some(job))
}

/// What leads to the live database, its secrets by reference.
fn live(input: JobInput) -> Vec<Value> {
    let database = &input.object.spec.database;
    let plain = |name: &str, value: &str| json!({ "name": name, "value": value });
    let mut env = Vec::new();
    if let Some(ValueFrom { secret_key_ref }) = database.migration_url() {
        env.push(secret_env("LIVE_URL", secret_key_ref));
    }
    if let Some(connection) = database.migration_parts() {
        env.extend(connection.places().map(|(end, part)| part_env(&format!("LIVE_{end}"), &part)));
        env.push(secret_env("LIVE_USER", &connection.username_from.secret_key_ref));
        match &connection.password_from {
            Some(password) => env.push(secret_env("LIVE_PASSWORD", &password.secret_key_ref)),
            None => env.push(plain("LIVE_PASSWORD", "")),
        }
    }
    if database.tls.is_some() {
        env.extend(libpq_tls_env());
        env.push(plain("LIVE_CA", CA_FILE));
    }
    env
}

fn read<T: serde::de::DeserializeOwned>(value: serde_json::Value) -> Result<T, PodTemplateError> {
    serde_json::from_value(value).map_err(|error| PodTemplateError::new("the copy of the live schema", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kubelet_leaves_the_script_as_it_is() {
        assert!(!SCRIPT.contains("$$"));
        assert!(SCRIPT.split("$(").skip(1).all(|after| !after.starts_with(|c: char| c.is_ascii_uppercase())));
    }
}
