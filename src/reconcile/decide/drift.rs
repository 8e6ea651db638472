//! The part of a decision that is about drift: what something else changed in the version rows and in the schema; pure.

use super::{Effect, Pass, image::problem_of};
use crate::{
    api::{Change, ConditionType, DriftMode, DriftStatus, DriftedObject, OnDrift, Reason},
    db::Exclude,
    jobs::{Differences, Inspected, PodState},
    reconcile::{
        checks::{Compared, Drift, Look, Replayed, Taken, accepted_drift},
        observed::{JobView, ModelsView, Problem, ReplayView, SchemaView, SeenSchema},
        schema::{SchemaRecord, schema_name, shown},
    },
};
use std::{collections::BTreeSet, sync::Arc};

/// Reasons of the Drifted condition that stand until the next comparison.
const COMPARED: [&str; 6] = ["InSync", "Missing", "Unexpected", "Modified", "NoBaseline", "EngineUpgraded"];

/// Objects and characters of their definitions that the status has room for.
const IN_STATUS: usize = 10;
const MAX_DEFINITION: usize = 200;

const NOT_AT_HEADS: &str = "models are of the image's heads, and the database is not there";

/// What differs, as the condition and the status tell it.
struct Found {
    /// What it was compared with, in words.
    against: String,
    same: String,
    status: DriftStatus,
    accept: String,
}

