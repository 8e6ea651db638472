//! What a plan does to the data and to those who use it: its SQL, the hazards in it, and what can't be seen; no I/O.

use super::{before::Before, executed, plan::Chosen};
use crate::{
    api::{AllowedHazard, ExecutedStatus, Reversible},
    jobs::{Implementation, Revision},
    lint::{
        Allow, Code, Dialect, Fact, Finding, Input, Relations, Report, Section, Severity, allows_of_revision, lint,
    },
    revisions::Direction,
};

/// A plan as it was judged.
#[derive(Clone, Debug, Default)]
pub struct Judged {
    pub report: Report,
    /// Whether each of the steps can be undone, in their order.
    pub reversible: Vec<Reversible>,
    /// What revision files allow and may not.
    pub not_allowed: Vec<Allow>,
    /// What a rehearsal of this plan saw its opaque steps execute.
    pub executed: Option<ExecutedStatus>,
    /// The worst that was said of these steps before.
    pub unrehearsed: Option<Severity>,
}

impl Judged {
    /// The worst one that was seen, beside what could not be seen.
    pub fn worst_seen(&self) -> Option<&Finding> {
        // Of several the first, which is the one that a person meets first in the plan.
        self.report.findings.iter().rev().filter(|f| !is_blind(f)).max_by_key(|f| f.severity)
    }

    /// The first thing that could not be judged.
    pub fn blind(&self) -> Option<&Finding> {
        self.report.findings.iter().find(|f| is_blind(f))
    }

    /// The revisions whose way loses rows, columns or tables.
    pub fn losing(&self) -> Vec<&str> {
        let mut ids: Vec<&str> =
            self.report.findings.iter().filter(|f| loses(f.code)).filter_map(|f| f.revision.as_deref()).collect();
        ids.dedup();
        ids
    }
}

fn is_blind(finding: &Finding) -> bool {
    matches!(finding.code, Code::O01 | Code::O02)
}

fn loses(code: Code) -> bool {
    matches!(code, Code::D01 | Code::D02 | Code::D03 | Code::D04 | Code::D07)
}

/// Judges a plan by what the database has before it. Those who write revision files need not be those who may approve.
/// What a rehearsal saw takes the place of what nobody could see before.
pub fn judge(
    chosen: &Chosen,
    allowed: &[AllowedHazard],
    before: &Before,
    restricted: bool,
    executed: Option<ExecutedStatus>,
) -> Judged {
    let plan = &chosen.plan;
    let down = plan.direction == Direction::Downgrade;
    if !matches!(plan.direction, Direction::Upgrade | Direction::Downgrade) {
        return Judged::default();
    }
    let revisions: Vec<&Revision> = chosen.revisions().collect();
    let dialect = Dialect::of(&chosen.image.inspection.dialect, before.server_version());
    let lossy = if down { Vec::new() } else { lossy_downgrades(&revisions, chosen, dialect) };
    let mut reversible: Vec<Reversible> = revisions.iter().map(|revision| reversible(revision, down, &lossy)).collect();
    let mut allows: Vec<Allow> = allowed.iter().filter_map(of_spec).collect();
    let comments = |revision: &&Revision| allows_of_revision(&revision.id, revision.allows.iter().map(String::as_str));
    let of_files = revisions.iter().flat_map(comments);
    let not_allowed = match restricted {
        true => of_files.collect(),
        false => {
            allows.extend(of_files);
            Vec::new()
        }
    };
    let mut unrehearsed = None;
    let report = match dialect {
        Some(dialect) => {
            let sql = |revision: &Revision| revision.script(down).text.clone().unwrap_or_default();
            let mut input = input(&revisions, chosen, dialect, before, sql);
            let empty = input.catalog.relations == Relations::Nothing;
            let seen = executed.as_ref();
            let each = revisions.iter().zip(&reversible);
            input.facts = each.flat_map(|(revision, back)| facts(revision, *back, down, empty, seen)).collect();
            let opaque = revisions.iter().filter(|r| is_seen(seen, &r.id)).filter_map(|r| opaque(r, down, empty));
            let counts = |fact: &Fact| !allows.iter().any(|allow| allow.allows(fact.code, Some(&fact.revision)));
            unrehearsed = opaque.filter(counts).map(|fact| fact.severity).max();
            input.allows = allows;
            input.comments_allow = !restricted;
            let mut report = lint(&input).unwrap_or_else(|error| unread(&revisions, &error.to_string()));
            // Facts have no line.
            let old = |f: &Finding| f.line > 0 && f.revision.as_ref().is_some_and(|id| is_seen(seen, id));
            report.findings.retain(|finding| !old(finding));
            report.allowed.retain(|(finding, _)| !old(finding));
            report
        }
        None => unread(&revisions, "the SQL of this dialect can't be read"),
    };
    if down {
        // A step of a downgrade loses it by itself.
        let found = || report.findings.iter().chain(report.allowed.iter().map(|(finding, _)| finding));
        let loses = |id: &String| found().any(|f| loses(f.code) && f.revision.as_ref() == Some(id));
        let lossy = revisions.iter().zip(&mut reversible).filter(|(revision, _)| loses(&revision.id));
        lossy.for_each(|(_, reversible)| *reversible = Reversible::LosesData);
    }
    Judged { report, reversible, not_allowed, executed, unrehearsed }
}

/// Every step is one that nobody can judge.
fn unread(revisions: &[&Revision], why: &str) -> Report {
    let finding = |revision: &&Revision| Finding {
        code: Code::O02,
        severity: Severity::High,
        revision: Some(revision.id.clone()),
        line: 0,
        statement: String::new(),
        table: None,
        message: why.to_owned(),
        advice: Code::O02.advice(),
        also: Vec::new(),
    };
    Report { findings: revisions.iter().map(finding).collect(), ..Report::default() }
}

