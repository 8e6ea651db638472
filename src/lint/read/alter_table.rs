//! ALTER TABLE, action by action, in all dialects at once: where they differ, the words do too; no I/O.

use super::{Effect, Kind, Reading, about, alter_column, column, is_postgres};
use crate::lint::{
    Code,
    cursor::{Cursor, Name},
};

/// Reads what follows ALTER TABLE.
pub(super) fn read(mut at: Cursor<'_>) -> Reading {
    let mut out = Reading::of(Kind::Ddl);
    at.if_exists();
    let _ = at.eat("ONLY");
    if at.eat("ALL IN TABLESPACE") {
        out.add(Code::B06, super::Subject::Nothing, "every table of the tablespace is moved, and locked meanwhile");
        return out;
    }
    let table = at.name();
    let _ = at.eat("*");
    let _ = at.eat_any(&["WAIT", "NOWAIT"]).filter(|word| word == "WAIT").map(|_| at.skip());
    if table.is_none() || at.is_done() {
        out.unclear(format!("an ALTER TABLE that can't be read: {}", at.shown()));
    }
    let whole = at.clone();
    let (mut validates, mut adds, mut others) = (false, false, false);
    for item in at.list() {
        let validation = item.at("VALIDATE CONSTRAINT") && is_postgres(&item);
        let unchecked = item.at("ADD") && item.has("NOT VALID");
        validates |= validation;
        adds |= unchecked;
        others |= !validation && !unchecked;
    }
    if validates && (adds || others) {
        out.add(
            Code::B03,
            about(&table),
            "every row is checked under the lock that the statement's other changes take",
        );
    }
    // DROP PARTITION a, b: what follows are names, and nothing else.
    let partitions = at.tokens.get(1).is_some_and(|t| t.is("PARTITION")) && !at.at("ADD");
    for item in if partitions { vec![at.clone()] } else { at.list() } {
        action(item, &table, &mut out);
    }
    if others {
        out.locks.extend(table.clone());
    }
    if at.dialect.is_mysql() && loses_primary_key(&whole) {
        out.add(Code::B06, about(&table), "without another primary key the table is copied while writes wait");
    }
    online(&whole, &table, &mut out);
    out.table = table;
    out
}

/// MySQL drops a primary key in place only where the same statement adds another one.
fn loses_primary_key(actions: &Cursor<'_>) -> bool {
    let key = |mut item: Cursor<'_>| {
        item.eat("DROP PRIMARY KEY")
            || (item.eat_any(&["DROP INDEX", "DROP KEY"]).is_some()
                && item.part().is_some_and(|name| name.eq_ignore_ascii_case("PRIMARY")))
    };
    let items = actions.list();
    let added = items.iter().any(|item| item.at("ADD") && item.has("PRIMARY KEY"));
    !added && items.into_iter().any(key)
}

/// MySQL's ALGORITHM and LOCK: what can't be done that way fails, and blocks nobody.
pub(super) fn online(at: &Cursor<'_>, table: &Option<Name>, out: &mut Reading) {
    if !at.dialect.is_mysql() {
        return;
    }
    let said =
        |option: &str, value: &str| at.has(&format!("{option} = {value}")) || at.has(&format!("{option} {value}"));
    let instant = said("ALGORITHM", "INSTANT") || said("ALGORITHM", "NOCOPY");
    if instant || said("LOCK", "NONE") {
        out.hazards.retain(|h| !matches!(h.code, Code::B01 | Code::B03 | Code::B04 | Code::B05 | Code::B06));
    }
    if said("ALGORITHM", "COPY") {
        out.add(Code::B06, about(table), "ALGORITHM=COPY copies the table while writes wait");
    }
    if said("LOCK", "SHARED") || said("LOCK", "EXCLUSIVE") {
        out.add(Code::B07, about(table), "the statement asks for a lock against writes");
    }
}

