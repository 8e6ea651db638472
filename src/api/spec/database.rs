//! Which database, and how the application finds it. The doc comments are what `kubectl explain` prints. No I/O.

// kube's derives copy some attributes twice.
#![allow(clippy::duplicated_attributes)]

use crate::api::{duration, schema::is_default};
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which database, and how the application finds it.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.urlFrom) != has(self.connection)")
    .message("set exactly one of database.urlFrom (a Secret that holds the whole URL) and database.connection (its parts)"))]
pub struct Database {
    /// A Secret that holds the whole SQLAlchemy URL, such as postgresql+psycopg2://user:password@host:5432/name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_from: Option<ValueFrom>,

    /// The parts of the URL, for Secrets that hold user and password apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,

    /// A Secret that holds another URL of the same database, for the operator and its Jobs alone: one that leads to the server
    /// itself, where the application's leads through a pooler in transaction mode, or one with more rights. The Job of
    /// `spec.verify` gets the application's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration_url_from: Option<ValueFrom>,

    /// Names of the environment variables that carry the URL into the pod (default DATABASE_URL). It is also set as
    /// sqlalchemy.url, for an env.py that reads only alembic.ini.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(max = 128), regex(pattern = r"^[A-Za-z_][A-Za-z0-9_]*$")))]
    pub url_env: Vec<String>,

    /// SQLAlchemy driver to put into the URL when it names none: postgresql://… with `psycopg` becomes
    /// postgresql+psycopg://….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = r"^[a-z0-9_]+$"))]
    pub driver: Option<String>,

    /// TLS to a server whose certificate the system does not trust by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,

    /// Name of Alembic's version table. Read from env.py when unset; when set, env.py must say the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub version_table: Option<String>,

    /// Schema of Alembic's version table. Read from env.py when unset; when set, env.py must say the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub version_table_schema: Option<String>,

    /// What keeps other migrations of this database away during a run: Database, a lock of its own engine (the default); or
    /// Lease, a Lease of Kubernetes that the operator holds while the Job of the run lives, for engines that have no lock,
    /// such as Oracle, SQL Server, CockroachDB or Snowflake. It is weaker: it keeps away the runs of this operator alone, and a
    /// statement that goes on in the database after its Job has ended is not waited for.
    #[serde(default, skip_serializing_if = "is_default")]
    pub lock: LockKind,

    /// How often and how patiently the operator reads the version table.
    #[serde(default, skip_serializing_if = "is_default")]
    #[x_kube(validation = Rule::new("!has(self.timeout) || !has(self.mode) || self.mode != 'Job'")
        .message("database.probe.timeout is for probe.mode InProcess: a Job has a limit of its own"))]
    pub probe: Probe,
}

impl Database {
    /// The Secret with the whole URL that migrations use, where it is not given in parts.
    pub fn migration_url(&self) -> Option<&ValueFrom> {
        self.migration_url_from.as_ref().or(self.url_from.as_ref())
    }

    /// The parts of the URL that migrations use, where it is given in parts.
    pub fn migration_parts(&self) -> Option<&Connection> {
        self.connection.as_ref().filter(|_| self.migration_url().is_none())
    }

    /// The variables that carry the URL, with the default filled in.
    pub fn env_names(&self) -> Vec<String> {
        if self.url_env.is_empty() { vec!["DATABASE_URL".to_owned()] } else { self.url_env.clone() }
    }
}

/// A value that comes from a key of a Secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ValueFrom {
    /// The Secret in the object's own namespace, and its key.
    pub secret_key_ref: SecretKey,
}

/// A key of a Secret in the object's own namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretKey {
    /// Name of the Secret.
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// The key within it.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: String,
}

