//! An object as it is watched: packed, since most of it is only shown, and unpacked for a pass; no I/O.

use super::{ANNOTATION_PREFIX, ConditionType, DatabaseMigration};
use crate::zlib;
use flate2::Compression;
use kube::{
    Resource,
    api::ObjectMeta,
    core::{DeserializeGuard, NamespaceResourceScope, error_boundary::InvalidObject},
};
use serde::{Deserialize, Deserializer};
use std::{borrow::Cow, fmt, sync::Arc};

/// Bytes that an object has unpacked: more than the API server takes.
const MOST: u64 = 16 * 1024 * 1024;

/// An object as the stores hold it. One that can't be read is there too: it must not hold up the others.
#[derive(Clone)]
pub struct Watched {
    /// What is asked of many objects at once, or of each change: names, versions, the operator's own annotations.
    metadata: ObjectMeta,
    /// The reason of the condition Ready.
    reason: Option<Box<str>>,
    kept: Kept,
}

#[derive(Clone)]
enum Kept {
    /// The whole object as JSON.
    Packed(Arc<[u8]>),
    /// Why it can't be read.
    Invalid(Arc<str>),
}

impl Watched {
    /// Packs an object as it was read.
    pub fn new(object: DeserializeGuard<DatabaseMigration>) -> Self {
        match object.0 {
            Ok(mut object) => {
                object.metadata.managed_fields = None;
                let ready = object.status.as_ref().and_then(|status| status.condition(ConditionType::Ready));
                let reason = ready.map(|ready| ready.reason.as_str().into());
                let packed = serde_json::to_vec(&object)
                    .and_then(|json| zlib::pack(&json, Compression::fast()).map_err(serde_json::Error::io));
                let kept = match packed {
                    Ok(packed) => Kept::Packed(packed.into()),
                    Err(error) => Kept::Invalid(error.to_string().into()),
                };
                Self { metadata: outline(object.metadata), reason, kept }
            }
            Err(InvalidObject { error, metadata }) => {
                Self { metadata: outline(metadata), reason: None, kept: Kept::Invalid(error.into()) }
            }
        }
    }

    /// The whole object.
    pub fn read(&self) -> Result<DatabaseMigration, Box<InvalidObject>> {
        let invalid = |error: String| Box::new(InvalidObject { error, metadata: self.metadata.clone() });
        match &self.kept {
            Kept::Packed(packed) => {
                let json = zlib::unpack(packed, MOST).ok_or_else(|| invalid("it can't be unpacked".to_owned()))?;
                serde_json::from_slice(&json).map_err(|error| invalid(error.to_string()))
            }
            Kept::Invalid(error) => Err(invalid(String::from(&**error))),
        }
    }

    /// Whether it can be read.
    pub fn is_valid(&self) -> bool {
        matches!(self.kept, Kept::Packed(_))
    }

    /// The reason of the condition Ready, without unpacking.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

/// What stands beside what is packed. Other people's annotations are no news to the operator.
fn outline(metadata: ObjectMeta) -> ObjectMeta {
    let annotations = metadata.annotations.map(|mut annotations| {
        annotations.retain(|key, _| key.starts_with(ANNOTATION_PREFIX));
        annotations
    });
    ObjectMeta {
        annotations: annotations.filter(|annotations| !annotations.is_empty()),
        deletion_timestamp: metadata.deletion_timestamp,
        finalizers: metadata.finalizers,
        generation: metadata.generation,
        name: metadata.name,
        namespace: metadata.namespace,
        resource_version: metadata.resource_version,
        uid: metadata.uid,
        ..ObjectMeta::default()
    }
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("name", &self.metadata.name).finish_non_exhaustive()
    }
}

impl<'de> Deserialize<'de> for Watched {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DeserializeGuard::deserialize(deserializer).map(Self::new)
    }
}

impl Resource for Watched {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind(_: &()) -> Cow<'_, str> {
        DatabaseMigration::kind(&())
    }

    fn group(_: &()) -> Cow<'_, str> {
        DatabaseMigration::group(&())
    }

    fn version(_: &()) -> Cow<'_, str> {
        DatabaseMigration::version(&())
    }

    fn plural(_: &()) -> Cow<'_, str> {
        DatabaseMigration::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn whole() -> Value {
        let ready = json!({ "type": "Ready", "status": "True", "reason": "AtTarget", "message": "m",
            "lastTransitionTime": "2026-11-26T20:56:00Z" });
        json!({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
            "metadata": { "name": "shop", "namespace": "demo", "uid": "u", "generation": 3, "resourceVersion": "7",
                "annotations": { "alembic-operator.dev/approve": "h", "kubectl.kubernetes.io/last-applied-configuration": "x".repeat(999) },
                "managedFields": [{ "manager": "kubectl" }], "finalizers": ["a"], "labels": { "app": "shop" },
                "creationTimestamp": "2026-11-26T20:00:00Z" },
            "spec": { "image": "shop:1", "targetRevision": "head", "policy": { "downgrade": "Allow" },
                "podTemplate": { "spec": { "nodeSelector": { "disk": "fast" } } },
                "database": { "urlFrom": { "secretKeyRef": { "name": "db", "key": "url" } } } },
            "status": { "observedGeneration": 3, "conditions": [ready], "current": "c", "runs": { "started": 4 } },
        })
    }

    #[test]
    fn what_is_unpacked_is_what_was_read() {
        let watched: Watched = serde_json::from_value(whole()).unwrap();
        let mut expected: DatabaseMigration = serde_json::from_value(whole()).unwrap();
        expected.metadata.managed_fields = None;
        let unpacked = watched.read().unwrap();
        assert_eq!((&unpacked.metadata, &unpacked.status), (&expected.metadata, &expected.status));
        assert_eq!(serde_json::to_value(&unpacked).unwrap(), serde_json::to_value(&expected).unwrap());
        assert_eq!((watched.reason(), watched.is_valid()), (Some("AtTarget"), true));
        let annotations = watched.meta().annotations.as_ref().unwrap();
        assert_eq!(annotations.keys().collect::<Vec<_>>(), ["alembic-operator.dev/approve"]);
    }

    #[test]
    fn one_that_can_not_be_read_says_why() {
        let mut odd = whole();
        odd["spec"]["historyLimit"] = json!("many");
        let watched: Watched = serde_json::from_value(odd).unwrap();
        let error = watched.read().unwrap_err();
        assert!(error.error.contains("many") && !watched.is_valid(), "{}", error.error);
        assert_eq!(watched.meta().finalizers.as_deref(), Some(&["a".to_owned()][..]));
    }
}
