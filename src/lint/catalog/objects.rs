//! Tables from the objects of a schema, as the probe reads them for the comparison of schemas; no I/O.

use super::{Catalog, Column, Constraint, ConstraintKind, Index, Relations, Table};
use crate::lint::{
    Dialect,
    cursor::{Cursor, Name},
    read::column::listed,
    tokens::lex,
    types::Type,
};
use std::collections::HashSet;

/// The catalog from objects such as `column public.orders.id` with `bigint not null`. Only what the SQL names is kept, so
/// that it takes no more than the plan.
pub fn of_objects<'a, 'b>(
    dialect: Dialect,
    sql: impl Iterator<Item = &'b str>,
    objects: impl Iterator<Item = (&'a str, Option<&'a str>)>,
) -> Catalog {
    let named = Words::of(sql);
    let mut catalog = Catalog::default();
    let (mut there, mut any) = (HashSet::new(), false);
    for (object, definition) in objects {
        let Some((kind, parts)) = parted(object, dialect) else { continue };
        let Some(last) = parts.last() else { continue };
        if RELATIONS.contains(&kind) {
            any |= kind != "view";
            if named.has(last) {
                there.insert(last.to_lowercase());
            }
        }
        let Some(definition) = definition else { continue };
        let of_table =
            matches!(kind, "column" | "constraint" | "foreign key") || (kind == "index" && dialect.is_mysql());
        let Some((table, name)) = (if of_table { table_of(&parts) } else { None }).or_else(|| {
            let index = kind == "index" && parts.last().is_some_and(|index| named.has(index));
            index.then(|| (index_table(definition, dialect), last.clone()))
        }) else {
            continue;
        };
        if !(named.has(&table.name) || (kind == "index" && named.has(&name))) || table.name.is_empty() {
            continue;
        }
        add(catalog.tables.entry(table.to_string()).or_default(), kind, name, definition, dialect);
    }
    catalog.relations = if any { Relations::Named(there) } else { Relations::Nothing };
    catalog
}

/// Kinds of objects that have rows, or show them.
const RELATIONS: &[&str] = &["table", "foreign table", "partition", "view", "materialized view"];

/// The kind of an object, and the parts of its name.
fn parted(object: &str, dialect: Dialect) -> Option<(&str, Vec<String>)> {
    const KINDS: &[&str] = &[
        "table",
        "foreign table",
        "partition",
        "view",
        "materialized view",
        "column",
        "constraint",
        "foreign key",
        "index",
    ];
    let kind = KINDS.iter().find(|kind| object.strip_prefix(**kind).is_some_and(|rest| rest.starts_with(' ')))?;
    let name = &object[kind.len() + 1..];
    if dialect != Dialect::PostgreSql {
        // They are not quoted there, and a point in one is as rare as it is odd.
        return Some((kind, name.split('.').map(str::to_owned).collect()));
    }
    let lexed = lex(name, dialect);
    let mut at = Cursor::new(&lexed.tokens, dialect);
    let mut parts = vec![at.part()?];
    while at.eat(".") {
        parts.push(at.part()?);
    }
    at.is_done().then_some((*kind, parts))
}

fn table_of(parts: &[String]) -> Option<(Name, String)> {
    match parts {
        [table, name] => Some((Name { schema: None, name: table.clone() }, name.clone())),
        [schema, table, name] => Some((Name { schema: Some(schema.clone()), name: table.clone() }, name.clone())),
        _ => None,
    }
}

/// `CREATE UNIQUE INDEX i ON public.t USING btree (a)`
fn index_table(definition: &str, dialect: Dialect) -> Name {
    let lexed = lex(definition, dialect);
    let on = Cursor::new(&lexed.tokens, dialect).clauses(&["ON"]).get("ON");
    let name = on.and_then(|mut on| {
        on.only();
        on.name()
    });
    name.unwrap_or(Name { schema: None, name: String::new() })
}

fn add(table: &mut Table, kind: &str, name: String, definition: &str, dialect: Dialect) {
    let lexed = lex(definition, dialect);
    let at = Cursor::new(&lexed.tokens, dialect);
    match kind {
        "column" => table.columns.push(column(name, at)),
        "index" => {
            let unique = at.at("UNIQUE") || at.at("CREATE UNIQUE");
            let columns = at.clauses(&["ON"]).get("ON").map(|on| index_columns(&on)).unwrap_or_default();
            table.indexes.push(Index { name, columns, unique });
        }
        "foreign key" => {
            let references = at.clauses(&["TO"]).get("TO").and_then(|mut to| to.name()).map(|name| name.to_string());
            table.constraints.push(Constraint {
                name,
                kind: ConstraintKind::ForeignKey,
                columns: at.before(&["TO"]).names().into_iter().map(|name| name.name).collect(),
                references,
                cascades: cascades(&at),
            });
        }
        _ => table.constraints.extend(constraint(name, &at)),
    }
}

