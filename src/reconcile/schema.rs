//! The ConfigMap that keeps what a schema should be, and shows people how the live one differs; no I/O.

use super::checks::Compared;
use crate::{
    api::{DatabaseMigration, DriftedObject},
    db::{Baseline, TooLarge},
    jobs::{own_metadata, own_name},
    text,
};
use k8s_openapi::{ByteString, api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use serde_json::json;
use std::sync::Arc;

const BASELINE: &str = "baseline";
/// Bytes of each of the two lists of differences.
const MAX_LIST: usize = 100 * 1024;
/// Characters of a definition in a list.
const MAX_DEFINITION: usize = 4096;

/// What is to be stored, and over which version of what is there; `None` for the first time.
#[derive(Clone, Debug)]
pub struct SchemaRecord {
    pub compared: Arc<Compared>,
    pub packed: Vec<u8>,
    pub version: Option<String>,
}

impl SchemaRecord {
    pub fn new(compared: Arc<Compared>, version: Option<String>) -> Result<Self, TooLarge> {
        let packed = compared.baseline.pack()?;
        Ok(Self { compared, packed, version })
    }

    /// The ConfigMap for the first time, and else what is to be merged into it; what is not there any more is null.
    pub fn content(&self, object: &DatabaseMigration, now: Timestamp) -> serde_json::Value {
        let found = &self.compared;
        let differs = !found.differences.is_empty();
        let mut data = json!({
            "about": "What the schema should be (baseline, packed), and how the live one differs: drift.diff, drift.json.",
            "drift.diff": differs.then(|| diff(&found.differences)),
            "drift.json": differs.then(|| list(found)),
        });
        if found.taken.is_some() {
            data["takenAt"] = json!(Time(now));
        }
        let mut map = json!({ "data": data, "binaryData": { BASELINE: ByteString(self.packed.clone()) } });
        if self.version.is_none() {
            map["metadata"] = json!(own_metadata(object, schema_name(object)));
        }
        map
    }
}

/// Name of the ConfigMap; follows the object's name and UID.
pub fn schema_name(object: &DatabaseMigration) -> String {
    own_name(object, "schema")
}

/// What a ConfigMap says that the schema should be, if it can be read.
pub fn baseline(map: &ConfigMap) -> Option<Baseline> {
    Baseline::unpack(&map.binary_data.as_ref()?.get(BASELINE)?.0)
}

/// A difference as it is shown: without secrets of other systems, control characters, or half a megabyte of text.
pub fn shown(difference: &DriftedObject, max: usize) -> DriftedObject {
    let short = |text: &Option<String>| text.as_ref().map(|text| text::clean(&text::redact(text, &[]), max));
    DriftedObject {
        change: difference.change,
        object: text::clean(&difference.object, 256),
        expected: short(&difference.expected),
        actual: short(&difference.actual),
    }
}

/// As many of the differences as have room, and how many there are in all.
fn list(found: &Compared) -> String {
    let shown = found.differences.iter().map(|difference| shown(difference, MAX_DEFINITION));
    let objects: Vec<_> = shown.take_while(text::fitting(MAX_LIST)).collect();
    let left_out = found.differences.len() - objects.len();
    json!({ "fingerprint": found.fingerprint, "objects": objects, "leftOut": left_out }).to_string()
}

/// The same to be read: what should be there after a minus, what is there after a plus.
fn diff(differences: &[DriftedObject]) -> String {
    let mut text = String::from("--- what should be there\n+++ what is there\n");
    for (number, difference) in differences.iter().enumerate() {
        let shown = shown(difference, MAX_DEFINITION);
        let line = |sign: char, definition: &Option<String>| {
            let definition =
                definition.as_deref().unwrap_or("(its text is not kept)").replace('\n', &format!("\n{sign} "));
            format!("{sign} {} {definition}\n", shown.object)
        };
        let lines = match difference.change {
            crate::api::Change::Missing => line('-', &shown.expected),
            crate::api::Change::Unexpected => line('+', &shown.actual),
            crate::api::Change::Modified => line('-', &shown.expected) + &line('+', &shown.actual),
        };
        if text.len() + lines.len() > MAX_LIST {
            return text + &format!("... and {} more\n", differences.len() - number);
        }
        text += &lines;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Change;

    fn difference(change: Change, object: &str, expected: Option<&str>, actual: Option<&str>) -> DriftedObject {
        let text = |text: Option<&str>| text.map(str::to_owned);
        DriftedObject { change, object: object.to_owned(), expected: text(expected), actual: text(actual) }
    }

    #[test]
    fn differences_can_be_read() {
        let differences = [
            difference(Change::Modified, "column public.a.b", Some("integer"), Some("bigint not null")),
            difference(Change::Unexpected, "index public.i", None, Some("CREATE INDEX i ON public.a USING btree (b)")),
            difference(Change::Missing, "view public.v", Some("SELECT 1;\nSELECT 2"), None),
        ];
        assert_eq!(
            diff(&differences),
            "--- what should be there\n+++ what is there\n- column public.a.b integer\n+ column public.a.b bigint not null\n\
             + index public.i CREATE INDEX i ON public.a USING btree (b)\n- view public.v SELECT 1;\n- SELECT 2\n"
        );
    }

    #[test]
    fn what_is_stored_fits() {
        let long = "x".repeat(5000);
        let many: Vec<_> =
            (0..5000).map(|n| difference(Change::Unexpected, &format!("table t{n}"), None, Some(&long))).collect();
        let found = Compared {
            baseline: Baseline::default(),
            differences: many,
            fingerprint: String::new(),
            taken: None,
            stale: None,
        };
        let json: serde_json::Value = serde_json::from_str(&list(&found)).unwrap();
        assert_eq!(json["objects"].as_array().unwrap().len() as u64 + json["leftOut"].as_u64().unwrap(), 5000);
        assert!(list(&found).len() < MAX_LIST + 1000 && diff(&found.differences).len() < MAX_LIST + 100);
        assert!(diff(&found.differences).contains("more\n"));
    }
}
