//! Whole plans: sections, sizes, causes, what is allowed, and what the linter advises.

use crate::{columns::with_catalog, said, section};
use alembic_operator::lint::{Allow, Code, Dialect, Finding, Input, Severity, lint};
use serde_json::Value;

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