/// `character varying(50) collate "C" not null default 'x'`
fn column(name: String, mut at: Cursor<'_>) -> Column {
    let ty = Type::read(&mut at).full;
    if at.eat("COLLATE") {
        let _ = at.name();
    }
    let nullable = !at.eat("NOT NULL");
    let default = at.at("DEFAULT").then(|| at.text());
    Column { name, ty: Some(ty), nullable: Some(nullable), default }
}

fn index_columns(on: &Cursor<'_>) -> Vec<String> {
    let columns = listed(on);
    // MySQL's are not in parentheses: `unique BTREE on a, b(10) desc`.
    if columns.is_empty() && !on.tokens.iter().any(|t| t.is("USING")) {
        return on.list().into_iter().filter_map(|mut item| item.part()).collect();
    }
    columns
}

fn constraint(name: String, at: &Cursor<'_>) -> Option<Constraint> {
    let kinds = [
        ("PRIMARY KEY", ConstraintKind::PrimaryKey),
        ("UNIQUE", ConstraintKind::Unique),
        ("FOREIGN KEY", ConstraintKind::ForeignKey),
        ("EXCLUDE", ConstraintKind::Exclude),
        ("CHECK", ConstraintKind::Check),
    ];
    let (_, kind) = kinds.into_iter().find(|(words, _)| at.at(words))?;
    let references =
        at.clauses(&["REFERENCES"]).get("REFERENCES").and_then(|mut to| to.name()).map(|name| name.to_string());
    let columns = if kind == ConstraintKind::Check { Vec::new() } else { listed(at) };
    Some(Constraint { name, kind, columns, references, cascades: cascades(at) })
}

fn cascades(at: &Cursor<'_>) -> bool {
    at.clauses(&["ON DELETE"]).get("ON DELETE").is_some_and(|does| does.at_any(&["CASCADE", "SET NULL", "SET DEFAULT"]))
}

/// Every word of some SQL, in strings too.
struct Words(HashSet<String>);

impl Words {
    fn of<'a>(sql: impl Iterator<Item = &'a str>) -> Self {
        Self(sql.flat_map(words).map(str::to_lowercase).collect())
    }

    /// The name may stand there.
    fn has(&self, name: &str) -> bool {
        words(name).all(|word| self.0.contains(&word.to_lowercase()))
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_objects_of_a_schema_are_tables_again() {
        let objects = [
            ("table public.\"Users\"", Some("")),
            (
                "column public.\"Users\".name",
                Some("character varying(50) collate \"C\" not null default 'not null'::text"),
            ),
            ("column public.\"Users\".age", Some("integer")),
            ("column public.\"Users\".secret", None),
            ("constraint public.\"Users\".u", Some("FOREIGN KEY (age) REFERENCES public.ages(id) ON DELETE CASCADE")),
            (
                "index public.i",
                Some("CREATE UNIQUE INDEX i ON public.\"Users\" USING btree (name, age) WHERE (age > 1)"),
            ),
            ("table public.other", Some("")),
            ("column public.other.x", Some("integer")),
        ];
        let sql = "ALTER TABLE \"Users\" ADD x int";
        let catalog = of_objects(Dialect::PostgreSql, std::iter::once(sql), objects.into_iter());
        assert_eq!(catalog.tables.len(), 1);
        let table = &catalog.tables["public.Users"];
        let column = |name: &str| table.column(name).map(|c| (c.ty.clone().unwrap_or_default(), c.nullable));
        assert_eq!(column("name"), Some(("character varying(50)".to_owned(), Some(false))));
        assert_eq!((column("age"), column("secret")), (Some(("integer".to_owned(), Some(true))), None));
        assert!(table.constraints[0].cascades && table.constraints[0].references.as_deref() == Some("public.ages"));
        assert_eq!(catalog.relations, Relations::Named(["users".to_owned()].into()));
        // An index tells its table, though nothing else of it is named.
        let index = of_objects(Dialect::PostgreSql, std::iter::once("DROP INDEX i"), objects.into_iter());
        assert_eq!(index.tables["public.Users"].indexes[0].columns, ["name", "age"]);
    }

    #[test]
    fn mysqls_names_stand_without_quotes() {
        let objects = [
            ("table t", Some("InnoDB")),
            ("column t.a", Some("int(11) unsigned not null default 0")),
            ("index t.i", Some("unique BTREE on a, b(10) desc")),
            ("foreign key t.f", Some("a to p id on update RESTRICT on delete CASCADE")),
        ];
        let catalog = of_objects(Dialect::MySql, std::iter::once("DROP TABLE t"), objects.into_iter());
        let table = &catalog.tables["t"];
        assert_eq!(
            (table.columns[0].nullable, table.columns[0].ty.as_deref()),
            (Some(false), Some("int unsigned(11)"))
        );
        assert_eq!(
            (table.indexes[0].unique, &table.indexes[0].columns[..]),
            (true, &["a".to_owned(), "b".to_owned()][..])
        );
        assert_eq!((table.constraints[0].columns.len(), table.constraints[0].cascades), (1, true));
        let none = of_objects(Dialect::MySql, std::iter::once("DROP TABLE t"), std::iter::empty());
        assert_eq!(none.relations, Relations::Nothing);
    }
}
