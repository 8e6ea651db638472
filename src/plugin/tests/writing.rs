//! The YAML that is written, read as the operator reads it.

use super::{shop, snapshot};
use crate::{
    api::DatabaseMigration,
    plugin::write::{First, InitError, UrlSource, adopt, gate},
};
use serde_json::json;

fn deployment() -> k8s_openapi::api::apps::v1::Deployment {
    serde_json::from_value(json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "shop", "namespace": "demo" },
        "spec": { "selector": {}, "template": { "spec": {
            "serviceAccountName": "shop", "imagePullSecrets": [{ "name": "registry" }],
            "containers": [{ "name": "web", "image": "registry.example.com/shop:1.5.0",
                "env": [{ "name": "SHOP_DATABASE_URL", "valueFrom": { "secretKeyRef": { "name": "shop-db", "key": "uri" } } },
                        { "name": "REGION", "value": "eu" }] }] } } },
    }))
    .unwrap()
}

#[test]
fn a_first_object_from_a_deployment() {
    let yaml = First::of(&deployment(), None, None, None).unwrap().yaml().unwrap();
    snapshot("init.yaml", &yaml);
    let object: DatabaseMigration = serde_yaml::from_str(&yaml).unwrap();
    assert_eq!(object.spec.database.env_names(), ["SHOP_DATABASE_URL"]);
}

#[test]
fn a_deployment_without_a_url_says_what_it_has() {
    let error = First::of(&deployment(), None, Some("REGION"), None).unwrap_err();
    assert!(matches!(&error, InitError::NoUrl { has, .. } if has == "SHOP_DATABASE_URL, REGION"), "{error}");
    assert!(matches!(First::of(&deployment(), Some("x"), None, None), Err(InitError::NoContainer(..))));
    let url = UrlSource { secret: "a".into(), key: "b".into(), variable: "DATABASE_URL".into() };
    assert_eq!(First::of(&deployment(), None, None, Some(url.clone())).unwrap().url, url);
}

#[test]
fn the_gate_and_the_adoption_are_written() {
    snapshot("gate.yaml", &gate(&shop()).unwrap());
    snapshot("adopt.yaml", &adopt(&shop(), "e90a7b3c51d6"));
}
