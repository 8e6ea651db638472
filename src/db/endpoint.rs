//! Where a database is, who asks, and how: what the operator's own connection needs of a URL or of a spec; no I/O.

use super::{
    AllowedHosts, UrlError,
    parameters::Parameters,
    url::{Url, decoded, dialect_of},
};
use secrecy::{ExposeSecret, SecretString};
use std::{fmt, sync::Arc};

/// The kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    Postgresql,
    Mysql,
    /// MySQL by SQLAlchemy's other name, for those features that only MariaDB has.
    Mariadb,
}

impl Dialect {
    fn of(scheme: &str) -> Result<Self, UrlError> {
        match dialect_of(scheme).unwrap_or_default().as_str() {
            "postgresql" => Ok(Self::Postgresql),
            "mysql" => Ok(Self::Mysql),
            "mariadb" => Ok(Self::Mariadb),
            other => Err(UrlError::Dialect(crate::text::clean(other, 32))),
        }
    }

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

/// One server that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub host: String,
    pub port: u16,
}

/// Where a database is and who asks. Its Debug shows no user and no password.
#[derive(Clone)]
pub struct Endpoint {
    pub(super) dialect: Dialect,
    /// In the order in which they are tried; at least one.
    pub(super) servers: Vec<Server>,
    pub(super) database: String,
    pub(super) username: SecretString,
    pub(super) password: Option<SecretString>,
    pub(super) tls: TlsMode,
    tls_given: bool,
    pub(super) search_path: Option<String>,
    pub(super) role: Option<String>,
    /// Only a server that takes writes will do.
    pub(super) writable: bool,
    /// Certificates to trust, as PEM, in place of the system's.
    pub(super) ca: Option<Vec<u8>>,
    /// The namespace in which a name without a dot is looked up.
    namespace: Option<String>,
    /// Which hosts may be asked, where somebody else chose them.
    pub(super) allowed: Option<Arc<AllowedHosts>>,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({} {})", self.dialect, self.place())
    }
}

/// Where the Jobs find the certificates of `spec.database.tls`.
pub const CA_FILE: &str = "/alembic-operator-tls/ca.crt";

/// More servers than that are no cluster of one database.
const MOST_SERVERS: usize = 16;