/// The hazards that the spec allows; the API server has refused those without a known code.
fn of_spec(allowed: &AllowedHazard) -> Option<Allow> {
    let code = allowed.code.parse().ok()?;
    Some(Allow { code, revision: allowed.revision.clone(), reason: allowed.reason.clone() })
}

/// The steps with the SQL of each, beside what the database has.
pub(super) fn input(
    revisions: &[&Revision],
    chosen: &Chosen,
    dialect: Dialect,
    before: &Before,
    sql: impl Fn(&Revision) -> String,
) -> Input {
    let inspection = &chosen.image.inspection;
    let sizes = || before.sizes.into_iter().flatten();
    let section = |revision: &&Revision| Section {
        revision: Some(revision.id.clone()),
        sql: sql(revision),
        transactional: inspection.transactional_ddl,
    };
    let sections: Vec<Section> = revisions.iter().map(section).collect();
    let catalog =
        before.catalog(dialect, sections.iter().map(|section| section.sql.as_str()), &inspection.version_table);
    Input {
        dialect,
        sections,
        facts: Vec::new(),
        rows: sizes().map(|(table, size)| (table.clone(), size.rows)).collect(),
        invalid_indexes: sizes()
            .filter(|(_, size)| !size.invalid_indexes.is_empty())
            .map(|(table, size)| (table.clone(), size.invalid_indexes.clone()))
            .collect(),
        catalog,
        allows: Vec::new(),
        comments_allow: true,
        version_table: inspection.version_table.clone(),
    }
}

/// The upgrades whose downgrade drops what holds data.
fn lossy_downgrades(revisions: &[&Revision], chosen: &Chosen, dialect: Option<Dialect>) -> Vec<(String, String)> {
    let Some(dialect) = dialect else { return Vec::new() };
    let back: Vec<&Revision> = revisions.iter().rev().copied().collect();
    let sql = |revision: &Revision| revision.script(true).text.clone().unwrap_or_default();
    let input = input(&back, chosen, dialect, &Before::default(), sql);
    let findings = lint(&input).map(|report| report.findings).unwrap_or_default();
    let lossy = findings.into_iter().filter(|f| loses(f.code));
    lossy.filter_map(|f| Some((f.revision?, f.message))).collect()
}

fn reversible(revision: &Revision, down: bool, lossy: &[(String, String)]) -> Reversible {
    let back = if down { revision.upgrade } else { revision.downgrade };
    match back {
        Implementation::Missing | Implementation::Raises => Reversible::Irreversible,
        Implementation::Empty if revision.script(down).text.as_deref() != Some("") => Reversible::Irreversible,
        _ if lossy.iter().any(|(id, _)| *id == revision.id) => Reversible::LosesData,
        _ if revision.script(!down).text.is_none() => Reversible::Unknown,
        _ => Reversible::Clean,
    }
}

fn fact(revision: &Revision, code: Code, severity: Severity, message: String) -> Fact {
    Fact { code, severity, revision: revision.id.clone(), message, table: None, statement: String::new() }
}

/// What nobody sees of a step. In a database without tables it can lose nothing, whatever it does.
fn opaque(revision: &Revision, down: bool, empty: bool) -> Option<Fact> {
    let script = revision.script(down);
    // Of a step without any SQL nobody knows what it drops.
    let severity = if empty {
        Severity::Low
    } else if script.text.as_deref().is_some_and(|text| !text.trim().is_empty()) {
        Code::O01.severity()
    } else {
        Severity::High
    };
    (!script.opaque.is_empty()).then(|| fact(revision, Code::O01, severity, script.opaque.join("; ")))
}

fn is_seen(seen: Option<&ExecutedStatus>, id: &str) -> bool {
    seen.is_some_and(|seen| seen.revisions.iter().any(|other| other == id))
}

/// The same of a step that was rehearsed: what it executed, and that with rows it may execute more.
fn rehearsed(revision: &Revision, seen: &ExecutedStatus, empty: bool) -> Vec<Fact> {
    let mut facts: Vec<Fact> = executed::facts(seen, &revision.id).collect();
    if seen.reading.contains(&revision.id) && !empty {
        let message =
            "the rehearsal saw what it executes; but it reads rows, and there were none: here it may execute more";
        facts.push(fact(revision, Code::O01, Severity::Medium, message.to_owned()));
    }
    facts
}

/// What is known of a step beside its SQL.
fn facts(
    revision: &Revision,
    reversible: Reversible,
    down: bool,
    empty: bool,
    seen: Option<&ExecutedStatus>,
) -> Vec<Fact> {
    let fact = |code, severity, message| fact(revision, code, severity, message);
    let mut facts = match seen.filter(|_| is_seen(seen, &revision.id)) {
        Some(seen) => rehearsed(revision, seen, empty),
        None => opaque(revision, down, empty).into_iter().collect(),
    };
    if !down && reversible == Reversible::Irreversible {
        facts.push(fact(Code::I01, Code::I01.severity(), "its downgrade() is missing, empty or raises".to_owned()));
    }
    if !down && reversible == Reversible::LosesData {
        facts.push(fact(Code::I02, Code::I02.severity(), "its downgrade() drops what holds data".to_owned()));
    }
    if revision.down.len() > 1 {
        let message = format!("it merges {}", revision.down.join(" and "));
        facts.push(fact(Code::O04, Code::O04.severity(), message));
    }
    facts
}
