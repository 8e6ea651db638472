//! The ConfigMaps that several objects own together: the runner's program and stored inspections; builds objects, sends
//! nothing.

use super::{Inspected, Inspection, MAX_PAYLOAD, names::short_hash, program};
use crate::{
    api::{DatabaseMigration, LABEL_INSPECTION, LABEL_MANAGED_BY, MANAGER},
    zlib,
};
use flate2::Compression;
use k8s_openapi::{ByteString, api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::OwnerReference};
use kube::{Resource, ResourceExt, api::ObjectMeta};
use std::collections::BTreeMap;

const DATA: &str = "inspection";

const IMAGE: &str = "image";

const DIGEST: &str = "digest";

/// Bytes of a packed inspection; a ConfigMap holds a megabyte.
const MAX_PACKED: usize = 900 * 1024;

/// The ConfigMap that holds the runner, one for each namespace and version of it.
pub fn program_config_map(object: &DatabaseMigration) -> ConfigMap {
    ConfigMap {
        metadata: shared_metadata(object, program::name(), BTreeMap::new()),
        data: Some(program::data()),
        immutable: Some(true),
        ..ConfigMap::default()
    }
}

/// The ConfigMap that keeps an inspection. Its name follows the content, so that a moved tag gets a new one and the
/// graph of the image before it stays known.
pub fn inspection_config_map(
    object: &DatabaseMigration,
    key: &str,
    image: &str,
    digest: Option<&str>,
    inspection: &Inspection,
) -> std::io::Result<ConfigMap> {
    let (sha256, packed) = packed(inspection)?;
    let content = short_hash(&[image, digest.unwrap_or_default(), &sha256], 10);
    let mut data = BTreeMap::from([(IMAGE.to_owned(), image.to_owned())]);
    data.extend(digest.map(|d| (DIGEST.to_owned(), d.to_owned())));
    let labels = BTreeMap::from([(LABEL_INSPECTION.to_owned(), key.to_owned())]);
    Ok(ConfigMap {
        metadata: shared_metadata(object, format!("alembic-inspection-{key}-{content}"), labels),
        data: Some(data),
        binary_data: Some(BTreeMap::from([(DATA.to_owned(), ByteString(packed))])),
        immutable: Some(true),
    })
}

/// An inspection packed, and what its JSON is known by; without long SQL, or any, when it would have no room otherwise.
fn packed(inspection: &Inspection) -> std::io::Result<(String, Vec<u8>)> {
    let mut whole = zlib::pack_json(inspection, Compression::best())?;
    for most in [8 * 1024, 1024, 0] {
        if whole.1.len() > MAX_PACKED {
            whole = zlib::pack_json(&inspection.clone().without_sql_over(most), Compression::best())?;
        }
    }
    Ok(whole)
}

/// Reads a ConfigMap that keeps an inspection; `None` when it is not one or is damaged.
pub fn read_inspection(map: &ConfigMap) -> Option<Inspected> {
    let text = |key: &str| map.data.as_ref().and_then(|d| d.get(key)).cloned();
    let packed = map.binary_data.as_ref()?.get(DATA)?;
    let inspection = Inspection::parse(&zlib::unpack(&packed.0, MAX_PAYLOAD)?).ok()?;
    Some(Inspected::new(text(IMAGE)?, text(DIGEST), inspection))
}

fn shared_metadata(object: &DatabaseMigration, name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
    let mut labels = labels;
    labels.insert(LABEL_MANAGED_BY.to_owned(), MANAGER.to_owned());
    ObjectMeta {
        name: Some(name),
        namespace: object.namespace(),
        labels: Some(labels),
        owner_references: Some(shared_owner(object).into_iter().collect()),
        ..ObjectMeta::default()
    }
}

/// So many objects own a shared ConfigMap together, and others join as these go: enough that it is not lost, and few
/// enough for the API server, which takes seconds to add to a thousand.
const OWNERS: usize = 8;

/// Whether an object should join the owners of a shared ConfigMap.
pub fn lacks_owner(map: &impl ResourceExt, object: &DatabaseMigration) -> bool {
    let owners = map.owner_references();
    owners.len() < OWNERS && !owners.iter().any(|owner| Some(&owner.uid) == object.metadata.uid.as_ref())
}

/// The image of a ConfigMap that keeps an inspection.
pub fn inspected_image(map: &ConfigMap) -> Option<&str> {
    map.data.as_ref()?.get(IMAGE).map(String::as_str)
}

/// The key under which it is kept.
pub fn inspection_key_of(map: &ConfigMap) -> Option<&str> {
    map.labels().get(LABEL_INSPECTION).map(String::as_str)
}

/// The digest of that image.
pub fn inspected_digest(map: &ConfigMap) -> Option<&str> {
    map.data.as_ref()?.get(DIGEST).map(String::as_str)
}

/// The reference by which one of several objects owns a shared ConfigMap: it goes when the last of them has gone.
pub fn shared_owner(object: &DatabaseMigration) -> Option<OwnerReference> {
    object.owner_ref(&())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> DatabaseMigration {
        let mut object = DatabaseMigration::new(name, Default::default());
        object.metadata.uid = Some("7e7e".into());
        object
    }

    #[test]
    fn an_inspection_with_much_sql_is_stored_without_it() {
        let revision = |n: usize| {
            // Nothing that packs well.
            let noise = (0..4000).map(|i| short_hash(&[&n.to_string(), &i.to_string()], 2)).collect::<String>();
            let script = serde_json::json!({ "text": noise, "sha256": n.to_string(), "opaque": [] });
            serde_json::json!({ "id": n.to_string(), "file": "", "sha256": "", "upgrade": "present", "downgrade": "present",
                "sql": { "upgrade": script, "downgrade": script } })
        };
        let json = serde_json::json!({ "alembic": "1", "dialect": "postgresql", "version_table": "v", "version_table_schema": null,
            "transactional_ddl": true, "transaction_per_migration": false, "external_transaction": false,
            "revisions": (0..400).map(revision).collect::<Vec<_>>() });
        let inspection = Inspection::parse(json.to_string().as_bytes()).unwrap();
        let map = inspection_config_map(&object("shop"), "0123", "i", None, &inspection).unwrap();
        let script = read_inspection(&map).unwrap().revision("7").unwrap().sql.upgrade.clone();
        assert_eq!((script.text, script.sha256.as_deref(), script.opaque.len()), (None, Some("7"), 1));
    }

    #[test]
    fn an_inspection_is_stored_and_read_again() {
        let json = br#"{"protocol":1,"alembic":"1.20.1","dialect":"postgresql","version_table":"alembic_version",
            "version_table_schema":null,"transactional_ddl":true,"transaction_per_migration":false,"external_transaction":false,
            "revisions":[{"id":"a1","down":[],"deps":[],"labels":[],"file":"a1.py","sha256":"00","message":"m","upgrade":"present","downgrade":"raises","autocommit":false}]}"#;
        let inspection = Inspection::parse(json).unwrap();
        let map =
            inspection_config_map(&object("shop"), "0123", "i@sha256:ab", Some("sha256:ab"), &inspection).unwrap();
        let read = read_inspection(&map).unwrap();
        assert_eq!((read.image.as_str(), read.digest.as_deref()), ("i@sha256:ab", Some("sha256:ab")));
        assert_eq!(read.inspection, inspection);
        assert!(read.revision("a1").is_some());
    }
}
