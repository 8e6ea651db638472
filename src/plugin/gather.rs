//! What `report` reads of a cluster; does network I/O. What may not be read is named, and the rest goes on.

use super::{cluster::Cluster, view::status_of};
use crate::api::DatabaseMigration;
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ConfigMap, Event, Pod},
};
use kube::ResourceExt;

/// What was found of an object.
#[derive(Debug, Default)]
pub struct Gathered {
    pub object: DatabaseMigration,
    pub jobs: Vec<Job>,
    pub pods: Vec<Pod>,
    pub events: Vec<Event>,
    /// The plan's and the schema's.
    pub config_maps: Vec<ConfigMap>,
    /// By pod and container.
    pub logs: Vec<(String, String)>,
    /// What could not be read, and why.
    pub missing: Vec<String>,
    pub operator: Option<String>,
}

impl Cluster {
    /// Everything about an object that the caller may read; no Secret.
    pub async fn gather(&self, object: DatabaseMigration) -> Gathered {
        let mut found = Gathered { operator: self.operator().await.ok().flatten(), ..Gathered::default() };
        let mut missing = Vec::new();
        let mut note = |what: &str, error: anyhow::Error| missing.push(format!("{what}: {error:#}"));
        match self.jobs(&object).await {
            Ok(jobs) => found.jobs = jobs,
            Err(error) => note("jobs", error),
        }
        match self.events(&object).await {
            Ok(events) => found.events = events,
            Err(error) => note("events", error),
        }
        for job in &found.jobs {
            match self.pods(&job.name_any()).await {
                Ok(pods) => found.pods.extend(pods),
                Err(error) => note(&job.name_any(), error),
            }
        }
        for pod in &found.pods {
            for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
                let name = format!("{}/{}", pod.name_any(), container.name);
                match self.log(&pod.name_any(), Some(&container.name)).await {
                    Ok(log) => found.logs.push((name, log)),
                    Err(error) => note(&name, error),
                }
            }
        }
        let status = status_of(&object);
        let maps = [
            status.plan.as_ref().and_then(|plan| plan.config_map.clone()),
            status.drift.as_ref().and_then(|drift| drift.config_map.clone()),
        ];
        for name in maps.into_iter().flatten() {
            match self.config_map(Some(&name)).await {
                Ok(map) => found.config_maps.extend(map),
                Err(error) => note(&name, error),
            }
        }
        drop(status);
        (found.object, found.missing) = (object, missing);
        found
    }
}
