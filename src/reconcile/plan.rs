//! A plan as people see it: the part of the status, and the ConfigMap with all of its SQL; no I/O.

use super::{
    checks::{Chosen, direction_name},
    effects::{Note, Step},
};
use crate::{
    api::{ANNOTATION_PLAN, DatabaseMigration, HazardStatus, LockKind, PlanStatus, PlanStep},
    jobs::{own_metadata, own_name},
    lint::{Also, Finding, Severity},
    revisions::Direction,
    text,
};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Entries of the status, which every watch carries; the ConfigMap has the rest.
const STEPS: usize = 10;
const HAZARDS: usize = 10;
const ALLOWANCES: usize = 10;
const ROWS: usize = 50;
/// Bytes of each part of the ConfigMap, which holds a megabyte.
const MAX_SQL: usize = 350 * 1024;
const MAX_JSON: usize = 150 * 1024;

/// Name of the ConfigMap: one for each object, with its newest plan.
pub fn plan_name(object: &DatabaseMigration) -> String {
    own_name(object, "plan")
}

/// The plan that a ConfigMap shows.
pub fn plan_hash(map: &impl ResourceExt) -> String {
    map.annotations().get(ANNOTATION_PLAN).cloned().unwrap_or_default()
}

/// What the status shows of a plan.
pub fn plan_status(object: &DatabaseMigration, chosen: &Chosen) -> PlanStatus {
    let plan = &chosen.plan;
    let down = plan.direction == Direction::Downgrade;
    let listed = |rows: &BTreeSet<String>| rows.iter().take(ROWS).cloned().collect();
    let before = object.status.as_ref().and_then(|status| status.plan.as_ref());
    let replaces =
        before.and_then(|plan| if plan.hash == chosen.hash { plan.replaces.clone() } else { Some(plan.hash.clone()) });
    PlanStatus {
        hash: chosen.hash.clone(),
        replaces,
        direction: direction_name(plan.direction).to_owned(),
        from: listed(&plan.from),
        to: listed(&plan.end),
        step_count: i32::try_from(plan.steps.len()).unwrap_or(i32::MAX),
        steps: shown_steps(chosen, 120).take(STEPS).collect(),
        hazard_summary: hazard_summary(chosen),
        hazards: worst_first(chosen).take(HAZARDS).map(|finding| shown_hazard(finding, down)).collect(),
        allowances: allowances(chosen).into_iter().take(ALLOWANCES).collect(),
        config_map: (plan.direction != Direction::Stamp).then(|| plan_name(object)),
    }
}

fn shown_steps(chosen: &Chosen, max: usize) -> impl Iterator<Item = PlanStep> {
    let down = chosen.plan.direction == Direction::Downgrade;
    chosen.revisions().zip(&chosen.judged.reversible).map(move |(revision, reversible)| PlanStep {
        revision: text::clean(&revision.id, 128),
        title: text::clean(&revision.message, max),
        message: text::clean(&revision.notes, max),
        reversible: *reversible,
        opaque: revision.script(down).opaque.iter().map(|why| text::clean(why, 200)).collect(),
    })
}

fn worst_first(chosen: &Chosen) -> impl Iterator<Item = &Finding> {
    let mut findings: Vec<&Finding> = chosen.judged.report.findings.iter().collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings.into_iter()
}

fn shown_hazard(finding: &Finding, down: bool) -> HazardStatus {
    HazardStatus {
        code: finding.code.as_str().to_owned(),
        severity: finding.severity.to_string(),
        revision: finding.revision.clone(),
        table: finding.table.clone(),
        statement: text::clean(&finding.statement, 160),
        message: text::clean(&finding.message, 300),
        advice: if down { finding.code.advice_down() } else { finding.advice }.to_owned(),
        also: finding.also.iter().map(also).collect(),
    }
}

fn also(also: &Also) -> String {
    text::clean(&format!("{}: {}", also.code.as_str(), also.message), 160)
}