fn action(mut at: Cursor<'_>, table: &Option<Name>, out: &mut Reading) {
    let on = about(table);
    // Options may follow one another without a comma; after these words it is the name of a column or key.
    let named = at.at_any(&["ADD", "DROP", "ALTER", "MODIFY", "CHANGE", "RENAME"]);
    if at.dialect.is_mysql() && (at.has("ENGINE =") || (at.has("ENGINE") && !named)) && !at.at("ENGINE") {
        out.add(Code::B06, on.clone(), "another engine copies the table while writes wait");
    }
    if at.eat("ADD") {
        add(at, table, out);
    } else if at.eat("DROP") {
        drop(at, table, out);
    } else if at.eat("ALTER") {
        alter_column::alter(at, table, out);
    } else if at.eat("MODIFY") || at.at("CHANGE") {
        alter_column::modify(at, table, out);
    } else if at.eat("RENAME") {
        rename(at, table, out);
    } else if at.eat("SET SCHEMA") {
        out.add(Code::C02, on, "clients look for the table in its old schema");
        if let (Some(from), schema @ Some(_)) = (table.clone(), at.part()) {
            let to = Name { schema, name: from.name.clone() };
            out.effects.push(Effect::Renames { from, to });
        }
    } else if at.eat_any(&["SET LOGGED", "SET UNLOGGED", "SET TABLESPACE", "SET ACCESS METHOD"]).is_some() {
        out.add(Code::B06, on, "the whole table is written anew");
    } else if at.eat("VALIDATE CONSTRAINT") {
        if let (Some(table), Some(constraint)) = (table.clone(), at.part()) {
            out.effects.push(Effect::Validates { table, constraint });
        }
    } else if at.at("CONVERT") || at.at("ENGINE") || at.at("FORCE") || at.at("ORDER") {
        if at.at("FORCE") && at.mentions("ROW") {
            return out.add(Code::C04, on, "row security holds for the table's owner too");
        }
        out.add(Code::B06, on.clone(), format!("{} copies the table while writes wait", at.shown()));
        let charset = at.after("CHARACTER SET").or_else(|| at.after("CHARSET"));
        if at.at("CONVERT") && charset.is_some_and(|set| !column::holds_all_letters(&set)) {
            let message = "letters that the character set lacks are lost or refused";
            out.add_with(Code::D04, super::Severity::High, on.clone(), message);
            out.add(Code::F01, on, message);
        }
    } else if !partitions(&mut at, table, out) && !security(&mut at, table, out) && !harmless(&mut at) {
        out.unclear(format!("the action {} is not known to be harmless", at.shown()));
    }
}

/// Actions that change only what the catalog says.
fn harmless(at: &mut Cursor<'_>) -> bool {
    const WORDS: &[&str] = &[
        "CLUSTER ON",
        "SET WITHOUT CLUSTER",
        "SET (",
        "RESET (",
        "ENABLE TRIGGER",
        "ENABLE REPLICA",
        "ENABLE ALWAYS",
        "ENABLE KEYS",
        "DISABLE KEYS",
        "COMMENT",
        "AUTO_INCREMENT",
        "DEFAULT",
        "CHARACTER SET",
        "CHARSET",
        "COLLATE",
        "ALGORITHM",
        "LOCK",
        "ENABLE RULE",
        "STATS_PERSISTENT",
        "STATS_AUTO_RECALC",
        "SET STATISTICS",
        "WITHOUT VALIDATION",
        "WITH VALIDATION",
        "INHERIT",
        "NOT OF",
        "OF",
        "MAX_ROWS",
        "MIN_ROWS",
        "AVG_ROW_LENGTH",
        "CHECKSUM",
        "STATS_SAMPLE_PAGES",
    ];
    // A comma after an option in MySQL: nothing is left.
    at.is_done() || at.eat_any(WORDS).is_some()
}

fn security(at: &mut Cursor<'_>, table: &Option<Name>, out: &mut Reading) -> bool {
    let on = about(table);
    if at.eat("DISABLE ROW LEVEL SECURITY") || at.eat("NO FORCE ROW LEVEL SECURITY") {
        out.add(Code::D08, on, "everybody with a grant sees all rows again");
    } else if at.eat("ENABLE ROW LEVEL SECURITY") {
        out.add(Code::C04, on, "rows that no policy shows are hidden from everybody but the owner");
    } else if at.eat("DISABLE TRIGGER") || at.eat("DISABLE RULE") {
        out.unclear("what triggers and foreign keys check is not checked meanwhile");
    } else if at.eat("NO INHERIT") {
        out.unclear("the rows no longer show in the parent table");
    } else if at.eat("OWNER TO") {
        let message = format!("{} owns it now, and may do anything with it; the owner before may not", at.shown());
        out.add_with(Code::D08, super::Severity::Medium, on, message);
    } else if at.eat("REPLICA IDENTITY") {
        if at.at("NOTHING") {
            out.add(Code::C04, on, "UPDATE and DELETE fail on a table that is published");
        }
    } else {
        return false;
    }
    true
}

