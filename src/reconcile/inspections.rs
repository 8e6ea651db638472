//! The inspections that were read from their ConfigMaps, so that no pass has to parse one again; no I/O.

use crate::{
    jobs::{Inspected, read_inspection},
    memory::Memory,
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use std::{sync::Arc, time::Duration};

/// Parsed inspections by the UID of their ConfigMap. These are immutable, so an entry never grows old.
pub struct InspectionCache(Memory<Arc<Inspected>>);

/// Bytes that they may take together; a graph of a thousand revisions takes about a megabyte.
const MOST: u64 = 24 * 1024 * 1024;
const UNUSED: Duration = Duration::from_secs(3600);

impl Default for InspectionCache {
    fn default() -> Self {
        Self(Memory::weighing(MOST, UNUSED, |inspected| inspected.bytes()))
    }
}

impl InspectionCache {
    /// What was read of a ConfigMap before.
    pub fn known(&self, map: &ConfigMap) -> Option<Arc<Inspected>> {
        self.0.get(&map.uid()?)
    }

    /// Reads a whole ConfigMap.
    pub fn read(&self, map: &ConfigMap) -> Option<Arc<Inspected>> {
        let uid = map.uid()?;
        let Some(inspected) = read_inspection(map) else {
            tracing::warn!(
                config_map = map.name_any(),
                "a stored inspection can't be read; delete it to have it made again"
            );
            return None;
        };
        let inspected = Arc::new(inspected);
        self.0.set(&uid, inspected.clone());
        Some(inspected)
    }
}
