//! The linter on a corpus of statements, dangerous ones and those that only look so, and on hostile input. Prints
//! precision and recall for each dialect.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use alembic_operator::lint::{
    Allow, Code, Dialect, Fact, Finding, Input, Lock, Report, Section, Severity, lint, locks, mask,
    output::{self, Places},
};
use proptest::prelude::*;
use serde_json::Value;
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::Write as _,
    process::{Command, Stdio},
};

const CORPUS: [(Dialect, &str, &str); 4] = [
    (Dialect::PostgreSql, "postgresql", include_str!("lint/postgresql.sql")),
    (Dialect::MySql, "mysql", include_str!("lint/mysql.sql")),
    (Dialect::MariaDb, "mariadb", include_str!("lint/mariadb.sql")),
    (Dialect::Sqlite, "sqlite", include_str!("lint/sqlite.sql")),
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

#[test]
fn the_corpus_is_judged_as_it_says() {
    let (mut wrong, mut total) = (String::new(), 0);
    for (dialect, name, text) in CORPUS {
        let cases = cases(text);
        let (mut right, mut found_count, mut expected_count, mut known) = (0, 0, 0, 0);
        for case in &cases {
            let found = found(dialect, &case.sql);
            right += found.intersection(&case.codes).count();
            found_count += found.len();
            expected_count += case.codes.len();
            known += case.misjudged.len();
            let differ: BTreeSet<Code> = found.symmetric_difference(&case.codes).copied().collect();
            if differ != case.misjudged {
                let _ = writeln!(wrong, "{name}.sql:{}: {:?}, found {found:?}\n{}", case.line, case.codes, case.sql);
            }
        }
        let harmless = cases.iter().filter(|case| case.codes.is_empty()).count();
        println!(
            "{name}: {} cases ({harmless} harmless), precision {:.3}, recall {:.3}, {known} known to be misjudged",
            cases.len(),
            f64::from(right as u32) / f64::from(found_count as u32),
            f64::from(right as u32) / f64::from(expected_count as u32),
        );
        total += cases.len();
    }
    println!("{total} cases");
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn corpus() -> Vec<(Dialect, Case)> {
    CORPUS.into_iter().flat_map(|(dialect, _, text)| cases(text).into_iter().map(move |case| (dialect, case))).collect()
}

/// Dangerous cases of one line whose words can be set apart without a parser.
fn plain() -> Vec<(Dialect, String)> {
    let special = ['\n', '\'', '"', '`', '$', '[', '-', '/', '#'];
    let plain = |case: &Case| !case.codes.is_empty() && !case.sql.trim_end().contains(special);
    corpus().into_iter().filter(|(_, case)| plain(case)).map(|(dialect, case)| (dialect, case.sql)).collect()
}

fn any_dialect() -> impl Strategy<Value = Dialect> {
    prop::sample::select(CORPUS.map(|(dialect, ..)| dialect).to_vec())
}

const GAPS: &[&str] = &[" ", "\n", "\t", "/**/", " /* DROP ; ' */ ", " -- it's;\n", "\r\n"];
const BEFORE: &[&str] =
    &["", "\u{feff}", "SELECT 1;", ";;", "-- x;\n", "SELECT 'it''s; /*';", "INSERT INTO x (a) VALUES (';');\n"];
const AFTER: &[&str] = &["", ";", "; SELECT 1", " -- ; end", "\n/* ' */", ";SELECT '"];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(dialect in any_dialect(), text in any::<String>(), bytes in any::<Vec<u8>>()) {
        lint(&Input::file(dialect, text)).unwrap();
        lint(&Input::file(dialect, String::from_utf8_lossy(&bytes))).unwrap();
    }

    #[test]
    fn damaged_statements_are_answered(
        dialect in any_dialect(),
        from in any::<prop::sample::Index>(),
        edits in prop::collection::vec(
            (any::<prop::sample::Index>(), any::<prop::sample::Index>(), "\\PC{0,3}|[\\x00';$\"/*()-]{0,4}"),
            1..6,
        ),
    ) {
        let mut letters: Vec<char> = from.get(&corpus()).1.sql.chars().collect();
        for (at, length, with) in edits {
            let at = at.index(letters.len() + 1);
            let to = (at + length.index(6)).min(letters.len());
            letters.splice(at..to, with.chars());
        }
        let report = lint(&Input::file(dialect, letters.into_iter().collect::<String>())).unwrap();
        for finding in report.findings {
            prop_assert!(finding.statement.chars().count() <= 200 && !finding.statement.contains(['\n', '\0']));
        }
    }

    /// A dangerous statement stays one, whatever stands between its words and around it.
    #[test]
    fn dress_hides_nothing(
        from in any::<prop::sample::Index>(),
        gaps in prop::collection::vec(prop::sample::select(GAPS), 1..9),
        upper in prop::collection::vec(any::<bool>(), 1..9),
        before in prop::sample::select(BEFORE),
        after in prop::sample::select(AFTER),
    ) {
        let (dialect, sql) = from.get(&plain()).clone();
        let mut dressed = before.to_owned();
        for (at, word) in sql.trim_end().trim_end_matches(';').split(' ').enumerate() {
            // MySQL takes names by their case.
            let upper = upper[at % upper.len()] && !matches!(dialect, Dialect::MySql | Dialect::MariaDb);
            dressed.push_str(&if upper { word.to_uppercase() } else { word.to_owned() });
            dressed.push_str(gaps[at % gaps.len()]);
        }
        dressed.push_str(after);
        let (found, expected) = (found(dialect, &dressed), found(dialect, &sql));
        prop_assert!(found.is_superset(&expected), "{dressed:?}: {found:?}, not {expected:?}");
    }
}

/// What is masked is SQL still: a string stays one, and a statement keeps its end.
#[test]
fn masked_sql_can_still_be_read() {
    for (dialect, case) in corpus() {
        let masked = mask(&case.sql, dialect);
        let unread = |sql: &str| {
            let told = lint(&Input::file(dialect, sql)).unwrap().findings;
            told.iter().filter(|f| f.message.contains("parser says") || f.message.contains("never ends")).count()
        };
        assert!(unread(&masked) <= unread(&case.sql), "{dialect:?}: {}\n{masked}", case.sql);
    }
}

#[test]
fn deep_and_long_texts_are_answered_and_never_called_safe() {
    let parts =
        ["NOT ", "- ", "1 + ", "CASE WHEN ", "(SELECT ", "a AND ", "EXPLAIN ANALYZE ", "WITH a AS (", "/*", "$a$ $b$"];
    for (dialect, ..) in CORPUS {
        let deep = format!("SELECT {}1{}; DROP TABLE x", "(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(found(dialect, &deep), [Code::D01, Code::O02].into());
        for part in parts {
            lint(&Input::file(dialect, format!("SELECT {} 1", part.repeat(9_000)))).unwrap();
        }
        let values = format!("INSERT INTO t VALUES {}(1)", "('abc', 1),".repeat(450_000));
        assert_eq!(found(dialect, &values), [Code::O02].into());
    }
}

fn section(revision: &str, sql: &str) -> Section {
    Section { revision: Some(revision.to_owned()), sql: sql.to_owned(), transactional: true }
}

#[test]
fn a_plan_in_sections_is_one_plan() {
    let mut input = Input::file(Dialect::PostgreSql, "");
    input.sections = vec![
        section("a", "CREATE TABLE t (id int)"),
        section("b", "CREATE INDEX i ON t (id); CREATE INDEX CONCURRENTLY j ON u (id)"),
        section("c", "DROP TABLE t;\nDROP TABLE u"),
    ];
    let report = lint(&input).unwrap();
    let shown = |f: &Finding| (f.code, f.revision.clone().unwrap(), f.line, f.table.clone().unwrap());
    let found: Vec<_> = report.findings.iter().map(shown).collect();
    assert_eq!(found, [(Code::B02, "b".into(), 1, "u".to_owned()), (Code::D01, "c".into(), 2, "u".to_owned())]);
}

#[test]
fn locks_on_small_tables_are_low() {
    let sql = "CREATE INDEX i ON public.a (x); CREATE INDEX j ON b (x); DROP TABLE a;";
    let mut input = Input::file(Dialect::PostgreSql, sql);
    input.rows = [("a".to_owned(), 9_999), ("b".to_owned(), 10_000)].into();
    let found: Vec<_> = lint(&input).unwrap().findings.iter().map(|f| (f.code, f.severity)).collect();
    assert_eq!(found, [(Code::B01, Severity::Low), (Code::B01, Severity::High), (Code::D01, Severity::Critical)]);
}

/// The findings on a plan for a database with these tables: code and severity.
fn with_catalog(dialect: Dialect, sql: &str, catalog: Value) -> Vec<(Code, Severity)> {
    let mut input = Input::file(dialect, sql);
    input.catalog = serde_json::from_value(catalog).unwrap();
    said(&lint(&input).unwrap())
}

fn columns(columns: &[(&str, &str, bool)]) -> Value {
    let column =
        |(name, ty, nullable): &(&str, &str, bool)| serde_json::json!({"name": name, "type": ty, "nullable": nullable});
    serde_json::json!({"public.t": {"columns": columns.iter().map(column).collect::<Vec<_>>()}})
}

#[test]
fn the_old_column_resolves_doubts() {
    use Code::*;
    use Severity::{Critical, High};
    let old = columns(&[("a", "character varying(50)", true), ("n", "integer", false), ("x", "text", true)]);
    let judge = |sql: &str| with_catalog(Dialect::PostgreSql, sql, old.clone());
    assert_eq!(judge("ALTER TABLE t ALTER a TYPE varchar(500)"), []);
    assert_eq!(judge("ALTER TABLE t ALTER a TYPE text; ALTER TABLE public.t ALTER a TYPE text"), []);
    assert_eq!(judge("ALTER TABLE t ALTER a TYPE varchar(20)"), [(D04, Critical), (B06, Critical), (F01, Critical)]);
    assert_eq!(judge("ALTER TABLE t ALTER n TYPE bigint"), [(B06, High)]);
    assert_eq!(judge("ALTER TABLE t ALTER n TYPE bigint USING n::bigint"), [(B06, High)]);
    assert_eq!(judge("ALTER TABLE t ALTER x TYPE varchar(20)"), [(D04, Critical), (B06, Critical), (F01, Critical)]);
    assert_eq!(judge("ALTER TABLE t ALTER n SET NOT NULL, ALTER x DROP NOT NULL"), []);
    // A text is read or refused, and not cut.
    let read = [(B06, High), (F01, High)];
    assert_eq!(judge("ALTER TABLE t ALTER x TYPE jsonb USING x::jsonb"), read);
    assert_eq!(judge("ALTER TABLE t ALTER a TYPE uuid USING a::uuid"), read);
    assert_eq!(judge("ALTER TABLE t ALTER x TYPE date USING x::date")[0], (D04, Critical));
    assert_eq!(judge("ALTER TABLE t ALTER x TYPE int USING left(x, 3)::int")[0], (D04, Critical));
    // What the SQL proves is not taken back.
    assert_eq!(
        judge("ALTER TABLE t ALTER a TYPE varchar(60) USING left(a, 3)"),
        [(D04, Critical), (B06, Critical), (F01, Critical)]
    );
    // The second change sees the first.
    let twice = "ALTER TABLE t ALTER a TYPE varchar(90); ALTER TABLE t ALTER a TYPE varchar(60);";
    assert_eq!(judge(twice), [(D04, Critical), (B06, Critical), (F01, Critical)]);
    assert_eq!(judge("ALTER TABLE t ALTER n DROP NOT NULL; ALTER TABLE t ALTER n SET NOT NULL").len(), 4);
    assert_eq!(judge("ALTER TABLE t RENAME a TO b; ALTER TABLE t ALTER b TYPE varchar(80)"), [(C01, High)]);
}

#[test]
fn what_alembics_operations_say_resolves_doubts_and_nothing_else() {
    use Code::*;
    use Severity::{Critical, High};
    let judge = |sql: &str| said(&lint(&Input::file(Dialect::PostgreSql, sql)).unwrap());
    let old = "-- Alembic says: column t.a VARCHAR(50) NOT NULL\n\n";
    assert_eq!(judge(&format!("{old}ALTER TABLE t ALTER COLUMN a TYPE VARCHAR(500);")), []);
    assert_eq!(judge(&format!("{old}ALTER TABLE t ALTER a SET NOT NULL")), []);
    let narrower = [(D04, Critical), (B06, Critical), (F01, Critical)];
    assert_eq!(judge(&format!("{old}ALTER TABLE t ALTER COLUMN a TYPE VARCHAR(5);")), narrower);
    assert_eq!(judge(&format!("{old}ALTER TABLE t DROP COLUMN a")), [(D02, Critical)]);
    assert_eq!(judge(&format!("{old}ALTER TABLE t ALTER b TYPE INTEGER"))[0], (D04, High));
    // The catalog knows better, and so does the plan.
    let wrong = "-- Alembic says: column t.a VARCHAR(5)\nALTER TABLE t ALTER a TYPE VARCHAR(20)";
    let catalog = columns(&[("a", "character varying(50)", true)]);
    assert_eq!(with_catalog(Dialect::PostgreSql, wrong, catalog), narrower);
    assert_eq!(judge(&format!("{old}ALTER TABLE t ALTER a TYPE VARCHAR(90);\n{wrong}")), narrower);
    let index = "-- Alembic says: index i of t\nDROP INDEX i;\nDROP TABLE t;";
    assert_eq!(judge(index), [(D01, Critical)]);
}

#[test]
fn sqlites_batch_mode_is_judged_by_its_operations() {
    use Code::*;
    let judge =
        |changes: &str| found(Dialect::Sqlite, &format!("-- Alembic does: ALTER TABLE t {changes}\n\nSELECT 1;"));
    assert_eq!(judge("DROP COLUMN a"), [D02, B06].into());
    assert_eq!(judge("ALTER COLUMN a TYPE INTEGER"), [D04, B06, F01].into());
    assert_eq!(judge("ALTER COLUMN a TYPE VARCHAR(10)"), [B06].into());
    assert_eq!(judge("ALTER COLUMN a SET NOT NULL, ADD COLUMN b INTEGER DEFAULT 0 NOT NULL"), [B06, C04, F01].into());
    assert_eq!(judge("ADD COLUMN b INTEGER NOT NULL, RENAME COLUMN c TO d"), [B06, C01, C03].into());
    assert_eq!(judge("ADD CONSTRAINT u UNIQUE (a), DROP CONSTRAINT x"), [D06, B06, C04, F01].into());
    let report =
        lint(&Input::file(Dialect::Sqlite, "SELECT 1;\n-- Alembic does: ALTER TABLE t DROP COLUMN a\n")).unwrap();
    let at: Vec<_> = report.findings.iter().map(|f| (f.line, f.table.as_deref(), f.statement.as_str())).collect();
    assert_eq!(at, [(2, Some("t"), "ALTER TABLE t DROP COLUMN a"); 2]);
    // Elsewhere it is a comment like any other.
    assert_eq!(found(Dialect::PostgreSql, "-- Alembic does: ALTER TABLE t DROP COLUMN a\nSELECT 1"), [].into());
}

#[test]
fn what_is_not_there_is_nobodys() {
    use alembic_operator::lint::Relations;
    let judge = |there: &[&str], sql: &str| {
        let mut input = Input::file(Dialect::PostgreSql, sql);
        let named = there.iter().map(|name| (*name).to_owned()).collect();
        input.catalog.relations = if there.is_empty() { Relations::Nothing } else { Relations::Named(named) };
        said(&lint(&input).unwrap()).into_iter().map(|(code, _)| code).collect::<BTreeSet<_>>()
    };
    let sql = "ALTER TABLE t DROP COLUMN a; CREATE INDEX i ON t (b); DROP TABLE s.t; DROP VIEW v";
    assert_eq!(judge(&["other"], sql), [Code::D05].into());
    assert_eq!(judge(&["t"], sql), [Code::D01, Code::D02, Code::D05, Code::B01].into());
    assert_eq!(judge(&[], sql), [].into());
    // What has another name now is still somebody's, and a copy's rows are the only ones.
    assert_eq!(judge(&["t"], "ALTER TABLE t RENAME TO u; DROP TABLE u"), [Code::D01, Code::C02].into());
    assert_eq!(judge(&["t"], "SELECT 1 FROM pg_class; DELETE FROM pg_catalog.pg_class"), [Code::D03, Code::B10].into());
    assert_eq!(judge(&[], "DROP ROLE r; CALL elsewhere()"), [Code::D08, Code::O02].into());
}

#[test]
fn the_old_column_resolves_what_mysql_says_whole() {
    use Code::*;
    use Severity::High;
    let old = serde_json::json!({"t": {"columns": [
        {"name": "a", "type": "varchar(50)", "nullable": true}, {"name": "n", "type": "int(11)", "nullable": false},
    ]}});
    let judge = |sql: &str| with_catalog(Dialect::MySql, sql, old.clone());
    assert_eq!(judge("ALTER TABLE t MODIFY a VARCHAR(60), MODIFY n INT NOT NULL COMMENT 'x'"), []);
    assert_eq!(judge("ALTER TABLE t CHANGE n n BIGINT NOT NULL"), [(B06, High)]);
    assert_eq!(judge("ALTER TABLE t CHANGE n m INT NOT NULL"), [(C01, High)]);
    let codes: BTreeSet<Code> = judge("ALTER TABLE t MODIFY a VARCHAR(50) NOT NULL").into_iter().map(|f| f.0).collect();
    assert_eq!(codes, [B05, C04, F01].into());
}

#[test]
fn a_key_of_an_index_is_free_where_its_columns_are_known() {
    let catalog = serde_json::json!({"t": {
        "columns": [{"name": "id", "type": "bigint", "nullable": false}, {"name": "o", "type": "bigint", "nullable": true}],
        "indexes": [{"name": "k", "columns": ["id"], "unique": true}, {"name": "l", "columns": ["id", "o"], "unique": true}],
    }});
    let judge = |index: &str| {
        let sql = format!("ALTER TABLE t ADD CONSTRAINT p PRIMARY KEY USING INDEX {index}");
        with_catalog(Dialect::PostgreSql, &sql, catalog.clone()).len()
    };
    assert_eq!((judge("k"), judge("l"), judge("elsewhere")), (0, 2, 2));
}

/// What people are told to write instead is not stopped again.
#[test]
fn advice_is_itself_below_high() {
    use Dialect::{MariaDb, MySql, PostgreSql, Sqlite};
    let followed = [
        (Code::D06, PostgreSql, "DROP INDEX CONCURRENTLY i"),
        (Code::D07, Sqlite, "PRAGMA foreign_keys=OFF; PRAGMA foreign_key_check"),
        (Code::B01, PostgreSql, "CREATE INDEX CONCURRENTLY i ON t (a)"),
        (
            Code::B03,
            PostgreSql,
            "BEGIN; ALTER TABLE t ADD CONSTRAINT c CHECK (a > 0) NOT VALID; COMMIT; ALTER TABLE t VALIDATE CONSTRAINT c",
        ),
        (
            Code::B04,
            PostgreSql,
            "CREATE UNIQUE INDEX CONCURRENTLY i ON t (a); ALTER TABLE t ADD CONSTRAINT c UNIQUE USING INDEX i",
        ),
        (
            Code::B04,
            PostgreSql,
            "ALTER TABLE t ADD CONSTRAINT n CHECK (a IS NOT NULL) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT n;
            CREATE UNIQUE INDEX CONCURRENTLY i ON t (a); ALTER TABLE t ADD CONSTRAINT c PRIMARY KEY USING INDEX i",
        ),
        (
            Code::B05,
            PostgreSql,
            "ALTER TABLE t ADD CONSTRAINT n CHECK (a IS NOT NULL) NOT VALID; ALTER TABLE t VALIDATE CONSTRAINT n;
            ALTER TABLE t ALTER a SET NOT NULL",
        ),
        (Code::B06, PostgreSql, "ALTER TABLE t ADD COLUMN b bigint; UPDATE t SET b = a WHERE id BETWEEN 1 AND 1000"),
        (
            Code::B07,
            PostgreSql,
            "SET lock_timeout = '2s'; REINDEX INDEX CONCURRENTLY i; REFRESH MATERIALIZED VIEW CONCURRENTLY v",
        ),
        (Code::B09, PostgreSql, "SET lock_timeout = '2s'"),
        (Code::B10, PostgreSql, "UPDATE t SET a = 1 WHERE id IN (SELECT id FROM t WHERE a IS NULL LIMIT 1000)"),
        (Code::B10, MySql, "UPDATE t SET a = 1 WHERE a IS NULL LIMIT 1000"),
        (Code::B10, MariaDb, "DELETE FROM t WHERE id >= 100 AND id < 200"),
        (Code::C01, PostgreSql, "ALTER TABLE t ADD COLUMN b text"),
        (Code::C03, MySql, "ALTER TABLE t ADD COLUMN b int NOT NULL DEFAULT 0"),
        (Code::C06, PostgreSql, "ALTER TABLE t ADD COLUMN b jsonb"),
        (Code::F03, PostgreSql, "DROP INDEX CONCURRENTLY i; REINDEX INDEX CONCURRENTLY j"),
    ];
    for (code, dialect, sql) in followed {
        let report = lint(&Input::file(dialect, sql)).unwrap();
        let worst = report.worst();
        assert!(worst < Some(Severity::High), "{code:?}: {sql}: {:?}", said(&report));
    }
}

#[test]
fn a_change_of_few_rows_waits_for_nobody() {
    let severity = |dialect, sql: &str| {
        let found = lint(&Input::file(dialect, sql)).unwrap().findings;
        found.iter().find(|f| f.code == Code::B10).map(|f| f.severity)
    };
    let (medium, high) = (Some(Severity::Medium), Some(Severity::High));
    for sql in [
        "UPDATE settings SET v = 'x' WHERE key = 'k'",
        "UPDATE settings SET v = 'x' WHERE (key = 'k' OR key = 'l') AND v <> 'x'",
        "DELETE FROM roles WHERE name IN ('a', 'b')",
        "INSERT INTO roles (name) VALUES ('a') ON CONFLICT (name) DO UPDATE SET name = 'a'",
        "UPDATE t SET a = 1 WHERE id BETWEEN 5 AND 10",
    ] {
        assert_eq!(severity(Dialect::PostgreSql, sql), medium, "{sql}");
    }
    for sql in [
        "UPDATE settings SET v = 'x'",
        "UPDATE settings SET v = 'x' WHERE key <> 'k'",
        "UPDATE settings SET v = 'x' WHERE key = 'k' OR v IS NULL",
        "UPDATE t SET a = b.c FROM b WHERE t.id = b.id",
        "DELETE FROM t WHERE active = false",
        "DELETE FROM t WHERE id IN (SELECT id FROM t)",
        "UPDATE t SET a = 1 WHERE id > 5",
        "INSERT INTO a SELECT * FROM b",
    ] {
        assert_eq!(severity(Dialect::PostgreSql, sql), high, "{sql}");
    }
    assert_eq!(severity(Dialect::MySql, "REPLACE INTO roles VALUES (2, 'a')"), medium);
    let mut input = Input::file(Dialect::PostgreSql, "UPDATE small SET a = 1");
    input.rows = [("small".to_owned(), 12)].into();
    assert_eq!(said(&lint(&input).unwrap()), [(Code::B10, Severity::Low)]);
}

#[test]
fn a_text_that_is_run_unseen_is_as_bad_as_no_sql() {
    let worst = |dialect, sql: &str| lint(&Input::file(dialect, sql)).unwrap().worst();
    for (dialect, sql) in [
        (Dialect::PostgreSql, "CALL elsewhere()"),
        (Dialect::PostgreSql, "DO $$ DECLARE q text; BEGIN SELECT cmd INTO q FROM todo; EXECUTE q; END $$"),
        (Dialect::PostgreSql, "DO $$ BEGIN EXECUTE (SELECT cmd FROM todo); END $$"),
        (Dialect::PostgreSql, "\\i other.sql"),
        (Dialect::MySql, "PREPARE s FROM @elsewhere; EXECUTE s"),
        (Dialect::MariaDb, "EXECUTE IMMEDIATE @elsewhere"),
        (Dialect::Sqlite, ".read other.sql"),
    ] {
        assert_eq!(worst(dialect, sql), Some(Severity::High), "{sql}");
    }
    for (dialect, sql) in [
        (Dialect::PostgreSql, "DO $$ BEGIN CREATE TYPE mood AS ENUM ('a'); EXCEPTION WHEN others THEN NULL; END $$"),
        (Dialect::PostgreSql, "DO $$ DECLARE q text := 'CREATE TABLE a (b int)'; BEGIN EXECUTE q; END $$"),
        (Dialect::PostgreSql, "CREATE PROCEDURE p() LANGUAGE plpgsql AS $$ BEGIN NULL; END $$; CALL p()"),
        (Dialect::MySql, "SET @q = 'CREATE TABLE a (b int)'; PREPARE s FROM @q; EXECUTE s"),
    ] {
        assert!(worst(dialect, sql) < Some(Severity::High), "{sql}");
    }
}

#[test]
fn what_has_one_cause_is_one_finding() {
    let report =
        lint(&Input::file(Dialect::PostgreSql, "ALTER TABLE t ALTER a SET NOT NULL, DROP COLUMN b, DROP COLUMN c"))
            .unwrap();
    let codes: Vec<_> =
        report.findings.iter().map(|f| (f.code, f.also.iter().map(|a| a.code).collect::<Vec<_>>())).collect();
    let expected = [(Code::D02, vec![]), (Code::D02, vec![]), (Code::B05, vec![Code::C04, Code::F01])];
    assert_eq!(codes, expected);
    // What is allowed is one hazard, and no more of its cause.
    let mut input = Input::file(Dialect::PostgreSql, "ALTER TABLE t ALTER a SET NOT NULL");
    input.allows = vec!["B05=small".parse().unwrap()];
    assert_eq!(said(&lint(&input).unwrap()), [(Code::C04, Severity::High), (Code::F01, Severity::High)]);
    let many: String = (0..3_000).map(|n| format!("DROP TABLE t{n}; DROP VIEW v{n};")).collect();
    let report = lint(&Input::file(Dialect::PostgreSql, many)).unwrap();
    assert_eq!((report.findings.len(), report.omitted, report.worst()), (2_000, 4_000, Some(Severity::Critical)));
}

#[test]
fn children_go_with_a_table_only_where_they_are() {
    let sql = "PRAGMA foreign_keys=ON; CREATE TABLE n (id INTEGER); INSERT INTO n SELECT id FROM t; DROP TABLE t; ALTER TABLE n RENAME TO t";
    let severity = |catalog: Value| {
        let found = with_catalog(Dialect::Sqlite, sql, catalog);
        found.into_iter().find(|(code, _)| *code == Code::D07).map(|(_, severity)| severity)
    };
    let child = |cascades: bool| {
        let key = serde_json::json!({"name": "f", "kind": "foreign_key", "references": "t", "cascades": cascades});
        serde_json::json!({"t": {}, "c": {"constraints": [key]}})
    };
    assert_eq!(severity(serde_json::json!({})), Some(Severity::High));
    assert_eq!((severity(child(true)), severity(child(false))), (Some(Severity::Critical), None));
}

#[test]
fn what_a_failed_build_of_an_index_left_is_told_once() {
    let sql = "SELECT 1 FROM a; CREATE INDEX CONCURRENTLY IF NOT EXISTS i ON a (x); ALTER TABLE public.a ADD y int; ALTER TABLE b ADD y int";
    let mut input = Input::file(Dialect::PostgreSql, sql);
    input.invalid_indexes = [("public.a".to_owned(), vec!["i".to_owned()])].into();
    let findings = lint(&input).unwrap().findings;
    let found: Vec<_> = findings.iter().filter(|f| f.code == Code::F03).collect();
    assert_eq!(found.len(), 1, "{findings:?}");
    assert!(found[0].statement.starts_with("CREATE INDEX") && found[0].message.contains("still being built: i;"));
    input.sections[0].sql.insert_str(0, "DROP INDEX CONCURRENTLY i; ");
    assert!(lint(&input).unwrap().findings.iter().all(|f| f.code != Code::F03));
}

#[test]
fn what_is_allowed_is_told_and_what_is_not_used_too() {
    let sql = "-- Running upgrade a -> b\n\n-- op: allow D01 \"archived\"\nDROP TABLE x;\nDROP TABLE y;\n\
               -- Running upgrade b -> c\nDROP TABLE z; -- op: allow D01, B01 \"empty\"\n";
    let mut input = Input::file(Dialect::PostgreSql, sql);
    input.allows = ["D01:b=known", "D02=never"].iter().map(|a| a.parse::<Allow>().unwrap()).collect();
    let report = lint(&input).unwrap();
    assert_eq!(report.findings, []);
    let reasons: Vec<_> = report.allowed.iter().map(|(f, reason)| (f.line, reason.as_str())).collect();
    assert_eq!(reasons, [(4, "archived"), (5, "known"), (7, "empty")]);
    let unused: Vec<_> = report.unused.iter().map(|u| (u.allow.code, u.line)).collect();
    assert_eq!(unused, [(Code::D02, None), (Code::B01, Some(7))]);
    // A comment behind a statement, on a line of its own, does not mean it.
    let after = lint(&Input::file(Dialect::PostgreSql, "DROP TABLE x;\n-- op: allow D01 \"late\"\n")).unwrap();
    assert_eq!((after.findings.len(), after.unused.len()), (1, 1));
    // Another revision is not meant.
    input.allows = vec!["D01:c=known".parse().unwrap()];
    assert_eq!(lint(&input).unwrap().findings.len(), 1);
}

#[test]
fn the_version_table_may_have_another_name() {
    let sql =
        "UPDATE app.versions SET version_num = 'b' WHERE versions.version_num = 'a';\nDELETE FROM alembic_version";
    let mut input = Input::file(Dialect::PostgreSql, sql);
    input.version_table = "versions".to_owned();
    assert!(lint(&input).unwrap().findings.iter().all(|f| f.line == 2));
}

#[test]
fn no_text_of_the_data_is_shown() {
    for sql in [
        "INSERT INTO t SELECT 'hunter2', E'hunter2', $$hunter2$$ FROM x",
        "UPDATE t SET a = 'hunter2",
        "CREATE ROLE x PASSWORD 'hunter2'; ALTER ROLE x PASSWORD 'hunter2'",
        "DO $$ BEGIN EXECUTE 'CREATE USER x PASSWORD ''hunter2'''; END $$",
        "FROB 'hunter2'",
        "SELECT f('hunter2')",
    ] {
        for (dialect, ..) in CORPUS.into_iter().filter(|(d, ..)| *d == Dialect::PostgreSql || !sql.contains("$$")) {
            let report = lint(&Input::file(dialect, sql)).unwrap();
            let shown =
                output::text(&report, &Places::file("f")) + &output::sarif(&report, &Places::file("f")).to_string();
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

/// Runs the program on standard input: its exit code, and what it prints.
fn program(args: &[&str], sql: &str) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_alembic-operator"))
        .args(["lint"].iter().chain(args))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A program that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(sql.as_bytes());
    let out = child.wait_with_output().unwrap();
    (out.status.code().unwrap(), String::from_utf8(out.stdout).unwrap())
}

#[test]
fn the_exit_code_says_what_was_found() {
    let code = |more: &[&str], sql: &str| program(&[&["-", "--dialect", "postgresql"], more].concat(), sql).0;
    assert_eq!(code(&[], "SELECT 1"), 0);
    assert_eq!(code(&[], "DROP TABLE x"), 1);
    assert_eq!(code(&[], "SELECT x()"), 0);
    assert_eq!(code(&["--fail-on", "medium"], "SELECT x()"), 1);
    assert_eq!(code(&[], "CALL x()"), 1);
    assert_eq!(code(&["--fail-on", "never"], "DROP TABLE x"), 0);
    assert_eq!(code(&["--allow", "D01=archived"], "DROP TABLE x"), 0);
    assert_eq!(code(&["--version-table", "x"], "DELETE FROM x WHERE version_num = 'a'"), 0);
    assert_eq!(code(&["--allow", "D01"], ""), 2);
    assert_eq!(program(&["-"], "").0, 2);
    assert_eq!(program(&["-", "--dialect", "oracle"], "").0, 2);
    assert_eq!(program(&["/nowhere/x.sql", "--dialect", "sqlite"], "").0, 2);
}

#[test]
fn a_file_in_another_encoding_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let code = |bytes: &[u8]| {
        let file = folder.path().join("x.sql");
        std::fs::write(&file, bytes).unwrap();
        program(&[file.to_str().unwrap(), "--dialect", "postgresql"], "").0
    };
    let sql = "-- Größe\r\nDROP TABLE x;\r\n";
    let little: Vec<u8> = sql.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = sql.encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(code(&[&[0xff, 0xfe], &little[..]].concat()), 1);
    assert_eq!(code(&[&[0xfe, 0xff], &big[..]].concat()), 1);
    assert_eq!(code(&[&[0xef, 0xbb, 0xbf], sql.as_bytes()].concat()), 1);
    assert_eq!(code(b"-- Gr\xf6\xdfe\nDROP TABLE x"), 1);
    assert_eq!((code(&little), code(&big)), (2, 2));
}

#[test]
fn many_statements_in_one_transaction_take_no_quadratic_time() {
    let started = std::time::Instant::now();
    let mut sql = "BEGIN;\n".to_owned();
    for n in 0..60_000 {
        let _ = writeln!(sql, "ALTER TABLE t{n} ADD COLUMN a int;");
    }
    let report = lint(&Input::file(Dialect::PostgreSql, sql)).unwrap();
    assert_eq!(report.findings.iter().map(|f| f.code).collect::<BTreeSet<_>>(), [Code::B08].into());
    // Without optimization and beside other tests; the square of it took minutes.
    assert!(started.elapsed().as_secs() < 60, "{:?}", started.elapsed());
}

#[test]
fn json_and_sarif_have_what_programs_read() {
    let sql = "SELECT 1;\nDROP TABLE `a b`;\nALTER TABLE t DROP INDEX i";
    let printed = |format: &str| -> Value {
        serde_json::from_str(&program(&["-", "--dialect", "mysql", "--format", format], sql).1).unwrap()
    };
    let json = printed("json");
    let keys = ["code", "severity", "line", "statement", "table", "message"];
    assert!(json.as_array().unwrap().iter().all(|f| keys.iter().all(|key| !f[key].is_null())), "{json:#}");
    let first = &json[0];
    assert_eq!((&first["code"], &first["severity"], &first["line"]), (&"D01".into(), &"critical".into(), &2.into()));
    assert_eq!(first["table"], "a b");
    let sarif = printed("sarif");
    let run = &sarif["runs"][0];
    assert_eq!(sarif["version"], "2.1.0");
    let result = &run["results"][0];
    let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
    assert_eq!((&rule["id"], &result["ruleId"], &result["level"]), (&"D01".into(), &"D01".into(), &"error".into()));
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 2);
}

#[test]
fn a_finding_of_a_project_is_in_the_file_of_its_revision() {
    let fact = |id: &str| Fact {
        code: Code::O04,
        severity: Severity::Low,
        revision: id.into(),
        message: "merges".into(),
        table: None,
        statement: String::new(),
    };
    let sections = vec![section("a1", "\nDROP TABLE t")];
    let input = Input { sections, facts: vec![fact("b2")], ..Input::file(Dialect::PostgreSql, "") };
    let report = lint(&input).unwrap();
    let file = |id: &str| (id.to_owned(), format!("db/versions/{id}.py"));
    let places = Places { name: "db".into(), revisions: ["a1", "b2"].map(file).into() };
    let text = output::text(&report, &places);
    assert!(text.starts_with("db/versions/a1.py: critical D01 in revision a1"), "{text}");
    assert!(text.contains("db/versions/b2.py: low O04 in revision b2: joins branches\n    why: merges"), "{text}");
    assert_eq!(output::json(&report, &places)[1]["file"], "db/versions/b2.py");
    let found = &output::sarif(&report, &places)["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(
        (&found["artifactLocation"]["uri"], &found["region"]["startLine"]),
        (&"db/versions/a1.py".into(), &1.into())
    );
    // A line counts from 1, also of what is about the whole file.
    let sarif = output::sarif(&report, &Places::file("f")).to_string();
    assert!(!sarif.contains("\"startLine\":0"), "{sarif}");
}

/// What a real server answered to the cases of the corpus (`tests/runner/test_lint_oracle.py`), by their SQL.
fn answers() -> std::collections::HashMap<String, Value> {
    let lines = include_str!("lint/oracle_postgresql.jsonl").lines();
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
    for line in include_str!("lint/oracle_mariadb.jsonl").lines() {
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

/// Code, severity, place and table of every finding of the corpus, so that none of them changes unseen.
#[test]
fn every_finding_of_the_corpus_is_as_it_was() {
    let mut told = String::new();
    for (dialect, name, text) in CORPUS {
        for case in cases(text) {
            let first = case.sql.lines().next().unwrap_or_default();
            let _ = writeln!(told, "{name}: {}", first.chars().take(100).collect::<String>());
            for f in lint(&Input::file(dialect, &*case.sql)).unwrap().findings {
                let also: String = f.also.iter().map(|also| format!(" +{}", also.code.as_str())).collect();
                let table = f.table.as_deref().unwrap_or("-");
                let _ = writeln!(told, "    {}{also} {} line {} {table}", f.code.as_str(), f.severity, f.line);
            }
        }
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lint/findings.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file, &told).unwrap();
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    let differ: Vec<_> = kept.lines().zip(told.lines()).filter(|(kept, told)| kept != told).take(20).collect();
    assert!(kept == told, "UPDATE=1 writes what is found: {differ:#?}");
}
