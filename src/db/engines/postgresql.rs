//! The look at a PostgreSQL database; does network I/O.

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
    postgres::{PgConnectOptions, PgConnection, PgSslMode},
};
use std::{collections::BTreeMap, time::Duration};

/// The only transaction. Everything is set for the transaction alone, so that a pooler's session is given back as it was.
const BEGIN: &str = include_str!("../sql/postgres_begin.sql");
const READ_ROWS: &str = include_str!("../sql/postgres_read_rows.sql");
const WIDTH: &str = include_str!("../sql/postgres_width.sql");
const OTHER_TABLES: &str = include_str!("../sql/postgres_other_tables.sql");
const PREPARE: &str = include_str!("../sql/postgres_catalog_settings.sql");
const CATALOG: &str = include_str!("../sql/postgres_catalog.sql");
const RUNNING: &str = include_str!("../sql/postgres_running.sql");
const SIZES: &str = include_str!("../sql/postgres_sizes.sql");
const READ_ONLY: &str = include_str!("../sql/postgres_read_only.sql");
const IDENTITY: &str = include_str!("../sql/postgres_identity.sql");

/// SQLSTATE undefined_table: neither the table nor, where one is named, its schema has to be there.
const NO_TABLE: &str = "42P01";
/// SQLSTATE insufficient_privilege, undefined_function and undefined_table: the user may not ask for the server's
/// identity, or it is another server that speaks this protocol and has none.
const NO_IDENTITY: [&str; 3] = ["42501", "42883", NO_TABLE];

/// SQLSTATE of what PostgreSQL says when an object has just gone that the catalog still shows.
const JUST_GONE: [&str; 3] = ["XX000", NO_TABLE, "42704"];
/// How often the catalog is read at the most, where objects come and go all the time.
const TRIES: usize = 3;

