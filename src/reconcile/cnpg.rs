//! Where Backups of CloudNativePG are, and how calls about them are named; sends nothing.

use crate::jobs::cnpg_backup;
use kube::{Api, Client, api::DynamicObject};

/// How the calls begin in errors: a refusal of one says something about the installation.
pub const GET: &str = "get Backup";
pub const CREATE: &str = "create Backup";

/// The Backups of a namespace.
pub fn api(client: Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(client, namespace, &cnpg_backup())
}