/// How many hazards of each severity a plan has, as `1C 2H`; nothing where there is no hazard.
pub fn hazard_summary(chosen: &Chosen) -> Option<String> {
    let letters = [(Severity::Critical, 'C'), (Severity::High, 'H'), (Severity::Medium, 'M'), (Severity::Low, 'L')];
    let count = |severity| chosen.judged.report.findings.iter().filter(|f| f.severity == severity).count();
    let counts = letters.map(|(severity, letter)| (count(severity), letter));
    let words: Vec<String> = counts.iter().filter(|(n, _)| *n > 0).map(|(n, letter)| format!("{n}{letter}")).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// What was allowed, and what allows nothing.
fn allowances(chosen: &Chosen) -> Vec<String> {
    let report = &chosen.judged.report;
    let of = |revision: &Option<String>| revision.as_ref().map(|id| format!(" in {id}")).unwrap_or_default();
    let used = report
        .allowed
        .iter()
        .map(|(finding, reason)| format!("{}{} is allowed: {reason}", finding.code.as_str(), of(&finding.revision)));
    let unused = report.unused.iter().map(|unused| {
        format!(
            "the allowance of {}{} allows nothing in this plan",
            unused.allow.code.as_str(),
            of(&unused.allow.revision)
        )
    });
    let not_allowed = chosen.judged.not_allowed.iter().map(|allow| {
        format!(
            "{}{} is not allowed by the comment in its file, since approvals are restricted; spec.policy.hazards.allow can: {}",
            allow.code.as_str(),
            of(&allow.revision),
            allow.reason
        )
    });
    unused.chain(not_allowed).chain(used).map(|line| text::clean(&line, 200)).collect()
}

/// The ConfigMap as it is to be.
pub fn plan_config_map(object: &DatabaseMigration, chosen: &Chosen) -> Value {
    let [sql, undo, json] = plan_texts(object, chosen);
    let mut metadata = json!(own_metadata(object, plan_name(object)));
    metadata["annotations"] = json!({ ANNOTATION_PLAN: chosen.hash });
    json!({
        "metadata": metadata,
        "data": {
            "about": "The newest plan: plan.sql is what would run, undo.sql undoes it; plan.json has its steps and hazards, rehearsal.json how it ran on a scratch database, rehearsal.sql what steps executed there whose SQL is not known beforehand. Values of data statements are masked.",
            "hash": chosen.hash,
            "plan.sql": sql,
            "undo.sql": undo,
            "plan.json": json,
        },
    })
}

/// What would run, what undoes it, and the steps and hazards as JSON.
pub fn plan_texts(object: &DatabaseMigration, chosen: &Chosen) -> [String; 3] {
    let down = chosen.plan.direction == Direction::Downgrade;
    let shown = format!("{}{}", weaker(object), sql(chosen, down, false));
    [shown, sql(chosen, !down, true), plan_json(chosen)]
}

/// What a reader must know of how the plan will run.
fn weaker(object: &DatabaseMigration) -> &'static str {
    match object.spec.database.lock {
        LockKind::Database => "",
        LockKind::Lease => {
            "-- database.lock is Lease: only runs of this operator are kept away, and a statement of a killed pod is not waited for\n\n"
        }
    }
}

/// The SQL of every step, one way; what can't be shown is said.
fn sql(chosen: &Chosen, down: bool, backwards: bool) -> String {
    let mut steps: Vec<_> = chosen.revisions().collect();
    if backwards {
        steps.reverse();
    }
    let way = if down { "downgrade" } else { "upgrade" };
    let mut out = String::new();
    for (number, revision) in steps.iter().enumerate() {
        let script = revision.script(down);
        let mut part =
            format!("-- {way} of {} ({})\n", text::clean(&revision.id, 128), text::clean(&revision.message, 120));
        for why in &script.opaque {
            part += &format!("-- opaque: {}\n", text::clean(why, 200).replace('\n', " "));
        }
        match script.text.as_deref() {
            None => part += "-- its SQL is not known\n",
            Some("") => part += "-- nothing\n",
            // A blank at the end of a line, and kubectl prints the whole as one escaped string.
            Some(sql) => part.extend(text::clean(sql, MAX_SQL).lines().map(|line| line.trim_end().to_owned() + "\n")),
        }
        if out.len() + part.len() > MAX_SQL {
            return out + &format!("-- ... and {} more revisions\n", steps.len() - number);
        }
        out += &part;
        out.push('\n');
    }
    out
}

fn plan_json(chosen: &Chosen) -> String {
    let mut fits = text::fitting(MAX_JSON);
    let down = chosen.plan.direction == Direction::Downgrade;
    let hazards: Vec<Value> = worst_first(chosen).map(|f| json!(shown_hazard(f, down))).take_while(&mut fits).collect();
    let steps: Vec<Value> = shown_steps(chosen, 400).map(|step| json!(step)).take_while(&mut fits).collect();
    let plan = &chosen.plan;
    json!({
        "hash": chosen.hash,
        "direction": direction_name(plan.direction),
        "from": plan.from,
        "to": plan.end,
        "image": chosen.image.image,
        "dialect": chosen.image.inspection.dialect,
        "steps": steps,
        "hazards": hazards,
        "allowances": allowances(chosen),
    })
    .to_string()
}

/// The plan in the status.
pub fn shows_plan(object: &DatabaseMigration, plan: &Chosen) -> Step {
    Step::default().note(Note::Plan(Box::new(plan.clone()), Box::new(plan_status(object, plan))))
}
