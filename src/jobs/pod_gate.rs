//! What holds an application's pods back until the database has what their image needs: the ConfigMap with the gate's program,
//! the graph of every inspected image and the object's present reason; no I/O.

use super::{Inspected, Inspection, names::short_hash};
use crate::{
    api::{DatabaseMigration, LABEL_MANAGED_BY, MANAGER, Reason},
    zlib,
};
use flate2::Compression;
use k8s_openapi::{ByteString, api::core::v1::ConfigMap};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};

/// The program of an init container; standard library and the image's own Alembic.
pub const GATE_PROGRAM: &str = include_str!("../gate/gate.py");
/// Where the program, and `alembic-operator wait`, look for what the operator keeps.
pub const GRAPH_FILE: &str = "graph.z";
pub const STATE_FILE: &str = "state.json";
const PROGRAM_FILE: &str = "gate.py";

/// What stands there, by hash: a ConfigMap without the first of them is none of the operator's.
const ANNOTATION_PROGRAM: &str = "alembic-operator.dev/gate-program";
const ANNOTATION_GRAPH: &str = "alembic-operator.dev/gate-graph";
const ANNOTATION_STATE: &str = "alembic-operator.dev/gate-state";

/// Bytes of the packed graph; a ConfigMap holds a megabyte, and the kubelet brings it to every pod that waits.
const MAX_PACKED: usize = 512 * 1024;
const MAX_UNPACKED: u64 = 32 * 1024 * 1024;
const MAX_NAME: usize = 253;

/// The name that pods mount it by. Too long a name has none.
pub fn gate_name(object: &DatabaseMigration) -> Option<String> {
    let name = format!("{}-gate", object.name_any());
    (name.len() <= MAX_NAME).then_some(name)
}

/// Which revisions there are, and where their rows are kept. It never grows old: an id keeps its parents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GateGraph {
    #[serde(default)]
    pub parents: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    pub version_table: Option<String>,
    #[serde(default)]
    pub version_table_schema: Option<String>,
}

impl GateGraph {
    /// The graph of an inspected image; `None` when Alembic would not load it.
    pub(super) fn of(image: &Inspected) -> Option<Self> {
        let graph = image.graph.as_ref().ok()?;
        let Inspection { revisions, version_table, version_table_schema, .. } = &image.inspection;
        Some(Self {
            parents: revisions.iter().map(|r| (r.id.clone(), graph.parents(&r.id))).collect(),
            version_table: Some(version_table.clone()),
            version_table_schema: version_table_schema.clone(),
        })
    }

    /// Reads what was packed; `None` when it can't be read.
    pub fn unpack(packed: &[u8]) -> Option<Self> {
        serde_json::from_slice(&zlib::unpack(packed, MAX_UNPACKED)?).ok()
    }

    fn pack(&self) -> Option<Vec<u8>> {
        let packed = zlib::pack(&serde_json::to_vec(self).ok()?, Compression::best()).ok()?;
        (packed.len() <= MAX_PACKED).then_some(packed)
    }

    /// This graph over what was known before, packed; alone where both together have no room.
    fn pack_over(&self, before: Option<Self>) -> Option<Vec<u8>> {
        let mut both = before.unwrap_or_default();
        both.parents.extend(self.parents.clone());
        both.version_table.clone_from(&self.version_table);
        both.version_table_schema.clone_from(&self.version_table_schema);
        both.pack().or_else(|| self.pack())
    }

    pub(super) fn hash(&self) -> String {
        short_hash(&[&serde_json::to_string(self).unwrap_or_default()], 16)
    }
}

/// What the gate's ConfigMap is to say.
#[derive(Clone, Debug)]
pub struct PodGate {
    pub name: String,
    /// The image of the spec, where it is known.
    pub image: Option<Arc<Inspected>>,
    /// What the Ready condition says.
    state: String,
    /// Whether that stays for a while: what passes in seconds is not worth a write.
    settled: bool,
}

