//! The memory of a report that an image makes as large as it can; run by `make bench`. Writes a log to a temporary file, and reads it
//! as the operator reads a pod's.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use alembic_operator::{
    api::DatabaseMigration,
    jobs::{Frames, Inspection, Joiner, inspection_config_map},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::{Compression, write::ZlibEncoder};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::{
    fs,
    io::{Read, Write},
    path::Path,
    process::Command,
};

const MIB: usize = 1024 * 1024;

/// A log with an inspection of so many MiB, and how to find it there; as the runner would write them.
fn make(mib: usize, folder: &Path) {
    let sql = "x".repeat(4000);
    let script = json!({ "text": sql, "sha256": "0", "opaque": [] });
    let revision = |n: usize| {
        json!({ "id": format!("{n:012}"), "file": "a.py", "sha256": "0", "upgrade": "present", "downgrade": "present",
        "sql": { "upgrade": script, "downgrade": script } })
    };
    let report = |revisions: Vec<_>| {
        json!({ "alembic": "1", "dialect": "postgresql", "version_table": "v", "version_table_schema": null, "transactional_ddl": true,
        "transaction_per_migration": false, "external_transaction": false, "revisions": revisions })
        .to_string()
    };
    let count = mib * MIB / (revision(0).to_string().len() + 1);
    let payload = report((0..count).map(revision).collect());
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(payload.as_bytes()).unwrap();
    let text = STANDARD.encode(packed.finish().unwrap());
    let mut log = fs::File::create(folder.join("log")).unwrap();
    let lines = text.as_bytes().chunks(3000);
    let frames = json!({ "nonce": "ab", "frames": lines.len(), "bytes": payload.len(),
        "sha256": Sha256::digest(&payload).iter().map(|byte| format!("{byte:02x}")).collect::<String>() });
    for (number, line) in lines.enumerate() {
        writeln!(log, "\n@alembic-operator ab {number} {}", std::str::from_utf8(line).unwrap()).unwrap();
    }
    fs::write(folder.join("frames"), frames.to_string()).unwrap();
}

/// What the operator makes of it.
fn read(folder: &Path) -> String {
    let frames: Frames = serde_json::from_str(&fs::read_to_string(folder.join("frames")).unwrap()).unwrap();
    let mut joiner = match Joiner::new(&frames) {
        Ok(joiner) => joiner,
        Err(error) => return format!("refused: {error}"),
    };
    let mut log = fs::File::open(folder.join("log")).unwrap();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match log.read(&mut piece).unwrap() {
            0 => break,
            length => joiner.feed(&piece[..length]),
        }
    }
    let parsed =
        joiner.finish().map_err(|e| e.to_string()).and_then(|json| Inspection::parse(&json).map_err(|e| e.to_string()));
    match parsed.map(Inspection::masked) {
        Ok(inspection) => {
            let object = DatabaseMigration::new("shop", Default::default());
            let stored = inspection_config_map(&object, "0", "shop:1", None, &inspection).unwrap();
            let packed: usize = stored.binary_data.iter().flatten().map(|(_, data)| data.0.len()).sum();
            format!("{} revisions, {} KiB stored", inspection.revisions.len(), packed / 1024)
        }
        Err(error) => format!("refused: {error}"),
    }
}

fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<usize>().unwrap() / 1024
}

fn main() {
    let folder = std::env::temp_dir().join(format!("alembic-operator-report-{}", std::process::id()));
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["make", mib, folder] => return make(mib.parse().unwrap(), Path::new(folder)),
        ["read", folder] => {
            let told = read(Path::new(folder));
            return println!("{} MiB, {told}", peak());
        }
        _ => {}
    }
    fs::create_dir_all(&folder).unwrap();
    let this = std::env::current_exe().unwrap();
    // A process of its own for each: what one frees the next would seem to take.
    for mib in ["1", "7", "32"] {
        assert!(Command::new(&this).args(["make", mib]).arg(&folder).status().unwrap().success());
        let told = Command::new(&this).arg("read").arg(&folder).output().unwrap();
        print!("report of {mib} MiB: {}", String::from_utf8_lossy(&told.stdout));
    }
    fs::remove_dir_all(&folder).unwrap();
}
