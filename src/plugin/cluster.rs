//! The calls of the plugin to the API server, with the caller's own kubeconfig; does network I/O. Everything that is read needs
//! the role `view` and nothing more.

use crate::{
    api::{DatabaseMigration, LABEL_INSPECTION, LABEL_OBJECT, read_effective},
    jobs::{Inspected, inspected_image, label_value, read_inspection},
};
use anyhow::{Context as _, anyhow};
use k8s_openapi::api::{
    apps::v1::Deployment,
    authentication::v1::SelfSubjectReview,
    batch::v1::Job,
    core::v1::{ConfigMap, Event, Pod},
};
use kube::{
    Api, Client, Config, ResourceExt,
    api::{ListParams, LogParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::{ApiResource, DynamicObject},
};
use serde_json::Value;
use std::path::PathBuf;

/// The manager of what the plugin writes; who uses it stands behind it where the API server tells.
const MANAGER: &str = "kubectl-dbmigration";

/// Objects in one answer of the API server.
const PAGE: u32 = 500;

/// How the API server is reached, in the words of kubectl's flags.
#[derive(Clone, Debug, Default)]
pub struct Place {
    pub kubeconfig: Option<PathBuf>,
    pub context: Option<String>,
    pub namespace: Option<String>,
}

/// A cluster, and the namespace that is meant where none is named.
#[derive(Clone)]
pub struct Cluster {
    pub client: Client,
    pub namespace: String,
}

/// Which objects.
#[derive(Clone, Copy, Debug, Default)]
pub struct Selection<'a> {
    pub all_namespaces: bool,
    pub labels: Option<&'a str>,
}

impl Cluster {
    /// Reads the kubeconfig as kubectl does.
    pub async fn connect(place: &Place) -> anyhow::Result<Self> {
        let options = KubeConfigOptions { context: place.context.clone(), ..KubeConfigOptions::default() };
        let config = match &place.kubeconfig {
            Some(file) => {
                let kubeconfig =
                    Kubeconfig::read_from(file).with_context(|| format!("--kubeconfig {}", file.display()))?;
                Config::from_custom_kubeconfig(kubeconfig, &options).await?
            }
            None if place.context.is_some() => Config::from_kubeconfig(&options).await?,
            None => Config::infer().await.context("there is neither a kubeconfig nor a service account")?,
        };
        let namespace = place.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
        Ok(Self { client: Client::try_from(config)?, namespace })
    }

    fn objects(&self) -> Api<DatabaseMigration> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// One object, with the settings of the platform under its spec.
    pub async fn object(&self, name: &str) -> anyhow::Result<DatabaseMigration> {
        match self.get_object(name).await? {
            Some(object) => Ok(object),
            None => Err(Box::pin(self.not_found(name)).await),
        }
    }

