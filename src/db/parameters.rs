//! The parameters of a database URL, for each driver that has some: which of them this connection heeds, and which would
//! make it read files; no I/O.

use super::{TlsMode, UrlError, endpoint::CA_FILE, url::Url};

/// Parameters that name a file, a socket or a service of the application's own pod, and can't be left out.
const IN_THE_POD: [&str; 16] = [
    "sslcert",
    "sslkey",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "passfile",
    "service",
    "servicefile",
    // Of the drivers for MySQL.
    "unix_socket",
    "read_default_file",
    "read_default_group",
    "default_file",
    "ssl_ca",
    "ssl_cert",
    "ssl_key",
    "ssl_capath",
];

/// The parameters that this connection heeds. All others are for the application's own driver.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    /// In their order, each with or without a port.
    pub hosts: Vec<String>,
    pub ports: Vec<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub database: Option<String>,
    pub tls: Option<TlsMode>,
    pub search_path: Option<String>,
    pub role: Option<String>,
    /// Only a server that takes writes will do.
    pub writable: bool,
}

impl Parameters {
    pub fn of(url: &Url) -> Result<Self, UrlError> {
        let mut found = Self::default();
        for (key, value) in url.parameters() {
            match key.as_ref() {
                "host" => found.hosts.extend(value.split(',').map(str::to_owned)),
                "port" => found.ports.extend(value.split(',').map(str::to_owned)),
                "user" => found.user = Some(value.into_owned()),
                "password" | "passwd" => found.password = Some(value.into_owned()),
                "dbname" | "database" | "db" => found.database = Some(value.into_owned()),
                "target_session_attrs" => found.writable = matches!(value.as_ref(), "read-write" | "primary"),
                // asyncpg calls it ssl.
                "sslmode" | "ssl" | "ssl_mode" => {
                    found.tls = Some(tls_mode(&value).ok_or(UrlError::Parameter("sslmode"))?);
                }
                "requiressl" if is_true(&value) => found.tls = found.tls.or(Some(TlsMode::Require)),
                // PyMySQL's, and the connector's.
                "ssl_disabled" if is_true(&value) => found.tls = Some(TlsMode::Disable),
                "ssl_verify_identity" if is_true(&value) => found.tls = Some(TlsMode::VerifyFull),
                "ssl_verify_cert" if is_true(&value) => found.tls = found.tls.or(Some(TlsMode::VerifyCa)),
                // The certificates of spec.database.tls, which the operator has from their Secret; and those of the system,
                // which it takes by itself.
                "sslrootcert" | "ssl_ca" if value == CA_FILE || value == "system" => {}
                "options" => found.heed(&value),
                "sslrootcert" | "ssl_ca" => return Err(UrlError::CaFile(key.into_owned())),
                key if IN_THE_POD.contains(&key) => return Err(UrlError::NotAllowed(key.to_owned())),
                _ => {}
            }
        }
        Ok(found)
    }

    /// What libpq's `options` set that decides which version table is found, and by whom.
    fn heed(&mut self, options: &str) {
        for (name, value) in settings(options) {
            match name.as_str() {
                "search_path" => self.search_path = Some(value).filter(|path| !path.is_empty()),
                "role" => self.role = Some(value).filter(|role| !role.is_empty()),
                _ => {}
            }
        }
    }
}

/// The settings in libpq's `options`: `-c name=value`, `-cname=value`, `--name=value`. A backslash escapes a blank.
fn settings(options: &str) -> Vec<(String, String)> {
    let mut words: Vec<String> = vec![String::new()];
    let mut escaped = false;
    for c in options.chars() {
        match c {
            '\\' if !escaped => escaped = true,
            c if c.is_whitespace() && !escaped => words.push(String::new()),
            c => {
                words.last_mut().map(|word| word.push(c)).unwrap_or_default();
                escaped = false;
            }
        }
    }
    let mut found = Vec::new();
    let mut words = words.into_iter().filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let setting = match (word.strip_prefix("--"), word.strip_prefix("-c")) {
            (Some(setting), _) => Some(setting.to_owned()),
            (None, Some("")) => words.next(),
            (None, setting) => setting.map(str::to_owned),
        };
        let setting = setting.unwrap_or_default();
        if let Some((name, value)) = setting.split_once('=') {
            found.push((name.to_ascii_lowercase().replace('-', "_"), value.to_owned()));
        }
    }
    found
}

fn is_true(text: &str) -> bool {
    matches!(text.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on")
}

/// libpq's words, and those of MySQL's client.
fn tls_mode(text: &str) -> Option<TlsMode> {
    Some(match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" | "false" | "0" => TlsMode::Disable,
        "allow" => TlsMode::Allow,
        "prefer" | "preferred" => TlsMode::Prefer,
        "require" | "required" | "true" | "1" => TlsMode::Require,
        "verify-ca" => TlsMode::VerifyCa,
        "verify-full" | "verify-identity" => TlsMode::VerifyFull,
        _ => return None,
    })
}
