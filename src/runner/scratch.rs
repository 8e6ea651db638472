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

/// Everybody in the pod may know it; the server listens to nobody else.
const PASSWORD: &str = "scratch";
const VOLUME: &str = "alembic-operator-scratch";
const POSTGRESQL_DIR: &str = "/scratch";
const MYSQL_DIR: &str = "/var/lib/mysql";

impl Scratch {
    /// The dialect, without the driver.
    pub fn dialect(&self) -> &str {
        self.scheme.split('+').next().unwrap_or_default()
    }

    /// Where the application finds it.
    pub fn url(&self) -> String {
        match self.dialect() {
            "postgresql" => format!("{}://postgres:{PASSWORD}@127.0.0.1:5432/postgres", self.scheme),
            "sqlite" => format!("{}:////tmp/scratch.db", self.scheme),
            _ => format!("{}://root:{PASSWORD}@127.0.0.1:3306/scratch", self.scheme),
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
                json!(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]),
            ),
            "mysql" | "mariadb" => (
                MYSQL_DIR,
                json!([{ "name": "MARIADB_ROOT_PASSWORD", "value": PASSWORD }, { "name": "MARIADB_DATABASE", "value": "scratch" },
                       { "name": "MYSQL_ROOT_PASSWORD", "value": PASSWORD }, { "name": "MYSQL_DATABASE", "value": "scratch" }]),
                json!(["--bind-address=127.0.0.1"]),
            ),
            _ => return None,
        };
        Some(json!({
            "initContainers": [{
                "name": "scratch-database",
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
