//! What real servers do with the corpus: PostgreSQL's locks and rewrites, and the way that MariaDB goes.

use crate::{CORPUS, cases, found};
use alembic_operator::lint::{Code, Dialect, Input, Lock, lint, locks};
use serde_json::Value;
use std::fmt::Write as _;

/// What a real server answered to the cases of the corpus (`tests/runner/test_lint_oracle.py`), by their SQL.
fn answers() -> std::collections::HashMap<String, Value> {
    let lines = include_str!("oracle_postgresql.jsonl").lines();
    let answers = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    answers.map(|answer| (answer["sql"].as_str().unwrap().to_owned(), answer)).collect()
}

/// What these do depends on what the table was, and the linter does not know it.
const DEPEND: &[&str] = &[
    "ALTER TABLE users ALTER age SET DATA TYPE integer USING age::integer;",
    "ALTER TABLE users SET LOGGED;",
    // Here each statement commits by itself.
    "ALTER TABLE t ADD CONSTRAINT c CHECK (a IS NOT NULL) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT c; ALTER TABLE t ALTER a SET NOT NULL; ALTER TABLE t DROP CONSTRAINT c;",
    "ALTER TABLE users ADD CONSTRAINT n CHECK (name IS NOT NULL) NOT VALID; ALTER TABLE users VALIDATE CONSTRAINT n;\nALTER TABLE users ALTER COLUMN name SET NOT NULL;",
    "CREATE MATERIALIZED VIEW IF NOT EXISTS totals AS SELECT 1 AS id; CREATE UNIQUE INDEX i ON totals (id);",
];

/// What locks something else than a table, or by way of a routine.
const NO_TABLES: &[&str] = &["ALTER VIEW", "ALTER TYPE", "ALTER INDEX", "CALL p()", "format("];

#[test]
fn a_real_server_does_what_the_linter_says() {
    let answers = answers();
    let (mut asked, mut compared, mut wrong) = (0, 0, String::new());
    for case in cases(CORPUS[0].2) {
        let sql = case.sql.trim();
        let answer = answers.get(sql).unwrap_or_else(|| panic!("no server was asked: {sql}"));
        if !answer["problem"].is_null() {
            continue;
        }
        asked += 1;
        let codes = found(Dialect::PostgreSql, sql);
        let said = locks(&Input::file(Dialect::PostgreSql, sql)).unwrap();
        let (mut heavy, mut differ) = (false, String::new());
        for (table, fact) in answer["tables"].as_object().unwrap() {
            let real = *Lock::ALL.iter().find(|lock| lock.as_str() == fact["lock"]).unwrap();
            heavy |= fact["rewritten"] == true || (fact["read"] == true && real.blocks_writes());
            let bare = |name: &str| name.rsplit('.').next() == Some(table.as_str());
            // A table of the server's own making: which one an index has is not said. Views and types are none.
            if table == "indexed" || NO_TABLES.iter().any(|words| sql.contains(words)) {
                continue;
            }
            let told = said.iter().filter(|(name, _)| bare(name)).map(|(_, lock)| *lock).max();
            if (real.blocks_writes() || told.is_some_and(Lock::blocks_writes)) && told != Some(real) {
                let _ = write!(differ, " {table}: {real:?}, said {told:?};");
            }
            compared += 1;
        }
        // Rows that are gone need no other word, and a column that can't be added is not.
        let gone = [Code::D01, Code::D03, Code::C03].iter().any(|code| codes.contains(code));
        let says = [Code::B01, Code::B03, Code::B04, Code::B05, Code::B06].iter().any(|code| codes.contains(code));
        if heavy != says && !gone && !DEPEND.contains(&sql) {
            let _ = write!(differ, " every row is read or written: {heavy}, said {says};");
        }
        if !differ.is_empty() {
            let _ = writeln!(wrong, "postgresql.sql:{}:{differ} {codes:?}\n{sql}", case.line);
        }
    }
    println!("{asked} cases ran on a server, {compared} tables compared");
    assert!(wrong.is_empty() && asked > 200, "{asked}\n{wrong}");
}

/// MariaDB tells the cheapest way in which it can change a table.
#[test]
fn mariadb_goes_the_way_that_the_linter_says() {
    let (mut asked, mut wrong) = (0, String::new());
    for line in include_str!("oracle_mariadb.jsonl").lines() {
        let answer: Value = serde_json::from_str(line).unwrap();
        let (sql, Some(way)) = (answer["sql"].as_str().unwrap(), answer["way"].as_str()) else { continue };
        asked += 1;
        let findings = lint(&Input::file(Dialect::MariaDb, sql)).unwrap().findings;
        let each = findings.iter().flat_map(|f| {
            std::iter::once((f.code, &f.message)).chain(f.also.iter().map(|also| (also.code, &also.message)))
        });
        let blocks: Vec<_> =
            each.filter(|(code, _)| [Code::B01, Code::B03, Code::B04, Code::B05, Code::B06].contains(code)).collect();
        let certain = blocks.iter().any(|(_, message)| {
            !["unless", "if that is new", "writes go on"].iter().any(|words| message.contains(words))
        });
        let waits = ["while writes wait", "by a copy"].contains(&way);
        let right = if waits { !blocks.is_empty() } else { !certain };
        if !right && !UNKNOWN_BEFORE.contains(&sql) {
            let _ = writeln!(wrong, "{way}, said {blocks:?}: {sql}");
        }
    }
    println!("{asked} cases asked of a server");
    assert!(wrong.is_empty() && asked > 40, "{asked}\n{wrong}");
}

/// What the column was before decides, and the server's was made for the question.
const UNKNOWN_BEFORE: &[&str] = &[
    "ALTER TABLE users MODIFY code BIGINT COMMENT 'only the comment is new';",
    "ALTER TABLE users AUTO_INCREMENT=5 ENGINE=MyISAM;",
    "ALTER TABLE users CONVERT TO CHARACTER SET latin1;",
    "ALTER TABLE t CONVERT TO CHARACTER SET utf8mb4;",
];
