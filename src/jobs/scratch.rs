//! A scratch database beside a Job's container: its URL and its server; builds objects only.

use serde_json::{Value, json};

/// A database that lives and dies with a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scratch {
    /// The URL's first part, with the driver that the application uses: `postgresql+psycopg`.
    pub scheme: String,
    /// An image with the server; none is needed for SQLite.
    pub image: Option<String>,
}

/// Everybody in the pod may know it; the server listens to nobody else. No word of a message, since it is masked there.
pub(super) const PASSWORD: &str = "not-a-secret";
/// What the server calls itself, so that nothing else that listens at its place is taken for it.
pub(super) const MARK: &str = "alembic-operator-scratch";
const VOLUME: &str = "alembic-operator-scratch";
/// The container that runs the server.
pub(super) const SERVER: &str = "scratch-database";
const POSTGRESQL_DIR: &str = "/scratch";
const MYSQL_DIR: &str = "/var/lib/mysql";

/// Port, user and the database's name.
pub type Login = (&'static str, &'static str, &'static str);
const POSTGRESQL_LOGIN: Login = ("5432", "postgres", "postgres");
const MYSQL_LOGIN: Login = ("3306", "root", "scratch");

impl Scratch {
    /// The dialect, without the driver.
    pub fn dialect(&self) -> &str {
        match self.scheme.split('+').next().unwrap_or_default() {
            // As platforms still write it.
            "postgres" => "postgresql",
            name => name,
        }
    }

    /// Where the application finds it.
    pub fn url(&self) -> String {
        match self.dialect() {
            "sqlite" => format!("{}:////tmp/scratch.db", self.scheme),
            _ => {
                let (port, user, name) = self.login().unwrap_or(MYSQL_LOGIN);
                format!("{}://{user}:{PASSWORD}@127.0.0.1:{port}/{name}", self.scheme)
            }
        }
    }

    /// How to come in, where it has a server.
    pub fn login(&self) -> Option<Login> {
        match self.dialect() {
            "postgresql" => Some(POSTGRESQL_LOGIN),
            "mysql" | "mariadb" => Some(MYSQL_LOGIN),
            _ => None,
        }
    }

    /// The part of the pod that runs the server: a sidecar, so that the pod ends with the application's container. The
    /// variables are those of the official images.
    pub fn server(&self) -> Option<Value> {
        let image = self.image.as_ref()?;
        let (dir, env, args) = match self.dialect() {
            "postgresql" => (
                POSTGRESQL_DIR,
                json!([{ "name": "POSTGRES_PASSWORD", "value": PASSWORD }, { "name": "PGDATA", "value": format!("{POSTGRESQL_DIR}/data") }]),
                json!(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", format!("cluster_name={MARK}")]),
            ),
            "mysql" | "mariadb" => (
                MYSQL_DIR,
                json!([{ "name": "MARIADB_ROOT_PASSWORD", "value": PASSWORD }, { "name": "MARIADB_DATABASE", "value": "scratch" },
                       { "name": "MYSQL_ROOT_PASSWORD", "value": PASSWORD }, { "name": "MYSQL_DATABASE", "value": "scratch" }]),
                json!(["--bind-address=127.0.0.1", format!("--report-host={MARK}")]),
            ),
            _ => return None,
        };
        Some(json!({
            "initContainers": [{
                "name": SERVER,
                "image": image,
                "restartPolicy": "Always",
                "env": env,
                "args": args,
                "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
                "volumeMounts": [{ "name": VOLUME, "mountPath": dir }],
            }],
            "volumes": [{ "name": VOLUME, "emptyDir": {} }],
        }))
    }
}
