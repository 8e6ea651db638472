//! Database URLs as SQLAlchemy and the drivers read them; no I/O. `tests/fixtures/urls.json` has the cases, for this reader
//! and for the others.

use super::UrlError;
use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use std::borrow::Cow;

const MAX_URL: usize = 8192;

/// The pieces of a URL by the pattern of sqlalchemy.engine.url._parse_url, not decoded.
pub(super) struct Url<'a> {
    /// The dialect and, behind a plus, the driver.
    pub scheme: &'a str,
    pub username: Option<&'a str>,
    pub password: Option<&'a str>,
    /// Several are divided by commas, each with or without a port.
    pub hosts: &'a str,
    pub database: &'a str,
    query: &'a str,
}

impl<'a> Url<'a> {
    pub fn of(text: &'a str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL {
            return Err(UrlError::Malformed);
        }
        let url = plain(text);
        let (scheme, rest) = url.split_once("://").ok_or_else(|| form(url))?;
        if scheme.is_empty() || !scheme.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '+') {
            return Err(form(url));
        }
        let (username, password, rest) = user_info(rest);
        // An address of IPv6 has neither of the two.
        let (hosts, rest) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if hosts.contains('@') {
            return Err(UrlError::At);
        }
        let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
        Ok(Self { scheme, username, password, hosts, database: path.strip_prefix('/').unwrap_or(path), query })
    }

    /// The parameters in their order, decoded.
    pub fn parameters(&self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
        url::form_urlencoded::parse(self.query.as_bytes())
    }
}

/// A URL without what gets around it on its way into a Secret: blanks and line breaks, and the quotes of a .env file.
pub(super) fn plain(text: &str) -> &str {
    let trimmed = text.trim();
    let unquoted = ['"', '\''].iter().find_map(|quote| trimmed.strip_prefix(*quote)?.strip_suffix(*quote));
    unquoted.unwrap_or(trimmed).trim()
}

/// What stands there in place of a URL, where that can be told.
fn form(text: &str) -> UrlError {
    if text.starts_with("jdbc:") {
        return UrlError::Form(
            "a JDBC URL; take another key of the Secret, or give the parts in spec.database.connection",
        );
    }
    if let Some((name, value)) = text.split_once('=')
        && value.contains("://")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    {
        return UrlError::Form("a line of a .env file; leave out the variable's name and the equals sign");
    }
    if text.starts_with("psql ") {
        return UrlError::Form("a psql command; take the URL alone");
    }
    // The beginnings of postgres, mysql and mariadb, encoded.
    if ["cG9zdGdyZ", "bXlzcWw", "bWFyaWFkY"].iter().any(|beginning| text.starts_with(beginning)) {
        return UrlError::Form("encoded in base64 once too often (`data` of a Secret is encoded, `stringData` is not)");
    }
    if text.starts_with("host=") || text.contains(" host=") || text.contains(" dbname=") {
        return UrlError::Form("a connection string of key and value");
    }
    UrlError::Malformed
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

pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What must be masked of a URL that is none of this connection's business: the whole, and its password where one can be
/// told.
pub fn secret_texts(url: &SecretString) -> Vec<SecretString> {
    let text = url.expose_secret();
    let mut secrets: Vec<String> = vec![text.to_owned(), plain(text).to_owned()];
    if let Ok(parsed) = Url::of(text) {
        secrets.extend(parsed.password.iter().flat_map(|p| [(*p).to_owned(), decoded(p)]));
        let of_query = parsed.parameters().filter(|(key, _)| matches!(key.as_ref(), "password" | "passwd"));
        secrets.extend(of_query.map(|(_, value)| value.into_owned()));
    }
    secrets.into_iter().filter(|t| t.len() > 2).map(SecretString::from).collect()
}

/// The dialect and the driver that a URL names, as it spells them: `postgresql+psycopg`, `postgres`.
pub fn scheme_of(url: &SecretString) -> Option<String> {
    let (scheme, _) = plain(url.expose_secret()).split_once("://")?;
    let known = scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '_' | '.' | '-'));
    (known && scheme.len() <= 64).then(|| scheme.to_owned())
}

/// The dialect that a URL names, whether or not it is supported, by SQLAlchemy's name for it.
pub fn dialect_name(url: &SecretString) -> Option<String> {
    let (scheme, _) = plain(url.expose_secret()).split_once("://")?;
    dialect_of(scheme)
}

/// The dialect of a scheme. Platforms still write `postgres://`, which SQLAlchemy calls `postgresql://`.
pub fn dialect_of(scheme: &str) -> Option<String> {
    match scheme.split('+').next().filter(|name| !name.is_empty())? {
        "postgres" => Some("postgresql".to_owned()),
        name => Some(crate::text::clean(name, 32)),
    }
}
