//! The look at a PostgreSQL database; does network I/O.

use super::{Endpoint, MAX_ROWS, ProbeError, Snapshot, TlsMode, VersionRows, VersionTable};
use secrecy::ExposeSecret;
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, Row,
    postgres::{PgConnectOptions, PgConnection, PgSslMode},
};
use std::time::Duration;

/// Opens the only transaction. Everything is set for the transaction alone, so that a pooler's session is given back as
/// it was.
const BEGIN: &str = include_str!("sql/postgres_begin.sql");
const FIND_TABLE: &str = include_str!("sql/postgres_find_table.sql");
const READ_ROWS: &str = include_str!("sql/postgres_read_rows.sql");

/// One connection, one read-only transaction.
pub async fn probe(endpoint: &Endpoint, table: &VersionTable, timeout: Duration) -> Result<Snapshot, ProbeError> {
    let told = |error: sqlx::Error| explain(&error, endpoint, table);
    let mut connection = options(endpoint).connect().await.map_err(told)?;
    let snapshot = look(&mut connection, endpoint, table, timeout).await.map_err(told)?;
    // The answer is there; a goodbye that fails changes nothing.
    let _ = connection.close().await;
    Ok(snapshot)
}

fn options(endpoint: &Endpoint) -> PgConnectOptions {
    let options = PgConnectOptions::new_without_pgpass()
        .host(&endpoint.host)
        .port(endpoint.port)
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
    options.disable_statement_logging()
}

async fn look(
    connection: &mut PgConnection,
    endpoint: &Endpoint,
    table: &VersionTable,
    timeout: Duration,
) -> Result<Snapshot, sqlx::Error> {
    let milliseconds = timeout.as_millis().to_string();
    // Numbers of our own making, and no other text, go into this statement.
    let begin = BEGIN.replace("{milliseconds}", &milliseconds);
    connection.execute(AssertSqlSafe(begin)).await?;
    if let Some(path) = &endpoint.search_path {
        sqlx::query("SELECT set_config('search_path', $1, true)")
            .persistent(false)
            .bind(path)
            .execute(&mut *connection)
            .await?;
    }
    let found = sqlx::query(FIND_TABLE)
        .persistent(false)
        .bind(table.schema.as_deref())
        .bind(&table.name)
        .fetch_one(&mut *connection)
        .await?;
    let server_version: String = found.try_get(0)?;
    // The server has quoted this name, so it can stand in a statement whatever it is.
    let rows = match found.try_get::<Option<String>, _>(1)? {
        None => VersionRows::NoTable,
        Some(quoted) => {
            let statement = READ_ROWS.replace("{table}", &quoted).replace("{limit}", &(MAX_ROWS + 1).to_string());
            let rows = connection.fetch_all(AssertSqlSafe(statement)).await?;
            VersionRows::Rows(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
        }
    };
    Ok(Snapshot { dialect: endpoint.dialect, server_version, rows })
}

fn explain(error: &sqlx::Error, endpoint: &Endpoint, table: &VersionTable) -> ProbeError {
    let place = endpoint.place();
    match error {
        sqlx::Error::Database(error) => by_code(error.code().as_deref().unwrap_or_default(), place, table),
        sqlx::Error::Tls(_) => ProbeError::TlsFailed { place },
        sqlx::Error::Io(_) => ProbeError::Unreachable { place },
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            ProbeError::NotAVersionTable { place, table: shown(table) }
        }
        _ => ProbeError::Unexpected { place, code: "of the protocol".to_owned() },
    }
}

/// SQLSTATE codes of PostgreSQL's manual, appendix A.
fn by_code(code: &str, place: String, table: &VersionTable) -> ProbeError {
    match code {
        "28000" | "28P01" => ProbeError::AuthFailed { place },
        "3D000" => ProbeError::NoSuchDatabase { place },
        "42501" => ProbeError::PermissionDenied { place, table: shown(table) },
        "42703" | "42P01" => ProbeError::NotAVersionTable { place, table: shown(table) },
        "53300" | "57P01" | "57P02" | "57P03" => ProbeError::Busy { place },
        code => ProbeError::Unexpected { place, code: crate::text::clean(code, 5) },
    }
}

fn shown(table: &VersionTable) -> String {
    let name = match &table.schema {
        Some(schema) => format!("{schema}.{}", table.name),
        None => table.name.clone(),
    };
    crate::text::clean(&name, 128)
}