/// What is to be done about the ConfigMap that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GateWrite {
    Nothing,
    /// Somebody else made it.
    Foreign,
    /// Its program and state are written anew.
    State,
    /// So is its graph.
    Graph,
}

impl PodGate {
    pub fn new(
        object: &DatabaseMigration,
        image: Option<&Arc<Inspected>>,
        reason: &str,
        message: &str,
    ) -> Option<Self> {
        let state = json!({
            "object": format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any()),
            "reason": reason,
            "message": message,
        });
        Some(Self {
            name: gate_name(object)?,
            image: image.cloned(),
            state: state.to_string(),
            settled: Reason::parse(reason).is_none_or(stays),
        })
    }

    fn graph(&self) -> Option<GateGraph> {
        GateGraph::of(self.image.as_ref()?)
    }

    /// What to write over a ConfigMap with these annotations.
    pub fn over(&self, annotations: &BTreeMap<String, String>) -> GateWrite {
        let is = |key: &str, hash: &str| annotations.get(key).is_some_and(|there| there == hash);
        if !annotations.contains_key(ANNOTATION_PROGRAM) {
            return GateWrite::Foreign;
        }
        if self.image.as_ref().and_then(|image| image.gate_hash()).is_some_and(|hash| !is(ANNOTATION_GRAPH, hash)) {
            return GateWrite::Graph;
        }
        let said = !self.settled || is(ANNOTATION_STATE, &short_hash(&[&self.state], 16));
        if said && is(ANNOTATION_PROGRAM, &program_hash()) { GateWrite::Nothing } else { GateWrite::State }
    }

    /// The ConfigMap for the first time: nobody owns it, so that pods of an object that was deleted start again.
    pub fn config_map(&self, object: &DatabaseMigration) -> Value {
        let mut map = self.state();
        map["metadata"]["name"] = json!(self.name);
        map["metadata"]["namespace"] = json!(object.namespace());
        map["metadata"]["labels"] = json!({ LABEL_MANAGED_BY: MANAGER });
        self.add_graph(&mut map, None);
        map
    }

    /// What is to be merged into the ConfigMap that is there; the whole of it is needed where its graph is to grow.
    pub fn patch(&self, version: &str, there: Option<&ConfigMap>) -> Value {
        let mut map = self.state();
        map["metadata"]["resourceVersion"] = json!(version);
        if let Some(there) = there {
            let packed = there.binary_data.as_ref().and_then(|data| data.get(GRAPH_FILE));
            self.add_graph(&mut map, packed.and_then(|packed| GateGraph::unpack(&packed.0)));
        }
        map
    }

    fn state(&self) -> Value {
        json!({
            "metadata": { "annotations": {
                ANNOTATION_PROGRAM: program_hash(),
                ANNOTATION_STATE: short_hash(&[&self.state], 16),
            } },
            "data": { PROGRAM_FILE: GATE_PROGRAM, STATE_FILE: self.state },
        })
    }

    fn add_graph(&self, map: &mut Value, before: Option<GateGraph>) {
        let Some(graph) = self.graph() else { return };
        map["metadata"]["annotations"][ANNOTATION_GRAPH] = json!(graph.hash());
        // Without one an older application waits, where the newer one has no room.
        if let Some(packed) = graph.pack_over(before) {
            map["binaryData"] = json!({ GRAPH_FILE: ByteString(packed) });
        }
    }
}

fn program_hash() -> String {
    short_hash(&[GATE_PROGRAM], 16)
}

