//! SQLite: the operator never opens one, as its file is in a volume of the application's; no I/O.

use std::collections::BTreeMap;

const CATALOG: &str = include_str!("../sql/sqlite_catalog.sql");

/// The queries of the schema, for the runner.
pub fn catalog_queries() -> BTreeMap<&'static str, String> {
    BTreeMap::from([("sqlite", super::named(CATALOG))])
}
