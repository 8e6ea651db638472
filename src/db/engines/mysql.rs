//! The look at a MySQL or MariaDB database; does network I/O.

use crate::db::{
    Catalog, Endpoint, ProbeError, Schema, Sizes, Snapshot, TlsMode, VersionRows, VersionTable,
    endpoint::Server,
    error::Failure,
    fingerprint::Reading,
    relay::Way,
    rows::{limited, version_rows},
    shown,
};
use futures::TryStreamExt;
use secrecy::ExposeSecret;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Executor, Row,
    mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlSslMode},
};
use std::{collections::BTreeMap, time::Duration};

/// Limits for the session, which ends with the look; each server heeds the comment that is meant for it.
const BEGIN: &str = include_str!("../sql/mysql_begin.sql");
const READ_ROWS: &str = include_str!("../sql/mysql_read_rows.sql");
const WIDTH: &str = include_str!("../sql/mysql_width.sql");
const OTHER_TABLES: &str = include_str!("../sql/mysql_other_tables.sql");
const CATALOG: &str = include_str!("../sql/mysql_catalog.sql");
const RUNNING: &str = include_str!("../sql/mysql_running.sql");
const SIZES: &str = include_str!("../sql/mysql_sizes.sql");
const READ_ONLY: &str = include_str!("../sql/mysql_read_only.sql");
const IDENTITY: &str = include_str!("../sql/mysql_identity.sql");
const SEQUENCE: &str = include_str!("../sql/mariadb_sequence.sql");

/// ER_NO_SUCH_TABLE
const NO_TABLE: u16 = 1146;
/// ER_UNKNOWN_SYSTEM_VARIABLE: another server that speaks this protocol.
const NO_VARIABLE: u16 = 1193;

