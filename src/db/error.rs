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
    #[error(
        "the operator may not connect to a host of {place}: it is none of the hosts that it was allowed, or at an address of the operator's own machine"
    )]
    NotAllowed { place: String },
    #[error("no answer from {place}: {why}")]
    Unreachable { place: String, why: NoAnswer },
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
    #[error("{place}: the query {fault}")]
    Query { place: String, fault: &'static str },
    #[error("{place}: the schema has more objects than can be compared; set spec.drift.mode to Disabled or Models")]
    CatalogTooLarge { place: String },
    #[error("{place}: the operator is comparing other large schemas just now")]
    NoRoom { place: String },
    #[error("{place} answered with error {code}")]
    Unexpected { place: String, code: String },
}

/// What became of the attempt to reach a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    #[error("the connection was refused")]
    Refused,
    #[error("the server or something before it ended the connection")]
    Ended,
    #[error("no network leads there")]
    NoWay,
    #[error("the operator can open no more connections just now")]
    NoneLeft,
    #[error("the name is unknown")]
    UnknownName,
}

impl NoAnswer {
    pub(super) fn of(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionRefused => Self::Refused,
            Kind::ConnectionReset | Kind::ConnectionAborted | Kind::BrokenPipe | Kind::UnexpectedEof => Self::Ended,
            Kind::NotConnected | Kind::TimedOut | Kind::Interrupted => Self::Ended,
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => Self::NoWay,
            Kind::AddrNotAvailable | Kind::AddrInUse | Kind::OutOfMemory | Kind::QuotaExceeded => Self::NoneLeft,
            // No file descriptor is left (EMFILE, ENFILE); looking a name up fails without a number.
            _ if error.raw_os_error().is_some() => Self::NoneLeft,
            _ => Self::UnknownName,
        }
    }
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
            sqlx::Error::Io(error) => Self::Unreachable { place, why: NoAnswer::of(error) },
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
            Self::NotAllowed { .. } => "HostNotAllowed",
            Self::ReadOnly { .. } => "DatabaseReadOnly",
            Self::AuthFailed { .. } | Self::NoPassword { .. } => "AuthFailed",
            Self::TlsFailed { .. } => "TLSFailed",
            Self::NoSuchDatabase { .. } => "NoSuchDatabase",
            Self::PermissionDenied { .. } => "PermissionDenied",
            Self::NotAVersionTable { .. } => "VersionTableMismatch",
            Self::Rows { .. } => "InvalidVersionRows",
            Self::CatalogTooLarge { .. } | Self::Query { .. } => "InvalidSpec",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn each_way_of_no_answer_is_told_apart() {
        let lookup = Error::other("failed to lookup address information: Name or service not known");
        for (error, why) in [
            (Error::from(ErrorKind::ConnectionRefused), NoAnswer::Refused),
            (Error::from(ErrorKind::UnexpectedEof), NoAnswer::Ended),
            (Error::from(ErrorKind::ConnectionReset), NoAnswer::Ended),
            (Error::from_raw_os_error(24), NoAnswer::NoneLeft),
            (lookup, NoAnswer::UnknownName),
        ] {
            assert_eq!(NoAnswer::of(&error), why, "{error}");
        }
    }
}
