//! ALTER TABLE of MySQL, MariaDB and SQLite, lowered from its tokens; no I/O.

use super::{Kind, Lock, Reading, column, postgres::is_not_null};
use crate::lint::{
    cursor::{Cursor, Name},
    operation::{Alteration, Operation},
    parts::{Constraint, ConstraintKind, Online, Using},
    types::Type,
};

/// Reads the actions of SQLite's batch mode, which are those of ALTER TABLE.
pub(in crate::lint) fn copies(mut at: Cursor<'_>) -> Option<Reading> {
    let mut reading = at.eat("ALTER TABLE").then(|| read(at, false))?;
    reading.alterations.iter_mut().for_each(|alteration| alteration.copied = true);
    Some(reading)
}

/// Reads what follows ALTER TABLE.
pub(super) fn read(mut at: Cursor<'_>, ignores: bool) -> Reading {
    let mut out = Reading::of(Kind::Ddl);
    at.if_exists();
    let table = at.name();
    let _ = at.eat_any(&["WAIT", "NOWAIT"]).filter(|word| word == "WAIT").map(|_| at.skip());
    if table.is_none() || at.is_done() {
        out.unclear(format!("an ALTER TABLE that can't be read: {}", at.shown()));
    }
    let online = Online { ignores, ..online(&at) };
    let mut alteration = Alteration { table: table.clone(), online, ..Alteration::default() };
    // DROP PARTITION a, b: what follows are names, and nothing else.
    let partitions = at.tokens.get(1).is_some_and(|t| t.is("PARTITION")) && !at.at("ADD");
    for item in if partitions { vec![at.clone()] } else { at.list() } {
        action(item, &mut alteration.operations, &mut out);
    }
    out.locks(table.as_ref(), Lock::AccessExclusive);
    out.effects.extend(alteration.effects());
    out.alterations.push(alteration);
    out.table = table;
    out
}

/// MySQL's ALGORITHM and LOCK, wherever they stand in the list.
pub(super) fn online(at: &Cursor<'_>) -> Online {
    let mut online = Online::default();
    if !at.dialect.is_mysql() {
        return online;
    }
    for mut item in options(at) {
        if item.eat("ALGORITHM") {
            let _ = item.eat("=");
            online.instant |= item.at("INSTANT") || item.at("NOCOPY");
            online.in_place |= item.at("INPLACE");
            online.copy |= item.at("COPY");
        } else if item.eat("LOCK") {
            let _ = item.eat("=");
            online.unlocked |= item.at("NONE");
            online.locked |= item.at("SHARED") || item.at("EXCLUSIVE");
        }
    }
    online
}

/// Every place outside of parentheses where an option may stand.
fn options<'a>(at: &Cursor<'a>) -> impl Iterator<Item = Cursor<'a>> {
    let dialect = at.dialect;
    let mut depth = 0i64;
    at.tokens.iter().enumerate().filter_map(move |(place, token)| {
        depth += i64::from(token.is("(")) - i64::from(token.is(")"));
        (depth == 0 && (token.is("ALGORITHM") || token.is("LOCK"))).then(|| Cursor::new(&at.tokens[place..], dialect))
    })
}

fn action(mut at: Cursor<'_>, to: &mut Vec<Operation>, out: &mut Reading) {
    let whole = at.clone();
    if at.eat("ADD") {
        add(at, to, out);
    } else if at.eat("DROP") {
        to.extend(drop(at));
    } else if at.eat("ALTER") {
        alter(at, to, out);
    } else if at.eat("MODIFY") || at.at("CHANGE") {
        redefine(at, to, out);
    } else if at.eat("RENAME") {
        to.extend(rename(at));
    } else if at.eat("CONVERT PARTITION") {
        to.push(Operation::ExchangePartition { shown: at.shown() });
    } else if at.eat("CONVERT TABLE") {
        to.push(Operation::AttachPartition { part: at.name() });
    } else if at.at("CONVERT") {
        let mut to_set = at.clone();
        let named = to_set.eat_any(&["CONVERT TO CHARACTER SET", "CONVERT TO CHARSET"]).is_some();
        let charset = named.then_some(to_set);
        let loses = charset.is_some_and(|set| !column::holds_all_letters(&set));
        to.push(Operation::Convert { shown: at.shown(), loses });
    } else if at.at("FORCE") {
        to.push(Operation::Rebuild { what: at.shown() });
    } else if at.at("ORDER") {
        to.push(Operation::Rewrite { what: format!("{} copies the table while writes wait", at.shown()) });
    } else if at.dialect.is_mysql() && partition(&mut at, to) {
    } else {
        table_options(&whole, to, out);
    }
}

