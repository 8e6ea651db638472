//! Findings, those that are allowed, and allowances that allow nothing; no I/O.

use super::{Allow, Also, Code, Fact, Finding, Input, Report, Unused, hazard::Hazard, steps::Step, subject::Subject};
use std::collections::HashSet;

/// Where a hazard was found: the statement's place in the plan.
pub(super) type Found = (usize, Hazard);

pub(super) fn report(input: &Input, steps: &[Step], mut found: Vec<Found>) -> Report {
    found.sort_by_key(|(at, hazard)| (*at, hazard.code));
    let mut report = Report::default();
    let mut used = HashSet::new();
    let mut used_comments = HashSet::new();
    let mut last = Vec::new();
    for (at, hazard) in found {
        let step = &steps[at];
        let comment = step.allows.iter().position(|allow| allow.code == hazard.code);
        let allow = input.allows.iter().position(|allow| allow.allows(hazard.code, step.revision.as_deref()));
        used.extend(allow);
        used_comments.extend(comment.map(|place| (at, place)));
        let reason =
            comment.map(|place| &step.allows[place].reason).or_else(|| allow.map(|place| &input.allows[place].reason));
        let (cause, thing) = (hazard.cause, hazard.subject.clone());
        let finding = finding(hazard, step);
        match reason {
            Some(reason) => report.allowed.push((finding, reason.clone())),
            None => join(&mut report.findings, finding, (at, cause, thing), &mut last),
        }
    }
    for fact in &input.facts {
        let finding = of_fact(fact);
        let allow = input.allows.iter().position(|allow| allow.allows(fact.code, Some(&fact.revision)));
        used.extend(allow);
        match allow.map(|place| &input.allows[place].reason) {
            Some(reason) => report.allowed.push((finding, reason.clone())),
            None => report.findings.push(finding),
        }
    }
    let allows = input.allows.iter().enumerate().filter(|(place, _)| !used.contains(place));
    report.unused = allows.map(|(_, allow)| Unused { allow: allow.clone(), line: None }).collect();
    for (at, step) in steps.iter().enumerate() {
        let unused = step.allows.iter().enumerate().filter(|(place, _)| !used_comments.contains(&(at, *place)));
        report.unused.extend(unused.map(|(_, comment)| Unused {
            allow: Allow { code: comment.code, revision: step.revision.clone(), reason: comment.reason.clone() },
            line: Some(comment.line),
        }));
    }
    report.omitted = cap(&mut report.findings);
    report
}

/// What a hazard comes from: the statement, the operation, the object.
type Cause = (usize, usize, Subject);

/// Adds a finding, or joins it to one of the same cause. What loses data and what can't be judged is told by itself:
/// others look for these codes.
fn join(findings: &mut Vec<Finding>, finding: Finding, cause: Cause, last: &mut Vec<(Cause, usize)>) {
    let alone = finding.code.as_str().starts_with(['D', 'O'])
        || matches!(finding.code, Code::B02 | Code::B08 | Code::F02 | Code::F03);
    last.retain(|((at, ..), _)| *at == cause.0);
    let first = last.iter().find(|(known, _)| *known == cause).map(|(_, place)| *place);
    match first {
        Some(place) if !alone => {
            let main = &mut findings[place];
            main.severity = main.severity.max(finding.severity);
            main.also.push(Also { code: finding.code, message: finding.message });
        }
        _ => {
            if first.is_none() && !matches!(finding.code, Code::O02 | Code::B02 | Code::B08 | Code::F02 | Code::F03) {
                last.push((cause, findings.len()));
            }
            findings.push(finding);
        }
    }
}

/// More than these nobody reads; the worst stay.
const MOST: usize = 2_000;

fn cap(findings: &mut Vec<Finding>) -> usize {
    let omitted = findings.len().saturating_sub(MOST);
    if omitted > 0 {
        let mut severities: Vec<_> = findings.iter().map(|finding| finding.severity).collect();
        severities.sort_by(|a, b| b.cmp(a));
        let least = severities[MOST - 1];
        let mut room = MOST - severities.iter().filter(|severity| **severity > least).count();
        findings.retain(|finding| {
            let last = finding.severity == least && room > 0;
            room -= usize::from(last);
            finding.severity > least || last
        });
    }
    omitted
}

fn of_fact(fact: &Fact) -> Finding {
    Finding {
        code: fact.code,
        severity: fact.severity,
        revision: Some(fact.revision.clone()),
        line: 0,
        statement: fact.statement.clone(),
        table: fact.table.clone(),
        message: crate::text::clean(&fact.message, 400),
        advice: fact.code.advice(),
        also: Vec::new(),
    }
}

fn finding(hazard: Hazard, step: &Step) -> Finding {
    let table = match hazard.subject {
        Subject::Table(name) => Some(name.to_string()),
        Subject::Object(..) | Subject::Nothing => step.reading.table.as_ref().map(ToString::to_string),
    };
    Finding {
        code: hazard.code,
        severity: hazard.severity,
        revision: step.revision.clone(),
        line: step.line,
        statement: step.shown.clone(),
        table: table.map(|table| crate::text::clean(&table, 130)),
        message: crate::text::clean(&hazard.message, 400),
        advice: hazard.code.advice(),
        also: Vec::new(),
    }
}
