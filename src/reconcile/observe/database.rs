//! The database's URL from its Secret, and the reading of its version table; does network I/O.

use crate::{
    api::{Connection, Database, DatabaseMigration, DurationField, Part, ProbeMode, Problem, Reason, SecretKey},
    call::call,
    db::{self, Catalog, Endpoint, ProbeError, Sizes, UrlError, VersionTable},
    error::Error,
    reconcile::{context::Context, facts::DatabaseView, servers::Turn},
};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use secrecy::{ExposeSecret, SecretString};
use std::{collections::BTreeMap, time::Duration};

/// Where the database is, with the texts that must not be shown.
pub struct Located {
    /// Where the operator connects by itself; `None` where a Job does.
    pub endpoint: Option<Endpoint>,
    /// The dialect that the URL names.
    pub dialect: String,
    /// The same with the driver, where the URL names one.
    pub scheme: String,
    /// Host, port and name of the database, without secrets; a plan's hash names it.
    pub place: String,
    /// Its server; a file has none.
    pub server: Option<String>,
    hidden: Vec<SecretString>,
}

impl Located {
    /// What to mask in texts from outside.
    pub fn secrets(&self) -> Vec<&str> {
        self.hidden.iter().map(ExposeSecret::expose_secret).collect()
    }
}

/// Reads the Secrets that the spec names, by name and nothing else.
pub async fn endpoint(object: &DatabaseMigration, context: &Context) -> Result<Result<Located, Problem>, Error> {
    let database = &object.spec.database;
    let mut secrets = Secrets { object, context, read: BTreeMap::new() };
    let located = match secrets.located(database).await? {
        Ok(located) => located,
        Err(problem) => return Ok(Err(problem)),
    };
    let by_job = database.probe.mode == ProbeMode::Job;
    let namespace = object.namespace().unwrap_or_default();
    let endpoint = located
        .endpoint
        .filter(|_| !by_job)
        .map(|endpoint| endpoint.seen_from(&namespace).among(context.process.hosts.clone()));
    let located = Located { endpoint, ..located };
    let Some(tls) = &database.tls else { return Ok(Ok(located)) };
    let pem = secrets.value(&tls.ca_from.secret_key_ref).await?;
    Ok(pem.map(|pem| {
        let trusting = |endpoint: Endpoint| endpoint.trusting(pem.expose_secret().as_bytes().to_vec());
        Located { endpoint: located.endpoint.map(trusting), ..located }
    }))
}

impl Secrets<'_> {
    async fn located(&mut self, database: &Database) -> Result<Result<Located, Problem>, Error> {
        if let Some(from) = database.migration_url() {
            let url = match self.value(&from.secret_key_ref).await? {
                Ok(url) => url,
                Err(problem) => return Ok(Err(problem)),
            };
            let scheme = scheme(database, db::scheme_of(&url));
            if database.probe.mode == ProbeMode::Job {
                return Ok(for_jobs(&url, &from.secret_key_ref).map(|located| Located { scheme, ..located }));
            }
            let endpoint = Endpoint::parse(&url).map_err(|e| url_problem(&e, &from.secret_key_ref));
            return Ok(endpoint.map(|endpoint| Located { scheme, ..located(endpoint, vec![url]) }));
        }
        let Some(connection) = &database.connection else {
            let message = "set exactly one of spec.database.urlFrom and spec.database.connection";
            return Ok(Err(Problem::new(Reason::InvalidSpec, message)));
        };
        let scheme = scheme(database, Some(connection.dialect.as_str().to_owned()));
        let located = self.connection(connection).await?;
        Ok(located.map(|located| Located { scheme, ..located }))
    }
}

fn located(endpoint: Endpoint, mut hidden: Vec<SecretString>) -> Located {
    hidden.extend(endpoint.secret_texts());
    let place = endpoint.place();
    let server = Some(endpoint.server());
    let dialect = endpoint.dialect().to_string();
    Located { dialect, scheme: String::new(), place, server, endpoint: Some(endpoint), hidden }
}