/// Options may follow one another without a comma.
fn table_options(at: &Cursor<'_>, to: &mut Vec<Operation>, out: &mut Reading) {
    let mut at = at.clone();
    while !at.is_done() {
        let what = at.shown();
        if at.at_any(&["ENGINE InnoDB", "ENGINE = InnoDB", "ROW_FORMAT", "KEY_BLOCK_SIZE"]) {
            let what = if at.at("ENGINE") { format!("{what}, where no other one is left,") } else { what };
            to.push(Operation::Rebuild { what });
        } else if at.at_any(&["ENGINE", "TYPE", "ENCRYPTION", "TABLESPACE"]) {
            to.push(Operation::Rewrite { what: format!("{what} copies the table while writes wait") });
        } else if at.at("DISCARD") {
            return to.push(Operation::DiscardTablespace);
        } else if !at.at_any(OPTIONS) {
            return out.unclear(format!("the action {} is not known to be harmless", at.shown()));
        }
        let _ = at.eat("DEFAULT");
        let _ = at
            .eat_any(&["CHARACTER SET", "ENABLE KEYS", "DISABLE KEYS", "WITH VALIDATION", "WITHOUT VALIDATION"])
            .is_none()
            .then(|| at.skip());
        let _ = at.eat("=");
        let named = at.tokens.first().is_some_and(|_| !at.at_any(OPTIONS) && !at.at("ENGINE"));
        if named {
            at.skip();
        }
        if at.at("(") {
            let _ = at.parentheses();
        }
    }
}

/// Options that change only what the catalog says.
const OPTIONS: &[&str] = &[
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
    "STATS_PERSISTENT",
    "STATS_AUTO_RECALC",
    "STATS_SAMPLE_PAGES",
    "WITHOUT VALIDATION",
    "WITH VALIDATION",
    "MAX_ROWS",
    "MIN_ROWS",
    "AVG_ROW_LENGTH",
    "CHECKSUM",
    "PACK_KEYS",
    "DELAY_KEY_WRITE",
];

/// What MySQL's partitions do; false where it is something else.
fn partition(at: &mut Cursor<'_>, to: &mut Vec<Operation>) -> bool {
    let shown = at.shown();
    to.push(if at.eat("TRUNCATE PARTITION") {
        Operation::TruncatePartition { shown: at.shown() }
    } else if at.eat("EXCHANGE PARTITION") {
        Operation::ExchangePartition { shown: at.shown() }
    } else if at.at("DISCARD") {
        Operation::DiscardTablespace
    } else if at.at_any(REARRANGES) {
        Operation::Rewrite { what: format!("{shown} writes rows anew while writes wait") }
    } else {
        return at.eat_any(&["ANALYZE PARTITION", "CHECK PARTITION"]).is_some();
    });
    true
}

const REARRANGES: &[&str] =
    &["REORGANIZE", "COALESCE", "REBUILD", "PARTITION BY", "REMOVE PARTITIONING", "OPTIMIZE", "REPAIR", "UPGRADE"];

