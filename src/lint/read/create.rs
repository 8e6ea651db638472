//! CREATE; no I/O.

use super::{Effect, Kind, Lock, Reading, Severity, Subject, about, column, execute, is_postgres, namespace};
use crate::lint::{
    Code, Dialect,
    cursor::{Cursor, Name},
    rules,
};

/// Reads what follows CREATE.
pub(super) fn read(mut at: Cursor<'_>) -> Reading {
    let mut out = Reading::of(Kind::Ddl);
    let replaces = at.eat("OR REPLACE");
    skip_modifiers(&mut at);
    let temporary = at.eat_any(&["TEMP", "TEMPORARY", "GLOBAL TEMPORARY", "LOCAL TEMPORARY"]).is_some();
    let _ = at.eat_any(&["UNLOGGED", "FOREIGN", "VIRTUAL", "CONSTRAINT", "TRUSTED", "RECURSIVE", "AGGREGATE"]);
    let kind = at.eat_any(&["UNIQUE INDEX", "FULLTEXT INDEX", "SPATIAL INDEX", "INDEX", "VECTOR INDEX"]);
    if at.eat("TABLE") {
        table(at, replaces, temporary, &mut out);
    } else if let Some(kind) = kind {
        index(at, &kind, &mut out);
    } else if at.eat("TRIGGER") {
        trigger(at, &mut out);
    } else if at.eat("RULE") {
        rule(at, &mut out);
    } else if is_native(at.clone()) {
        out.unclear("it loads native code into the server, which may do anything");
    } else if at.at("FUNCTION") || at.at("PROCEDURE") || at.at("PACKAGE") {
        execute::routine(&at, replaces, &mut out);
    } else if let Some(kind) = at.eat_any(HARMLESS) {
        let certain = !at.eat("IF NOT EXISTS") && !replaces;
        let name = at.name().filter(|_| certain && kind != "POLICY");
        // It has rows and indexes, as a table has.
        let rows = name.clone().filter(|_| kind == "MATERIALIZED VIEW");
        out.effects.extend(rows.map(|table| Effect::Creates { table, temporary: false, columns: Vec::new() }));
        let holds_others = kind == "SCHEMA" || kind == "DATABASE";
        let named = |n: Name| Effect::CreatesObject(namespace(&kind), if holds_others { n.of_namespace() } else { n });
        out.effects.extend(name.map(named));
        hides(&at, &kind, &mut out);
    } else {
        out.unclear(format!("CREATE {} is not known to be harmless", at.shown()));
    }
    out
}

/// MySQL's `FUNCTION f RETURNS STRING SONAME 'x.so'`.
fn is_native(mut at: Cursor<'_>) -> bool {
    let _ = at.eat("FUNCTION") && at.eat("IF NOT EXISTS");
    let named = at.dialect.is_mysql() && at.name().is_some() && at.eat("RETURNS");
    at.skip();
    named && at.at("SONAME")
}

/// What some of these keep from those who could do it before.
fn hides(at: &Cursor<'_>, kind: &str, out: &mut Reading) {
    if kind == "POLICY" {
        let table = at.after("ON").and_then(|mut t| t.name());
        if at.after("AS").is_some_and(|kind| kind.at("RESTRICTIVE")) {
            out.add(Code::C04, about(&table), "rows that the policy does not show are hidden, or refused");
        }
        out.locks(table.as_ref(), Lock::AccessExclusive);
        out.table = table;
    } else if kind == "PUBLICATION" && at.at_any(&["FOR TABLE", "FOR ALL TABLES", "FOR TABLES"]) {
        let message = "UPDATE and DELETE fail on published tables without a primary key or replica identity";
        out.add(Code::C04, Subject::Nothing, message);
    }
}

/// Making these touches nothing that is there.
const HARMLESS: &[&str] = &[
    "VIEW",
    "MATERIALIZED VIEW",
    "SEQUENCE",
    "TYPE",
    "DOMAIN",
    "EXTENSION",
    "SCHEMA",
    "DATABASE",
    "ROLE",
    "USER MAPPING",
    "USER",
    "GROUP",
    "COLLATION",
    "STATISTICS",
    "PUBLICATION",
    "POLICY",
    "SERVER",
    "TEXT SEARCH",
    "AGGREGATE",
    "CONVERSION",
];

/// Words between CREATE and what is created that say nothing about hazards: DEFINER = a@b, ALGORITHM = MERGE.
pub(super) fn skip_modifiers(at: &mut Cursor<'_>) {
    while at.at_any(&["DEFINER", "ALGORITHM", "SQL", "ONLINE"]) {
        at.skip();
        while !at.is_done()
            && !at.at_any(&[
                "VIEW",
                "TRIGGER",
                "PROCEDURE",
                "FUNCTION",
                "EVENT",
                "SQL",
                "DEFINER",
                "INDEX",
                "UNIQUE",
                "AGGREGATE",
            ])
        {
            at.skip();
        }
    }
}

