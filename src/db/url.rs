//! Database URLs as SQLAlchemy reads them, and what of them the operator's own connection may use; no I/O.

use super::UrlError;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;

/// The kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Postgresql,
    Mysql,
    /// MySQL by SQLAlchemy's other name, for those features that only MariaDB has.
    Mariadb,
}

impl Dialect {
    fn default_port(self) -> u16 {
        match self {
            Self::Postgresql => 5432,
            Self::Mysql | Self::Mariadb => 3306,
        }
    }
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Postgresql => "postgresql",
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        })
    }
}

/// libpq's sslmode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    Disable,
    Allow,
    #[default]
    Prefer,
    Require,
    VerifyCa,
    VerifyFull,
}

/// Where a database is and who asks. Its Debug shows no user and no password.
#[derive(Clone)]
pub struct Endpoint {
    pub(super) dialect: Dialect,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) username: SecretString,
    pub(super) password: Option<SecretString>,
    pub(super) tls: TlsMode,
    tls_given: bool,
    pub(super) search_path: Option<String>,
    /// Certificates to trust, as PEM, in place of the system's.
    pub(super) ca: Option<Vec<u8>>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({} {})", self.dialect, self.place())
    }
}

const MAX_URL: usize = 8192;

/// Where the Jobs find the certificates of `spec.database.tls`.
pub const CA_FILE: &str = "/alembic-operator-tls/ca.crt";

/// Parameters with which a driver would read files or sockets of the process it runs in.
const READS_FILES: [&str; 24] = [
    "sslcert",
    "sslkey",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "sslpassword",
    "passfile",
    "service",
    "servicefile",
    "requiressl",
    "krbsrvname",
    "gsslib",
    // Of the drivers for MySQL.
    "unix_socket",
    "read_default_file",
    "read_default_group",
    "default_file",
    "default_group",
    "local_infile",
    "allow_local_infile",
    "ssl_ca",
    "ssl_cert",
    "ssl_key",
    "ssl_capath",
    "ssl_key_password",
];

impl Endpoint {
    /// Reads a SQLAlchemy URL by the pattern of sqlalchemy.engine.url._parse_url. The driver's name is left to the
    /// application: this connection has its own.
    pub fn parse(url: &SecretString) -> Result<Self, UrlError> {
        let parts = Parts::of(url.expose_secret()).ok_or(UrlError::Malformed)?;
        let dialect = dialect(parts.name)?;
        let mut query = Query::of(parts.query)?;
        let host = query.host.take().filter(|_| parts.host.is_empty()).unwrap_or_else(|| parts.host.to_owned());
        let port = match (parts.port, query.port) {
            ("", None) => dialect.default_port(),
            ("", Some(port)) => port,
            (text, _) => port(text)?,
        };
        let endpoint = Self {
            dialect,
            host,
            port,
            database: parts.database.to_owned(),
            username: decode(query.user.as_deref().unwrap_or(parts.username.unwrap_or_default())),
            password: parts.password.map(decode),
            tls: query.tls.unwrap_or_default(),
            tls_given: query.tls.is_some(),
            search_path: query.search_path,
            ca: None,
        };
        endpoint.complete()
    }

    /// From the parts that a spec gives.
    pub fn from_parts(
        dialect_name: &str,
        host: &str,
        port: Option<u16>,
        database: &str,
        username: &SecretString,
        password: Option<&SecretString>,
    ) -> Result<Self, UrlError> {
        let dialect = dialect(dialect_name)?;
        let endpoint = Self {
            dialect,
            host: host.to_owned(),
            port: port.unwrap_or(dialect.default_port()),
            database: database.to_owned(),
            username: username.clone(),
            password: password.cloned(),
            tls: TlsMode::default(),
            tls_given: false,
            search_path: None,
            ca: None,
        };
        endpoint.complete()
    }

