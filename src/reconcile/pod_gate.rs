//! Keeps the ConfigMap by which pods of the application wait; does network I/O.

use super::context::Context;
use crate::{
    api::{DatabaseMigration, MANAGER},
    call::{call, refusal},
    error::Error,
    jobs::{GateWrite, PodGate, is_made_here},
};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PostParams},
};

/// Writes what is missing or has changed, over the version that was read.
pub async fn keep(object: &DatabaseMigration, gate: &PodGate, context: &Context) -> Result<(), Error> {
    let name = &gate.name;
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default());
    let there = call(&format!("get ConfigMap {name}"), api.get_metadata_opt(name)).await?;
    let write = there.as_ref().map(|there| match is_made_here(there) {
        true => gate.over(there.annotations()),
        false => GateWrite::Foreign,
    });
    if write == Some(GateWrite::Nothing) {
        return Ok(());
    }
    if !context.process.claim.holds() {
        return Err(Error::NotLeading { what: format!("ConfigMap {name}") });
    }
    match write {
        None => create(object, gate, &api).await,
        Some(GateWrite::State) => {
            let version = there.and_then(|there| there.resource_version()).unwrap_or_default();
            patch(gate, &version, None, &api).await
        }
        Some(GateWrite::Graph) => {
            let whole = call(&format!("get ConfigMap {name}"), api.get(name)).await?;
            patch(gate, &whole.resource_version().unwrap_or_default(), Some(&whole), &api).await
        }
        Some(GateWrite::Foreign) => {
            tracing::warn!(config_map = name, "somebody else's ConfigMap has the name of the gate; it is left alone");
            Ok(())
        }
        Some(GateWrite::Nothing) => Ok(()),
    }
}

async fn create(object: &DatabaseMigration, gate: &PodGate, api: &Api<ConfigMap>) -> Result<(), Error> {
    let name = &gate.name;
    let map = serde_json::from_value(gate.config_map(object))
        .map_err(|error| Error::Internal { what: format!("ConfigMap {name}"), detail: error.to_string() })?;
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match call(&format!("create ConfigMap {name}"), api.create(&params, &map)).await {
        Err(error) if refusal(&error) == Some(409) => Err(Error::Stale(name.clone())),
        other => other.map(drop),
    }
}

async fn patch(gate: &PodGate, version: &str, there: Option<&ConfigMap>, api: &Api<ConfigMap>) -> Result<(), Error> {
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let body = Patch::Merge(gate.patch(version, there));
    call(&format!("patch ConfigMap {}", gate.name), api.patch_metadata(&gate.name, &params, &body)).await.map(drop)
}
