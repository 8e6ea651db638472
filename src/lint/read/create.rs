//! CREATE; no I/O.

use super::{Effect, Kind, Reading, Subject, about, alter_table::online, column, drop, execute, namespace};
use crate::lint::{
    Dialect,
    cursor::{Cursor, Name},
    operation::{Alteration, Operation},
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
    } else if is_native(at.clone()) {
        out.unclear("it loads native code into the server, which may do anything");
    } else if at.at("FUNCTION") || at.at("PROCEDURE") || at.at("PACKAGE") {
        execute::routine(&at, replaces, &mut out);
    } else if let Some(kind) = at.eat_any(HARMLESS) {
        let certain = !at.eat("IF NOT EXISTS") && !replaces;
        let mut again = at.clone();
        let name = at.name().filter(|_| certain);
        let holds_others = kind == "SCHEMA" || kind == "DATABASE";
        let named = |n: Name| Effect::CreatesObject(namespace(&kind), if holds_others { n.of_namespace() } else { n });
        out.effects.extend(name.map(named));
        if replaces && kind == "SEQUENCE" {
            // Its numbers begin anew.
            out.does(Subject::Nothing, Operation::Drop(drop::replaced(&kind, again.name())), at.dialect);
        }
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
    if kind == "PUBLICATION" && at.at_any(&["FOR TABLE", "FOR ALL TABLES", "FOR TABLES"]) {
        out.does(Subject::Nothing, Operation::Publish, at.dialect);
    }
}

/// Making these touches nothing that is there.
const HARMLESS: &[&str] = &[
    "VIEW",
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
        out.does(about(&on), Operation::ReplaceTable { shown: name.to_string() }, at.dialect);
    }
    let definitions = at.clone().parentheses().map(|tokens| Cursor::new(tokens, at.dialect));
    let columns = definitions.map(|d| columns(&d, out)).unwrap_or_default();
    out.table = on;
    // A temporary table of that name is this session's own, even if it was there already.
    out.effects.push(match perhaps && !temporary {
        true => Effect::MayCreate(name),
        false => Effect::Creates { table: name, temporary, columns },
    });
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
        let refers =
            item.dialect == Dialect::MySql && column::read(item.clone()).is_some_and(|column| column.references);
        if refers {
            let column = item.clone().part().unwrap_or_default();
            // It is a mistake in a new table too.
            out.does(Subject::Nothing, Operation::IgnoredReference { column }, item.dialect);
        }
        names.extend(item.clone().part().map(|name| name.to_lowercase()));
    }
    names
}

fn index(mut at: Cursor<'_>, kind: &str, out: &mut Reading) {
    out.concurrently = at.eat("CONCURRENTLY");
    let perhaps = at.eat("IF NOT EXISTS");
    let name = if at.at("ON") { None } else { at.name() };
    let clauses = at.clauses(&["ON", "INCLUDE", "NULLS", "WITH", "TABLESPACE", "WHERE"]);
    let indexed = clauses.get("ON");
    let table = indexed.clone().and_then(|mut t| {
        t.only();
        t.name()
    });
    let columns = indexed.map(|indexed| column::listed(&indexed)).unwrap_or_default();
    let operation = Operation::CreateIndex {
        unique: kind.starts_with("UNIQUE"),
        concurrently: out.concurrently,
        only: false,
        blocks: match at.dialect {
            Dialect::PostgreSql => !out.concurrently,
            Dialect::Sqlite => true,
            _ => ["FULLTEXT", "SPATIAL", "VECTOR"].iter().any(|slow| kind.starts_with(slow)),
        },
        columns: columns.clone(),
        allows_null: !clauses.get("NULLS").is_some_and(|nulls| nulls.at("NOT DISTINCT")),
    };
    out.performs(Alteration { online: online(&at), ..Alteration::of(about(&table), operation) }, at.dialect);
    out.table = table.clone();
    if let (Some(index), Some(table)) = (name.clone(), table) {
        out.effects.push(Effect::Indexes { table, index, columns });
    }
    if !perhaps {
        out.effects.extend(name.map(|name| Effect::CreatesObject("RELATION", name)));
    }
}

fn trigger(mut at: Cursor<'_>, out: &mut Reading) {
    let _ = at.eat("IF NOT EXISTS");
    let name = at.name();
    let table = at.clauses(&["ON"]).get("ON").and_then(|mut t| t.name());
    out.does(about(&table), Operation::CreateTrigger, at.dialect);
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
