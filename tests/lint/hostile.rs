//! Any text is answered, in time, and hides nothing; no value of the data is shown.

use crate::{CORPUS, Case, corpus, found};
use alembic_operator::lint::{
    Code, Dialect, Input, lint, mask,
    output::{self, Places},
};
use proptest::prelude::*;
use std::{collections::BTreeSet, fmt::Write as _};

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
