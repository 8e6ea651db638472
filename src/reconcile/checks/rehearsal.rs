//! What a rehearsal of a plan has to do, how far it is, and what it found in the words of the status; no I/O.

use super::plan::{Chosen, from_base};
use crate::{
    api::{
        DatabaseMigration, DurationField, ExecutedStatus, Problem, Reason, RehearsalSource, RehearsalStatus,
        RehearsalStep, StageStatus,
    },
    jobs::{
        History, Inspected, JobRecord, Limit, LockTaken, Origin, PodState, Progress, Rehearsal, RehearseRequest,
        RehearsedPhase, Request, Scratch, VersionTableName, hex,
    },
    reconcile::facts::{Facts, RehearsalView},
    revisions::Direction,
    text,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, sync::Arc, time::Duration};

const LOCK_WAIT: Duration = Duration::from_secs(60);
/// Entries of the status; the ConfigMap of the plan has more.
const STEPS: usize = 10;
const LEFT_BEHIND: usize = 10;
/// Tables of a step in the status.
const TABLES: usize = 5;
/// Bytes of all steps in the ConfigMap, which the plan needs too.
const MAX_STEPS: usize = 110_000;

/// A rehearsal that must have passed before a run.
#[derive(Clone, Debug)]
pub struct WantedRehearsal {
    /// Of the Job; another name is another rehearsal.
    pub name: String,
    pub request: RehearseRequest,
}

/// The rehearsal of a plan, where one is asked for.
pub fn wanted_rehearsal(
    object: &DatabaseMigration,
    chosen: &Chosen,
    facts: &Facts,
    requested_at: Option<&str>,
) -> Option<Result<WantedRehearsal, Problem>> {
    let plan = &chosen.plan;
    let migrates = matches!(plan.direction, Direction::Upgrade | Direction::Downgrade);
    if !migrates || !object.spec.stages.rehearsal.when.applies(chosen.dangerous_unrehearsed()) {
        return None;
    }
    Some(asked(object, chosen, facts, requested_at))
}

fn asked(
    object: &DatabaseMigration,
    chosen: &Chosen,
    facts: &Facts,
    requested_at: Option<&str>,
) -> Result<WantedRehearsal, Problem> {
    let scratch = Scratch { scheme: facts.scheme.clone(), image: object.spec.scratch.image.clone() };
    let sqlite = scratch.dialect() == "sqlite";
    let invalid = |message: String| Err(Problem::new(Reason::InvalidSpec, message));
    if scratch.login().is_none() && !sqlite {
        return invalid(format!("there is no rehearsal for {}: set spec.rehearsal.when: Never", scratch.dialect()));
    }
    if scratch.image.is_none() && !sqlite {
        let message = "set spec.scratch.image: a server to rehearse on, in the major version of the database";
        return invalid(message.to_owned());
    }
    if scratch.dialect() != "postgresql" && !sqlite && chosen.image.inspection.version_table_schema.is_some() {
        let message =
            "the version table is in another database, which a rehearsal has not: set spec.rehearsal.when: Never";
        return invalid(message.to_owned());
    }
    // There is no server to copy a SQLite file from.
    let source = if sqlite { RehearsalSource::History } else { object.spec.stages.rehearsal.source };
    let inspection = &chosen.image.inspection;
    let origin = match source {
        RehearsalSource::Dump => Origin::Dump(VersionTableName {
            name: inspection.version_table.clone(),
            schema: inspection.version_table_schema.clone(),
        }),
        RehearsalSource::History => Origin::History(history(&chosen.image, &chosen.plan.from)?),
    };
    let lock = Limit::new(DurationField::Lock.of(&object.spec), LOCK_WAIT);
    // The plan's hash names the database.
    let key = json!([chosen.hash, chosen.image.image, circumstances(object), requested_at]).to_string();
    let request = Request::Rehearse { catalog: scratch.dialect().to_owned() };
    let record = JobRecord::new(object, request, 0, hex(&Sha256::digest(key)));
    let image = chosen.image.image.clone();
    let run = chosen.run(LOCK_WAIT, lock, None, false);
    Ok(WantedRehearsal { name: record.name(object), request: RehearseRequest { record, run, origin, image, scratch } })
}

/// Whatever else a rehearsal may depend on, or a person may change to have it tried again. An approval is no reason for another.
fn circumstances(object: &DatabaseMigration) -> String {
    let mut spec = object.spec.clone();
    (spec.policy, spec.suspend) = Default::default();
    hex(&Sha256::digest(json!(spec).to_string()))
}

/// The way from base to where a run starts; none for a run from base.
fn history(image: &Arc<Inspected>, from: &BTreeSet<String>) -> Result<Option<History>, Problem> {
    if from.is_empty() {
        return Ok(None);
    }
    let impossible = |why: String| {
        let message = format!("the plan can't be rehearsed from the history: {why}; set spec.rehearsal.source: Dump");
        Problem::new(Reason::RehearsalFailed, message)
    };
    let way = from_base(image, from, impossible)?;
    let reads = way.reads();
    Ok(Some(History { steps: way.plan.steps.len(), targets: way.plan.targets, steps_digest: way.steps_digest, reads }))
}

