//! The effects on ConfigMaps: the program and the inspections, which objects share, and what is one object's own; does network
//! I/O.

use super::{Actor, as_manager};
use crate::{
    api::MANAGER,
    call::{call, refusal},
    error::Error,
    jobs::{Inspected, inspection_config_map, is_made_here, lacks_owner, shared_owner},
    reconcile::schema::{SchemaRecord, schema_name},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{Patch, PostParams},
};
use serde_json::{Value, json};

impl Actor<'_> {
    /// Joins the owners of a ConfigMap that several objects own, or creates it.
    pub(super) async fn ensure_shared(&self, map: ConfigMap) -> Result<(), Error> {
        let name = map.name_any();
        let api = self.config_maps();
        if self.share(&api, &name).await? {
            return Ok(());
        }
        match call(&format!("create ConfigMap {name}"), api.create(&PostParams::default(), &map)).await {
            // Another object was faster.
            Err(error) if refusal(&error) == Some(409) => match self.share(&api, &name).await? {
                true => Ok(()),
                false => Err(Error::Stale(name)),
            },
            other => other.map(drop),
        }
    }

    /// Joins the owners of a shared ConfigMap where they are few; says whether it is there. One of somebody else would put a
    /// program of theirs into a pod that has the database's URL.
    async fn share(&self, api: &Api<ConfigMap>, name: &str) -> Result<bool, Error> {
        match call(&format!("get ConfigMap {name}"), api.get_metadata_opt(name)).await? {
            None => Ok(false),
            Some(there) if !is_made_here(&there) => Err(Error::Foreign { what: format!("ConfigMap {name}") }),
            Some(there) if !lacks_owner(&there, self.object) => Ok(true),
            Some(_) => self.join_owners(api, name).await,
        }
    }

    /// A strategic merge adds to the owners by uid: several objects can join at once and none conflicts. Says whether
    /// there was anything to join.
    async fn join_owners(&self, api: &Api<ConfigMap>, name: &str) -> Result<bool, Error> {
        let owners: Vec<_> = shared_owner(self.object).into_iter().collect();
        let patch = json!({ "metadata": { "ownerReferences": owners } });
        let params = as_manager();
        match call(&format!("share ConfigMap {name}"), api.patch_metadata(name, &params, &Patch::Strategic(&patch)))
            .await
        {
            Err(error) if refusal(&error) == Some(404) => Ok(false),
            other => other.map(|_| true),
        }
    }

    pub(super) async fn keep_schema(&self, record: &SchemaRecord) -> Result<(), Error> {
        let content = record.content(self.object, self.context.now());
        self.keep(&schema_name(self.object), record.version.as_deref(), content).await
    }

    /// Writes a ConfigMap of the object's own, only over the version that was read: an old process could bring back what was
    /// before. On create, `content` is the full ConfigMap; on update, a merge patch whose removed keys are null.
    pub(super) async fn keep(&self, name: &str, over: Option<&str>, mut content: Value) -> Result<(), Error> {
        let api = self.config_maps();
        let Some(version) = over else {
            if let Some(data) = content["data"].as_object_mut() {
                data.retain(|_, value| !value.is_null());
            }
            let map = serde_json::from_value(content).map_err(|e| self.internal(name, &e))?;
            let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
            return match call(&format!("create ConfigMap {name}"), api.create(&params, &map)).await {
                Err(error) if refusal(&error) == Some(409) => Err(Error::Stale(name.to_owned())),
                other => other.map(drop),
            };
        };
        content["metadata"]["resourceVersion"] = json!(version);
        let params = as_manager();
        call(&format!("patch ConfigMap {name}"), api.patch_metadata(name, &params, &Patch::Merge(&content))).await?;
        Ok(())
    }

    pub(super) fn inspection(&self, key: &str, image: &Inspected) -> Result<ConfigMap, Error> {
        let digest = image.digest.as_deref();
        inspection_config_map(self.object, key, &image.image, digest, &image.inspection)
            .map_err(|e| self.internal("the inspection", &e))
    }

    fn config_maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.context.client.clone(), &self.namespace)
    }
}