    /// The same, if there is one.
    pub(super) async fn get_object(&self, name: &str) -> anyhow::Result<Option<DatabaseMigration>> {
        let kind = ApiResource::erase::<DatabaseMigration>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &kind);
        let found = api.get_opt(name).await.map_err(told)?;
        let read = |object| {
            read_effective(object)
                .0
                .with_context(|| format!("{name} can't be read: is the plugin older than the operator?"))
        };
        found.map(read).transpose()
    }

    /// Says what there is instead.
    pub(super) async fn not_found(&self, name: &str) -> anyhow::Error {
        let shown = crate::text::clean(name, 253);
        if let Ok(Some(_)) = self.get_set(name).await {
            return anyhow!("{shown} is a DatabaseMigrationSet, and the command is for a DatabaseMigration");
        }
        let there = match self.names().await.as_slice() {
            [] => "there is none in this namespace".to_owned(),
            names => format!("there are: {}", crate::text::list(names, 10)),
        };
        anyhow!("namespace {} has no DatabaseMigration called {shown}; {there}", self.namespace)
    }

    /// Objects in the order of their names, and the names of those that this version can't read.
    pub async fn list(&self, selection: Selection<'_>) -> anyhow::Result<(Vec<DatabaseMigration>, Vec<String>)> {
        let kind = ApiResource::erase::<DatabaseMigration>(&());
        self.list_of(&kind, selection, |object| read_effective(object).0.ok()).await.map_err(told)
    }

    /// Objects of a kind in the order of their names, and the names of those that can't be read.
    pub(super) async fn list_of<T: ResourceExt>(
        &self,
        kind: &ApiResource,
        selection: Selection<'_>,
        read: impl Fn(DynamicObject) -> Option<T>,
    ) -> Result<(Vec<T>, Vec<String>), kube::Error> {
        let api: Api<DynamicObject> = match selection.all_namespaces {
            true => Api::all_with(self.client.clone(), kind),
            false => Api::namespaced_with(self.client.clone(), &self.namespace, kind),
        };
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = selection.labels.map(str::to_owned);
        let (mut objects, mut unreadable) = (Vec::new(), Vec::new());
        loop {
            let page = api.list(&params).await?;
            for item in page.items {
                let name = format!("{}/{}", item.namespace().unwrap_or_default(), item.name_any());
                match read(item) {
                    Some(object) => objects.push(object),
                    None => unreadable.push(name),
                }
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => break,
            }
        }
        objects.sort_by_key(|object: &T| (object.namespace(), object.name_any()));
        Ok((objects, unreadable))
    }

    /// A ConfigMap of an object, where it is there and may be read.
    pub async fn config_map(&self, name: Option<&str>) -> anyhow::Result<Option<ConfigMap>> {
        let Some(name) = name else { return Ok(None) };
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get_opt(name).await.map_err(told)
    }

    /// What the image of an object holds, as it was inspected; the images of earlier specs where `all` is asked for, newest first.
    pub async fn inspections(&self, object: &DatabaseMigration, all: bool) -> anyhow::Result<Vec<Inspected>> {
        let Some(status) = &object.status else { return Ok(Vec::new()) };
        let key = status.image.as_ref().and_then(|image| image.inspection.as_deref()).unwrap_or_default();
        let key = key.split('/').next().filter(|key| !key.is_empty() && !all);
        let label = key.map_or_else(|| LABEL_INSPECTION.to_owned(), |key| format!("{LABEL_INSPECTION}={key}"));
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut maps = api.list(&ListParams::default().labels(&label)).await.map_err(told)?.items;
        maps.sort_by_key(|map| std::cmp::Reverse(map.creation_timestamp().map(|time| time.0)));
        let place = |map: &ConfigMap| status.images.iter().position(|image| inspected_image(map) == Some(image));
        let mut found: Vec<(usize, Inspected)> =
            maps.iter().filter_map(|map| Some((place(map)?, read_inspection(map)?))).collect();
        found.sort_by_key(|(place, _)| *place);
        found.dedup_by_key(|(place, _)| *place);
        Ok(found.into_iter().map(|(_, image)| image).collect())
    }

    /// The image that an object's plan is for: that of the spec, or, where it lacks a row of the database, the newest earlier one that
    /// has them all. A downgrade runs in that one.
    pub async fn acting_image(&self, object: &DatabaseMigration) -> anyhow::Result<Option<Inspected>> {
        let own = self.inspections(object, false).await?.into_iter().next();
        if own.as_ref().is_some_and(|image| super::graph::knows_all(image, object)) {
            return Ok(own);
        }
        let mut earlier = self.inspections(object, true).await?;
        let found = earlier.iter().position(|image| super::graph::knows_all(image, object));
        Ok(found.map(|at| earlier.swap_remove(at)).or(own).or(earlier.into_iter().next()))
    }

    /// The Jobs that were made for an object.
    pub async fn jobs(&self, object: &DatabaseMigration) -> anyhow::Result<Vec<Job>> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        let label = format!("{LABEL_OBJECT}={}", label_value(&object.name_any()));
        Ok(api.list(&ListParams::default().labels(&label)).await.map_err(told)?.items)
    }

    /// A Job, if it is still there.
    pub async fn job(&self, name: &str) -> anyhow::Result<Option<Job>> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get_opt(name).await.map_err(told)
    }

    /// The logs of a Job's newest pod, by container. A container that has not started has none.
    pub async fn logs_of(&self, job: &str) -> anyhow::Result<Vec<(String, String)>> {
        let Some(pod) = self.pods(job).await?.into_iter().next() else {
            anyhow::bail!("Job {job} has no pod any more: its log went with it");
        };
        let containers: Vec<String> =
            pod.spec.iter().flat_map(|spec| &spec.containers).map(|container| container.name.clone()).collect();
        let mut logs = Vec::new();
        for container in containers {
            let name = pod.name_any();
            match self.log(&name, Some(&container)).await {
                Ok(text) => logs.push((container, text)),
                Err(error) if logs.is_empty() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(logs)
    }

    /// The image of the operator, where the caller may see its Deployment.
    pub async fn operator(&self) -> anyhow::Result<Option<String>> {
        let api: Api<Deployment> = Api::all(self.client.clone());
        let params = ListParams::default().labels("app.kubernetes.io/name=alembic-operator");
        let found = match api.list(&params).await {
            Err(kube::Error::Api(status)) if status.code == 403 => return Ok(None),
            found => found.map_err(told)?,
        };
        let containers =
            found.items.into_iter().filter_map(|deployment| deployment.spec?.template.spec).flat_map(|s| s.containers);
        Ok(containers.into_iter().find_map(|container| container.image))
    }

    /// A Deployment of the namespace.
    pub async fn deployment(&self, name: &str) -> anyhow::Result<Deployment> {
        let api: Api<Deployment> = Api::namespaced(self.client.clone(), &self.namespace);
        api.get(name).await.map_err(told)
    }

    /// The pods of a Job, newest first.
    pub async fn pods(&self, job: &str) -> anyhow::Result<Vec<Pod>> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut pods = api.list(&ListParams::default().labels(&format!("job-name={job}"))).await.map_err(told)?.items;
        pods.sort_by_key(|pod| std::cmp::Reverse(pod.creation_timestamp().map(|time| time.0)));
        Ok(pods)
    }

    /// What a container has written so far.
    pub async fn log(&self, pod: &str, container: Option<&str>) -> anyhow::Result<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = LogParams { container: container.map(str::to_owned), ..LogParams::default() };
        api.logs(pod, &params).await.map_err(told)
    }

    /// The events about an object, oldest first.
    pub async fn events<T: ResourceExt<DynamicType = ()>>(&self, object: &T) -> anyhow::Result<Vec<Event>> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let fields = format!("involvedObject.name={},involvedObject.kind={}", object.name_any(), T::kind(&()));
        let mut events = api.list(&ListParams::default().fields(&fields)).await.map_err(told)?.items;
        let moment = |event: &Event| {
            let micro = event.event_time.as_ref().map(|time| time.0);
            event.last_timestamp.as_ref().map(|time| time.0).or(micro)
        };
        events.sort_by_key(moment);
        Ok(events)
    }

    /// Changes annotations or the like of an object, in the name of who asks for it.
    pub async fn change(&self, name: &str, patch: &Value) -> anyhow::Result<DatabaseMigration> {
        self.objects().patch(name, &self.as_caller().await, &Patch::Merge(patch)).await.map_err(told)
    }

    pub(super) async fn as_caller(&self) -> PatchParams {
        let manager = match self.user().await {
            Some(user) => crate::text::clean(&format!("{MANAGER} ({user})"), 128),
            None => MANAGER.to_owned(),
        };
        PatchParams { field_manager: Some(manager), ..PatchParams::default() }
    }

    /// What the API server calls the caller; everybody who is logged in may ask.
    async fn user(&self) -> Option<String> {
        let api: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let review = api.create(&PostParams::default(), &SelfSubjectReview::default()).await.ok()?;
        review.status?.user_info?.username
    }
}

/// Whether the cluster has no such kind at all.
fn is_unknown_kind(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status)
        if status.code == 404 && status.message.contains("could not find the requested resource"))
}

/// What the API server said, in one sentence.
pub fn told(error: kube::Error) -> anyhow::Error {
    match &error {
        _ if is_unknown_kind(&error) => {
            anyhow!(
                "the cluster does not know DatabaseMigrations: the operator's CustomResourceDefinition is not installed"
            )
        }
        kube::Error::Api(status) if status.code == 401 => {
            anyhow!("the API server does not know you: {}", status.message)
        }
        kube::Error::Api(status) => anyhow!("{}", status.message),
        _ => anyhow!(error).context("the API server can't be reached"),
    }
}
