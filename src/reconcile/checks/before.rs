//! What the database has before a plan, as far as it was read, in the linter's words; no I/O.

use crate::{
    db::{self, Sizes, Snapshot},
    lint::{Catalog, Dialect, Relations, catalog_of},
};

/// The live database beside a plan.
#[derive(Clone, Copy, Debug, Default)]
pub struct Before<'a> {
    pub snapshot: Option<&'a Snapshot>,
    /// How large its tables are.
    pub sizes: Option<&'a Sizes>,
    /// The objects of its schema.
    pub schema: Option<&'a db::Catalog>,
}

/// The reading of sizes lists no more tables than this.
const LISTED: usize = 20_000;

impl Before<'_> {
    /// The server's own word for its version.
    pub fn server_version(&self) -> &str {
        self.snapshot.map_or("", |snapshot| snapshot.server_version.as_str())
    }

    /// The tables that the SQL names, and which of them are there at all.
    pub fn catalog<'a>(&self, dialect: Dialect, sql: impl Iterator<Item = &'a str>, version_table: &str) -> Catalog {
        let mut catalog = match self.schema {
            Some(schema) => {
                let objects = schema.objects.iter().map(|(name, definition)| (name.as_str(), definition.as_text()));
                catalog_of(dialect, sql, objects)
            }
            None => Catalog::default(),
        };
        catalog.relations = self.relations(dialect, catalog.relations, version_table);
        catalog
    }

    /// What an extension brought along and partitions are no objects of the schema, but have a size.
    fn relations(&self, dialect: Dialect, of_schema: Relations, version_table: &str) -> Relations {
        if dialect == Dialect::Sqlite {
            let empty = self.snapshot.is_some_and(|snapshot| snapshot.rows.is_empty() && snapshot.tables.is_empty());
            return if empty { Relations::Nothing } else { of_schema };
        }
        let Some(sizes) = self.sizes.filter(|sizes| sizes.len() < LISTED) else { return Relations::Unknown };
        let bare = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
        let mut listed = sizes.keys().map(|name| bare(name)).filter(|name| name != version_table).peekable();
        match self.schema {
            Some(_) => of_schema.and(listed),
            None if dialect == Dialect::PostgreSql && listed.peek().is_none() => Relations::Nothing,
            None => Relations::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{TableSize, VersionRows};

    fn sizes(names: &[&str]) -> Sizes {
        names.iter().map(|name| ((*name).to_owned(), TableSize::default())).collect()
    }

    fn objects(rows: &[(&str, &str)]) -> db::Catalog {
        let rows = rows.iter().map(|(kind, name)| ((*kind).to_owned(), (*name).to_owned(), String::new()));
        db::Catalog::new("postgresql 15".to_owned(), rows)
    }

    #[test]
    fn a_table_is_not_there_only_where_both_looks_say_so() {
        let relations = |sizes: Option<&Sizes>, schema: Option<&db::Catalog>| {
            let before = Before { snapshot: None, sizes, schema };
            before.catalog(Dialect::PostgreSql, std::iter::once("DROP TABLE goods"), "alembic_version").relations
        };
        let (goods, none) = (objects(&[("table", "public.goods")]), objects(&[]));
        let (version, part) = (sizes(&["public.alembic_version"]), sizes(&["public.alembic_version", "public.part_1"]));
        let named = |names: &[&str]| Relations::Named(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(relations(None, Some(&goods)), Relations::Unknown);
        assert_eq!(relations(Some(&part), None), Relations::Unknown);
        assert_eq!(relations(Some(&version), None), Relations::Nothing);
        assert_eq!(relations(Some(&version), Some(&none)), Relations::Nothing);
        assert_eq!(relations(Some(&version), Some(&goods)), named(&["goods"]));
        assert_eq!(relations(Some(&part), Some(&none)), named(&["part_1"]));
    }

    #[test]
    fn a_file_without_tables_has_nothing_to_lose() {
        let snapshot = |tables: &[&str]| Snapshot {
            dialect: "sqlite".into(),
            server_version: "3".into(),
            rows: VersionRows::NoTable,
            tables: tables.iter().map(|name| (*name).to_owned()).collect(),
            column: None,
            identity: None,
            read_only: false,
        };
        let relations = |snapshot: &Snapshot| {
            let before = Before { snapshot: Some(snapshot), ..Before::default() };
            before.catalog(Dialect::Sqlite, std::iter::empty(), "alembic_version").relations
        };
        assert_eq!(relations(&snapshot(&[])), Relations::Nothing);
        assert_eq!(relations(&snapshot(&["a"])), Relations::Unknown);
    }
}
