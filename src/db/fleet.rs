//! The look at many schemas on one connection, and the listing of schemas and databases; does network I/O.

use super::{
    Dialect, Endpoint, ProbeError, RowFault, Sizes, VersionRows, VersionTable,
    engines::postgresql::{begin_as, quoted, session},
    error::Failure,
    fleet_mysql,
    rows::version_rows,
};
use sqlx::{AssertSqlSafe, Executor, Row, postgres::PgConnection};
use std::{collections::BTreeMap, time::Duration};

const SCHEMAS: &str = include_str!("sql/postgres_schemas.sql");
const DATABASES: &str = include_str!("sql/postgres_databases.sql");
const TABLES: &str = include_str!("sql/postgres_schema_tables.sql");
const SIZES: &str = include_str!("sql/postgres_schema_sizes.sql");

/// Targets that a set may have.
pub const MOST_TARGETS: usize = 10_000;
/// Bytes of a row of a user's query: what is longer stays on the server.
pub const MOST_OF_A_ROW: usize = 1024;
/// Schemas whose rows one statement reads.
const TOGETHER: usize = 200;
/// Version rows of a schema: there is one for each head, and a set has thousands of schemas.
const MOST_ROWS: usize = 64;
/// Bytes of all rows of a look.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// What is listed on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    Schemas,
    Databases,
}

/// What was read of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaRows {
    pub rows: Result<VersionRows, String>,
    /// Whether it has tables beside the version table.
    pub tables: bool,
}

/// What was read of many schemas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchemasLook {
    /// By name; what is not there is gone.
    pub schemas: BTreeMap<String, SchemaRows>,
    /// Bytes of the rows as they were read.
    bytes: usize,
    pub sizes: Sizes,
    pub server_version: String,
}

/// Whether the databases of such a server have schemas; where not, a schema is another word for a database.
pub fn has_schemas(endpoint: &Endpoint) -> bool {
    endpoint.dialect == Dialect::Postgresql
}

fn no_table() -> VersionTable {
    VersionTable { schema: None, name: "alembic_version".to_owned(), measure: false }
}

/// The names on a server that match a regular expression of the server's.
pub async fn list(
    endpoint: &Endpoint,
    what: Listed,
    pattern: &str,
    timeout: Duration,
) -> Result<Vec<String>, ProbeError> {
    let query = match what {
        Listed::Schemas => SCHEMAS,
        Listed::Databases => DATABASES,
    };
    let table = no_table();
    if !has_schemas(endpoint) {
        return super::in_time(endpoint, timeout, fleet_mysql::list(endpoint, &table, pattern, timeout)).await;
    }
    let look = session(endpoint, &table, timeout, async |connection: &mut PgConnection| {
        begin_as(connection, endpoint, timeout).await?;
        let rows = sqlx::query(query).persistent(false).bind(pattern).fetch_all(connection).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<String>, _>>()?)
    });
    super::in_time(endpoint, timeout, look).await
}

/// The rows of a query of the user's, each by its columns as text; `None` for one that is too long. It runs in a read-only transaction
/// with a limit of time.
pub async fn query(
    endpoint: &Endpoint,
    sql: &str,
    timeout: Duration,
) -> Result<Vec<Option<BTreeMap<String, String>>>, ProbeError> {
    // One statement, whose columns become text whatever they are.
    let sql = sql.trim_end().trim_end_matches(';');
    let table = no_table();
    if !has_schemas(endpoint) {
        let look = fleet_mysql::query(endpoint, &table, sql, timeout);
        return super::in_time(endpoint, timeout, look).await.map_err(of_the_query);
    }
    let text = format!(
        "SELECT CASE WHEN pg_catalog.octet_length(row) <= {MOST_OF_A_ROW} THEN row END \
         FROM (SELECT pg_catalog.row_to_json(t)::text AS row FROM ({sql}\n) AS t LIMIT {}) AS r",
        MOST_TARGETS + 1
    );
    let look = session(endpoint, &table, timeout, async |connection: &mut PgConnection| {
        begin_as(connection, endpoint, timeout).await?;
        let rows = sqlx::query(AssertSqlSafe(text)).persistent(false).fetch_all(connection).await?;
        let texts = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<Option<String>>, _>>()?;
        Ok(texts.into_iter().map(|text| text.map(|text| columns(&text))).collect())
    });
    super::in_time(endpoint, timeout, look).await.map_err(of_the_query)
}

