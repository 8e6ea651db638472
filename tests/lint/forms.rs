//! Statements that no server was asked about yet, each with the codes that it should have.

use crate::{found, said};
use alembic_operator::lint::{
    Code,
    Dialect::{self, MariaDb, MySql, PostgreSql, Sqlite},
    Input,
    Severity::{self, High, Medium},
    lint,
};
use std::collections::BTreeSet;

const FORMS: &[(Dialect, &str, &str)] = &[
    (PostgreSql, "CREATE TEMP TABLE gone AS WITH u AS (UPDATE users SET age = 1 RETURNING *) SELECT * FROM u", "B10"),
    (
        PostgreSql,
        "ALTER TABLE users ADD COLUMN a text DEFAULT current_setting('search_path'), ADD COLUMN b numeric DEFAULT round(1.5)",
        "",
    ),
    (PostgreSql, "ALTER TABLE users ADD COLUMN c bytea DEFAULT decode('00', 'hex')", ""),
    (PostgreSql, "SELECT pg_advisory_lock(7)", ""),
    (PostgreSql, "ALTER TABLE users ALTER COLUMN name TYPE text USING name::text", "B06"),
    (PostgreSql, "INSERT INTO orders (id) SELECT id FROM users WHERE id IN (1, 2, 3)", "B10"),
    (
        PostgreSql,
        "INSERT INTO users (id) SELECT v.id FROM (VALUES (1), (2)) AS v (id) CROSS JOIN (VALUES (3)) AS w (x)",
        "",
    ),
    (PostgreSql, "UPDATE users SET (name, age) = (SELECT 'a', 1)", "B10"),
    (PostgreSql, "INSERT INTO orders (id) WITH d AS (DELETE FROM users RETURNING id) SELECT id FROM d", "D03 B10"),
    (
        MariaDb,
        "ALTER TABLE users ADD COLUMN s TIMESTAMP(6) GENERATED ALWAYS AS ROW START, \
         ADD COLUMN e TIMESTAMP(6) GENERATED ALWAYS AS ROW END, ADD PERIOD FOR SYSTEM_TIME (s, e), ADD SYSTEM VERSIONING",
        "B06",
    ),
    (MariaDb, "ALTER TABLE users ADD PERIOD FOR SYSTEM_TIME (s, e)", "B06"),
    (MariaDb, "ALTER TABLE users ADD PERIOD FOR valid (a, b)", "B03 C04 F01"),
    (PostgreSql, "CREATE FUNCTION f(begin int) RETURNS int LANGUAGE plpython3u AS 'return 1'", "O02"),
    (PostgreSql, "CREATE FUNCTION begin(a int) RETURNS int LANGUAGE plpython3u AS 'return 1'", "O02"),
    (PostgreSql, "CREATE FUNCTION f(a int) RETURNS int LANGUAGE 'plpython3u' AS 'return 1'", "O02"),
    (PostgreSql, "CREATE FUNCTION f(begin int) RETURNS int LANGUAGE 'plpgsql' AS $$ BEGIN RETURN begin; END $$", ""),
    (MariaDb, "DELETE FROM users FOR PORTION OF valid FROM '2020-01-01' TO '2021-01-01'", "B10 O02"),
];

#[test]
fn each_form_has_its_codes() {
    for (dialect, sql, codes) in FORMS {
        let codes: BTreeSet<Code> = codes.split_whitespace().map(|code| code.parse().unwrap()).collect();
        assert_eq!(found(*dialect, sql), codes, "{sql}");
    }
}

