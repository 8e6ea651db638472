//! Findings, those that are allowed, and allowances that allow nothing; no I/O.

use super::{
    Allow, Fact, Finding, Input, Report, Unused,
    read::{Hazard, Subject},
    steps::Step,
};
use std::collections::HashSet;

/// Where a hazard was found: the statement's place in the plan.
pub(super) type Found = (usize, Hazard);

pub(super) fn report(input: &Input, steps: &[Step], mut found: Vec<Found>) -> Report {
    found.sort_by_key(|(at, hazard)| (*at, hazard.code));
    let mut report = Report::default();
    let mut used = HashSet::new();
    let mut used_comments = HashSet::new();
    for (at, hazard) in found {
        let step = &steps[at];
        let comment = step.allows.iter().position(|allow| allow.code == hazard.code);
        let allow = input.allows.iter().position(|allow| allow.allows(hazard.code, step.revision.as_deref()));
        used.extend(allow);
        used_comments.extend(comment.map(|place| (at, place)));
        let reason =
            comment.map(|place| &step.allows[place].reason).or_else(|| allow.map(|place| &input.allows[place].reason));
        let finding = finding(hazard, step);
        match reason {
            Some(reason) => report.allowed.push((finding, reason.clone())),
            None => report.findings.push(finding),
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
    report
}

fn of_fact(fact: &Fact) -> Finding {
    Finding {
        code: fact.code,
        severity: fact.severity,
        revision: Some(fact.revision.clone()),
        line: 0,
        statement: String::new(),
        table: None,
        message: crate::text::clean(&fact.message, 400),
        advice: fact.code.advice(),
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
    }
}