    fn complete(self) -> Result<Self, UrlError> {
        // A path is a Unix socket: of the operator's pod, not of the application's.
        if self.host.starts_with(['/', '@']) || self.host.to_ascii_lowercase().contains("%2f") {
            return Err(UrlError::NotAllowed("host".to_owned()));
        }
        for (value, what) in [
            (self.host.as_str(), "has no host"),
            (self.database.as_str(), "has no database name"),
            (self.username.expose_secret(), "has no user"),
        ] {
            if value.is_empty() {
                return Err(UrlError::Missing(what));
            }
        }
        Ok(self)
    }

    /// Trusts these certificates, as PEM, and no others. Where the URL does not say how far to look at the server's
    /// certificate, it must be right in every way.
    pub fn trusting(self, pem: Vec<u8>) -> Self {
        let tls = if self.tls_given { self.tls } else { TlsMode::VerifyFull };
        Self { ca: Some(pem), tls, ..self }
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Host and port: the key by which connections to one server are counted.
    pub fn server(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// Host, port and database, fit to be shown.
    pub fn place(&self) -> String {
        crate::text::clean(&format!("{}:{}/{}", self.host, self.port, self.database), 200)
    }

    /// What must be masked wherever it turns up: the password as it is and as a URL spells it.
    pub fn secret_texts(&self) -> Vec<SecretString> {
        let encoded = |password: &SecretString| {
            let text =
                percent_encoding::utf8_percent_encode(password.expose_secret(), percent_encoding::NON_ALPHANUMERIC);
            SecretString::from(text.to_string())
        };
        self.password.iter().flat_map(|p| [p.clone(), encoded(p)]).collect()
    }
}

/// What must be masked of a URL that is none of this connection's business: the whole, and its password where one can be
/// told.
pub fn secret_texts(url: &SecretString) -> Vec<SecretString> {
    let password = Parts::of(url.expose_secret()).and_then(|parts| parts.password);
    let of_password = password.into_iter().flat_map(|p| [SecretString::from(p.to_owned()), decode(p)]);
    of_password.chain([url.clone()]).filter(|t| t.expose_secret().len() > 2).collect()
}

/// The dialect and the driver that a URL names: `postgresql+psycopg`.
pub fn scheme_of(url: &SecretString) -> Option<String> {
    let (scheme, _) = url.expose_secret().split_once("://")?;
    let known = scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '_' | '.' | '-'));
    (known && scheme.len() <= 64).then(|| scheme.to_owned())
}

/// The dialect that a URL names, whether or not it is supported.
pub fn dialect_name(url: &SecretString) -> Option<String> {
    let (scheme, _) = url.expose_secret().split_once("://")?;
    let name = scheme.split('+').next().filter(|n| !n.is_empty())?;
    Some(crate::text::clean(name, 32))
}

fn dialect(name: &str) -> Result<Dialect, UrlError> {
    match name.split('+').next().unwrap_or_default() {
        "postgresql" => Ok(Dialect::Postgresql),
        "mysql" => Ok(Dialect::Mysql),
        "mariadb" => Ok(Dialect::Mariadb),
        "postgres" => Err(UrlError::OldName),
        other => Err(UrlError::Dialect(crate::text::clean(other, 32))),
    }
}

fn port(text: &str) -> Result<u16, UrlError> {
    text.parse().ok().filter(|p| *p != 0).ok_or(UrlError::Port)
}

fn decode(text: &str) -> SecretString {
    SecretString::from(percent_decode_str(text).decode_utf8_lossy().into_owned())
}

