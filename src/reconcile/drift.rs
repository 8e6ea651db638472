//! What something else changed in the version rows and in the schema, and what that holds up; no I/O.

use super::{
    checks::{BaselineOrigin, Compared, Drift, Look, NotCompared, Replayed, accepted_drift},
    effects::{Effect, Note, Step},
    facts::{DatabaseView, Facts, JobView, ModelsView, ReplayView, SchemaView, SeenSchema},
    schema::{SchemaRecord, schema_name, shown},
    situation::World,
};
use crate::{
    api::{
        Change, ConditionType, DatabaseMigration, DatabaseMigrationStatus, DriftMode, DriftStatus, DriftedObject,
        OnDrift, Problem, Reason,
    },
    db::{Exclude, has_catalog},
    jobs::{Differences, PodState},
};
use std::{collections::BTreeSet, sync::Arc};

/// Reasons of the Drifted condition that stand until the next comparison.
const COMPARED: [&str; 7] =
    ["InSync", "Missing", "Unexpected", "Modified", "NoBaseline", "BaselineLost", "EngineUpgraded"];

/// Objects and characters of their definitions that the status has room for.
const IN_STATUS: usize = 10;
const MAX_DEFINITION: usize = 200;

const NOT_AT_HEADS: &str = "models are of the image's heads, and the database is not there";

/// The status, reason and message of the condition Drifted.
pub type Drifted = (String, String, String);

/// What was found about drift in this pass.
pub struct Found {
    pub step: Step,
    /// The condition as it is now.
    pub condition: Drifted,
}

/// Compares what was seen. An outside change of version rows always gets an event; Drifted shows it until the target is
/// reached, and schema drift otherwise.
pub fn drift_of(
    object: &DatabaseMigration,
    facts: &Facts,
    memory: &DatabaseMigrationStatus,
    world: &World,
    at_target: bool,
) -> Found {
    let judge = Judge { object, facts, memory };
    let step = judge.all(world, at_target);
    let now = step.notes.iter().rev().find_map(|note| match note {
        Note::Condition(ConditionType::Drifted, status, reason, message) => {
            Some(((*status).to_owned(), reason.clone(), message.clone()))
        }
        _ => None,
    });
    let known = memory.condition(ConditionType::Drifted);
    let known = known.map(|c| (c.status.clone(), c.reason.clone(), c.message.clone()));
    Found { step, condition: now.or(known).unwrap_or_default() }
}

/// Drift that nothing may be done over.
pub fn blocking_drift(object: &DatabaseMigration, (status, reason, message): &Drifted) -> Option<Problem> {
    if object.spec.drift.on_drift != OnDrift::Block {
        return None;
    }
    if status == "True" && Change::of_reason(reason).is_some() {
        let message = format!("spec.drift.onDrift is Block, and the schema has changed {message}");
        return Some(Problem::new(Reason::DriftBlocked, message));
    }
    matches!(reason.as_str(), "ProbeFailed" | "BaselineLost").then(|| {
        let message = format!("spec.drift.onDrift is Block, and nobody knows: {message}");
        Problem::new(Reason::DriftUnknown, message)
    })
}

/// Why no run may start over a schema that was not compared in this very pass.
pub fn unseen_drift(object: &DatabaseMigration, facts: &Facts, rows: &BTreeSet<String>) -> Option<Problem> {
    let drift = &object.spec.drift;
    if engine_without_catalog(facts).is_some() {
        return None;
    }
    let looked = matches!(&facts.schema, SchemaView::Seen(seen) if seen.schema.rows == *rows);
    let relies = drift.on_drift == OnDrift::Block && drift.mode.by_catalog();
    let message =
        "spec.drift.onDrift is Block, and the schema was not looked at right before the run: somebody migrates it";
    (relies && !looked).then(|| Problem::new(Reason::DriftUnknown, message))
}

/// The engine of the database, where no query reads its schema.
fn engine_without_catalog(facts: &Facts) -> Option<&str> {
    let DatabaseView::Seen(snapshot) = &facts.database else { return None };
    Some(snapshot.dialect.as_str()).filter(|dialect| !has_catalog(dialect))
}

/// What differs, as the condition and the status show it.
struct Differs {
    /// What it was compared with, in words.
    against: String,
    same: String,
    status: DriftStatus,
    accept: String,
}

struct Judge<'a> {
    object: &'a DatabaseMigration,
    facts: &'a Facts,
    memory: &'a DatabaseMigrationStatus,
}