/// One connection, one read-only transaction.
pub async fn probe(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Snapshot, ProbeError> {
    session(endpoint, table, timeout, async |c: &mut MySqlConnection| look(c, endpoint, table, timeout).await).await
}

/// One connection, one read-only transaction. The catalog is no part of a transaction here: the rows are read last, and
/// so belong to it unless somebody migrates.
pub async fn schema(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Schema, ProbeError> {
    session(endpoint, table, timeout, async |c: &mut MySqlConnection| read_schema(c, table, timeout).await).await
}

/// About how many rows each table has.
pub async fn sizes(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Sizes, ProbeError> {
    let sizes = async |c: &mut MySqlConnection| Ok(read_sizes(c, timeout).await?);
    let sizes = session(endpoint, table, timeout, sizes).await?;
    Ok(crate::db::counted(sizes.into_iter().map(|(table, rows)| (table, rows, Vec::new())).collect()))
}

/// The queries of the schema, for the runner; MariaDB has some of its own.
pub fn catalog_queries() -> BTreeMap<&'static str, String> {
    let of = |mariadb| super::bare(&catalog_query(mariadb)).replace("{version_table}", ":version_table");
    BTreeMap::from([("mysql", of(false)), ("mariadb", of(true)), ("sequence", SEQUENCE.to_owned())])
}

/// What `work` finds on a connection of its own.
pub(in crate::db) async fn session<T>(
    endpoint: &Endpoint,
    table: &VersionTable,
    timeout: Duration,
    work: impl AsyncFnOnce(&mut MySqlConnection) -> Result<T, Failure>,
) -> Result<T, ProbeError> {
    let connection = connect(endpoint, table, timeout).await?;
    crate::db::on(connection, work).await.map_err(|failure| explain(failure, endpoint, table))
}

/// The first server that answers.
async fn connect(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<MySqlConnection, ProbeError> {
    let connect = |server, way| async move {
        options(endpoint, server, way).connect().await.map_err(|error| explain(error.into(), endpoint, table))
    };
    crate::db::first_of(endpoint, timeout, |server, way| Box::pin(connect(server, way))).await
}

async fn read_sizes(connection: &mut MySqlConnection, timeout: Duration) -> Result<Vec<(String, i64)>, sqlx::Error> {
    begin(connection, timeout).await?;
    sqlx::query_as(SIZES).persistent(false).fetch_all(connection).await
}

async fn read_schema(
    connection: &mut MySqlConnection,
    table: &VersionTable,
    timeout: Duration,
) -> Result<Schema, Failure> {
    let catalog = read_catalog(connection, table, timeout).await?;
    let rows = rows(connection, table).await?;
    let running = sqlx::query_scalar(RUNNING).persistent(false).bind(&table.schema).bind(&table.name);
    let migrating = running.fetch_one(connection).await?;
    Ok(Schema { catalog, rows: rows.into_set(), migrating })
}

/// `10.11.6-MariaDB-log` is mariadb 10.11, `8.4.2` is mysql 8.4.
fn engine(version: &str) -> String {
    let name = if version.to_lowercase().contains("mariadb") { "mariadb" } else { "mysql" };
    let numbers: Vec<&str> = version.split(['.', '-']).take(2).collect();
    format!("{name} {}", crate::text::clean(&numbers.join("."), 20))
}

/// Row by row, so that nothing is in memory twice.
async fn read_catalog(
    connection: &mut MySqlConnection,
    table: &VersionTable,
    timeout: Duration,
) -> Result<Catalog, Failure> {
    let engine = engine(&begin(connection, timeout).await?);
    connection.execute("SET SESSION group_concat_max_len = 1000000").await?;
    let query = catalog_query(engine.starts_with("mariadb"));
    let parameters = query.matches("{version_table}").count();
    let query = query.replace("{version_table}", "?");
    let mut reading = Reading::of(engine);
    let mut sequences: Vec<String> = Vec::new();
    {
        let query = sqlx::query(AssertSqlSafe(query)).persistent(false);
        let query = (0..parameters).fold(query, |query, _| query.bind(&table.name));
        let mut found = query.fetch(&mut *connection);
        while let Some(row) = found.try_next().await? {
            match row.try_get(0)? {
                "sequence" => sequences.push(row.try_get(1)?),
                kind => reading.take(kind, row.try_get(1)?, row.try_get(2)?)?,
            }
        }
    }
    for name in sequences {
        let query = SEQUENCE.replace("{sequence}", &quoted_name(&name));
        reading.take("sequence", &name, connection.fetch_one(AssertSqlSafe(query)).await?.try_get(0)?)?;
    }
    Ok(reading.finish())
}

/// What the two servers have under different names is put in its place; the version table is not.
fn catalog_query(mariadb: bool) -> String {
    let differing = if mariadb {
        [
            ("{expression}", "''"),
            ("{visible}", "IF(MAX(s.ignored) = 'YES', 'ignored', NULL)"),
            ("{check_table}", "k.table_name"),
            ("{check_join}", "JOIN own AS t ON t.table_name = k.table_name"),
            ("{enforced}", "NULL"),
            ("{algorithm}", ", v.algorithm"),
        ]
    } else {
        [
            ("{expression}", "s.expression"),
            ("{visible}", "IF(MAX(s.is_visible) = 'NO', 'invisible', NULL)"),
            ("{check_table}", "c.table_name"),
            (
                "{check_join}",
                "JOIN information_schema.table_constraints AS c ON c.constraint_schema = k.constraint_schema AND c.constraint_name = k.constraint_name AND c.constraint_type = 'CHECK' JOIN own AS t ON t.table_name = c.table_name",
            ),
            ("{enforced}", "IF(c.enforced = 'NO', 'not enforced', NULL)"),
            ("{algorithm}", ""),
        ]
    };
    differing.iter().fold(CATALOG.to_owned(), |query, (name, text)| query.replace(name, text))
}

/// Limits, the transaction, and the server's version.
pub(in crate::db) async fn begin(connection: &mut MySqlConnection, timeout: Duration) -> Result<String, sqlx::Error> {
    // Numbers of our own making, and no other text, go into this statement.
    let begin = BEGIN
        .replace("{milliseconds}", &timeout.as_millis().to_string())
        .replace("{seconds}", &timeout.as_secs().max(1).to_string());
    for statement in begin.split(';').map(str::trim).filter(|s| !s.is_empty()) {
        connection.execute(AssertSqlSafe(statement.to_owned())).await?;
    }
    connection.fetch_one("SELECT VERSION()").await?.try_get(0)
}

fn options(endpoint: &Endpoint, server: &Server, way: Way) -> MySqlConnectOptions {
    let options = MySqlConnectOptions::new()
        .host(&endpoint.address(server))
        .port(server.port)
        .username(endpoint.username.expose_secret())
        .password(endpoint.password.as_ref().map_or("", ExposeSecret::expose_secret))
        .database(&endpoint.database)
        .ssl_mode(match endpoint.tls {
            TlsMode::Disable => MySqlSslMode::Disabled,
            TlsMode::Allow | TlsMode::Prefer => MySqlSslMode::Preferred,
            TlsMode::Require => MySqlSslMode::Required,
            TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
            TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
        })
        .statement_cache_capacity(0)
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(None);
    let options = match &endpoint.ca {
        Some(pem) => options.ssl_ca_from_pem(pem.clone()),
        None => options,
    };
    let options = match way.0 {
        Some(socket) => options.socket(socket),
        None => options,
    };
    options.disable_statement_logging()
}

async fn look(
    connection: &mut MySqlConnection,
    endpoint: &Endpoint,
    table: &VersionTable,
    timeout: Duration,
) -> Result<Snapshot, Failure> {
    let server_version = begin(connection, timeout).await?;
    let rows = rows(connection, table).await?;
    let tables = if rows.is_empty() {
        let found = sqlx::query(OTHER_TABLES).persistent(false).bind(&table.name).fetch_all(&mut *connection).await?;
        found.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?
    } else {
        Vec::new()
    };
    let column = match &rows {
        VersionRows::Rows(_) if table.measure => {
            let schema = table.schema.as_deref();
            let found = sqlx::query(WIDTH).persistent(false).bind(schema).bind(&table.name);
            found.fetch_optional(&mut *connection).await?.map(|row| row.try_get::<u64, _>(0)).transpose()?
        }
        _ => None,
    };
    let column = column.map(|width| u32::try_from(width).unwrap_or(u32::MAX));
    let identity = identity(connection, &server_version).await?;
    let read_only = connection.fetch_one(READ_ONLY).await?.try_get(0)?;
    Ok(Snapshot { dialect: endpoint.dialect.to_string(), server_version, rows, tables, column, identity, read_only })
}

/// The server's own name for the database. MariaDB has none that lasts: its server_uid comes from the network card and the
/// port (the same data on another port has another one), so it would change each time that a pod starts.
async fn identity(connection: &mut MySqlConnection, version: &str) -> Result<Option<String>, sqlx::Error> {
    if engine(version).starts_with("mariadb") {
        return Ok(None);
    }
    match connection.fetch_one(IDENTITY).await {
        Ok(row) => row.try_get(0),
        Err(error) if number(&error) == Some(NO_VARIABLE) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn rows(connection: &mut MySqlConnection, table: &VersionTable) -> Result<VersionRows, Failure> {
    match connection.fetch_all(AssertSqlSafe(limited(READ_ROWS, &quoted(table)))).await {
        Ok(rows) => {
            let rows: Vec<Option<String>> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            Ok(version_rows(rows)?)
        }
        Err(error) if number(&error) == Some(NO_TABLE) => Ok(VersionRows::NoTable),
        Err(error) => Err(error.into()),
    }
}

/// The table as an identifier, whatever characters it has. A schema is a database here.
fn quoted(table: &VersionTable) -> String {
    let schema = table.schema.as_deref().map(|schema| quoted_name(schema) + ".").unwrap_or_default();
    schema + &quoted_name(&table.name)
}

pub(in crate::db) fn quoted_name(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

fn number(error: &sqlx::Error) -> Option<u16> {
    match error {
        sqlx::Error::Database(error) => error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number),
        _ => None,
    }
}

fn explain(failure: Failure, endpoint: &Endpoint, table: &VersionTable) -> ProbeError {
    failure.told(endpoint, table, |error| match number(error) {
        Some(number) => by_number(number, endpoint.place(), table),
        None => ProbeError::of_the_connection(error, endpoint.place(), table),
    })
}

/// Error numbers of the servers' own reference (mysqld error message reference).
fn by_number(number: u16, place: String, table: &VersionTable) -> ProbeError {
    match number {
        1044 | 1045 | 1251 | 1275 | 1524 | 1698 => ProbeError::AuthFailed { place },
        1049 => ProbeError::NoSuchDatabase { place },
        1142 | 1143 | 1227 => ProbeError::PermissionDenied { place, table: shown(table) },
        1054 | 1146 => ProbeError::NotAVersionTable { place, table: shown(table) },
        1040 | 1203 | 1226 => ProbeError::Full { place },
        1053 => ProbeError::Busy { place },
        number => ProbeError::Unexpected { place, code: number.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_quoted() {
        let table = VersionTable { schema: Some("my app".into()), name: "a`b".into(), measure: false };
        assert_eq!(quoted(&table), "`my app`.`a``b`");
    }
}