fn partitions(at: &mut Cursor<'_>, table: &Option<Name>, out: &mut Reading) -> bool {
    let on = about(table);
    if at.eat("ATTACH PARTITION") {
        out.add(Code::B07, on, "attaching a partition reads and locks it, and the default partition");
        if let Some(part) = at.name() {
            let message = format!("{part} is locked, and read for rows that do not fit the partition");
            out.add(Code::B07, super::Subject::Table(part), message);
        }
    } else if at.eat("DETACH PARTITION") {
        out.concurrently |= at.has("CONCURRENTLY");
        if !out.concurrently && !at.has("FINALIZE") {
            out.add(Code::B07, on, "detaching a partition locks the whole table");
        }
    } else if at.eat("TRUNCATE PARTITION") {
        out.add(Code::D03, on, format!("the rows of partition {} go", at.shown()));
    } else if at.eat("EXCHANGE PARTITION") {
        out.add(Code::D03, on, format!("the rows of partition {} change places with another table's", at.shown()));
    } else if at.eat("DISCARD") {
        out.add(Code::D01, on, "the file with the rows goes");
    } else if at.at_any(&[
        "REORGANIZE",
        "COALESCE",
        "REBUILD",
        "PARTITION BY",
        "REMOVE PARTITIONING",
        "OPTIMIZE",
        "REPAIR",
        "UPGRADE",
    ]) || (at.at("PARTITION") && at.dialect.is_mysql())
    {
        out.add(Code::B06, on, "partitions are copied while writes wait");
    } else if at.at_any(&["KEY_BLOCK_SIZE", "ROW_FORMAT", "PAGE_COMPRESSED", "ENCRYPTION", "ENCRYPTED", "TABLESPACE"]) {
        out.add(Code::B06, on, "the whole table is written anew");
    } else if !at.at("ANALYZE") {
        return false;
    }
    true
}

fn add(mut at: Cursor<'_>, table: &Option<Name>, out: &mut Reading) {
    let on = about(table);
    // Elsewhere these are names of columns.
    if at.dialect.is_mysql() && at.at_any(&["PARTITION", "SYSTEM VERSIONING", "PERIOD FOR"]) {
        if at.eat("PARTITION") && at.has("PARTITIONS") {
            out.add(Code::B06, on, "the rows are shared out anew among the partitions while writes wait");
        } else if at.at("SYSTEM") {
            out.add(Code::B06, on, "the table is copied to keep its history, while writes wait");
        }
        return;
    }
    let mut constraint = None;
    let named = at.eat("CONSTRAINT");
    if named {
        at.eat("IF NOT EXISTS");
        constraint = if at.at_any(CONSTRAINTS) { None } else { at.part() };
    }
    if named || at.at_any(CONSTRAINTS) {
        return add_constraint(at, table, constraint, out);
    }
    if at.at_any(&["FULLTEXT", "SPATIAL", "VECTOR"]) && at.dialect.is_mysql() {
        return out.add(Code::B01, on, "writes to the table wait until the index is built");
    }
    if at.at_any(&["INDEX", "KEY"]) && at.dialect.is_mysql() {
        return;
    }
    at.eat("COLUMN");
    let perhaps = at.eat("IF NOT EXISTS");
    let items = match at.parentheses() {
        Some(columns) => Cursor::new(columns, at.dialect).list(),
        None => vec![at],
    };
    for item in items {
        let empty = column::Column::read(item.clone()).filter(|column| !perhaps && column.is_empty());
        let empty = table.clone().zip(empty.map(|column| column.name));
        out.effects.extend(empty.map(|(table, column)| Effect::AddsEmpty { table, column }));
        column::add(item, table, out);
    }
}

