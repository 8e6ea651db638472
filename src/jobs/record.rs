//! What a Job is for: its kind, its record in one annotation, and the name that follows from it; no I/O.

use super::names::job_name;
use crate::api::{ANNOTATION_RECORD, DatabaseMigration, RunRecord};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

/// The kinds of Jobs; the value of the label `alembic-operator.dev/action`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Reads the image's revision files and what env.py configures.
    #[default]
    Inspect,
    /// Reads the version rows where the operator can't.
    Probe,
    /// Compares the tables with the models.
    Compare,
    /// Runs the history on a scratch database.
    Replay,
    /// Tries a plan on a scratch database.
    Rehearse,
    /// Makes a backup before a run.
    Backup,
    /// Changes the database.
    Run,
    /// Verifies a run after it.
    Verify,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::Inspect,
        Self::Probe,
        Self::Compare,
        Self::Replay,
        Self::Rehearse,
        Self::Backup,
        Self::Run,
        Self::Verify,
    ];

    /// The label's value, and the middle of the Job's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Inspect => "inspect",
            Self::Probe => "probe",
            Self::Compare => "compare",
            Self::Replay => "replay",
            Self::Rehearse => "rehearse",
            Self::Backup => "backup",
            Self::Run => "run",
            Self::Verify => "verify",
        }
    }
}

/// What is asked of a Job of each kind, beside what its pod is told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", rename_all_fields = "camelCase")]
pub enum Request {
    /// The key under which the inspection is stored; other objects wait for the one that is at it.
    Inspect {
        inspection: String,
    },
    /// `catalog` is the dialect by whose queries the schema is read as well.
    Probe {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        catalog: Option<String>,
    },
    #[default]
    Compare,
    Replay {
        catalog: String,
    },
    Rehearse {
        catalog: String,
    },
    /// The plan that the backup comes before, and its version rows.
    Backup {
        plan_hash: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        from: Vec<String>,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        to: Vec<String>,
    },
    Run {
        run: Box<RunRecord>,
    },
    /// Hash of the spec.verify that it was made with.
    Verify {
        hash: String,
    },
}

/// What a Job was made for. The operator writes it once, into the annotation, when it creates the Job (or the Backup of
/// CloudNativePG); it is all that is needed to go on after a restart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JobRecord {
    /// Of the DatabaseMigration: names are used again, UIDs are not.
    pub uid: String,
    /// Number of the run that a run, backup or verification belongs to; how often a probe, comparison or replay was made; 0
    /// for an inspection and a rehearsal.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub number: i64,
    /// Everything that asks for a new Job when it changes. Jobs with the same key answer the same question.
    pub key: String,
    #[serde(flatten)]
    pub request: Request,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

impl JobRecord {
    pub fn new(object: &DatabaseMigration, request: Request, number: i64, key: String) -> Self {
        Self { uid: object.uid().unwrap_or_default(), number, key, request }
    }

    /// What an annotation says; `None` where there is none, or one of a kind that this version does not know.
    pub fn of(job: &impl ResourceExt) -> Option<Self> {
        job.annotations().get(ANNOTATION_RECORD).and_then(|record| serde_json::from_str(record).ok())
    }

    pub fn kind(&self) -> Kind {
        match &self.request {
            Request::Inspect { .. } => Kind::Inspect,
            Request::Probe { .. } => Kind::Probe,
            Request::Compare => Kind::Compare,
            Request::Replay { .. } => Kind::Replay,
            Request::Rehearse { .. } => Kind::Rehearse,
            Request::Backup { .. } => Kind::Backup,
            Request::Run { .. } => Kind::Run,
            Request::Verify { .. } => Kind::Verify,
        }
    }

    /// The dialect by whose queries the Job reads a schema, if it does.
    pub fn catalog(&self) -> Option<&str> {
        match &self.request {
            Request::Probe { catalog } => catalog.as_deref(),
            Request::Replay { catalog } | Request::Rehearse { catalog } => Some(catalog),
            _ => None,
        }
    }

    /// The Job's name: the same record has the same one, so that a Job is created once however often it is asked for.
    pub fn name(&self, object: &DatabaseMigration) -> String {
        job_name(object, self.kind(), self.number, &[&self.uid, &self.key])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::api::ObjectMeta;
    use std::collections::{BTreeMap, BTreeSet};

    fn object() -> DatabaseMigration {
        let mut object = DatabaseMigration::new("shop", Default::default());
        object.metadata.uid = Some("7e7e".into());
        object
    }

    fn every_request() -> Vec<Request> {
        vec![
            Request::Inspect { inspection: "0123".into() },
            Request::Probe { catalog: None },
            Request::Compare,
            Request::Replay { catalog: "postgresql".into() },
            Request::Rehearse { catalog: "mysql".into() },
            Request::Backup { plan_hash: "0123".into(), from: vec![], to: vec!["a".into()] },
            Request::Run { run: Box::default() },
            Request::Verify { hash: "4567".into() },
        ]
    }

    fn annotated(text: String) -> DatabaseMigration {
        let annotations = Some(BTreeMap::from([(ANNOTATION_RECORD.to_owned(), text)]));
        DatabaseMigration { metadata: ObjectMeta { annotations, ..ObjectMeta::default() }, ..object() }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let kinds: Vec<_> = every_request()
            .into_iter()
            .map(|request| {
                let record = JobRecord::new(&object(), request, 3, "key".into());
                let text = serde_json::to_string(&record).unwrap();
                assert!(text.contains(&format!("\"kind\":\"{}\"", record.kind().as_str())), "{text}");
                assert_eq!(JobRecord::of(&annotated(text)), Some(record.clone()));
                record.kind()
            })
            .collect();
        assert_eq!(kinds, Kind::ALL);
    }

    #[test]
    fn a_kind_of_another_version_is_no_record() {
        let text = r#"{"uid": "7e7e", "number": 1, "key": "", "kind": "analyze"}"#;
        assert_eq!(JobRecord::of(&annotated(text.into())), None);
        assert_eq!(JobRecord::of(&object()), None);
    }

    #[test]
    fn names_tell_apart_what_is_asked_anew() {
        let name = |request, number, key: &str| JobRecord::new(&object(), request, number, key.into()).name(&object());
        let names: BTreeSet<_> = every_request().into_iter().map(|request| name(request, 1, "")).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        assert_eq!(name(Request::Compare, 1, "a"), name(Request::Compare, 1, "a"));
        assert_ne!(name(Request::Compare, 1, "a"), name(Request::Compare, 1, "b"));
        assert_ne!(name(Request::Compare, 1, "a"), name(Request::Compare, 2, "a"));
    }
}
