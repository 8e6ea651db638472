//! What a Job was made for: its record in one annotation, and the name that follows from it; no I/O.

use super::{Kind, Request, names::job_name};
use crate::api::{ANNOTATION_RECORD, DatabaseMigration};
use kube::ResourceExt;
use serde::{Deserialize, Serialize};

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
        self.request.kind()
    }

    /// The dialect by whose queries the Job reads a schema, if it does.
    pub fn catalog(&self) -> Option<&str> {
        self.request.catalog()
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

    fn annotated(text: String) -> DatabaseMigration {
        let annotations = Some(BTreeMap::from([(ANNOTATION_RECORD.to_owned(), text)]));
        DatabaseMigration { metadata: ObjectMeta { annotations, ..ObjectMeta::default() }, ..object() }
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let kinds: Vec<_> = Request::one_of_each()
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
        let names: BTreeSet<_> = Request::one_of_each().into_iter().map(|request| name(request, 1, "")).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        assert_eq!(name(Request::Compare, 1, "a"), name(Request::Compare, 1, "a"));
        assert_ne!(name(Request::Compare, 1, "a"), name(Request::Compare, 1, "b"));
        assert_ne!(name(Request::Compare, 1, "a"), name(Request::Compare, 2, "a"));
    }
}
