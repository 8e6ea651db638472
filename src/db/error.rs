//! Why a database can't be read, coarse on purpose: a tenant chooses the host, so nothing that a server says is
//! passed on, or the operator could be used to look around its network. No I/O.

use super::{Endpoint, VersionTable, budget::Full, rows::RowFault, shown};

/// What is wrong with a URL, or with the parts of one. Never shows user or password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error(
        "not a database URL; expected dialect+driver://user:password@host:port/database, special characters in user and password percent-encoded"
    )]
    Malformed,
    #[error("the URL {0}; check that special characters in user and password are percent-encoded")]
    Missing(&'static str),
    #[error(
        "the port in the URL is not a number from 1 to 65535; check that special characters in user and password are percent-encoded"
    )]
    Port,
    #[error("this is {0}; expected dialect+driver://user:password@host:port/database")]
    Form(&'static str),
    #[error("the URL has an @ behind its host; write the @ of a user or password as %40")]
    At,
    #[error("host {0}")]
    Host(&'static str),
    #[error(
        "dialect {0} is not supported by this version; postgresql, mysql and mariadb are; SQLite and others can be read by Jobs (spec.database.probe.mode: Job)"
    )]
    Dialect(String),
    #[error(
        "the URL's parameter {0} names a file, a socket or a service of the application's pod, which the operator does not have: set spec.database.probe.mode to Job"
    )]
    NotAllowed(String),
    #[error(
        "the URL's parameter {0} names a file of the application's image, which the operator does not have: put the certificates into a Secret and name it in spec.database.tls.caFrom, or set spec.database.probe.mode to Job"
    )]
    CaFile(String),
    #[error("the URL's parameter {0} has an unknown value")]
    Parameter(&'static str),
}

impl UrlError {
    /// The reason in the condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Dialect(_) => "UnsupportedDialect",
            _ => "InvalidUrl",
        }
    }
}

/// Why the version rows could not be read. `place` is host, port and database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    #[error("no answer from {place}: the connection was refused or the name is unknown")]
    Unreachable { place: String },
    #[error("{place} did not answer within {seconds} s")]
    Timeout { place: String, seconds: u64 },
    #[error("{place} takes no connections now (starting or stopping)")]
    Busy { place: String },
    #[error("{place} has no connection left for this user; a look takes one, and a run two")]
    Full { place: String },
    #[error("none of the servers {place} takes writes now")]
    ReadOnly { place: String },
    #[error("{place} refused user or password")]
    AuthFailed { place: String },
    #[error(
        "{place} refused a user without a password: the URL has none; if env.py gets one for each connection, such as a token, set spec.database.probe.mode to Job"
    )]
    NoPassword { place: String },
    #[error(
        "no TLS connection to {place}: its certificate is not valid for the name, its issuer is not trusted, or it speaks no TLS; see sslmode in the URL"
    )]
    TlsFailed { place: String },
    #[error("{place}: there is no such database")]
    NoSuchDatabase { place: String },
    #[error("{place}: the user may not read the version table {table}")]
    PermissionDenied { place: String, table: String },
    #[error("{place}: the table {table} is not one of Alembic's")]
    NotAVersionTable { place: String, table: String },
    #[error("{place}: the version table {table} {fault}")]
    Rows { place: String, table: String, fault: RowFault },
    #[error("{place}: the schema has more objects than can be compared; set spec.drift.mode to Disabled or Models")]
    CatalogTooLarge { place: String },
    #[error("{place}: the operator is comparing other large schemas just now")]
    NoRoom { place: String },
    #[error("{place} answered with error {code}")]
    Unexpected { place: String, code: String },
}

/// Why a look ended early.
#[derive(Debug)]
pub(super) enum Failure {
    Server(sqlx::Error),
    Rows(RowFault),
    Catalog(Full),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Server(error)
    }
}

impl From<RowFault> for Failure {
    fn from(fault: RowFault) -> Self {
        Self::Rows(fault)
    }
}

impl From<Full> for Failure {
    fn from(full: Full) -> Self {
        Self::Catalog(full)
    }
}

impl Failure {
    /// What it means; `server` judges what the server says.
    pub(super) fn told(
        self,
        endpoint: &Endpoint,
        table: &VersionTable,
        server: impl FnOnce(&sqlx::Error) -> ProbeError,
    ) -> ProbeError {
        let place = endpoint.place();
        match self {
            Self::Server(error) => match server(&error) {
                ProbeError::AuthFailed { place } if endpoint.password.is_none() => ProbeError::NoPassword { place },
                told => told,
            },
            Self::Rows(fault) => ProbeError::Rows { place, table: shown(table), fault },
            Self::Catalog(Full::Always) => ProbeError::CatalogTooLarge { place },
            Self::Catalog(Full::Now) => ProbeError::NoRoom { place },
        }
    }
}

impl ProbeError {
    /// What an error that no server's answer holds means.
    pub(super) fn of_the_connection(error: &sqlx::Error, place: String, table: &VersionTable) -> Self {
        match error {
            sqlx::Error::Tls(_) => Self::TlsFailed { place },
            // So rustls tells that the handshake failed (`ConnectionCommon::complete_io`).
            sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => Self::TlsFailed { place },
            sqlx::Error::Io(_) => Self::Unreachable { place },
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
                Self::NotAVersionTable { place, table: shown(table) }
            }
            _ => Self::Unexpected { place, code: "of the protocol".to_owned() },
        }
    }

    /// Whether another server of the same database may do better.
    pub(super) fn is_of_one_server(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Timeout { .. }
                | Self::Busy { .. }
                | Self::Full { .. }
                | Self::ReadOnly { .. }
        )
    }

    /// The reason in the condition.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. }
            | Self::Timeout { .. }
            | Self::Busy { .. }
            | Self::Full { .. }
            | Self::NoRoom { .. }
            | Self::Unexpected { .. } => "DatabaseUnreachable",
            Self::ReadOnly { .. } => "DatabaseReadOnly",
            Self::AuthFailed { .. } | Self::NoPassword { .. } => "AuthFailed",
            Self::TlsFailed { .. } => "TLSFailed",
            Self::NoSuchDatabase { .. } => "NoSuchDatabase",
            Self::PermissionDenied { .. } => "PermissionDenied",
            Self::NotAVersionTable { .. } => "VersionTableMismatch",
            Self::Rows { .. } => "InvalidVersionRows",
            Self::CatalogTooLarge { .. } => "InvalidSpec",
        }
    }
}