/// How bad it is that these change rows (B10), if they do: many, or a few that they name.
const ROWS: &[(Dialect, Option<Severity>, &str)] = &[
    (PostgreSql, None, "INSERT INTO users (id, role_id) VALUES (1, (SELECT id FROM roles WHERE name = 'x'))"),
    (
        PostgreSql,
        Some(Medium),
        "INSERT INTO users (id) VALUES (1), (2) ON CONFLICT (id) DO UPDATE SET role_id = \
         (SELECT id FROM roles WHERE name = 'x')",
    ),
    (
        PostgreSql,
        Some(Medium),
        "INSERT INTO users (id, role_id) VALUES (1, (SELECT id FROM roles)) ON CONFLICT \
         (id) DO UPDATE SET id = 1",
    ),
    (PostgreSql, None, "INSERT INTO users VALUES (1) UNION ALL VALUES ((SELECT max(id) FROM old))"),
    (PostgreSql, Some(High), "INSERT INTO users VALUES (1) UNION ALL SELECT id FROM old"),
    (PostgreSql, None, "INSERT INTO users DEFAULT VALUES RETURNING (SELECT count(*) FROM users)"),
    (PostgreSql, None, "INSERT INTO users (id) VALUES (1) RETURNING (SELECT count(*) FROM users)"),
    (
        PostgreSql,
        None,
        "INSERT INTO users SELECT 1 ORDER BY (SELECT max(id) FROM old) LIMIT (SELECT \
         count(*) FROM old)",
    ),
    (
        PostgreSql,
        None,
        "INSERT INTO users SELECT a.id FROM (VALUES (1)) AS a (id) JOIN (VALUES (2)) AS \
         b (id) ON b.id = (SELECT max(id) FROM old)",
    ),
    (PostgreSql, Some(High), "INSERT INTO users SELECT n FROM generate_series(1, (SELECT count(*) FROM old)) AS n"),
    (
        PostgreSql,
        Some(High),
        "INSERT INTO user_roles SELECT u.id, r.id FROM users u CROSS JOIN roles r WHERE \
         r.name = 'admin'",
    ),
    (PostgreSql, Some(High), "INSERT INTO user_roles SELECT u.id, r.id FROM users u, roles r WHERE r.name = 'admin'"),
    (
        PostgreSql,
        Some(High),
        "INSERT INTO user_roles SELECT u.id, r.id FROM (users u CROSS JOIN roles r) \
         WHERE r.name = 'admin'",
    ),
    (
        PostgreSql,
        Some(High),
        "INSERT INTO user_roles SELECT x.id, 1 FROM (SELECT u.id, r.name FROM users u, \
         roles r) x WHERE x.name = 'admin'",
    ),
    (
        PostgreSql,
        Some(High),
        "WITH x AS (SELECT u.id, r.name FROM users u, roles r) INSERT INTO ids SELECT \
         x.id FROM x WHERE x.name = 'admin'",
    ),
    (
        PostgreSql,
        Some(Medium),
        "INSERT INTO user_roles SELECT u.id, r.id FROM users u, roles r WHERE r.name = \
         'admin' LIMIT 10",
    ),
    (
        PostgreSql,
        Some(Medium),
        "INSERT INTO rights SELECT r.id, v.name FROM roles r CROSS JOIN (VALUES ('a'), \
         ('b')) AS v (name) WHERE r.name = 'admin'",
    ),
    (PostgreSql, Some(High), "INSERT INTO ids SELECT id FROM users EXCEPT SELECT id FROM gone WHERE id = 5"),
    (PostgreSql, Some(Medium), "INSERT INTO ids SELECT id FROM users UNION SELECT id FROM gone LIMIT 10"),
    (PostgreSql, Some(Medium), "INSERT INTO ids (SELECT id FROM users WHERE id = 5)"),
    (PostgreSql, Some(Medium), "INSERT INTO ids TABLE users FETCH FIRST 10 ROWS ONLY"),
    (PostgreSql, Some(High), "INSERT INTO ids SELECT id FROM users FETCH FIRST 10 ROWS WITH TIES"),
    (PostgreSql, Some(High), "INSERT INTO ids SELECT id FROM users LIMIT ALL"),
    (PostgreSql, Some(High), "UPDATE users SET role_id = r.id FROM roles r WHERE r.name = 'admin'"),
    (PostgreSql, Some(Medium), "UPDATE users SET role_id = (SELECT id FROM roles WHERE name = 'x') WHERE id = 5"),
    (PostgreSql, Some(High), "DELETE FROM users USING roles r WHERE r.name = 'admin'"),
    (PostgreSql, Some(High), "UPDATE users SET age = 1 WHERE EXISTS (SELECT 1 FROM roles WHERE name = 'admin')"),
    (
        PostgreSql,
        Some(High),
        "UPDATE users SET age = 1 WHERE EXISTS (SELECT 1 FROM roles WHERE name BETWEEN \
         'a' AND 'b') AND age > 5",
    ),
    (PostgreSql, Some(High), "UPDATE users SET age = 1 WHERE NOT (id = 5)"),
    (PostgreSql, Some(High), "UPDATE users SET age = 1 WHERE NOT id IN (5, 6)"),
    (PostgreSql, Some(High), "UPDATE users SET age = 1 WHERE id NOT BETWEEN 2 AND 5"),
    (PostgreSql, Some(High), "UPDATE users SET age = 1 WHERE name <> 'a' AND name <> 'b'"),
    (PostgreSql, Some(High), "UPDATE users SET age = 1 WHERE data ->> 'a' IS NULL AND age < 5"),
    (PostgreSql, Some(Medium), "UPDATE users SET age = 1 WHERE id BETWEEN 2 AND 5 AND NOT gone"),
    (PostgreSql, Some(Medium), "UPDATE users SET age = 1 WHERE id >= 100 AND id < 200"),
    (MySql, None, "INSERT INTO users (id, role_id) VALUES (1, (SELECT id FROM roles WHERE name = 'x'))"),
    (MySql, None, "INSERT INTO users SET id = 1, role_id = (SELECT id FROM roles WHERE name = 'x')"),
    (
        MySql,
        Some(Medium),
        "INSERT INTO users (id, role_id) VALUES (1, (SELECT id FROM roles)) ON DUPLICATE \
         KEY UPDATE id = 1",
    ),
    (MySql, None, "INSERT INTO users (id) (SELECT 1) UNION ALL (SELECT 2)"),
    (MySql, Some(High), "INSERT INTO users (id) (SELECT 1) UNION ALL (SELECT id FROM old)"),
    (MySql, Some(High), "INSERT INTO users SELECT 1 UNION ALL TABLE old"),
    (MySql, Some(High), "INSERT INTO users SELECT id FROM ((SELECT 1 AS id) UNION SELECT id FROM old) x"),
    (MySql, Some(High), "INSERT INTO ids SELECT id FROM users EXCEPT SELECT id FROM gone WHERE id = 5"),
    (MySql, Some(Medium), "INSERT INTO ids SELECT id FROM users WHERE id = 5 ORDER BY id, name"),
    (MySql, Some(Medium), "INSERT INTO ids SELECT id FROM users ORDER BY id, name LIMIT 10"),
    (
        MySql,
        Some(High),
        "INSERT INTO user_roles SELECT u.id, r.id FROM users u STRAIGHT_JOIN roles r \
         WHERE r.name = 'admin'",
    ),
    (MySql, Some(High), "INSERT INTO user_roles SELECT u.id, r.id FROM (users u, roles r) WHERE r.name = 'admin'"),
    (
        MySql,
        Some(Medium),
        "INSERT INTO rights SELECT r.id, v.name FROM roles r JOIN (SELECT 'a' AS name \
         UNION SELECT 'b') v WHERE r.name = 'admin'",
    ),
    (MySql, Some(High), "UPDATE users u JOIN roles r SET u.role_id = r.id WHERE r.name = 'admin'"),
    (MySql, Some(High), "UPDATE users u, roles r SET u.role_id = r.id WHERE r.name = 'admin'"),
    (MySql, Some(High), "DELETE u FROM users u STRAIGHT_JOIN roles r WHERE r.name = 'admin'"),
    (MySql, Some(High), "DELETE FROM u USING users u, roles r WHERE r.name = 'admin'"),
    (MySql, Some(Medium), "DELETE FROM users WHERE id = 5"),
    (Sqlite, None, "INSERT INTO users (id, role_id) VALUES (1, (SELECT id FROM roles WHERE name = 'x'))"),
    (Sqlite, Some(High), "INSERT INTO users VALUES (1) UNION ALL SELECT id FROM old"),
    (Sqlite, Some(Medium), "INSERT OR REPLACE INTO users DEFAULT VALUES"),
    (Sqlite, Some(High), "INSERT INTO user_roles SELECT u.id, r.id FROM users u, roles r WHERE r.name = 'admin'"),
    (Sqlite, Some(High), "UPDATE users SET role_id = r.id FROM roles r WHERE r.name = 'admin'"),
];

#[test]
fn rows_that_are_changed_weigh_as_many_as_they_are() {
    let mut wrong = Vec::new();
    for (dialect, severity, sql) in ROWS {
        let report = lint(&Input::file(*dialect, *sql)).unwrap();
        let told = said(&report).into_iter().find(|(code, _)| *code == Code::B10).map(|(_, severity)| severity);
        if told != *severity {
            wrong.push(format!("{told:?}, not {severity:?}: {sql}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