/// TLS to a server whose certificate the system does not trust by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Tls {
    /// The certificates to trust, as PEM. The Jobs find them in the file /alembic-operator-tls/ca.crt: drivers over
    /// libpq by themselves (PGSSLROOTCERT, PGSSLMODE=verify-full), those for MySQL through the URL
    /// (?ssl_ca=/alembic-operator-tls/ca.crt).
    pub ca_from: ValueFrom,
}

/// The parts of a database URL.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.host) != has(self.hostFrom)")
        .message("set exactly one of connection.host and connection.hostFrom"),
    validation = Rule::new("has(self.name) != has(self.nameFrom)")
        .message("set exactly one of connection.name and connection.nameFrom"),
    validation = Rule::new("!(has(self.port) && has(self.portFrom))")
        .message("set only one of connection.port and connection.portFrom")
)]
pub struct Connection {
    /// The kind of database.
    pub dialect: Dialect,
    /// Host name or address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub host: Option<String>,
    /// The same from a Secret, as Crossplane and service bindings write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_from: Option<ValueFrom>,
    /// Port (default: the dialect's own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: Option<i32>,
    /// The same from a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port_from: Option<ValueFrom>,
    /// Name of the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 128))]
    pub name: Option<String>,
    /// The same from a Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name_from: Option<ValueFrom>,
    /// The user's name.
    pub username_from: ValueFrom,
    /// The user's password, when it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_from: Option<ValueFrom>,
}

/// A part of a URL that is no secret in itself, and yet may lie in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Text(String),
    Secret(&'a SecretKey),
}

impl<'a> Part<'a> {
    fn new(text: Option<String>, from: Option<&'a ValueFrom>) -> Option<Self> {
        let secret = from.map(|from| Self::Secret(&from.secret_key_ref));
        secret.or_else(|| text.map(Self::Text))
    }

    /// The text, where the spec has it.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Secret(_) => None,
        }
    }

    /// Where it is, where a Secret has it.
    pub fn secret(&self) -> Option<&'a SecretKey> {
        match self {
            Self::Text(_) => None,
            Self::Secret(key) => Some(key),
        }
    }
}

impl Connection {
    /// Where the server is.
    pub fn host(&self) -> Option<Part<'_>> {
        Part::new(self.host.clone(), self.host_from.as_ref())
    }

    /// Its port, where one is given.
    pub fn port(&self) -> Option<Part<'_>> {
        Part::new(self.port.map(|port| port.to_string()), self.port_from.as_ref())
    }

    /// The database's name.
    pub fn name(&self) -> Option<Part<'_>> {
        Part::new(self.name.clone(), self.name_from.as_ref())
    }

    /// The parts that are no secret, by the ends of the variables that carry them.
    pub fn places(&self) -> impl Iterator<Item = (&'static str, Part<'_>)> {
        let places = [("HOST", self.host()), ("PORT", self.port()), ("NAME", self.name())];
        places.into_iter().filter_map(|(end, part)| Some((end, part?)))
    }
}

/// The kinds of database that `connection` can describe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Dialect {
    #[default]
    Postgresql,
    Mysql,
    Mariadb,
}

impl Dialect {
    /// SQLAlchemy's name of the dialect.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }
}

/// What keeps other migrations of a database away during a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum LockKind {
    /// A lock of its own engine.
    #[default]
    Database,
    /// A Lease of Kubernetes.
    Lease,
}

/// How often and how patiently the operator reads the version table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probe {
    /// Who reads it: InProcess, the operator on a short connection of its own (the default); or Job, a pod in the
    /// application's image each time, for what the operator can't reach or does not speak, such as a SQLite file on a
    /// volume (see podTemplate) or a server behind a sidecar.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: ProbeMode,
    /// Time between two looks at a database where nothing else happens (default 5m, with a jitter of 10 %).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::probe_interval")]
    pub interval: Option<String>,
    /// How long one look may take, from connecting to the answer (default 10s).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "duration::probe_timeout")]
    pub timeout: Option<String>,
}

/// Who reads the version table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ProbeMode {
    #[default]
    InProcess,
    Job,
}