impl Endpoint {
    /// Reads a URL. The driver's name is left to the application: this connection has its own.
    pub fn parse(url: &SecretString) -> Result<Self, UrlError> {
        let url = Url::of(url.expose_secret())?;
        let dialect = Dialect::of(url.scheme)?;
        let given = Parameters::of(&url)?;
        let secret = |text: &str| SecretString::from(decoded(text));
        let endpoint = Self {
            dialect,
            servers: servers(&url, &given, dialect)?,
            // SQLAlchemy decodes it from 2.1 on, as libpq always has.
            database: given.database.unwrap_or_else(|| decoded(url.database)),
            username: given.user.map_or_else(|| secret(url.username.unwrap_or_default()), SecretString::from),
            password: given.password.map(SecretString::from).or_else(|| url.password.map(secret)),
            tls: given.tls.unwrap_or_default(),
            tls_given: given.tls.is_some(),
            search_path: given.search_path,
            role: given.role,
            writable: given.writable,
            ca: None,
            namespace: None,
            allowed: None,
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
        let dialect = Dialect::of(dialect_name)?;
        let host = host.trim();
        if host.contains("://") || host.contains(['@', ',']) {
            return Err(UrlError::Host(
                "is not the name of one host; a whole URL goes into a Secret and spec.database.urlFrom",
            ));
        }
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        if host.matches(':').count() == 1 {
            return Err(UrlError::Host("has a port, which belongs into the field port"));
        }
        let endpoint = Self {
            dialect,
            servers: vec![Server { host: host.to_owned(), port: port.unwrap_or(dialect.default_port()) }],
            database: database.to_owned(),
            username: username.clone(),
            password: password.cloned(),
            tls: TlsMode::default(),
            tls_given: false,
            search_path: None,
            role: None,
            writable: false,
            ca: None,
            namespace: None,
            allowed: None,
        };
        endpoint.complete()
    }

    fn complete(self) -> Result<Self, UrlError> {
        // A path is a Unix socket: of the operator's pod, not of the application's.
        let is_path = |host: &str| host.starts_with(['/', '@']) || host.to_ascii_lowercase().contains("%2f");
        if self.servers.iter().any(|server| is_path(&server.host)) {
            return Err(UrlError::NotAllowed("host".to_owned()));
        }
        let has_host = !self.servers.is_empty() && self.servers.iter().all(|server| !server.host.is_empty());
        for (given, what) in [
            (has_host, "has no host"),
            (!self.database.is_empty(), "has no database name"),
            (!self.username.expose_secret().is_empty(), "has no user"),
        ] {
            if !given {
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

    /// As a pod of this namespace would look: there `db` is the Service of that name in the same namespace.
    pub fn seen_from(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self }
    }

    /// Asks these hosts alone.
    pub fn among(self, hosts: Arc<AllowedHosts>) -> Self {
        Self { allowed: Some(hosts), ..self }
    }

    /// The same server, and another database on it.
    pub fn in_database(self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self }
    }

    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The name by which a server is looked up.
    pub(super) fn address(&self, server: &Server) -> String {
        let is_name = !server.host.contains(['.', ':']) && server.host != "localhost";
        match &self.namespace {
            Some(namespace) if is_name => format!("{}.{namespace}.svc", server.host),
            _ => server.host.clone(),
        }
    }

    /// Hosts and ports: the key by which connections to one server are counted.
    pub fn server(&self) -> String {
        let server = |server: &Server| format!("{}:{}", self.address(server), server.port);
        self.servers.iter().map(server).collect::<Vec<_>>().join(",")
    }

    /// Host, port and database, fit to be shown.
    pub fn place(&self) -> String {
        let servers: Vec<String> = self.servers.iter().map(|s| format!("{}:{}", s.host, s.port)).collect();
        crate::text::clean(&format!("{}/{}", servers.join(","), self.database), 200)
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

/// The servers of a URL. What stands in the query counts more, as it does for each driver.
fn servers(url: &Url, given: &Parameters, dialect: Dialect) -> Result<Vec<Server>, UrlError> {
    let of_url = url.hosts.split(',').map(host_and_port).collect::<Result<Vec<_>, _>>()?;
    // To SQLAlchemy, the one port behind several hosts is that of each.
    let last = of_url.iter().rev().find_map(|(_, port)| *port);
    let of_query = given.hosts.iter().map(|host| host_and_port(host)).collect::<Result<Vec<_>, _>>()?;
    let hosts = if of_query.is_empty() { of_url } else { of_query };
    if hosts.len() > MOST_SERVERS {
        return Err(UrlError::Malformed);
    }
    let one = given.ports.first().filter(|_| given.ports.len() == 1);
    let port_at = |at: usize| given.ports.get(at).or(one).map(String::as_str).filter(|port| !port.is_empty());
    let server = |(at, (host, own)): (usize, (&str, Option<&str>))| {
        let port = port_at(at).or(own).or(last).map_or(Ok(dialect.default_port()), number)?;
        Ok(Server { host: host.to_owned(), port })
    };
    hosts.into_iter().enumerate().map(server).collect()
}

/// `host`, `host:port`, `[address]:port`, or an address of IPv6 by itself.
fn host_and_port(text: &str) -> Result<(&str, Option<&str>), UrlError> {
    let (host, rest) = match text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        Some(found) => found,
        // A path may hold anything, and only an address more than one colon.
        None if text.starts_with('/') || text.parse::<std::net::Ipv6Addr>().is_ok() => (text, ""),
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    match rest.strip_prefix(':') {
        Some(port) => Ok((host, Some(port).filter(|port| !port.is_empty()))),
        None if rest.is_empty() => Ok((host, None)),
        None => Err(UrlError::Port),
    }
}

fn number(text: &str) -> Result<u16, UrlError> {
    text.parse().ok().filter(|port| *port != 0).ok_or(UrlError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const CASES: &str = include_str!("../../tests/fixtures/urls.json");

    fn parse(url: &str) -> Result<Endpoint, UrlError> {
        Endpoint::parse(&SecretString::from(url.to_owned()))
    }

    /// What the table says of a URL, as this reader has it; nothing that a URL does not have.
    fn seen(endpoint: &Endpoint) -> Value {
        let tls = match endpoint.tls {
            _ if !endpoint.tls_given => Value::Null,
            TlsMode::Disable => json!("disable"),
            TlsMode::Allow => json!("allow"),
            TlsMode::Prefer => json!("prefer"),
            TlsMode::Require => json!("require"),
            TlsMode::VerifyCa => json!("verify-ca"),
            TlsMode::VerifyFull => json!("verify-full"),
        };
        let mut seen = json!({
            "dialect": endpoint.dialect.to_string(),
            "user": endpoint.username.expose_secret(),
            "password": endpoint.password.as_ref().map(ExposeSecret::expose_secret),
            "servers": endpoint.servers.iter().map(|s| json!([s.host, s.port])).collect::<Vec<_>>(),
            "database": endpoint.database,
            "tls": tls,
            "searchPath": endpoint.search_path,
            "role": endpoint.role,
        });
        if let Value::Object(map) = &mut seen {
            map.retain(|_, value| !value.is_null());
        }
        seen
    }

    #[test]
    fn every_case_of_the_table() {
        let cases: Vec<Value> = serde_json::from_str(CASES).unwrap();
        assert!(cases.len() > 60);
        for case in &cases {
            let url = case["url"].as_str().unwrap();
            match (parse(url), case["operator"].as_str().or(case["refused"].as_str())) {
                (Ok(endpoint), None) => assert_eq!(seen(&endpoint), case["is"], "{url}"),
                (Err(error), Some(words)) => {
                    let said = error.to_string();
                    assert!(said.contains(words), "{url}: {said}");
                    assert!(!said.contains("s3cret") && !said.contains("hunter2"), "{url}: {said}");
                }
                (Ok(endpoint), Some(_)) => panic!("{url} is taken: {endpoint:?}"),
                (Err(error), None) => panic!("{url} is refused: {error}"),
            }
        }
    }

    #[test]
    fn parts_are_what_they_say() {
        let user = SecretString::from("u".to_owned());
        let of = |host: &str| Endpoint::from_parts("postgresql", host, None, "d", &user, None).map(|e| e.place());
        assert_eq!(of("db.shop"), Ok("db.shop:5432/d".to_owned()));
        assert_eq!(of("2001:db8::1"), of("[2001:db8::1]"));
        assert!(of("db:5432").unwrap_err().to_string().contains("field port"));
        assert!(of("postgresql://db").unwrap_err().to_string().contains("urlFrom"));
        assert!(of("").unwrap_err().to_string().contains("no host"));
    }

    #[test]
    fn a_short_name_is_one_of_the_namespace() {
        let looked_up = |url: &str| parse(url).unwrap().seen_from("shop").server();
        assert_eq!(looked_up("postgresql://u@db/d"), "db.shop.svc:5432");
        for host in ["db.other", "db.example.com", "10.0.0.1", "[2001:db8::1]", "localhost"] {
            let name = host.trim_matches(['[', ']']);
            assert_eq!(looked_up(&format!("postgresql://u@{host}/d")), format!("{name}:5432"));
        }
        assert_eq!(parse("postgresql://u@db/d").unwrap().seen_from("shop").place(), "db:5432/d");
    }

    proptest! {
        #[test]
        fn nothing_panics(url in "(postgres(ql)?://)?[-a-z0-9:@/?&=%,'\\[\\]\"+.]{0,80}", odd in ".{0,200}") {
            let _ = (parse(&url), parse(&odd));
        }

        #[test]
        fn debug_shows_no_password(password in "[a-zA-Z0-9]{8,20}") {
            let endpoint = parse(&format!("postgresql://user:{password}@host/database")).unwrap();
            let shown = format!("{endpoint:?}");
            prop_assert!(!shown.contains(&password));
        }
    }
}