/// One connection, one read-only transaction.
pub async fn probe(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Snapshot, ProbeError> {
    session(endpoint, table, timeout, async |c: &mut PgConnection| look(c, endpoint, table, timeout).await).await
}

/// One connection; rows and catalog in one read-only transaction that sees one state of the database.
pub async fn schema(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Schema, ProbeError> {
    session(endpoint, table, timeout, async |c: &mut PgConnection| steady_schema(c, endpoint, table, timeout).await)
        .await
}

/// About how many rows each table has.
pub async fn sizes(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Sizes, ProbeError> {
    let sizes = session(endpoint, table, timeout, async |c: &mut PgConnection| Ok(read_sizes(c, timeout).await?)).await;
    sizes.map(crate::db::counted)
}

/// The queries of the schema, for the runner.
pub fn catalog_queries() -> BTreeMap<&'static str, String> {
    BTreeMap::from([("postgresql", super::named(CATALOG))])
}

/// What `work` finds on a connection of its own.
pub(in crate::db) async fn session<T>(
    endpoint: &Endpoint,
    table: &VersionTable,
    timeout: Duration,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, Failure>,
) -> Result<T, ProbeError> {
    let connection = connect(endpoint, table, timeout).await?;
    crate::db::on(connection, work).await.map_err(|failure| explain(failure, endpoint, table))
}

/// The schema, read again where objects went while it was read.
async fn steady_schema(
    connection: &mut PgConnection,
    endpoint: &Endpoint,
    table: &VersionTable,
    timeout: Duration,
) -> Result<Schema, Failure> {
    for _ in 1..TRIES {
        match read_schema(connection, endpoint, table, timeout).await {
            Err(Failure::Server(sqlx::Error::Database(error)))
                if JUST_GONE.contains(&error.code().as_deref().unwrap_or_default()) =>
            {
                connection.execute("ROLLBACK").await?;
            }
            read => return read,
        }
    }
    read_schema(connection, endpoint, table, timeout).await
}

/// The first server that answers, and takes writes where that is asked for.
async fn connect(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<PgConnection, ProbeError> {
    crate::db::first_of(endpoint, timeout, |server, way| Box::pin(connect_to(server, way, endpoint, table))).await
}

async fn connect_to(
    server: &Server,
    way: Way,
    endpoint: &Endpoint,
    table: &VersionTable,
) -> Result<PgConnection, ProbeError> {
    let told = |error: sqlx::Error| explain(error.into(), endpoint, table);
    let mut connection = options(endpoint, server, way).connect().await.map_err(told)?;
    if !endpoint.writable {
        return Ok(connection);
    }
    let read_only: bool = connection.fetch_one(READ_ONLY).await.and_then(|row| row.try_get(0)).map_err(told)?;
    if read_only { Err(ProbeError::ReadOnly { place: endpoint.place() }) } else { Ok(connection) }
}

async fn read_sizes(connection: &mut PgConnection, timeout: Duration) -> Result<Vec<crate::db::TableRow>, sqlx::Error> {
    connection.execute(AssertSqlSafe(begin(timeout))).await?;
    sqlx::query_as(SIZES).persistent(false).fetch_all(connection).await
}

async fn read_schema(
    connection: &mut PgConnection,
    endpoint: &Endpoint,
    table: &VersionTable,
    timeout: Duration,
) -> Result<Schema, Failure> {
    let begin = begin(timeout).replace("READ ONLY", "ISOLATION LEVEL REPEATABLE READ READ ONLY");
    connection.execute(AssertSqlSafe(begin.clone())).await?;
    set_role_and_path(connection, endpoint).await?;
    let rows = rows(connection, "", table).await?;
    if rows == VersionRows::NoTable {
        // The failed statement ended the transaction's usefulness.
        connection.execute("ROLLBACK").await?;
        connection.execute(AssertSqlSafe(begin)).await?;
    }
    connection.execute(PREPARE).await?;
    let catalog = read_catalog(connection, table).await?;
    let running = sqlx::query(RUNNING).persistent(false).bind(&table.name).bind(&table.schema);
    let migrating = running.fetch_one(&mut *connection).await?.try_get(0)?;
    Ok(Schema { catalog, rows: rows.into_set(), migrating })
}

/// Row by row, so that nothing is in memory twice.
async fn read_catalog(connection: &mut PgConnection, table: &VersionTable) -> Result<Catalog, Failure> {
    let major = connection.server_version_num().map_or(0, |number| number / 10_000);
    let mut reading = Reading::of(format!("postgresql {major}"));
    let query = sqlx::query(CATALOG).persistent(false).bind(&table.name).bind(&table.schema);
    let mut found = query.fetch(connection);
    while let Some(row) = found.try_next().await? {
        reading.take(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?)?;
    }
    Ok(reading.finish())
}

/// How a transaction begins. A number of our own making, and no other text, goes into it.
fn begin(timeout: Duration) -> String {
    BEGIN.replace("{milliseconds}", &timeout.as_millis().to_string())
}

/// Begins the transaction, with the role and the search_path of the URL.
pub(in crate::db) async fn begin_as(
    connection: &mut PgConnection,
    endpoint: &Endpoint,
    timeout: Duration,
) -> Result<(), sqlx::Error> {
    connection.execute(AssertSqlSafe(begin(timeout))).await?;
    set_role_and_path(connection, endpoint).await
}

fn options(endpoint: &Endpoint, server: &Server, way: Way) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&endpoint.address(server))
        .port(server.port)
        .username(endpoint.username.expose_secret())
        .password(endpoint.password.as_ref().map_or("", ExposeSecret::expose_secret))
        .database(&endpoint.database)
        .ssl_mode(match endpoint.tls {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Allow => PgSslMode::Allow,
            TlsMode::Prefer => PgSslMode::Prefer,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        })
        .application_name("alembic-operator")
        // Named statements do not survive a transaction-pooling proxy.
        .statement_cache_capacity(0)
        .extra_float_digits(None);
    let options = match &endpoint.ca {
        Some(pem) => options.ssl_root_cert_from_pem(pem.clone()),
        None => options,
    };
    let options = match way.0 {
        Some(socket) => options.socket(socket),
        None => options,
    };
    options.disable_statement_logging()
}

async fn look(
    connection: &mut PgConnection,
    endpoint: &Endpoint,
    table: &VersionTable,
    timeout: Duration,
) -> Result<Snapshot, Failure> {
    let begin = begin(timeout);
    let rows = if endpoint.search_path.is_some() || endpoint.role.is_some() {
        connection.execute(AssertSqlSafe(begin.clone())).await?;
        set_role_and_path(connection, endpoint).await?;
        rows(connection, "", table).await?
    } else {
        rows(connection, &begin, table).await?
    };
    let tables = match rows {
        // The failed statement ended the transaction's usefulness.
        VersionRows::NoTable => {
            connection.execute("ROLLBACK").await?;
            connection.execute(AssertSqlSafe(begin)).await?;
            other_tables(connection, endpoint, table).await?
        }
        VersionRows::Rows(ref found) if found.is_empty() => other_tables(connection, endpoint, table).await?,
        VersionRows::Rows(_) => Vec::new(),
    };
    let column = match &rows {
        VersionRows::Rows(_) if table.measure => width(connection, table).await?,
        _ => None,
    };
    let server_version = connection.server_version_num().map(version).unwrap_or_default();
    let (read_only, identity) = server(connection).await?;
    Ok(Snapshot { dialect: endpoint.dialect.to_string(), server_version, rows, tables, column, identity, read_only })
}

/// Whether the server takes no writes, and its own name for the database. That comes last: an error ends the
/// transaction's usefulness.
async fn server(connection: &mut PgConnection) -> Result<(bool, Option<String>), sqlx::Error> {
    let mut answers = connection.fetch(AssertSqlSafe(format!("{READ_ONLY};\n{IDENTITY}")));
    let read_only = answers.try_next().await?.map(|row| row.try_get(0)).transpose()?.unwrap_or(false);
    let identity = match answers.try_next().await {
        Ok(row) => row.map(|row| row.try_get(0)).transpose()?,
        Err(sqlx::Error::Database(error)) if NO_IDENTITY.contains(&error.code().as_deref().unwrap_or_default()) => None,
        Err(error) => return Err(error),
    };
    // To the end, as the answer to COMMIT is still to come.
    while let Ok(Some(_)) = answers.try_next().await {}
    Ok((read_only, identity))
}

/// The rows, in one message to the server with what has to go before.
async fn rows(connection: &mut PgConnection, before: &str, table: &VersionTable) -> Result<VersionRows, Failure> {
    let select = limited(READ_ROWS, &quoted(table));
    match connection.fetch_all(AssertSqlSafe(before.to_owned() + &select)).await {
        Ok(rows) => {
            let rows: Vec<Option<String>> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
            Ok(version_rows(rows)?)
        }
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NO_TABLE) => Ok(VersionRows::NoTable),
        Err(error) => Err(error.into()),
    }
}

