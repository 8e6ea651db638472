//! What the catalog and Alembic's own operations tell of the old column.

use crate::{found, said};
use alembic_operator::lint::{Code, Dialect, Input, Severity, lint};
use serde_json::Value;
use std::collections::BTreeSet;

/// The findings on a plan for a database with these tables: code and severity.
pub(crate) fn with_catalog(dialect: Dialect, sql: &str, catalog: Value) -> Vec<(Code, Severity)> {
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
