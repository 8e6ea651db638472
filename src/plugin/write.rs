//! `init`, `adopt` and `gate`: YAML that people commit; nothing is sent. No I/O.

use super::text::cut;
use crate::api::{DatabaseMigration, DatabaseMigrationSpec};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{Container, EnvVar},
};
use kube::ResourceExt;
use serde_json::{Value, json};

/// Where the URL of a first object comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlSource {
    pub secret: String,
    pub key: String,
    /// The variable that carries it.
    pub variable: String,
}

/// What a first object is made of.
#[derive(Clone, Debug)]
pub struct First {
    pub namespace: Option<String>,
    pub name: String,
    pub image: String,
    pub target: String,
    pub url: UrlSource,
    /// What the pods of the Deployment have beside it: variables, volumes, accounts.
    pub pod: Option<Value>,
}

/// Why a Deployment is no beginning.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InitError {
    #[error("the Deployment has several containers ({0}); name one with --container")]
    Several(String),
    #[error("the Deployment has no container {0}; it has {1}")]
    NoContainer(String, String),
    #[error(
        "container {container} has no variable whose value comes from a Secret and whose name looks like a database's URL; give --url-env NAME, or --secret and --key. It has: {has}"
    )]
    NoUrl { container: String, has: String },
}

impl First {
    /// From a Deployment's container: its image, the Secret of its URL, and what its pod needs beside that.
    pub fn of(
        deployment: &Deployment,
        container: Option<&str>,
        url_env: Option<&str>,
        given: Option<UrlSource>,
    ) -> Result<Self, InitError> {
        let pod = deployment.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
        let containers = pod.map(|pod| pod.containers.as_slice()).unwrap_or_default();
        let names = || containers.iter().map(|container| container.name.as_str()).collect::<Vec<_>>().join(", ");
        let container = match (container, containers) {
            (Some(name), all) => {
                all.iter().find(|c| c.name == name).ok_or_else(|| InitError::NoContainer(name.to_owned(), names()))?
            }
            (None, [only]) => only,
            (None, _) => return Err(InitError::Several(names())),
        };
        let url = match given {
            Some(given) => given,
            None => url_of(container, url_env)?,
        };
        let mut extra = json!({});
        let rest = |env: &&EnvVar| env.name != url.variable;
        let env: Vec<&EnvVar> = container.env.iter().flatten().filter(rest).collect();
        let mut alembic = json!({ "name": "alembic" });
        if !env.is_empty() {
            alembic["env"] = json!(env);
        }
        for (key, value) in [("envFrom", json!(container.env_from)), ("volumeMounts", json!(container.volume_mounts))] {
            if value.as_array().is_some_and(|list| !list.is_empty()) {
                alembic[key] = value;
            }
        }
        if alembic.as_object().is_some_and(|alembic| alembic.len() > 1) {
            extra["containers"] = json!([alembic]);
        }
        if let Some(pod) = pod {
            let volumes = if alembic.get("volumeMounts").is_some() { json!(pod.volumes) } else { Value::Null };
            for (key, value) in [
                ("serviceAccountName", json!(pod.service_account_name)),
                ("imagePullSecrets", json!(pod.image_pull_secrets)),
                ("volumes", volumes),
            ] {
                if !value.is_null() {
                    extra[key] = value;
                }
            }
        }
        Ok(Self {
            namespace: deployment.namespace(),
            name: deployment.name_any(),
            image: container.image.clone().unwrap_or_default(),
            target: "head".to_owned(),
            url,
            pod: extra.as_object().is_some_and(|extra| !extra.is_empty()).then_some(extra),
        })
    }

    /// The object as YAML, with a word on what comes next.
    pub fn yaml(&self) -> Result<String, serde_yaml::Error> {
        let mut database = json!({ "urlFrom": { "secretKeyRef": { "name": self.url.secret, "key": self.url.key } } });
        if self.url.variable != "DATABASE_URL" {
            database["urlEnv"] = json!([self.url.variable]);
        }
        let mut spec = json!({ "image": self.image, "targetRevision": self.target, "database": database });
        if let Some(pod) = &self.pod {
            spec["podTemplate"] = json!({ "spec": pod });
        }
        // What the operator would not read must not be written.
        let _: DatabaseMigrationSpec = serde_yaml::from_str(&serde_yaml::to_string(&spec)?)?;
        let mut metadata = json!({ "name": self.name });
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = json!(namespace);
        }
        let head = "# Keep `image` the same as the application's: with Kustomize see kustomize/ of the operator, with Helm use one value for both.\n";
        let object = ordered(&metadata, &spec)?;
        Ok(format!("{head}{object}"))
    }
}

/// Keys in the order in which people read them, and others behind.
const ORDER: [&str; 14] = [
    "name",
    "namespace",
    "image",
    "targetRevision",
    "command",
    "workingDir",
    "env",
    "urlFrom",
    "database",
    "valueFrom",
    "podTemplate",
    "initContainers",
    "containers",
    "volumes",
];