impl Judge<'_> {
    fn all(&self, world: &World, at_target: bool) -> Step {
        let step = match &world.rows_changed {
            Drift::Changed { message } => Step::default().event(true, "RevisionChanged", message, None),
            _ => Step::default(),
        };
        if !at_target && world.rows_changed.is_change() {
            let step = step.note(Note::Drift(None));
            return match &world.rows_changed {
                Drift::Changed { message } => {
                    step.note(Note::condition(ConditionType::Drifted, "True", "RevisionChanged", message))
                }
                _ => step,
            };
        }
        step.then(match self.object.spec.drift.mode {
            DriftMode::Models => self.models(at_target),
            DriftMode::Snapshot | DriftMode::Replay => self.schema(&world.rows, at_target),
            DriftMode::Disabled => unknown("Disabled", "spec.drift.mode is Disabled"),
        })
    }

    /// What the last comparison found stands until the next one.
    fn unless_compared(&self, reason: &str, message: &str) -> Step {
        let known = self.memory.condition(ConditionType::Drifted);
        match known.is_some_and(|condition| COMPARED.contains(&condition.reason.as_str())) {
            true => Step::default(),
            false => unknown(reason, message),
        }
    }

    fn schema(&self, rows: &BTreeSet<String>, at_target: bool) -> Step {
        if let Some(engine) = engine_without_catalog(self.facts) {
            let engine = crate::text::clean(engine, 32);
            return unknown(
                "NotApplicable",
                &format!("schemas of {engine} cannot be compared; see spec.drift.mode: Models"),
            );
        }
        match &self.facts.schema {
            SchemaView::NotLooked | SchemaView::CountsAsSeen { .. } => {
                self.unless_compared("NotChecked", "the schema was not compared yet")
            }
            SchemaView::Failed(problem) => {
                unknown("ProbeFailed", &format!("the schema could not be read: {}", problem.message))
            }
            // Changed since the version rows were read: the next check sees both.
            SchemaView::Seen(seen) if seen.schema.rows != *rows => Step::default(),
            SchemaView::Seen(seen) => {
                let step = match &seen.replay {
                    ReplayView::Next { request, .. } if at_target => Step::default().create((**request).clone()),
                    _ => Step::default(),
                };
                step.then(self.compare_schema(seen, at_target))
            }
        }
    }

    fn compare_schema(&self, seen: &SeenSchema, at_target: bool) -> Step {
        let SeenSchema { schema, kept, replay, .. } = seen;
        let exclude = Exclude::new(&self.object.spec.drift.exclude);
        let before = kept.as_ref().and_then(|kept| kept.baseline.as_deref());
        let look = Look {
            catalog: &schema.catalog,
            rows: &schema.rows,
            kept: before,
            status: self.memory,
            at_target,
            exclude: &exclude,
            accepted: &accepted_drift(self.object),
            replayed: replayed(replay),
        };
        let compared = match look.compare() {
            Ok(compared) => Arc::new(compared),
            Err(NotCompared::Lost(why)) => return unknown("BaselineLost", &why),
            Err(NotCompared::NoBaseline(why)) => return unknown("NoBaseline", &why),
        };
        let mut step = Step::default();
        if before != Some(&compared.baseline) {
            let record = SchemaRecord::new(compared.clone(), kept.as_ref().map(|kept| kept.version.clone()));
            match record {
                Ok(record) => step = step.before(Effect::KeepSchema(Box::new(record))),
                Err(error) => return unknown("ProbeFailed", &error.to_string()),
            }
        }
        if compared.baseline.replay.is_none() {
            step = step.note(Note::Baseline(compared.baseline.run));
        }
        step.then(self.told(&compared))
    }

    fn told(&self, compared: &Compared) -> Step {
        let step = match compared.taken {
            Some(BaselineOrigin::EngineUpgraded) => {
                let engine = &compared.baseline.engine;
                let message = format!("the server is {engine} now; its schema is what later ones are compared with");
                return unknown("EngineUpgraded", &message).event(false, "EngineUpgraded", &message, None);
            }
            Some(BaselineOrigin::Accepted) => {
                let fingerprint = &compared.fingerprint;
                let message = format!("the schema with fingerprint {fingerprint} is what later ones are compared with");
                Step::default().event(false, "DriftAccepted", &message, None)
            }
            Some(BaselineOrigin::AfterRun | BaselineOrigin::First | BaselineOrigin::Replayed) | None => Step::default(),
        };
        let (against, same) = match (&compared.baseline.replay, compared.baseline.run) {
            (Some(_), _) => {
                ("against what the revisions make".to_owned(), "the schema is what the revisions make".to_owned())
            }
            (None, 0) => ("since the first look".to_owned(), "the schema is as it was at the first look".to_owned()),
            (None, run) => (format!("since run {run}"), format!("the schema is as it was after run {run}")),
        };
        let stale = compared.stale.as_ref().map(|stale| format!(" (what was accepted, {stale}, is something else)"));
        step.then(self.found(Differs {
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
        }))
    }

    fn models(&self, at_target: bool) -> Step {
        let step = match &self.facts.next_comparison {
            Some(request) => Step::default().create(request.clone()),
            None => Step::default(),
        };
        step.then(match &self.facts.models {
            ModelsView::Compared(differences) => self.compared(differences),
            // Of an engine whose dialect can't read tables nothing will ever be known.
            ModelsView::Failed(problem) if problem.reason == Reason::UnsupportedDialect => {
                unknown("NotApplicable", &problem.message)
            }
            ModelsView::Failed(problem) => unknown(
                "ProbeFailed",
                &format!("the tables could not be compared with the models: {}", problem.message),
            ),
            // What was found before a run holds it up, until somebody mends it.
            ModelsView::NotAtHeads if !at_target && self.object.spec.drift.on_drift == OnDrift::Block => {
                self.unless_compared("NotApplicable", NOT_AT_HEADS)
            }
            ModelsView::NotAtHeads => unknown("NotApplicable", NOT_AT_HEADS),
            ModelsView::Comparing(Some(JobView { state: PodState::Blocked(trouble), name, .. })) => {
                unknown("ProbeFailed", &trouble.problem(name).message)
            }
            ModelsView::Comparing(_) | ModelsView::NotLooked => {
                self.unless_compared("NotChecked", "the tables were not compared with the models yet")
            }
        })
    }

    fn compared(&self, found: &Differences) -> Step {
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        self.found(Differs {
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
        })
    }

    /// The condition, and an event when it changes.
    fn found(&self, found: Differs) -> Step {
        let known = self.memory.condition(ConditionType::Drifted);
        let was = known.is_some_and(|c| c.status == "True" && COMPARED.contains(&c.reason.as_str()));
        let status = found.status;
        let kinds = [
            (Change::Missing, status.missing),
            (Change::Unexpected, status.unexpected),
            (Change::Modified, status.modified),
        ];
        let kinds: Vec<_> = kinds.into_iter().filter(|(_, number)| *number > 0).collect();
        let Some((reason, _)) = kinds.first() else {
            let kept = status.fingerprint.is_some().then_some(status);
            let step = Step::default().note(Note::Drift(kept)).note(Note::condition(
                ConditionType::Drifted,
                "False",
                "InSync",
                &found.same,
            ));
            return match was {
                true => step.event(false, "DriftResolved", &format!("{} again", found.same), None),
                false => step,
            };
        };
        let word = |change: Change| change.as_str().to_lowercase();
        let numbers: Vec<String> = kinds.iter().map(|(kind, number)| format!("{number} {}", word(*kind))).collect();
        let first: Vec<String> =
            status.objects.iter().take(5).map(|o| format!("{} {}", word(o.change), o.object)).collect();
        let message = format!("{}: {}: {}{}", found.against, numbers.join(", "), first.join("; "), found.accept);
        let step = Step::default().note(Note::Drift(Some(status))).note(Note::condition(
            ConditionType::Drifted,
            "True",
            reason.as_str(),
            &message,
        ));
        if was { step } else { step.event(true, "DriftDetected", &message, None) }
    }
}

fn unknown(reason: &str, message: &str) -> Step {
    Step::default().note(Note::Drift(None)).note(Note::condition(ConditionType::Drifted, "Unknown", reason, message))
}

fn replayed(replay: &ReplayView) -> Option<Replayed<'_>> {
    let (key, catalog) = match replay {
        ReplayView::NotWanted => return None,
        ReplayView::Stored { key } => (key, Err("what was stored is gone".to_owned())),
        ReplayView::Reported { key, catalog } => (key, Ok(catalog)),
        ReplayView::Failed { key, problem } => (key, Err(problem.message.clone())),
        ReplayView::Working { key, job: JobView { state: PodState::Blocked(trouble), name, .. } } => {
            (key, Err(trouble.problem(name).message))
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