fn add(mut at: Cursor<'_>, to: &mut Vec<Operation>, out: &mut Reading) {
    let mysql = at.dialect.is_mysql();
    // Elsewhere these are names of columns.
    if mysql && at.at_any(&["PARTITION", "SYSTEM VERSIONING", "PERIOD FOR"]) {
        let counted = at.eat("PARTITION") && {
            let _ = at.eat_any(&["IF NOT EXISTS", "NO_WRITE_TO_BINLOG", "LOCAL"]);
            at.at("PARTITIONS")
        };
        if counted {
            let what = "the rows are shared out anew among the partitions while writes wait".to_owned();
            to.push(Operation::Rewrite { what });
        } else if at.at_any(&["SYSTEM", "PERIOD FOR SYSTEM_TIME"]) {
            to.push(Operation::KeepHistory);
        } else if at.eat("PERIOD FOR") {
            // Its columns become NOT NULL, and each row is checked: it has to begin before it ends.
            let (name, plain) = (at.part(), Constraint::of(ConstraintKind::Check));
            to.push(Operation::AddConstraint { name, constraint: plain });
        }
        return;
    }
    let mut name = None;
    let named = at.eat("CONSTRAINT");
    if named {
        at.eat("IF NOT EXISTS");
        name = if at.at_any(CONSTRAINTS) { None } else { at.part() };
    }
    if mysql && at.at("UNIQUE") {
        let mut unique = at.clone();
        unique.skip();
        name = name.or(index_name(&mut unique));
    }
    if named || at.at_any(CONSTRAINTS) {
        match constraint(at.clone()) {
            Some(constraint) => to.push(Operation::AddConstraint { name, constraint }),
            None => out.unclear(format!("a constraint that can't be read: {}", at.shown())),
        }
        return;
    }
    if mysql && at.at_any(&["FULLTEXT", "SPATIAL", "VECTOR", "INDEX", "KEY"]) {
        let kind = at.eat_any(&["FULLTEXT", "SPATIAL", "VECTOR"]);
        let name = index_name(&mut at);
        return to.push(Operation::AddIndex { name, blocks: kind.is_some() });
    }
    at.eat("COLUMN");
    let perhaps = at.eat("IF NOT EXISTS");
    let items = match at.parentheses() {
        Some(columns) => Cursor::new(columns, at.dialect).list(),
        None => vec![at],
    };
    for item in items {
        match column::read(item.clone()) {
            Some(column) => to.push(Operation::AddColumn { column, perhaps }),
            None => out.unclear(format!("a column that can't be read: {}", item.shown())),
        }
    }
}

/// `INDEX IF NOT EXISTS name (a)`: the name, if there is one.
fn index_name(at: &mut Cursor<'_>) -> Option<String> {
    let _ = at.eat_any(&["INDEX", "KEY"]);
    at.eat("IF NOT EXISTS");
    if at.at("(") || at.at("USING") { None } else { at.part() }
}

const CONSTRAINTS: &[&str] = &["PRIMARY", "UNIQUE", "FOREIGN", "CHECK"];

fn constraint(mut at: Cursor<'_>) -> Option<Constraint> {
    let whole = at.clone();
    let kind = match at.eat_any(CONSTRAINTS)?.as_str() {
        "PRIMARY" => ConstraintKind::PrimaryKey,
        "UNIQUE" => ConstraintKind::Unique,
        "FOREIGN" => ConstraintKind::ForeignKey,
        _ => ConstraintKind::Check,
    };
    let check = at.clone().parentheses().filter(|_| kind == ConstraintKind::Check);
    Some(Constraint {
        kind,
        columns: column::listed(&whole),
        validated: true,
        enforced: !(whole.dialect.is_mysql() && at.closes("NOT ENFORCED")),
        allows_null: matches!(kind, ConstraintKind::Unique | ConstraintKind::ForeignKey)
            && !at.clauses(&["MATCH"]).get("MATCH").is_some_and(|kind| kind.at("FULL")),
        from_index: None,
        not_null: check.and_then(|check| is_not_null(&Cursor::new(check, whole.dialect))),
    })
}