/// Whether a reason is likely to be still true when the kubelet brings it to a pod, a minute later.
fn stays(reason: Reason) -> bool {
    !matches!(
        reason,
        Reason::Inspecting
            | Reason::Probing
            | Reason::Rehearsing
            | Reason::BackingUp
            | Reason::Migrating
            | Reason::Adopting
            | Reason::Downgrading
            | Reason::Verifying
            | Reason::PlanOutdated
            | Reason::ImageChanged
            | Reason::RunInterrupted
            | Reason::Queued
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object() -> DatabaseMigration {
        let mut object = DatabaseMigration::new("shop", Default::default());
        object.metadata.namespace = Some("demo".into());
        object
    }

    fn image(ids: &[(&str, &[&str])]) -> Arc<Inspected> {
        let revision = |(id, down): &(&str, &[&str])| json!({ "id": id, "down": down, "file": "f", "sha256": "", "upgrade": "present", "downgrade": "present" });
        let json = json!({ "alembic": "1", "dialect": "postgresql", "version_table": "versions", "version_table_schema": "app",
            "transactional_ddl": true, "transaction_per_migration": false, "external_transaction": false,
            "revisions": ids.iter().map(revision).collect::<Vec<_>>() });
        Arc::new(Inspected::new("i".into(), None, Inspection::parse(json.to_string().as_bytes()).unwrap()))
    }

    fn gate(image: Option<&Arc<Inspected>>, reason: Reason) -> PodGate {
        PodGate::new(&object(), image, reason.as_str(), "m").unwrap()
    }

    fn stored(map: &Value) -> ConfigMap {
        serde_json::from_value(map.clone()).unwrap()
    }

    #[test]
    fn the_graph_of_each_image_is_added_to_those_before() {
        let first = gate(Some(&image(&[("a", &[]), ("b", &["a"])])), Reason::AtTarget);
        let there = stored(&first.config_map(&object()));
        assert!(there.metadata.owner_references.is_none());
        assert_eq!(first.over(there.annotations()), GateWrite::Nothing);
        let second = gate(Some(&image(&[("a", &[]), ("c", &["a"])])), Reason::Inspecting);
        assert_eq!(second.over(there.annotations()), GateWrite::Graph);
        let patch = second.patch("7", Some(&there));
        assert_eq!(patch["metadata"]["resourceVersion"], "7");
        let packed: ByteString = serde_json::from_value(patch["binaryData"][GRAPH_FILE].clone()).unwrap();
        let graph = GateGraph::unpack(&packed.0).unwrap();
        assert_eq!(graph.parents.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(
            (graph.version_table.as_deref(), graph.version_table_schema.as_deref()),
            (Some("versions"), Some("app"))
        );
    }

    #[test]
    fn what_passes_by_itself_in_seconds_is_not_written() {
        let image = image(&[("a", &[])]);
        let there = stored(&gate(Some(&image), Reason::AtTarget).config_map(&object()));
        let over = |image, reason| gate(image, reason).over(there.annotations());
        assert_eq!(over(Some(&image), Reason::Migrating), GateWrite::Nothing);
        assert_eq!(over(None, Reason::AwaitingApproval), GateWrite::State);
        assert_eq!(over(None, Reason::AtTarget), GateWrite::Nothing);
        assert_eq!(over(None, Reason::DatabaseUnreachable), GateWrite::State);
    }

    #[test]
    fn a_config_map_of_somebody_else_is_left_alone() {
        assert_eq!(gate(None, Reason::AtTarget).over(&BTreeMap::new()), GateWrite::Foreign);
        let mut long = object();
        long.metadata.name = Some("x".repeat(249));
        assert_eq!(gate_name(&long), None);
    }

    #[test]
    fn a_graph_without_room_is_left_out() {
        let noise = |n: usize| short_hash(&[&n.to_string()], 64);
        let many = |from: usize| GateGraph {
            parents: (from..from + 10_000).map(|n| (noise(n), Vec::new())).collect(),
            ..GateGraph::default()
        };
        let both = many(0).pack_over(Some(many(10_000))).unwrap();
        assert_eq!(GateGraph::unpack(&both), Some(many(0)));
        let huge = GateGraph {
            parents: (0..20_000).map(|n| (noise(n), vec![noise(n + 50_000)])).collect(),
            ..GateGraph::default()
        };
        assert_eq!(huge.pack_over(None), None);
    }
}