fn table(mut at: Cursor<'_>, replaces: bool, temporary: bool, out: &mut Reading) {
    let perhaps = at.eat("IF NOT EXISTS");
    let Some(name) = at.name() else {
        return out.unclear(format!("a table whose name can't be read: {}", at.shown()));
    };
    let on = Some(name.clone());
    if replaces && !temporary {
        out.add(Code::D01, about(&on), format!("CREATE OR REPLACE drops the table {name} that is there"));
    }
    if at.eat("PARTITION OF") && is_postgres(&at) {
        let parent = at.name();
        out.add(Code::B07, about(&parent), "a new partition locks its parent table");
        out.locks(parent.as_ref(), Lock::AccessExclusive);
    }
    let definitions = at.clone().parentheses().map(|tokens| Cursor::new(tokens, at.dialect));
    for parent in definitions.iter().flat_map(referred).filter(|_| !temporary && is_postgres(&at)) {
        out.locks(Some(&parent), Lock::ShareRowExclusive);
        let message = format!("writes to {parent} wait while the foreign key to it is made");
        out.add_with(Code::B07, Severity::Low, Subject::Table(parent), message);
    }
    let columns = definitions.map(|d| columns(&d, out)).unwrap_or_default();
    if at.has("AS EXECUTE") {
        out.unclear("what the prepared statement does is not seen here");
    }
    out.table = on;
    let on_commit = temporary && at.has("ON COMMIT DROP");
    let goes = on_commit.then(|| Effect::DropsOnCommit(name.clone()));
    // A temporary table of that name is this session's own, even if it was there already.
    out.effects.push(match perhaps && !temporary {
        true => Effect::MayCreate(name),
        false => Effect::Creates { table: name, temporary, columns },
    });
    out.effects.extend(goes);
}

/// The tables that foreign keys refer to, which PostgreSQL locks.
pub(super) fn referred(definitions: &Cursor<'_>) -> Vec<Name> {
    let (mut rest, mut out) = (definitions.clone(), Vec::new());
    while let Some(mut at) = rest.after("REFERENCES") {
        rest = at.clone();
        out.extend(at.name().filter(|name| !out.contains(name)));
    }
    out
}

/// The names of the columns, in lower case.
fn columns(definitions: &Cursor<'_>, out: &mut Reading) -> Vec<String> {
    let mut names = Vec::new();
    for item in definitions.list() {
        const CONSTRAINTS: &[&str] = &[
            "CONSTRAINT",
            "PRIMARY",
            "UNIQUE",
            "FOREIGN",
            "CHECK",
            "EXCLUDE",
            "INDEX",
            "KEY",
            "FULLTEXT",
            "SPATIAL",
            "LIKE",
        ];
        if item.at_any(CONSTRAINTS) {
            continue;
        }
        if item.dialect == Dialect::MySql && item.has("REFERENCES") {
            let name = item.clone().part().unwrap_or_default();
            // It is a mistake in a new table too.
            out.add(Code::O03, Subject::Nothing, rules::ignored_reference(&name));
        }
        names.extend(item.clone().part().map(|name| name.to_lowercase()));
    }
    names
}

fn index(mut at: Cursor<'_>, kind: &str, out: &mut Reading) {
    out.concurrently = at.eat("CONCURRENTLY");
    let perhaps = at.eat("IF NOT EXISTS");
    let name = if at.at("ON") { None } else { at.name() };
    let table = at.after("ON").and_then(|mut t| {
        let _ = t.eat("ONLY");
        t.name()
    });
    let on = about(&table);
    let blocks = match at.dialect {
        Dialect::PostgreSql => !out.concurrently,
        Dialect::Sqlite => true,
        _ => kind.starts_with("FULLTEXT") || kind.starts_with("SPATIAL") || kind.starts_with("VECTOR"),
    };
    if blocks {
        out.add(Code::B01, on.clone(), "writes to the table wait until the index is built");
    }
    if kind.starts_with("UNIQUE") {
        out.add(Code::C04, on.clone(), "two equal rows are refused from now on");
        // A build beside writes that fails harms nobody, but leaves an invalid index.
        let severity = if out.concurrently { Severity::Medium } else { Code::F01.severity() };
        out.add_with(Code::F01, severity, on, "it fails where two rows are equal");
        if let Some(columns) = at.after("ON").filter(|_| !at.has("NULLS NOT DISTINCT")) {
            out.unless_empty(column::listed(&columns));
        }
    }
    out.locks(table.as_ref(), if out.concurrently { Lock::ShareUpdateExclusive } else { Lock::Share });
    out.table = table.clone();
    super::alter_table::create_index_online(&at, out);
    if let (Some(index), Some(table)) = (name.clone(), table) {
        let columns = at.after("ON").map(|columns| column::listed(&columns)).unwrap_or_default();
        out.effects.push(Effect::Indexes { table, index, columns });
    }
    if !perhaps {
        out.effects.extend(name.map(|name| Effect::CreatesObject("RELATION", name)));
    }
}

/// PostgreSQL's rules: what clients write to the table becomes something else.
fn rule(mut at: Cursor<'_>, out: &mut Reading) {
    let name = at.name();
    let table = at.after("TO").and_then(|mut t| t.name());
    out.add(Code::B07, about(&table), "a new rule locks its table against reads and writes");
    out.locks(table.as_ref(), Lock::AccessExclusive);
    out.table = table;
    out.effects.extend(name.map(|name| Effect::CreatesObject("RULE", name)));
}

fn trigger(mut at: Cursor<'_>, out: &mut Reading) {
    let _ = at.eat("IF NOT EXISTS");
    let name = at.name();
    let table = at.after("ON").and_then(|mut t| t.name());
    out.locks(table.as_ref(), Lock::ShareRowExclusive);
    if at.dialect != Dialect::Sqlite {
        out.add(Code::B07, about(&table), "a new trigger locks its table against writes");
    }
    out.table = table;
    // Elsewhere a trigger has its name for itself alone on its table.
    let named = name.map(|name| Effect::CreatesObject("TRIGGER", name));
    out.effects.extend(named);
}

/// The name that is one routine's alone, and nothing else's: MySQL has no two of the same name and kind.
pub(super) fn routine_name(at: &Cursor<'_>, name: Option<&Name>) -> Option<Name> {
    let name = name.filter(|_| at.dialect.is_mysql())?;
    Some(Name { schema: name.schema.clone(), name: format!("{}()", name.name.to_lowercase()) })
}