impl Pass<'_> {
    /// A change of the version rows by others is told even when it leads to the target; the condition is about what is
    /// still so, and else about the schema.
    pub(super) fn note_drift(&mut self, drift: &Drift, rows: &BTreeSet<String>, at_target: bool, image: &Inspected) {
        if let Drift::Changed { message } = drift {
            self.tell(true, "RevisionChanged", message, None);
        }
        let changed = !at_target && matches!(drift, Drift::Changed { .. } | Drift::StillChanged);
        match self.object.spec.drift.mode {
            DriftMode::Models if at_target => {
                if let Some(record) = self.observed.next_comparison.clone() {
                    self.effects.push(Effect::Compare { record, image: image.image.clone() });
                }
                self.note_models();
            }
            DriftMode::Models if !changed => self.unknown("NotApplicable", NOT_AT_HEADS),
            DriftMode::Snapshot | DriftMode::Replay if !changed => self.note_schema(rows, at_target),
            DriftMode::Disabled if !changed => self.unknown("Disabled", "spec.drift.mode is Disabled"),
            _ => {
                self.draft.status.drift = None;
                if let Drift::Changed { message } = drift {
                    self.draft.set(ConditionType::Drifted, "True", "RevisionChanged", message);
                }
            }
        }
    }

    /// Drift that nothing may be done over.
    pub(super) fn blocking_drift(&self) -> Option<Problem> {
        let drift = &self.object.spec.drift;
        let condition = self.draft.status.condition(ConditionType::Drifted)?;
        if drift.on_drift != OnDrift::Block {
            return None;
        }
        if condition.status == "True" && Change::of_reason(&condition.reason).is_some() {
            let message = format!("spec.drift.onDrift is Block, and the schema has changed {}", condition.message);
            return Some(Problem::new(Reason::DriftBlocked, message));
        }
        (condition.reason == "ProbeFailed").then(|| {
            let message = format!("spec.drift.onDrift is Block, and nobody knows: {}", condition.message);
            Problem::new(Reason::DriftUnknown, message)
        })
    }

    /// Why no run may start over the schema as it is: drift, or that nobody looked in this very pass.
    pub(super) fn blocked_run(&self) -> Option<Problem> {
        let drift = &self.object.spec.drift;
        let looked =
            matches!(&self.observed.schema, SchemaView::Seen(seen) if Some(&seen.schema.rows) == self.rows().as_ref());
        let relies = drift.on_drift == OnDrift::Block && drift.mode.by_catalog();
        self.blocking_drift().or_else(|| {
            let message = "spec.drift.onDrift is Block, and the schema was not looked at right before the run: somebody migrates it";
            (relies && !looked).then(|| Problem::new(Reason::DriftUnknown, message))
        })
    }

    fn unknown(&mut self, reason: &str, message: &str) {
        self.draft.status.drift = None;
        self.draft.set(ConditionType::Drifted, "Unknown", reason, message);
    }

    /// What the last comparison found stands until the next one.
    fn unknown_unless_compared(&mut self, message: &str) {
        let known = self.draft.status.condition(ConditionType::Drifted);
        if !known.is_some_and(|condition| COMPARED.contains(&condition.reason.as_str())) {
            self.unknown("NotChecked", message);
        }
    }

    fn note_schema(&mut self, rows: &BTreeSet<String>, at_target: bool) {
        match &self.observed.schema {
            SchemaView::NotLooked => self.unknown_unless_compared("the schema was not compared yet"),
            SchemaView::Failed(problem) => {
                self.unknown("ProbeFailed", &format!("the schema could not be read: {}", problem.message));
            }
            // Changed since the version rows were read: the next look sees both.
            SchemaView::Seen(seen) if seen.schema.rows != *rows => {}
            SchemaView::Seen(seen) => {
                if let (ReplayView::Next { job, .. }, true) = (&seen.replay, at_target) {
                    self.effects.push(Effect::Replay(job.clone()));
                }
                self.compare_schema(seen, at_target);
            }
        }
    }

    fn compare_schema(&mut self, seen: &SeenSchema, at_target: bool) {
        let SeenSchema { schema, kept, replay, .. } = seen;
        let exclude = Exclude::new(&self.object.spec.drift.exclude);
        let before = kept.as_ref().and_then(|kept| kept.baseline.as_deref());
        let look = Look {
            catalog: &schema.catalog,
            rows: &schema.rows,
            kept: before,
            status: &self.draft.status,
            at_target,
            exclude: &exclude,
            accepted: &accepted_drift(self.object),
            replayed: replayed(replay),
        };
        let compared = match look.compare() {
            Ok(compared) => Arc::new(compared),
            Err(why) => return self.unknown("NoBaseline", &why),
        };
        if before != Some(&compared.baseline) {
            let record = SchemaRecord::new(compared.clone(), kept.as_ref().map(|kept| kept.version.clone()));
            match record {
                Ok(record) => self.effects.push(Effect::KeepSchema(Box::new(record))),
                Err(error) => return self.unknown("ProbeFailed", &error.to_string()),
            }
        }
        self.tell_schema(&compared);
    }

    fn tell_schema(&mut self, compared: &Compared) {
        match compared.taken {
            Some(Taken::EngineUpgraded) => {
                let message = format!(
                    "the server is {} now; its schema is what later ones are compared with",
                    compared.baseline.engine
                );
                self.tell(false, "EngineUpgraded", &message, None);
                return self.unknown("EngineUpgraded", &message);
            }
            Some(Taken::Accepted) => {
                let message = format!(
                    "the schema with fingerprint {} is what later ones are compared with",
                    compared.fingerprint
                );
                self.tell(false, "DriftAccepted", &message, None);
            }
            Some(Taken::AfterRun | Taken::First | Taken::Replayed) | None => {}
        }
        let (against, same) = match (&compared.baseline.replay, compared.baseline.run) {
            (Some(_), _) => {
                ("against what the revisions make".to_owned(), "the schema is what the revisions make".to_owned())
            }
            (None, 0) => ("since the first look".to_owned(), "the schema is as it was at the first look".to_owned()),
            (None, run) => (format!("since run {run}"), format!("the schema is as it was after run {run}")),
        };
        let stale = compared.stale.as_ref().map(|stale| format!(" (what was accepted, {stale}, is something else)"));
        self.found(Found {
            against,
            same,
            status: DriftStatus {
                fingerprint: Some(compared.fingerprint.clone()),
                config_map: Some(schema_name(self.object)),
                ..counted(&compared.differences)
            },
            accept: format!(
                "; to let it be so: spec.drift.acceptedFingerprint: {}{}",
                compared.fingerprint,
                stale.unwrap_or_default()
            ),
        });
    }

    fn note_models(&mut self) {
        match &self.observed.models {
            ModelsView::Compared(differences) => self.compared(differences),
            ModelsView::Failed(problem) => self.unknown(
                "ProbeFailed",
                &format!("the tables could not be compared with the models: {}", problem.message),
            ),
            ModelsView::NotAtHeads => self.unknown("NotApplicable", NOT_AT_HEADS),
            ModelsView::Comparing(Some(JobView { state: PodState::Blocked(trouble), name, .. })) => {
                let message = problem_of(trouble, name).message;
                self.unknown("ProbeFailed", &message);
            }
            ModelsView::Comparing(_) | ModelsView::NotLooked => {
                self.unknown_unless_compared("the tables were not compared with the models yet");
            }
        }
    }

    fn compared(&mut self, found: &Differences) {
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        self.found(Found {
            against: "against the models".to_owned(),
            same: "the tables are those of the models".to_owned(),
            status: DriftStatus {
                missing: count(found.missing),
                unexpected: count(found.unexpected),
                modified: count(found.modified),
                objects: found.objects.clone(),
                ..DriftStatus::default()
            },
            accept: String::new(),
        });
    }

    /// Sets the condition, and tells when it changes.
    fn found(&mut self, found: Found) {
        let known = self.draft.status.condition(ConditionType::Drifted);
        let was = known.is_some_and(|c| c.status == "True" && COMPARED.contains(&c.reason.as_str()));
        let status = found.status;
        let kinds = [
            (Change::Missing, status.missing),
            (Change::Unexpected, status.unexpected),
            (Change::Modified, status.modified),
        ];
        let kinds: Vec<_> = kinds.into_iter().filter(|(_, number)| *number > 0).collect();
        let Some((reason, _)) = kinds.first() else {
            self.draft.status.drift = status.fingerprint.is_some().then_some(status);
            self.draft.set(ConditionType::Drifted, "False", "InSync", &found.same);
            if was {
                self.tell(false, "DriftResolved", &format!("{} again", found.same), None);
            }
            return;
        };
        let word = |change: Change| change.as_str().to_lowercase();
        let numbers: Vec<String> = kinds.iter().map(|(kind, number)| format!("{number} {}", word(*kind))).collect();
        let first: Vec<String> =
            status.objects.iter().take(5).map(|o| format!("{} {}", word(o.change), o.object)).collect();
        let message = format!("{}: {}: {}{}", found.against, numbers.join(", "), first.join("; "), found.accept);
        self.draft.status.drift = Some(status);
        self.draft.set(ConditionType::Drifted, "True", reason.as_str(), &message);
        if !was {
            self.tell(true, "DriftDetected", &message, None);
        }
    }
}