/// JSON as YAML in that order.
fn yaml(value: &Value) -> serde_yaml::Value {
    match value {
        Value::Object(map) => {
            let place = |key: &String| ORDER.iter().position(|known| known == key).unwrap_or(ORDER.len());
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_key(|(key, _)| place(key));
            serde_yaml::Value::Mapping(
                entries.into_iter().map(|(key, value)| (key.as_str().into(), yaml(value))).collect(),
            )
        }
        Value::Array(list) => serde_yaml::Value::Sequence(list.iter().map(yaml).collect()),
        other => serde_yaml::to_value(other).unwrap_or_default(),
    }
}

/// apiVersion, kind, metadata, spec: the order in which people read them.
fn ordered(metadata: &Value, spec: &Value) -> Result<String, serde_yaml::Error> {
    let part = |name: &str, value: &Value| {
        let text = serde_yaml::to_string(&yaml(value))?;
        Ok::<_, serde_yaml::Error>(
            format!("{name}:\n") + &text.lines().map(|line| format!("  {line}\n")).collect::<String>(),
        )
    };
    Ok(format!(
        "apiVersion: alembic-operator.dev/v1alpha1\nkind: DatabaseMigration\n{}{}",
        part("metadata", metadata)?,
        part("spec", spec)?
    ))
}

/// The variable that carries the URL: the named one, or the only one that looks like it.
fn url_of(container: &Container, url_env: Option<&str>) -> Result<UrlSource, InitError> {
    let source = |env: &EnvVar| {
        let key = env.value_from.as_ref()?.secret_key_ref.as_ref()?;
        Some(UrlSource { secret: key.name.clone(), key: key.key.clone(), variable: env.name.clone() })
    };
    let looks_like = |name: &str| {
        let name = name.to_ascii_uppercase();
        ["DATABASE_URL", "DB_URL", "SQLALCHEMY_URL", "SQLALCHEMY_DATABASE_URI", "DATABASE_URI", "DSN"]
            .iter()
            .any(|word| name.ends_with(word))
    };
    let env = container.env.as_deref().unwrap_or_default();
    let found = match url_env {
        Some(name) => env.iter().find(|env| env.name == name).and_then(source),
        None => env.iter().filter(|env| looks_like(&env.name)).find_map(source),
    };
    found.ok_or_else(|| InitError::NoUrl {
        container: container.name.clone(),
        has: cut(&env.iter().map(|env| env.name.as_str()).collect::<Vec<_>>().join(", "), 300),
    })
}

/// The lines by which a database with tables and no version row is taken over.
pub fn adopt(object: &DatabaseMigration, revision: &str) -> String {
    let name = object.name_any();
    format!(
        "# To be merged into the DatabaseMigration {name}. The tables are compared with the models before the revision is written\n\
         # into the version table; no migration runs for it.\nspec:\n  adopt:\n    revision: \"{revision}\"\n    verify: Models\n"
    )
}

/// The init container that holds an application's pods back until the database has what their image needs.
pub fn gate(object: &DatabaseMigration) -> Result<String, serde_yaml::Error> {
    let spec = &object.spec;
    let name = object.name_any();
    let mut command =
        if spec.alembic.command.is_empty() { vec!["python3".to_owned()] } else { spec.alembic.command.clone() };
    command.push("/gate/gate.py".to_owned());
    for (flag, value) in [("--config", &spec.alembic.config), ("--section", &spec.alembic.section)] {
        command.extend(value.iter().flat_map(|value| [flag.to_owned(), value.clone()]));
    }
    command.extend(spec.alembic.x.iter().flat_map(|value| ["-x".to_owned(), value.clone()]));
    let mut container = json!({ "name": "wait-for-schema", "image": spec.image, "command": command });
    if let Some(folder) = &spec.alembic.working_dir {
        container["workingDir"] = json!(folder);
    }
    if let Some(url) = &spec.database.url_from {
        let env: Vec<Value> =
            spec.database.env_names().iter().map(|name| json!({ "name": name, "valueFrom": url })).collect();
        container["env"] = json!(env);
    }
    container["volumeMounts"] = json!([{ "name": "gate", "mountPath": "/gate", "readOnly": true }]);
    let pod = json!({
        "initContainers": [container],
        "volumes": [{ "name": "gate", "configMap": { "name": format!("{name}-gate") } }],
    });
    let other = if spec.database.url_from.is_none() {
        "# Give it the application's own variables for the database: spec.database.connection is for the operator's Jobs.\n"
    } else {
        ""
    };
    Ok(format!(
        "# For the pod template of the application: its pods wait until the database has what their image needs. The image must be\n\
         # the application's own, as the container's.\n{other}{}",
        serde_yaml::to_string(&yaml(&pod))?
    ))
}
