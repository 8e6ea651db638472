//! The linter on a corpus of statements, dangerous ones and those that only look so, on whole plans, on hostile input, and
//! as a program.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod columns;
mod corpus;
mod forms;
mod hostile;
mod oracle;
mod plan;
mod program;

use alembic_operator::lint::{Code, Dialect, Input, Report, Section, Severity, lint};
use std::collections::BTreeSet;

const CORPUS: [(Dialect, &str, &str); 4] = [
    (Dialect::PostgreSql, "postgresql", include_str!("postgresql.sql")),
    (Dialect::MySql, "mysql", include_str!("mysql.sql")),
    (Dialect::MariaDb, "mariadb", include_str!("mariadb.sql")),
    (Dialect::Sqlite, "sqlite", include_str!("sqlite.sql")),
];

/// SQL, and the codes that it should have.
struct Case {
    line: usize,
    sql: String,
    codes: BTreeSet<Code>,
    /// Codes that are known to be missed, or found in vain.
    misjudged: BTreeSet<Code>,
}

/// Cases begin with `=== CODES` (or `=== ok`); `misjudged: CODES` after them says what is known to be wrong.
fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let codes = |text: &str| {
        text.split_whitespace().filter(|w| *w != "ok").map(|w| w.parse().unwrap_or_else(|e| panic!("{e}"))).collect()
    };
    for (at, line) in text.lines().enumerate() {
        match line.strip_prefix("===") {
            Some(header) => {
                let (expected, misjudged) = header.split_once("misjudged:").unwrap_or((header, ""));
                let (codes, misjudged) = (codes(expected), codes(misjudged));
                cases.push(Case { line: at + 1, sql: String::new(), codes, misjudged });
            }
            None => {
                if let Some(case) = cases.last_mut() {
                    case.sql.push_str(line);
                    case.sql.push('\n');
                }
            }
        }
    }
    cases
}

fn corpus() -> Vec<(Dialect, Case)> {
    CORPUS.into_iter().flat_map(|(dialect, _, text)| cases(text).into_iter().map(move |case| (dialect, case))).collect()
}

/// Every code that is told, with the severity of its finding.
fn said(report: &Report) -> Vec<(Code, Severity)> {
    let each = report.findings.iter().flat_map(|f| {
        let also = f.also.iter().map(|also| also.code);
        std::iter::once(f.code).chain(also).map(|code| (code, f.severity))
    });
    each.collect()
}

fn found(dialect: Dialect, sql: &str) -> BTreeSet<Code> {
    said(&lint(&Input::file(dialect, sql)).unwrap()).into_iter().map(|(code, _)| code).collect()
}

fn section(revision: &str, sql: &str) -> Section {
    Section { revision: Some(revision.to_owned()), sql: sql.to_owned(), transactional: true }
}
