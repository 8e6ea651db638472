//! The calls to the API server that are about sets; does network I/O.

use super::answer::Unsaid;
use crate::{
    api::{DatabaseMigrationSet, LABEL_SET},
    jobs::label_value,
    plugin::{
        cluster::{Cluster, Selection, told},
        thing::{Named, Shown, Thing},
    },
};
use anyhow::Context as _;
use k8s_openapi::api::{batch::v1::Job, core::v1::ConfigMap};
use kube::{
    Api, ResourceExt,
    api::{ListParams, Patch},
    core::{ApiResource, DynamicObject},
};
use serde_json::{Value, json};

/// How often an answer is written, where the set changes between the reading and the writing.
const TRIES: usize = 3;

/// Whether the cluster knows no sets, or the caller may not see them: somebody may see objects and no sets.
fn is_closed(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if matches!(status.code, 403 | 404))
}

fn read(name: &str, found: Option<DynamicObject>) -> anyhow::Result<Option<DatabaseMigrationSet>> {
    let read = |object: DynamicObject| {
        object.try_parse().with_context(|| format!("{name} can't be read: is the plugin older than the operator?"))
    };
    found.map(read).transpose()
}

impl Cluster {
    /// One set.
    pub async fn set(&self, name: &str) -> anyhow::Result<DatabaseMigrationSet> {
        self.get_set(name).await?.with_context(|| {
            format!("namespace {} has no DatabaseMigrationSet called {}", self.namespace, crate::text::clean(name, 253))
        })
    }

    /// A set, if there is one.
    pub async fn get_set(&self, name: &str) -> anyhow::Result<Option<DatabaseMigrationSet>> {
        read(name, self.stored_set(name).await.map_err(told)?)
    }

    async fn stored_set(&self, name: &str) -> Result<Option<DynamicObject>, kube::Error> {
        let kind = ApiResource::erase::<DatabaseMigrationSet>(&());
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), &self.namespace, &kind);
        api.get_opt(name).await
    }

    /// What somebody means by a name, of either kind.
    pub async fn find(&self, argument: &str) -> anyhow::Result<Thing> {
        match Named::of(argument) {
            Named::Migration(name) => self.object(name).await.map(|object| Thing::Migration(Box::new(object))),
            Named::Set(name) => self.set(name).await.map(|set| Thing::Set(Box::new(set))),
            Named::Any(name) => match self.get_object(name).await? {
                Some(object) => Ok(Thing::Migration(Box::new(object))),
                None => {
                    let found = match self.stored_set(name).await {
                        Err(error) if is_closed(&error) => None,
                        found => found.map_err(told)?,
                    };
                    match read(name, found)? {
                        Some(set) => Ok(Thing::Set(Box::new(set))),
                        None => Err(Box::pin(self.not_found(name)).await),
                    }
                }
            },
        }
    }

    /// Sets in the order of their names; none where the cluster knows none, or the caller may not list them. What can't be read is named.
    pub async fn sets(&self, selection: Selection<'_>) -> anyhow::Result<(Vec<DatabaseMigrationSet>, Vec<String>)> {
        let kind = ApiResource::erase::<DatabaseMigrationSet>(&());
        match self.list_of(&kind, selection, |object| object.try_parse().ok()).await {
            Err(error) if is_closed(&error) => Ok((Vec::new(), Vec::new())),
            listed => listed.map_err(told),
        }
    }

    /// What a shell may complete: the objects by their names, the sets as set/NAME.
    pub async fn names(&self) -> Vec<String> {
        let (objects, _) = self.list(Selection::default()).await.unwrap_or_default();
        let (sets, _) = self.sets(Selection::default()).await.unwrap_or_default();
        objects.iter().map(Shown::argument).chain(sets.iter().map(Shown::argument)).collect()
    }

    /// The pages with the targets of a set.
    pub async fn pages(&self, set: &DatabaseMigrationSet) -> anyhow::Result<Vec<ConfigMap>> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let label = format!("{LABEL_SET}={}", label_value(&set.name_any()));
        let maps = api.list(&ListParams::default().labels(&label)).await.map_err(told)?.items;
        let owned = |map: &ConfigMap| map.owner_references().iter().any(|owner| Some(&owner.uid) == set.uid().as_ref());
        Ok(maps.into_iter().filter(owned).collect())
    }

    /// The Jobs that were made for a set.
    pub async fn jobs_of_set(&self, set: &DatabaseMigrationSet) -> anyhow::Result<Vec<Job>> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        let label = format!("{LABEL_SET}={}", label_value(&set.name_any()));
        Ok(api.list(&ListParams::default().labels(&label)).await.map_err(told)?.items)
    }

    /// Changes a set by what it says now, in the name of who asks for it. Where somebody else changes it between the reading and the
    /// writing, both are done again: nobody's answer is lost. Gives the set as it was before.
    pub async fn answer_set(
        &self,
        name: &str,
        change: impl Fn(&DatabaseMigrationSet) -> Result<Value, Unsaid>,
    ) -> anyhow::Result<DatabaseMigrationSet> {
        let api: Api<DatabaseMigrationSet> = Api::namespaced(self.client.clone(), &self.namespace);
        let caller = self.as_caller().await;
        let mut tries = 1;
        loop {
            let set = self.set(name).await?;
            let mut patch = change(&set)?;
            patch["metadata"]["resourceVersion"] = json!(set.resource_version());
            match api.patch_metadata(name, &caller, &Patch::Merge(&patch)).await {
                Err(kube::Error::Api(status)) if status.code == 409 && tries < TRIES => tries += 1,
                written => return written.map(|_| set).map_err(told),
            }
        }
    }

    /// Changes annotations of a set, in the name of who asks for it.
    pub async fn change_set(&self, name: &str, patch: &Value) -> anyhow::Result<()> {
        let api: Api<DatabaseMigrationSet> = Api::namespaced(self.client.clone(), &self.namespace);
        api.patch_metadata(name, &self.as_caller().await, &Patch::Merge(patch)).await.map(drop).map_err(told)
    }
}
