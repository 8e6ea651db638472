//! What each engine does in its own way, one file for each: how it is looked at, and the queries of its schema; does network
//! I/O. What the runner does in each engine's own way is in `src/runner/alembic_operator_runner/engines`.

pub(super) mod mysql;
pub(super) mod postgresql;
mod sqlite;

use super::{Dialect, Endpoint, ProbeError, Schema, Sizes, Snapshot, VersionTable};
use std::{collections::BTreeMap, time::Duration};

/// Reads the version rows.
pub async fn probe(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Snapshot, ProbeError> {
    match endpoint.dialect {
        Dialect::Postgresql => postgresql::probe(endpoint, table, timeout).await,
        Dialect::Mysql | Dialect::Mariadb => mysql::probe(endpoint, table, timeout).await,
    }
}

/// Reads every object of the schema.
pub async fn schema(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Schema, ProbeError> {
    match endpoint.dialect {
        Dialect::Postgresql => postgresql::schema(endpoint, table, timeout).await,
        Dialect::Mysql | Dialect::Mariadb => mysql::schema(endpoint, table, timeout).await,
    }
}

/// Reads about how many rows each table has.
pub async fn sizes(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Sizes, ProbeError> {
    match endpoint.dialect {
        Dialect::Postgresql => postgresql::sizes(endpoint, table, timeout).await,
        Dialect::Mysql | Dialect::Mariadb => mysql::sizes(endpoint, table, timeout).await,
    }
}

/// The catalog queries of a dialect by the server that they are for, with `:version_table` and `:version_schema` as
/// SQLAlchemy has parameters: for the runner, where the operator does not look by itself. None for an engine whose schema
/// nobody compares.
pub fn catalog_queries(dialect: &str) -> BTreeMap<&'static str, String> {
    match dialect {
        "postgresql" => postgresql::catalog_queries(),
        "mysql" | "mariadb" => mysql::catalog_queries(),
        "sqlite" => sqlite::catalog_queries(),
        _ => BTreeMap::new(),
    }
}

/// Whether the schema of a dialect can be read and compared. Every pass asks, so no query is made for it.
pub fn has_catalog(dialect: &str) -> bool {
    matches!(dialect, "postgresql" | "mysql" | "mariadb" | "sqlite")
}

/// A query without its comments: a parameter that only one of these names would be one too many.
fn bare(query: &str) -> String {
    query.split_inclusive('\n').filter(|line| !line.starts_with("--")).collect()
}

/// The same with SQLAlchemy's names for PostgreSQL's parameters.
fn named(query: &str) -> String {
    bare(query).replace("$1", ":version_table").replace("$2", ":version_schema")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_query_for_the_runner_is_complete() {
        for dialect in ["postgresql", "mysql", "mariadb", "sqlite"] {
            let queries = catalog_queries(dialect);
            assert!(has_catalog(dialect) && !queries.is_empty());
            for query in queries.values() {
                assert!(!query.contains("$1") && !query.contains("{version_table}"), "{query}");
            }
        }
        assert!(!has_catalog("duckdb"));
    }
}
