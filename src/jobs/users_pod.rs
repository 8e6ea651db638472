//! What the user says of the Jobs' pods: the short forms of the spec, and podTemplate over them; no I/O.

use super::{CONTAINER, pod_template::merge};
use crate::api::{DatabaseMigrationSpec, PodShorthands, PodTemplate};
use serde_json::{Map, Value, json};

/// `None` where the user says nothing.
pub fn users_pod(spec: &DatabaseMigrationSpec) -> Option<PodTemplate> {
    if spec.pod == PodShorthands::default() {
        return spec.pod_template.clone();
    }
    let template = spec.pod_template.clone().unwrap_or_default();
    let mut pod = Value::Object(in_full(&spec.pod));
    merge(&mut pod, Value::Object(template.spec));
    let spec = if let Value::Object(spec) = pod { spec } else { Map::new() };
    Some(PodTemplate { metadata: template.metadata, spec })
}

/// The short forms where they stand in a pod spec.
fn in_full(short: &PodShorthands) -> Map<String, Value> {
    let mut container = Map::from_iter([("name".to_owned(), json!(CONTAINER))]);
    let mut pod = Map::new();
    let put = |into: &mut Map<String, Value>, key: &str, value: Value| {
        let said = !matches!(&value, Value::Null) && value != json!([]) && value != json!({});
        if said {
            into.insert(key.to_owned(), value);
        }
    };
    put(&mut container, "env", json!(short.env));
    put(&mut container, "envFrom", json!(short.env_from));
    put(&mut container, "resources", json!(short.resources));
    put(&mut pod, "serviceAccountName", json!(short.service_account_name));
    put(&mut pod, "imagePullSecrets", json!(short.image_pull_secrets));
    if container.len() > 1 {
        pod.insert("containers".to_owned(), json!([container]));
    }
    pod
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(value: Value) -> DatabaseMigrationSpec {
        let mut whole = json!({ "image": "shop", "targetRevision": "head", "database": {} });
        merge(&mut whole, value);
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn short_forms_stand_where_a_pod_has_them() {
        let spec = spec(json!({
            "env": [{ "name": "STAGE", "value": "prod" }],
            "envFrom": [{ "configMapRef": { "name": "settings" } }],
            "serviceAccountName": "migrator",
            "imagePullSecrets": [{ "name": "registry" }],
            "resources": { "limits": { "memory": "1Gi" } },
        }));
        assert_eq!(
            Value::Object(users_pod(&spec).unwrap().spec),
            json!({
                "serviceAccountName": "migrator",
                "imagePullSecrets": [{ "name": "registry" }],
                "containers": [{
                    "name": "alembic",
                    "env": [{ "name": "STAGE", "value": "prod" }],
                    "envFrom": [{ "configMapRef": { "name": "settings" } }],
                    "resources": { "limits": { "memory": "1Gi" } },
                }],
            })
        );
    }

    #[test]
    fn the_template_wins_and_adds() {
        let spec = spec(json!({
            "env": [{ "name": "STAGE", "value": "prod" }, { "name": "A", "value": "1" }],
            "serviceAccountName": "migrator",
            "podTemplate": { "metadata": { "labels": { "a": "b" } }, "spec": {
                "serviceAccountName": "other",
                "containers": [{ "name": "alembic", "env": [{ "name": "A", "valueFrom": {} }] }, { "name": "proxy" }],
            } },
        }));
        let pod = users_pod(&spec).unwrap();
        assert_eq!(pod.metadata.labels["a"], "b");
        assert_eq!(pod.spec["serviceAccountName"], "other");
        assert_eq!(
            pod.spec["containers"],
            json!([
                { "name": "alembic", "env": [{ "name": "STAGE", "value": "prod" }, { "name": "A", "valueFrom": {} }] },
                { "name": "proxy" },
            ])
        );
    }

    #[test]
    fn nothing_said_is_nothing() {
        assert_eq!(users_pod(&spec(json!({}))), None);
    }
}