const CONSTRAINTS: &[&str] = &["PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "EXCLUDE", "NOT"];

fn add_constraint(mut at: Cursor<'_>, table: &Option<Name>, constraint: Option<String>, out: &mut Reading) {
    let on = about(table);
    let postgres = is_postgres(&at);
    let later = postgres && at.has("NOT VALID");
    out.effects.extend(table.clone().filter(|_| later).map(Effect::AddsUnchecked));
    // What follows is an index that is there, or where the new one is put.
    if at.after("USING INDEX").is_some_and(|index| !index.at("TABLESPACE")) && postgres {
        if at.at("PRIMARY") {
            // Which columns the index has is not known here, nor whether they may be NULL.
            let why = "a column of the index that may be NULL becomes NOT NULL";
            out.add(Code::B05, on.clone(), format!("{why}: every row is read while the table is locked"));
            out.add(Code::F01, on, format!("{why}: it fails where a row has NULL"));
        }
        return;
    }
    let (unique, foreign) = (at.at("UNIQUE"), at.eat("FOREIGN"));
    if at.eat("UNIQUE") || at.at("PRIMARY") || at.eat("EXCLUDE") {
        if postgres || at.at("PRIMARY") {
            out.add(Code::B04, on.clone(), "the index is built while the table is locked");
        }
        out.add(Code::C04, on.clone(), "two equal rows are refused from now on");
        out.add(Code::F01, on, "it fails where two rows are equal already");
        // In a key, NULL fails; elsewhere it equals nothing.
        if unique && !at.has("NULLS NOT DISTINCT") {
            out.unless_empty(column::listed(&at));
        }
    } else if foreign || at.eat("CHECK") || at.eat("NOT") {
        if !later {
            let unlocked = at.dialect.is_mysql() && at.has("NOT ENFORCED");
            if !unlocked {
                out.add(Code::B03, on.clone(), "every row is checked while writes wait");
            }
            out.add(Code::F01, on.clone(), "it fails where a row breaks it already");
            if foreign && !at.has("MATCH FULL") {
                out.unless_empty(column::listed(&at));
            }
        }
        out.add(Code::C04, on, "rows that break it are refused from now on");
        let column = at.parentheses().map(|tokens| Cursor::new(tokens, at.dialect)).and_then(|mut check| {
            let column = check.part()?;
            (check.eat("IS NOT NULL") && check.is_done()).then_some(column)
        });
        if let (Some(table), Some(constraint), Some(column)) = (table.clone(), constraint, column) {
            out.effects.push(Effect::Checks { table, constraint, column });
        }
    } else {
        out.unclear(format!("a constraint that can't be read: {}", at.shown()));
    }
}

fn drop(mut at: Cursor<'_>, table: &Option<Name>, out: &mut Reading) {
    let on = about(table);
    // Only MySQL has the others; elsewhere KEY and INDEX are names of columns.
    let kinds = ["CONSTRAINT", "FOREIGN KEY", "PRIMARY KEY", "INDEX", "KEY", "CHECK"];
    if at.eat("CONSTRAINT") || (at.dialect.is_mysql() && at.at_any(&kinds)) {
        at.if_exists();
        return out.add(Code::D06, on, format!("{} goes", at.shown()));
    }
    if at.dialect.is_mysql() && at.eat("PARTITION") {
        return out.add(Code::D01, on, format!("partition {} goes, with its rows", at.shown()));
    }
    if at.dialect.is_mysql() && at.eat("SYSTEM VERSIONING") {
        out.add(Code::B06, on.clone(), "the table is copied without its history, while writes wait");
        return out.add(Code::D03, on, "the history of the rows goes");
    }
    if at.dialect.is_mysql() && at.at("PERIOD FOR") {
        return;
    }
    let _ = at.eat("COLUMN");
    at.if_exists();
    match at.part() {
        Some(name) => out.add(Code::D02, on, format!("the column {name} goes, with its values")),
        None => out.add(Code::D02, on, format!("a column goes, with its values: {}", at.shown())),
    }
}

fn rename(mut at: Cursor<'_>, table: &Option<Name>, out: &mut Reading) {
    if at.eat("CONSTRAINT") || (at.dialect.is_mysql() && at.at_any(&["INDEX", "KEY"])) {
        return;
    }
    let on = about(table);
    let column = at.eat("COLUMN") || (!at.at("TO") && at.has("TO"));
    if column {
        let shown = at.part().unwrap_or_default();
        return out.add(Code::C01, on, format!("clients that read or write {shown} fail as soon as it is renamed"));
    }
    let _ = at.eat_any(&["TO", "AS", "="]);
    renames_table(table.clone(), at.name(), out);
}

/// A table gets another name, perhaps in another schema; a name without one stays in the old one's.
pub(super) fn renames_table(from: Option<Name>, to: Option<Name>, out: &mut Reading) {
    let shown = from.as_ref().map(ToString::to_string).unwrap_or_default();
    out.add(Code::C02, about(&from), format!("clients that use {shown} fail as soon as it is renamed"));
    if let (Some(from), Some(mut to)) = (from, to) {
        to.schema = to.schema.or_else(|| from.schema.clone());
        out.effects.push(Effect::Renames { from, to });
    }
}
