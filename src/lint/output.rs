//! A report as text, JSON and SARIF; no I/O.

use super::{Code, Finding, Report, Severity};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::{collections::HashMap, fmt::Write as _};

/// Where findings are: in the file that was read, or in those of a project's revisions.
#[derive(Clone, Debug, Default)]
pub struct Places {
    pub name: String,
    /// The files of revisions, by their ids. A line of their SQL is none of theirs.
    pub revisions: HashMap<String, String>,
}

impl Places {
    pub fn file(name: &str) -> Self {
        Self { name: name.to_owned(), revisions: HashMap::new() }
    }

    fn of(&self, revision: Option<&String>) -> &str {
        revision.and_then(|id| self.revisions.get(id)).unwrap_or(&self.name)
    }

    fn shown(&self, revision: Option<&String>, line: usize) -> String {
        let file = self.of(revision);
        if self.revisions.is_empty() { format!("{file}:{line}") } else { file.to_owned() }
    }

    fn line(&self, line: usize) -> usize {
        if self.revisions.is_empty() { line.max(1) } else { 1 }
    }
}

/// For people: one block for each finding, and a line that sums up.
pub fn text(report: &Report, places: &Places) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        let Finding { code, severity, line, statement, message, advice, .. } = finding;
        let place = places.shown(finding.revision.as_ref(), *line);
        let revision = finding.revision.as_ref().map(|r| format!(" in revision {r}")).unwrap_or_default();
        // A String takes all that is written to it.
        let _ = writeln!(out, "{place}: {severity} {}{revision}: {}", code.as_str(), code.title());
        if !statement.is_empty() {
            let _ = writeln!(out, "    {statement}");
        }
        let _ = writeln!(out, "    why: {message}");
        for also in &finding.also {
            let _ = writeln!(out, "    also {}: {}", also.code.as_str(), also.message);
        }
        let _ = writeln!(out, "    instead: {advice}\n");
    }
    for (finding, reason) in &report.allowed {
        let place = places.shown(finding.revision.as_ref(), finding.line);
        let _ = writeln!(out, "{place}: {} allowed: {reason}", finding.code.as_str());
    }
    for unused in &report.unused {
        let place = |line| format!("{}: ", places.shown(unused.allow.revision.as_ref(), line));
        let place = unused.line.map(place).unwrap_or_default();
        let _ = writeln!(out, "{place}nothing to allow: {} ({})", unused.allow.code.as_str(), unused.allow.reason);
    }
    out.push_str(&summary(report));
    out
}

fn summary(report: &Report) -> String {
    let counts =
        [Severity::Critical, Severity::High, Severity::Medium, Severity::Low].into_iter().filter_map(|severity| {
            let count = report.findings.iter().filter(|f| f.severity == severity).count();
            (count > 0).then(|| format!("{count} {severity}"))
        });
    let counts: Vec<_> = counts.collect();
    let found = if counts.is_empty() { "no hazard".to_owned() } else { counts.join(", ") };
    let more =
        if report.omitted > 0 { format!(", and {} more that are not shown", report.omitted) } else { String::new() };
    format!("{found}{more}; {} allowed, {} allowed in vain\n", report.allowed.len(), report.unused.len())
}

/// For programs: a list of findings that nobody allowed.
pub fn json(report: &Report, places: &Places) -> Value {
    let finding = |f: &Finding| {
        json!({
            "file": places.of(f.revision.as_ref()),
            "code": f.code.as_str(),
            "severity": f.severity.as_str(),
            "line": f.line,
            "statement": f.statement,
            "table": f.table,
            "message": f.message,
            "revision": f.revision,
            "title": f.code.title(),
            "advice": f.advice,
            "also": f.also.iter().map(|a| json!({"code": a.code.as_str(), "message": a.message})).collect::<Vec<_>>(),
        })
    };
    report.findings.iter().map(finding).collect()
}

/// SARIF 2.1.0, for code scanning. What is allowed is in it as suppressed.
pub fn sarif(report: &Report, places: &Places) -> Value {
    let rules = Code::ALL.iter().map(|code| {
        json!({
            "id": code.as_str(),
            "shortDescription": {"text": code.title()},
            "help": {"text": code.advice()},
            "defaultConfiguration": {"level": level(code.severity())},
            "properties": {"security-severity": score(code.severity()), "tags": ["migration"]},
        })
    });
    let found = report.findings.iter().map(|finding| (finding, None));
    let allowed = report.allowed.iter().map(|(finding, reason)| (finding, Some(reason)));
    let results = found.chain(allowed).map(|(finding, reason)| {
        let suppressions: Vec<_> =
            reason.map(|reason| json!({"kind": "inSource", "justification": reason})).into_iter().collect();
        json!({
            "ruleId": finding.code.as_str(),
            "ruleIndex": Code::ALL.iter().position(|code| *code == finding.code),
            "level": level(finding.severity),
            "message": {"text": format!("{}: {} Instead: {}", finding.code.title(), whole(finding), finding.advice)},
            "locations": [{"physicalLocation": {
                "artifactLocation": {"uri": uri(places.of(finding.revision.as_ref()))},
                "region": {"startLine": places.line(finding.line)},
            }}],
            "suppressions": suppressions,
        })
    });
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "alembic-operator",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules.collect::<Vec<_>>(),
            }},
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

/// The message, with those of what comes of the same cause.
fn whole(finding: &Finding) -> String {
    let also = finding.also.iter().map(|also| format!("; also {}: {}", also.code.as_str(), also.message));
    also.fold(finding.message.clone(), |message, also| message + &also)
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low => "note",
    }
}

/// GitHub sorts by it.
fn score(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.0",
        Severity::Low => "2.0",
    }
}

const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// A path as the relative URI that SARIF wants.
fn uri(file: &str) -> String {
    let file = file.strip_prefix("./").unwrap_or(file);
    utf8_percent_encode(file, PATH).to_string()
}