/// What is wrong with a query of the user's, which reads other tables than the version table.
fn of_the_query(error: ProbeError) -> ProbeError {
    let (place, fault) = match error {
        ProbeError::NotAVersionTable { place, .. } => (place, "names a column that is not there"),
        ProbeError::PermissionDenied { place, .. } => (place, "reads a table that the user may not read"),
        ProbeError::Unexpected { place, code } if code == "42P01" => (place, "names a table that is not there"),
        ProbeError::Unexpected { place, code } if code == "42601" => (place, "is no SELECT that the server knows"),
        other => return other,
    };
    ProbeError::Query { place, fault }
}

fn columns(json: &str) -> BTreeMap<String, String> {
    let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    let text = |value: serde_json::Value| match value {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    row.into_iter().filter_map(|(name, value)| Some((name, text(value)?))).collect()
}

/// Reads the version rows of many schemas on one connection.
pub async fn schemas(
    endpoint: &Endpoint,
    version_table: &str,
    names: &[String],
    timeout: Duration,
) -> Result<SchemasLook, ProbeError> {
    let table = VersionTable { schema: None, name: version_table.to_owned(), measure: false };
    let look = session(endpoint, &table, timeout, async |connection: &mut PgConnection| {
        begin_as(connection, endpoint, timeout).await?;
        read(connection, endpoint, version_table, names, timeout).await
    });
    super::in_time(endpoint, timeout, look).await
}

async fn read(
    connection: &mut PgConnection,
    endpoint: &Endpoint,
    version_table: &str,
    names: &[String],
    timeout: Duration,
) -> Result<SchemasLook, Failure> {
    let mut look = SchemasLook::default();
    let mut versioned: Vec<String> = Vec::new();
    let found =
        sqlx::query(TABLES).persistent(false).bind(names).bind(version_table).fetch_all(&mut *connection).await?;
    for row in found {
        let (name, has_table, tables): (String, bool, bool) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let rows = if has_table { Ok(VersionRows::Rows(Default::default())) } else { Ok(VersionRows::NoTable) };
        versioned.extend(has_table.then(|| name.clone()));
        look.schemas.insert(name, SchemaRows { rows, tables });
    }
    let sizes =
        sqlx::query_as::<_, (String, i64)>(SIZES).persistent(false).bind(names).fetch_all(&mut *connection).await?;
    look.sizes = super::counted(sizes.into_iter().map(|(table, rows)| (table, rows, Vec::new())).collect());
    let version = sqlx::query("SHOW server_version").persistent(false).fetch_one(&mut *connection).await?;
    look.server_version = version.try_get::<String, _>(0)?.split(' ').next().unwrap_or_default().to_owned();
    for chunk in versioned.chunks(TOGETHER) {
        if look.bytes > MOST_BYTES {
            look.refuse(chunk, "is not read, since those of other schemas are too large");
            continue;
        }
        match rows_of(connection, version_table, chunk).await {
            Ok(rows) => look.take(chunk, rows),
            // One that may not be read, or has just gone, must not hide the others.
            Err(sqlx::Error::Database(_)) => {
                one_by_one(connection, (endpoint, timeout), version_table, chunk, &mut look).await?
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(look)
}

impl SchemasLook {
    fn take(&mut self, chunk: &[String], rows: Vec<(String, Option<String>)>) {
        let mut by_schema: BTreeMap<&str, Vec<Option<String>>> = BTreeMap::new();
        for (schema, row) in &rows {
            self.bytes = self.bytes.saturating_add(row.as_ref().map_or(0, String::len));
            by_schema.entry(schema).or_default().push(row.clone());
        }
        for name in chunk {
            let rows = by_schema.remove(name.as_str()).unwrap_or_default();
            let rows = match rows.len() > MOST_ROWS {
                true => {
                    Err(format!("the version table has more than {MOST_ROWS} rows, which no schema of a set may have"))
                }
                false => version_rows(rows).map_err(|fault: RowFault| format!("the version table {fault}")),
            };
            if let Some(schema) = self.schemas.get_mut(name) {
                schema.rows = rows;
            }
        }
    }

    fn refuse(&mut self, names: &[String], why: &str) {
        for name in names {
            if let Some(schema) = self.schemas.get_mut(name) {
                schema.rows = Err(format!("the version table {why}"));
            }
        }
    }
}

/// The statement that reads the rows of several schemas, one more of each than may be there.
fn select(version_table: &str, names: &[String]) -> String {
    let of_schema = |(number, name): (usize, &String)| {
        let table = VersionTable { schema: Some(name.clone()), name: version_table.to_owned(), measure: false };
        let limit = MOST_ROWS + 1;
        format!("(SELECT {number}::int4, left(version_num::text, 513) FROM {} LIMIT {limit})", quoted(&table))
    };
    names.iter().enumerate().map(of_schema).collect::<Vec<_>>().join("\nUNION ALL\n")
}

async fn rows_of(
    connection: &mut PgConnection,
    version_table: &str,
    names: &[String],
) -> Result<Vec<(String, Option<String>)>, sqlx::Error> {
    let statement = select(version_table, names);
    let rows = connection.fetch_all(AssertSqlSafe(statement)).await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let number = usize::try_from(row.try_get::<i32, _>(0)?).unwrap_or(usize::MAX);
        if let Some(name) = names.get(number) {
            found.push((name.clone(), row.try_get(1)?));
        }
    }
    Ok(found)
}

async fn one_by_one(
    connection: &mut PgConnection,
    (endpoint, timeout): (&Endpoint, Duration),
    version_table: &str,
    names: &[String],
    look: &mut SchemasLook,
) -> Result<(), Failure> {
    for name in names {
        connection.execute("ROLLBACK").await?;
        begin_as(connection, endpoint, timeout).await?;
        match rows_of(connection, version_table, std::slice::from_ref(name)).await {
            Ok(rows) => look.take(std::slice::from_ref(name), rows),
            Err(sqlx::Error::Database(error)) => {
                let code = crate::text::clean(error.code().as_deref().unwrap_or_default(), 5);
                if let Some(schema) = look.schemas.get_mut(name) {
                    schema.rows = Err(format!("the version table can't be read (SQLSTATE {code})"));
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
    connection.execute("ROLLBACK").await?;
    begin_as(connection, endpoint, timeout).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_becomes_text() {
        let row = columns(r#"{"name": "acme", "tier": 1, "schema": null, "vip": true}"#);
        assert_eq!(
            row,
            BTreeMap::from(
                [("name", "acme"), ("tier", "1"), ("vip", "true")].map(|(k, v)| (k.to_owned(), v.to_owned()))
            )
        );
        assert!(columns("[]").is_empty());
    }
    #[test]
    fn a_schema_with_too_many_rows_is_refused_and_so_is_what_would_fill_the_memory() {
        let names = ["a".to_owned(), "b".to_owned()];
        assert_eq!(select("v", &names).matches("LIMIT 65)").count(), 2);
        let empty = || SchemaRows { rows: Ok(VersionRows::Rows(Default::default())), tables: true };
        let mut look = SchemasLook::default();
        look.schemas.extend(names.iter().map(|name| (name.clone(), empty())));
        let mut rows: Vec<_> = (0..65).map(|n| ("a".to_owned(), Some(format!("{n:03}")))).collect();
        rows.push(("b".to_owned(), Some("abc".to_owned())));
        look.take(&names, rows);
        assert_eq!(look.bytes, 66 * 3);
        assert!(look.schemas["a"].rows.as_ref().unwrap_err().contains("more than 64 rows"));
        assert!(look.schemas["b"].rows.is_ok());
        look.refuse(&names[1..], "is not read");
        assert_eq!(look.schemas["b"].rows.as_ref().unwrap_err(), "the version table is not read");
    }

    #[test]
    fn what_is_wrong_with_a_query_is_said_of_the_query() {
        let (place, table) = ("db:5432/shop".to_owned(), "alembic_version".to_owned());
        let error = of_the_query(ProbeError::NotAVersionTable { place: place.clone(), table });
        assert_eq!((error.reason(), error.to_string().contains("alembic_version")), ("InvalidSpec", false));
        let other = ProbeError::AuthFailed { place };
        assert_eq!(of_the_query(other.clone()), other);
    }
}
