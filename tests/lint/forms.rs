//! Statements that no server was asked about yet, each with the codes that it should have.

use crate::found;
use alembic_operator::lint::{Code, Dialect};
use std::collections::BTreeSet;

const FORMS: &[(Dialect, &str, &str)] = &[
    (
        Dialect::PostgreSql,
        "CREATE TEMP TABLE gone AS WITH u AS (UPDATE users SET age = 1 RETURNING *) SELECT * FROM u",
        "B10",
    ),
    (
        Dialect::PostgreSql,
        "ALTER TABLE users ADD COLUMN a text DEFAULT current_setting('search_path'), ADD COLUMN b numeric DEFAULT round(1.5)",
        "",
    ),
    (Dialect::PostgreSql, "ALTER TABLE users ADD COLUMN c bytea DEFAULT decode('00', 'hex')", ""),
    (Dialect::PostgreSql, "SELECT pg_advisory_lock(7)", ""),
    (Dialect::PostgreSql, "ALTER TABLE users ALTER COLUMN name TYPE text USING name::text", "B06"),
    (Dialect::PostgreSql, "INSERT INTO orders (id) SELECT id FROM users WHERE id IN (1, 2, 3)", "B10"),
    (
        Dialect::PostgreSql,
        "INSERT INTO users (id) SELECT v.id FROM (VALUES (1), (2)) AS v (id) CROSS JOIN (VALUES (3)) AS w (x)",
        "",
    ),
    (Dialect::PostgreSql, "UPDATE users SET (name, age) = (SELECT 'a', 1)", "B10"),
    (
        Dialect::PostgreSql,
        "INSERT INTO orders (id) WITH d AS (DELETE FROM users RETURNING id) SELECT id FROM d",
        "D03 B10",
    ),
    (
        Dialect::MariaDb,
        "ALTER TABLE users ADD COLUMN s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, \
         ADD COLUMN e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, ADD PERIOD FOR SYSTEM_TIME (s, e), ADD SYSTEM VERSIONING",
        "B06",
    ),
    (Dialect::MariaDb, "ALTER TABLE users ADD PERIOD FOR SYSTEM_TIME (s, e)", "B06"),
    (Dialect::MariaDb, "ALTER TABLE users ADD PERIOD FOR valid (a, b)", "B03 C04 F01"),
    (Dialect::MariaDb, "DELETE FROM users FOR PORTION OF valid FROM '2020-01-01' TO '2021-01-01'", "B10 O02"),
];

#[test]
fn each_form_has_its_codes() {
    for (dialect, sql, codes) in FORMS {
        let codes: BTreeSet<Code> = codes.split_whitespace().map(|code| code.parse().unwrap()).collect();
        assert_eq!(found(*dialect, sql), codes, "{sql}");
    }
}