fn replayed(replay: &ReplayView) -> Option<Replayed<'_>> {
    let (key, catalog) = match replay {
        ReplayView::NotWanted => return None,
        ReplayView::Stored { key } => (key, Err("what was stored is gone".to_owned())),
        ReplayView::Reported { key, catalog } => (key, Ok(catalog)),
        ReplayView::Failed { key, problem } => (key, Err(problem.message.clone())),
        ReplayView::Working { key, job: JobView { state: PodState::Blocked(trouble), name, .. } } => {
            (key, Err(problem_of(trouble, name).message))
        }
        ReplayView::Working { key, .. } | ReplayView::Next { key, .. } => {
            (key, Err("a Job runs the history on a scratch database first".to_owned()))
        }
    };
    Some(Replayed { key, catalog })
}

fn counted(differences: &[DriftedObject]) -> DriftStatus {
    let count = |change| i32::try_from(differences.iter().filter(|d| d.change == change).count()).unwrap_or(i32::MAX);
    DriftStatus {
        missing: count(Change::Missing),
        unexpected: count(Change::Unexpected),
        modified: count(Change::Modified),
        objects: differences.iter().take(IN_STATUS).map(|difference| shown(difference, MAX_DEFINITION)).collect(),
        ..DriftStatus::default()
    }
}