/// The pieces of a URL, not decoded.
struct Parts<'a> {
    name: &'a str,
    username: Option<&'a str>,
    password: Option<&'a str>,
    host: &'a str,
    port: &'a str,
    database: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(url: &'a str) -> Option<Self> {
        if url.len() > MAX_URL {
            return None;
        }
        let (name, rest) = url.split_once("://")?;
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '+') {
            return None;
        }
        let (username, password, rest) = user_info(rest);
        let (host, rest) = match rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
            Some((host, rest)) => (host, rest),
            None => rest.split_at(rest.find(['/', ':', '?']).unwrap_or(rest.len())),
        };
        let (port, rest) = match rest.strip_prefix(':') {
            Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
            None => ("", rest),
        };
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Some(Self { name, username, password, host, port, database: path.strip_prefix('/').unwrap_or(path), query })
    }
}

/// Splits `user:password@` off. As in SQLAlchemy's pattern a password may hold anything but `@`, also `/` and `:`.
fn user_info(rest: &str) -> (Option<&str>, Option<&str>, &str) {
    let end = rest.find([':', '/']).unwrap_or(rest.len());
    if let Some(after) = rest[end..].strip_prefix(':')
        && let Some((password, host)) = after.split_once('@')
    {
        return (Some(&rest[..end]), Some(password), host);
    }
    match rest[..end].rsplit_once('@') {
        Some((username, _)) => (Some(username), None, &rest[username.len() + 1..]),
        None => (None, None, rest),
    }
}

/// The parameters that this connection heeds.
#[derive(Default)]
struct Query {
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    tls: Option<TlsMode>,
    search_path: Option<String>,
}

impl Query {
    fn of(text: &str) -> Result<Self, UrlError> {
        let mut query = Self::default();
        for (key, value) in url::form_urlencoded::parse(text.as_bytes()) {
            match key.as_ref() {
                "host" => query.host = Some(value.into_owned()),
                "port" => query.port = Some(port(&value)?),
                "user" => query.user = Some(value.into_owned()),
                // asyncpg calls it ssl.
                "sslmode" | "ssl" | "ssl_mode" => {
                    query.tls = Some(tls_mode(&value).ok_or(UrlError::Parameter("sslmode"))?);
                }
                // PyMySQL's.
                "ssl_disabled" if is_true(&value) => query.tls = Some(TlsMode::Disable),
                "ssl_verify_identity" if is_true(&value) => query.tls = Some(TlsMode::VerifyFull),
                "ssl_verify_cert" if is_true(&value) => query.tls = query.tls.or(Some(TlsMode::VerifyCa)),
                // The certificates of spec.database.tls, which the operator has from their Secret.
                "sslrootcert" | "ssl_ca" if value == CA_FILE => {}
                "options" => query.search_path = search_path(&value).or(query.search_path),
                key if READS_FILES.contains(&key) => return Err(UrlError::NotAllowed(key.to_owned())),
                // What only the application's own driver knows.
                _ => {}
            }
        }
        Ok(query)
    }
}

fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on")
}

/// libpq's words, and those of MySQL's client.
fn tls_mode(text: &str) -> Option<TlsMode> {
    Some(match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" | "false" => TlsMode::Disable,
        "allow" => TlsMode::Allow,
        "prefer" | "preferred" => TlsMode::Prefer,
        "require" | "required" | "true" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" | "verify-identity" => TlsMode::VerifyFull,
        _ => return None,
    })
}