fn drop(mut at: Cursor<'_>) -> Option<Operation> {
    if at.dialect.is_mysql() {
        if at.eat("PARTITION") {
            return Some(Operation::DropPartition { shown: at.shown() });
        }
        if at.eat("SYSTEM VERSIONING") {
            return Some(Operation::DropHistory);
        }
        if at.eat("PERIOD FOR") {
            let (system, shown) = (at.at("SYSTEM_TIME"), at.shown());
            let kind = Some(ConstraintKind::Check);
            return (!system).then(|| Operation::DropConstraint { name: at.part(), kind, shown });
        }
        if at.eat("INDEX") || at.eat("KEY") {
            at.if_exists();
            let shown = at.shown();
            return Some(Operation::DropIndex { name: at.part().unwrap_or_default(), shown });
        }
    }
    const KINDS: &[(&str, Option<ConstraintKind>)] = &[
        ("CONSTRAINT", None),
        ("FOREIGN KEY", Some(ConstraintKind::ForeignKey)),
        ("PRIMARY KEY", Some(ConstraintKind::PrimaryKey)),
        ("CHECK", Some(ConstraintKind::Check)),
    ];
    // SQLite has only the first; there the others are names of columns.
    let kinds = if at.dialect.is_mysql() { KINDS } else { &KINDS[..1] };
    if let Some((words, kind)) = kinds.iter().find(|(words, _)| at.at(words)) {
        let whole = at.clone();
        let _ = at.eat(words);
        at.if_exists();
        let shown = if at.is_done() { whole.shown() } else { at.shown() };
        return Some(Operation::DropConstraint { name: at.part(), kind: *kind, shown });
    }
    let _ = at.eat("COLUMN");
    at.if_exists();
    let shown = at.shown();
    Some(Operation::DropColumn { name: at.part().unwrap_or(shown) })
}

fn rename(mut at: Cursor<'_>) -> Option<Operation> {
    if at.eat("CONSTRAINT") || (at.dialect.is_mysql() && at.at_any(&["INDEX", "KEY"])) {
        return None;
    }
    let column = at.eat("COLUMN") || (!at.at("TO") && at.tokens.get(1).is_some_and(|t| t.is("TO")));
    if column {
        at.if_exists();
        let from = at.part().unwrap_or_default();
        let _ = at.eat("TO");
        return Some(Operation::RenameColumn { from, to: at.part() });
    }
    let _ = at.eat_any(&["TO", "AS", "="]);
    Some(Operation::RenameTable { to: at.name() })
}

/// ALTER [COLUMN]: the little that MySQL has of it.
fn alter(mut at: Cursor<'_>, to: &mut Vec<Operation>, out: &mut Reading) {
    let mysql = at.dialect.is_mysql();
    if mysql && at.at_any(&["CONSTRAINT", "CHECK"]) {
        at.skip();
        let _ = at.part();
        return to.extend(at.at("ENFORCED").then_some(Operation::EnforceConstraint));
    }
    if mysql && at.at_any(&["INDEX", "KEY"]) {
        return;
    }
    let _ = at.eat("COLUMN");
    at.if_exists();
    let Some(name) = at.part() else {
        return out.unclear(format!("a column that can't be read: {}", at.shown()));
    };
    if at.eat("DROP DEFAULT") {
        to.push(Operation::DropDefault { name });
    } else if at.eat("SET DEFAULT") {
        to.push(Operation::SetDefault);
    } else if !mysql && at.eat("SET NOT NULL") {
        to.push(Operation::SetNotNull { name });
    } else if !mysql && at.eat("DROP NOT NULL") {
        to.push(Operation::DropNotNull { name });
    } else if !mysql && at.eat("TYPE") {
        to.push(Operation::AlterType { name, ty: Type::read(&mut at), using: Using::Nothing });
    } else if !at.at_any(&["SET VISIBLE", "SET INVISIBLE"]) {
        out.unclear(format!("the change {} of {name} is not known to be harmless", at.shown()));
    }
}

/// MODIFY and CHANGE.
fn redefine(mut at: Cursor<'_>, to: &mut Vec<Operation>, out: &mut Reading) {
    let changes = at.eat("CHANGE");
    let _ = at.eat("COLUMN");
    at.if_exists();
    let old = if changes { at.part() } else { at.clone().part() };
    match (old, column::read(at.clone())) {
        (Some(old), Some(column)) => to.push(Operation::Redefine { old, column }),
        _ => out.unclear(format!("a column that can't be read: {}", at.shown())),
    }
}

/// A table gets another name, perhaps in another schema; a name without one stays in the old one's.
pub(super) fn renames_table(from: Option<Name>, to: Option<Name>, out: &mut Reading) {
    let alteration =
        Alteration { table: from, operations: vec![Operation::RenameTable { to }], ..Alteration::default() };
    out.effects.extend(alteration.effects());
    out.alterations.push(alteration);
}
