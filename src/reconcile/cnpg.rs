//! Where Backups of CloudNativePG are; sends nothing.

use crate::jobs::cnpg_backup;
use kube::{Api, Client, api::DynamicObject};

/// The Backups of a namespace.
pub fn api(client: Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &cnpg_backup())
}