/// How far it is. What is recorded of its end stands, whatever has become of its Job.
pub fn rehearsal_progress(
    ask: &WantedRehearsal,
    recorded: Option<&RehearsalStatus>,
    rehearsals: &[RehearsalView],
) -> Progress {
    let recorded = recorded.map(|rehearsal| &rehearsal.stage).filter(|stage| stage.job == ask.name);
    if let Some((outcome, at)) = recorded.and_then(|stage| stage.end()) {
        return Progress::Done(outcome, at);
    }
    let Some(view) = rehearsals.iter().find(|view| view.job.name == ask.name) else { return Progress::Absent };
    match (&view.end, &view.job.state) {
        (Some(end), _) => Progress::Done(end.verdict.clone(), None),
        (None, PodState::Blocked(trouble)) => Progress::Blocked(trouble.clone()),
        (None, PodState::Waiting) => Progress::Waiting,
        (None, PodState::Running | PodState::Ended(_)) => Progress::Running,
    }
}

/// What the status shows of an end.
pub fn rehearsal_status(
    running: StageStatus,
    found: Option<&Rehearsal>,
    verdict: &Result<(), String>,
    executed: Option<ExecutedStatus>,
    now: Timestamp,
) -> RehearsalStatus {
    let phases = found.map(|found| found.phases.as_slice()).unwrap_or_default();
    RehearsalStatus {
        stage: running.ended(&verdict.clone().map_err(|message| text::clean(&message, 600)), now),
        reversible: found.map(|found| found.reversible),
        steps: phases.iter().flat_map(|phase| steps(phase, TABLES)).take(STEPS).collect(),
        residue: phases.iter().flat_map(residue).take(LEFT_BEHIND).collect(),
        executed,
    }
}

/// The steps of a phase, each with the first `tables` of those that it locked and wrote.
fn steps(phase: &RehearsedPhase, tables: usize) -> impl Iterator<Item = RehearsalStep> {
    let lock = |lock: &LockTaken| format!("{} {} {} ms", lock.table, lock.mode, lock.ms);
    phase.steps.iter().map(move |step| RehearsalStep {
        phase: phase.name.clone(),
        revision: step.revision.clone(),
        milliseconds: milliseconds(step.seconds),
        locks: step.locks.iter().flatten().take(tables).map(lock).collect(),
        rewritten: step.rewritten.iter().flatten().take(tables).cloned().collect(),
        sampled: step.sampled,
    })
}

fn residue(phase: &RehearsedPhase) -> impl Iterator<Item = String> {
    let told = phase.leaves.iter().flatten();
    told.map(|object| format!("{}: {} {}", phase.name, object.change.as_str().to_lowercase(), object.object))
}

/// Seconds as the runner has checked them.
fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// All of it, as the ConfigMap of the plan has it.
pub fn rehearsal_json(found: &Rehearsal) -> String {
    let mut fits = text::fitting(MAX_STEPS);
    let mut phase = |phase: &RehearsedPhase| {
        let shown: Vec<Value> = steps(phase, usize::MAX).map(|step| json!(step)).take_while(&mut fits).collect();
        let more = phase.steps.len().saturating_sub(shown.len()) + phase.omitted as usize;
        json!({ "name": phase.name, "milliseconds": milliseconds(phase.seconds), "steps": shown, "omitted": more,
                "residue": residue(phase).collect::<Vec<_>>() })
    };
    let irreversible: Vec<&String> = found.irreversible.iter().map(|step| &step.revision).collect();
    json!({
        "source": found.source,
        "reversible": found.reversible,
        "irreversible": irreversible,
        "locksUnknown": found.locks_unknown,
        "phases": found.phases.iter().map(&mut phase).collect::<Vec<_>>(),
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::RehearsedStep;

    #[test]
    fn what_is_shown_of_much_is_little() {
        let name = "public.".to_owned() + &"t".repeat(100);
        let lock = LockTaken { table: name.clone(), mode: "AccessExclusiveLock".into(), ms: 1 };
        let step = RehearsedStep {
            revision: "a".repeat(100),
            seconds: 0.001,
            locks: Some(vec![lock; 20]),
            rewritten: Some(vec![name; 20]),
            sampled: false,
            executed: None,
            unseen: None,
            reads: false,
        };
        let phase = |name: &str| RehearsedPhase {
            name: name.into(),
            seconds: 1.0,
            steps: vec![step.clone(); 500],
            omitted: 7,
            leaves: None,
            differences: None,
        };
        let found = Rehearsal {
            source: "dump".into(),
            phases: ["upgrade", "downgrade", "upgrade again"].map(phase).into(),
            reversible: true,
            irreversible: Vec::new(),
            failed: None,
            locks_unknown: None,
            rows: None,
        };
        let shown = rehearsal_json(&found);
        assert!(shown.len() < MAX_STEPS + 5_000, "{}", shown.len());
        let shown: Value = serde_json::from_str(&shown).unwrap();
        for phase in shown["phases"].as_array().unwrap() {
            let steps = phase["steps"].as_array().unwrap().len() as u64;
            assert_eq!(steps + phase["omitted"].as_u64().unwrap(), 507);
        }
        let told: usize = found
            .phases
            .iter()
            .flat_map(|phase| steps(phase, TABLES))
            .take(STEPS)
            .map(|s| json!(s).to_string().len())
            .sum();
        assert!(told < 20_000, "{told}");
    }
}
