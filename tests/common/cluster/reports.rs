//! What the runner reports at the end of a pod. No network.

use super::{Image, hex};
use crate::common::patch;
use alembic_operator::db::Schema;
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use serde_json::{Value, json};
use std::io::Write;
/// What the runner left behind.
pub(super) struct Left {
    pub message: Value,
    pub log: String,
    pub code: i32,
}

pub(super) fn done(message: Value) -> Left {
    Left { message, log: String::new(), code: 0 }
}

/// The runner's report on an image, with its payload in the log.
pub(super) fn inspected(image: &Image) -> Left {
    let script = |sql: &str| json!({ "text": sql, "sha256": hex(sql.as_bytes()), "opaque": [] });
    let revision = |(id, down): &(String, Vec<String>)| {
        // Such a one is dangerous.
        let upgrade = if id.starts_with("drop") { "DROP TABLE goods;" } else { "" };
        json!({ "id": id, "down": down, "file": format!("{id}.py"), "sha256": hex(id.as_bytes()), "upgrade": "present", "downgrade": "present",
        "sql": { "upgrade": script(upgrade), "downgrade": script("") } })
    };
    let payload = json!({ "alembic": "1.20.1", "dialect": "postgresql", "version_table": "alembic_version", "version_table_schema": null,
        "transactional_ddl": true, "transaction_per_migration": false, "external_transaction": false,
        "revisions": image.revisions.iter().map(revision).collect::<Vec<_>>() })
    .to_string();
    framed(&payload, json!({}))
}

/// A schema as the runner reports it.
pub(super) fn reported(schema: &Schema, fields: Value) -> Left {
    let objects = schema.catalog.objects.keys().map(|object| {
        let (kind, name) = object.split_once(' ').unwrap_or_default();
        [kind, name, ""]
    });
    let payload =
        json!({ "engine": schema.catalog.engine, "rows": schema.rows, "objects": objects.collect::<Vec<_>>() });
    framed(&payload.to_string(), fields)
}

/// What a rehearsal found.
pub(super) fn rehearsal(steps: &Value, failed: Option<&str>) -> String {
    let step = json!({ "revision": format!("all {steps}"), "seconds": 0.012, "rewritten": [], "sampled": false,
        "locks": [{ "table": "public.goods", "mode": "AccessExclusiveLock", "ms": 11 }] });
    let phase = json!({ "name": "upgrade", "seconds": 0.1, "omitted": 0, "differences": null, "leaves": null, "steps": [step] });
    json!({ "source": "dump", "reversible": true, "irreversible": [], "locks_unknown": null, "rows": null, "phases": [phase],
        "failed": failed.map(|phase| json!({ "phase": phase, "revision": null })) })
    .to_string()
}

/// What the runner writes into one line.
const FRAME: usize = 3000;

/// A report with its payload in the log, in lines as the runner writes them.
pub(super) fn framed(payload: &str, fields: Value) -> Left {
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    let _ = packed.write_all(payload.as_bytes());
    let text = STANDARD.encode(packed.finish().unwrap_or_default());
    let frames: Vec<_> = text.as_bytes().chunks(FRAME).map(String::from_utf8_lossy).collect();
    let (count, bytes) = (frames.len(), payload.len());
    let mut message =
        json!({ "state": "done", "nonce": "ab12", "frames": count, "bytes": bytes, "sha256": hex(payload.as_bytes()) });
    patch::merge(&mut message, &fields);
    let lines = frames.iter().enumerate().map(|(number, frame)| format!("\n@alembic-operator ab12 {number} {frame}\n"));
    Left { message, log: lines.collect(), code: 0 }
}
