//! The lattice against what servers answer; no I/O.

use super::*;

fn change_of(old: &str, new: &str, dialect: Dialect) -> Change {
    change(Some(&Type::parse(old, dialect)), &Type::parse(new, dialect), dialect)
}

#[test]
fn postgresql_writes_anew_what_the_lattice_says() {
    let (mut asked, mut wrong) = (0, Vec::new());
    for line in include_str!("../../../tests/lint/types_postgresql.txt").lines() {
        let (change, outcome) = line.split_once(": ").unwrap();
        let (old, new) = change.split_once(" -> ").unwrap();
        if outcome == "refused" {
            continue;
        }
        asked += 1;
        let rewrites = change_of(old, new, Dialect::PostgreSql).rewrites;
        let expected = if outcome.starts_with("kept") { Answer::No } else { Answer::Yes };
        wrong.extend((rewrites != expected).then_some(line));
    }
    assert!(asked > 500 && wrong.is_empty(), "{asked}: {wrong:#?}");
}

#[test]
fn a_wider_type_holds_what_a_narrower_one_does() {
    let holds = |old: &str, new: &str, dialect| change_of(old, new, dialect).narrows == Answer::No;
    for (wide, narrow) in [
        ("bigint", "integer"),
        ("numeric", "bigint"),
        ("numeric(12,2)", "numeric(10,2)"),
        ("text", "varchar(9)"),
        ("varchar(9)", "varchar(5)"),
        ("double precision", "real"),
        ("double precision", "integer"),
        ("timestamp", "date"),
        ("timestamptz", "timestamp(3)"),
        ("varchar(12)", "integer"),
        ("text", "inet"),
        ("numeric(12,2)", "integer"),
        ("varchar(36)", "uuid"),
        ("bit varying(8)", "bit(8)"),
        ("text", "boolean"),
    ] {
        assert!(holds(narrow, wide, Dialect::PostgreSql), "{narrow} -> {wide}");
        assert!(!holds(wide, narrow, Dialect::PostgreSql) || wide == narrow, "{wide} -> {narrow}");
    }
    for (old, new) in
        [("numeric(10,2)", "numeric(11,4)"), ("real", "integer"), ("real", "numeric(9,2)"), ("integer", "real")]
    {
        assert!(!holds(old, new, Dialect::PostgreSql), "{old} -> {new}");
    }
    for (wide, narrow) in [
        ("bigint(20)", "int(11)"),
        ("int unsigned", "smallint unsigned"),
        ("bigint", "int unsigned"),
        ("mediumtext", "text"),
        ("text", "varchar(255)"),
        ("enum('a','b')", "enum('b')"),
        ("datetime(6)", "datetime"),
        ("varchar(3)", "enum('abc')"),
        ("decimal(12,2)", "decimal(10,2)"),
        ("longblob", "blob"),
        ("int", "tinyint(1)"),
    ] {
        assert!(holds(narrow, wide, Dialect::MySql), "{narrow} -> {wide}");
        assert!(!holds(wide, narrow, Dialect::MySql), "{wide} -> {narrow}");
    }
    assert!(!holds("int", "int unsigned", Dialect::MySql) && !holds("int unsigned", "int", Dialect::MySql));
}

#[test]
fn mysql_and_mariadb_copy_what_their_catalog_can_not_say() {
    let free = |old: &str, new: &str, dialect| change_of(old, new, dialect).rewrites == Answer::No;
    assert!(free("varchar(20)", "varchar(60)", Dialect::MySql) && !free("varchar(20)", "varchar(90)", Dialect::MySql));
    assert!(
        free("varchar(20)", "varchar(256)", Dialect::MariaDb) && !free("varchar(20)", "varchar(10)", Dialect::MariaDb)
    );
    assert!(free("int(11)", "INTEGER", Dialect::MariaDb) && !free("int", "bigint", Dialect::MariaDb));
    assert!(free("enum('a')", "enum('a','b')", Dialect::MySql) && !free("enum('a')", "enum('b','a')", Dialect::MySql));
}