/// As the runner makes it of a URL that names no driver.
fn scheme(database: &Database, of_url: Option<String>) -> String {
    let scheme = of_url.unwrap_or_default();
    match &database.driver {
        Some(driver) if !scheme.contains('+') => {
            format!("{}+{driver}", db::dialect_of(&scheme).unwrap_or_default())
        }
        _ => scheme,
    }
}

/// A URL that only the Jobs use: any that SQLAlchemy takes.
fn for_jobs(url: &SecretString, key: &SecretKey) -> Result<Located, Problem> {
    let dialect = db::dialect_name(url).ok_or_else(|| url_problem(&UrlError::Malformed, key))?;
    let place = place_of(url);
    let server = place.split('/').next().filter(|server| !server.is_empty()).map(str::to_owned);
    Ok(Located { endpoint: None, dialect, scheme: String::new(), place, server, hidden: db::secret_texts(url) })
}

/// What identifies a URL's database, without user and password.
fn place_of(url: &SecretString) -> String {
    let text = url.expose_secret();
    let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    // The last @, since a password may hold one that is not encoded.
    crate::text::clean(rest.rsplit_once('@').map_or(rest, |(_, place)| place), 512)
}

fn url_problem(error: &UrlError, key: &SecretKey) -> Problem {
    let reason = Reason::parse(error.reason()).unwrap_or(Reason::InvalidUrl);
    Problem::new(reason, format!("Secret {}, key {}: {error}", key.name, key.key))
}

/// Secrets read in this pass, so that two keys of one cost one call.
struct Secrets<'a> {
    object: &'a DatabaseMigration,
    context: &'a Context,
    read: BTreeMap<String, Option<Secret>>,
}

impl Secrets<'_> {
    async fn connection(&mut self, connection: &Connection) -> Result<Result<Located, Problem>, Error> {
        let username = match self.value(&connection.username_from.secret_key_ref).await? {
            Ok(username) => username,
            Err(problem) => return Ok(Err(problem)),
        };
        let password = match &connection.password_from {
            None => None,
            Some(from) => match self.value(&from.secret_key_ref).await? {
                Ok(password) => Some(password),
                Err(problem) => return Ok(Err(problem)),
            },
        };
        let mut places = BTreeMap::new();
        for (end, part) in connection.places() {
            match self.part(&part).await? {
                Ok(text) => places.insert(end, text),
                Err(problem) => return Ok(Err(problem)),
            };
        }
        let place = |end: &str| places.get(end).map_or("", String::as_str);
        let port = match place("PORT") {
            "" => None,
            text => match text.parse::<u16>() {
                Ok(port) if port > 0 => Some(port),
                _ => return Ok(Err(Problem::new(Reason::InvalidUrl, "spec.database.connection: the port is none"))),
            },
        };
        let dialect = connection.dialect.as_str();
        let endpoint = Endpoint::from_parts(dialect, place("HOST"), port, place("NAME"), &username, password.as_ref());
        let problem = |e: UrlError| Problem::new(Reason::InvalidSpec, format!("spec.database.connection: {e}"));
        Ok(endpoint.map(|endpoint| located(endpoint, password.into_iter().collect())).map_err(problem))
    }

    /// A part of the URL; a line break at its end is none of it.
    async fn part(&mut self, part: &Part<'_>) -> Result<Result<String, Problem>, Error> {
        match part {
            Part::Text(text) => Ok(Ok(text.clone())),
            Part::Secret(key) => Ok(self.value(key).await?.map(|text| text.expose_secret().trim().to_owned())),
        }
    }

    async fn value(&mut self, key: &SecretKey) -> Result<Result<SecretString, Problem>, Error> {
        let namespace = self.object.namespace().unwrap_or_default();
        // The name becomes a part of a path, and must not lead anywhere else.
        if key.name.is_empty() || key.name.contains(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '.') {
            let message = format!("spec.database: {:?} is not the name of a Secret", crate::text::clean(&key.name, 64));
            return Ok(Err(Problem::new(Reason::InvalidSpec, message)));
        }
        if !self.read.contains_key(&key.name) {
            let api: Api<Secret> = Api::namespaced(self.context.client.clone(), &namespace);
            let secret = call(&format!("get Secret {}", key.name), api.get_opt(&key.name)).await?;
            self.read.insert(key.name.clone(), secret);
        }
        let Some(Some(secret)) = self.read.get(&key.name) else {
            let message = format!("Secret {} is not in namespace {namespace}", key.name);
            return Ok(Err(Problem::new(Reason::SecretNotFound, message)));
        };
        let Some(value) = secret.data.as_ref().and_then(|data| data.get(&key.key)) else {
            let message = format!("Secret {} has no key {}", key.name, key.key);
            return Ok(Err(Problem::new(Reason::SecretKeyMissing, message)));
        };
        Ok(match std::str::from_utf8(&value.0) {
            Ok(text) => Ok(SecretString::from(text.to_owned())),
            Err(_) => {
                let message = format!("Secret {}, key {} is not text", key.name, key.key);
                Err(Problem::new(Reason::InvalidUrl, message))
            }
        })
    }
}

