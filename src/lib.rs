//! alembic-operator: keeps Alembic databases at the revision that a `DatabaseMigration` asks for.

pub mod api;
pub mod backoff;
mod call;
pub mod cli;
pub mod controller;
pub mod db;
pub mod error;
pub mod fleet;
pub mod http;
pub mod index;
pub mod jobs;
pub mod lease;
pub mod lint;
pub mod memory;
pub mod metrics;
pub mod notify;
#[cfg(feature = "plugin")]
pub mod plugin;
pub mod reconcile;
pub mod revisions;
pub mod shard;
pub mod telemetry;
pub mod text;
mod watches;
pub mod zlib;