async fn other_tables(
    connection: &mut PgConnection,
    endpoint: &Endpoint,
    table: &VersionTable,
) -> Result<Vec<String>, sqlx::Error> {
    set_role_and_path(connection, endpoint).await?;
    let found = sqlx::query(OTHER_TABLES).persistent(false).bind(&table.name).fetch_all(&mut *connection).await?;
    found.iter().map(|row| row.try_get(0)).collect()
}

async fn width(connection: &mut PgConnection, table: &VersionTable) -> Result<Option<u32>, sqlx::Error> {
    let found = sqlx::query(WIDTH).persistent(false).bind(quoted(table)).fetch_one(&mut *connection).await?;
    let width: Option<i32> = found.try_get(0)?;
    // A text has no limit.
    Ok(Some(width.and_then(|w| u32::try_from(w).ok()).unwrap_or(u32::MAX)))
}

/// As the URL's `options` have them; for the transaction alone.
async fn set_role_and_path(connection: &mut PgConnection, endpoint: &Endpoint) -> Result<(), sqlx::Error> {
    for (name, value) in [("role", &endpoint.role), ("search_path", &endpoint.search_path)] {
        if let Some(value) = value {
            let set =
                sqlx::query("SELECT pg_catalog.set_config($1, $2, true)").persistent(false).bind(name).bind(value);
            set.execute(&mut *connection).await?;
        }
    }
    Ok(())
}

/// The table as an identifier, whatever characters it has; without a schema it is looked for along the search_path, as
/// Alembic's has_table does.
pub(in crate::db) fn quoted(table: &VersionTable) -> String {
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let schema = table.schema.as_deref().map(|schema| quote(schema) + ".").unwrap_or_default();
    schema + &quote(&table.name)
}

/// 150006 is 15.6, and 90624 is 9.6.24 (PQserverVersion in the manual).
fn version(number: u32) -> String {
    if number >= 100_000 {
        format!("{}.{}", number / 10_000, number % 10_000)
    } else {
        format!("{}.{}.{}", number / 10_000, number / 100 % 100, number % 100)
    }
}

fn explain(failure: Failure, endpoint: &Endpoint, table: &VersionTable) -> ProbeError {
    failure.told(endpoint, table, |error| match error {
        sqlx::Error::Database(error) => by_code(error.code().as_deref().unwrap_or_default(), endpoint.place(), table),
        other => ProbeError::of_the_connection(other, endpoint.place(), table),
    })
}

/// SQLSTATE codes of PostgreSQL's manual, appendix A.
fn by_code(code: &str, place: String, table: &VersionTable) -> ProbeError {
    match code {
        "28000" | "28P01" => ProbeError::AuthFailed { place },
        "3D000" => ProbeError::NoSuchDatabase { place },
        "42501" => ProbeError::PermissionDenied { place, table: shown(table) },
        "42703" => ProbeError::NotAVersionTable { place, table: shown(table) },
        "53300" => ProbeError::Full { place },
        "57P01" | "57P02" | "57P03" => ProbeError::Busy { place },
        code => ProbeError::Unexpected { place, code: crate::text::clean(code, 5) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_and_versions() {
        let table = |schema: Option<&str>, name: &str| {
            quoted(&VersionTable { schema: schema.map(str::to_owned), name: name.into(), measure: false })
        };
        assert_eq!(table(None, "alembic_version"), r#""alembic_version""#);
        assert_eq!(table(Some("My app"), r#"a"b"#), r#""My app"."a""b""#);
        assert_eq!((version(150_006), version(90_624)), ("15.6".into(), "9.6.24".into()));
    }
}