fn timeout(object: &DatabaseMigration) -> Duration {
    DurationField::ProbeTimeout.or_default(&object.spec)
}

/// Reads the version table on one short read-only connection.
pub async fn probe(
    object: &DatabaseMigration,
    context: &Context,
    endpoint: &Endpoint,
    table: &VersionTable,
) -> DatabaseView {
    let timeout = timeout(object);
    let answer = match turn(object, context, endpoint, timeout).await {
        Turn::Later => return DatabaseView::Busy,
        Turn::Silent(within) => Err(ProbeError::Timeout { place: endpoint.place(), seconds: within.as_secs() }),
        Turn::Granted(turn) => {
            let answer = context.process.prober.probe(endpoint, table, timeout).await;
            turn.over(!matches!(answer, Err(ProbeError::Timeout { .. })), timeout);
            answer
        }
    };
    match answer {
        Ok(snapshot) => DatabaseView::Seen(snapshot),
        Err(error) => DatabaseView::Failed(probe_problem(&error)),
    }
}

/// A turn at the database's server.
pub async fn turn(object: &DatabaseMigration, context: &Context, endpoint: &Endpoint, timeout: Duration) -> Turn {
    let namespace = object.namespace().unwrap_or_default();
    context.process.servers.turn(&endpoint.server(), &namespace, timeout).await
}

/// How large the tables are, where somebody is going to change some; nothing where that can't be read.
pub async fn sizes(
    object: &DatabaseMigration,
    context: &Context,
    endpoint: &Endpoint,
    table: &VersionTable,
) -> Option<Sizes> {
    let timeout = timeout(object);
    let Turn::Granted(_turn) = turn(object, context, endpoint, timeout).await else { return None };
    let read = context.process.prober.sizes(endpoint, table, timeout).await;
    read.inspect_err(|error| tracing::warn!(object = object.name_any(), %error, "the sizes of tables can't be read"))
        .ok()
}

/// What the tables are, where somebody is going to change some; nothing where that can't be read.
pub async fn catalog(
    object: &DatabaseMigration,
    context: &Context,
    endpoint: &Endpoint,
    table: &VersionTable,
) -> Option<Catalog> {
    let timeout = timeout(object);
    let Turn::Granted(_turn) = turn(object, context, endpoint, timeout).await else { return None };
    let read = context.process.prober.schema(endpoint, table, timeout).await;
    let read = read.inspect_err(|error| tracing::warn!(object = object.name_any(), %error, "the tables can't be read"));
    read.ok().filter(|schema| !schema.migrating).map(|schema| schema.catalog)
}

/// What a failed reading means for the object.
pub fn probe_problem(error: &ProbeError) -> Problem {
    let reason = Reason::parse(error.reason()).unwrap_or(Reason::DatabaseUnreachable);
    Problem::new(reason, error.to_string())
}