/// The search_path in libpq's `options` (-c search_path=app or -csearch_path=app): it decides which version table is
/// found. Backslash escapes a space there.
fn search_path(options: &str) -> Option<String> {
    let at = options.find("search_path=")?;
    let value = &options[at + "search_path=".len()..];
    let mut path = String::new();
    let mut escaped = false;
    for c in value.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            ' ' if !escaped => break,
            c => {
                path.push(c);
                escaped = false;
            }
        }
    }
    Some(path).filter(|p| !p.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(url: &str) -> Result<Endpoint, UrlError> {
        Endpoint::parse(&SecretString::from(url.to_owned()))
    }

    fn seen(url: &str) -> (String, String, Option<String>) {
        let e = parse(url).unwrap();
        (e.place(), e.username.expose_secret().to_owned(), e.password.map(|p| p.expose_secret().to_owned()))
    }

    /// Each answer is that of sqlalchemy.engine.make_url.
    #[test]
    fn reads_urls_as_sqlalchemy_does() {
        let some = |s: &str| Some(s.to_owned());
        let cases = [
            ("postgresql://u:p@h/d", ("h:5432/d", "u", some("p"))),
            ("postgresql+psycopg2://u@h:6543/d", ("h:6543/d", "u", None)),
            ("postgresql+asyncpg://u:p%40s%3As%2Fw%25rd@h/d", ("h:5432/d", "u", some("p@s:s/w%rd"))),
            ("postgresql://u:a/b:c?d#e[f]@h/d", ("h:5432/d", "u", some("a/b:c?d#e[f]"))),
            ("postgresql://u@corp:p@h/d", ("h:5432/d", "u@corp", some("p"))),
            ("postgresql://u:p@[2001:db8::1]:5433/d", ("2001:db8::1:5433/d", "u", some("p"))),
            ("postgresql://u:p@/d?host=h&port=99", ("h:99/d", "u", some("p"))),
            ("postgresql://u:@h/d", ("h:5432/d", "u", some(""))),
            ("mysql+pymysql://u:p%25@h/d?charset=utf8mb4", ("h:3306/d", "u", some("p%"))),
            ("mariadb+mariadbconnector://u:p@h:3307/d", ("h:3307/d", "u", some("p"))),
        ];
        for (url, (place, user, password)) in cases {
            assert_eq!(seen(url), (place.to_owned(), user.to_owned(), password), "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_named_without_secrets() {
        let cases = [
            ("", UrlError::Malformed),
            ("h/d", UrlError::Malformed),
            ("postgres://u:p@h/d", UrlError::OldName),
            ("oracle+oracledb://u:p@h/d", UrlError::Dialect("oracle".into())),
            ("mysql+pymysql://u:p@h/d?unix_socket=/tmp/s", UrlError::NotAllowed("unix_socket".into())),
            ("mysql+pymysql://u:p@h/d?local_infile=1", UrlError::NotAllowed("local_infile".into())),
            ("postgresql://u:p@h", UrlError::Missing("has no database name")),
            ("postgresql://h/d", UrlError::Missing("has no user")),
            ("postgresql://u:p@/d", UrlError::Missing("has no host")),
            ("postgresql://u:p@h:x/d", UrlError::Port),
            ("postgresql://u:p@h/d?sslkey=/var/run/secrets/token", UrlError::NotAllowed("sslkey".into())),
            ("postgresql://u:p@/d?host=/tmp", UrlError::NotAllowed("host".into())),
            ("postgresql://u:p@%2Ftmp/d", UrlError::NotAllowed("host".into())),
            ("postgresql://u:p@h/d?sslmode=maybe", UrlError::Parameter("sslmode")),
        ];
        for (url, error) in cases {
            assert_eq!(parse(url).unwrap_err(), error, "{url}");
        }
    }

    #[test]
    fn a_search_path_is_heeded() {
        let path = |url: &str| parse(url).unwrap().search_path;
        assert_eq!(
            path("postgresql://u@h/d?options=-c%20search_path%3Dapp,public%20-c%20x%3D1").as_deref(),
            Some("app,public")
        );
        assert_eq!(path("postgresql://u@h/d?options=-csearch_path=app").as_deref(), Some("app"));
        assert_eq!(path("postgresql://u@h/d?options=-c%20x%3D1"), None);
    }

    proptest! {
        #[test]
        fn nothing_panics(url in ".{0,200}") {
            let _ = parse(&url);
        }

        #[test]
        fn debug_shows_no_password(password in "[a-zA-Z0-9]{8,20}") {
            let endpoint = parse(&format!("postgresql://user:{password}@host/database")).unwrap();
            let shown = format!("{endpoint:?}");
            prop_assert!(!shown.contains(&password));
        }
    }
}
