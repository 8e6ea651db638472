//! Alembic's revision graph: loading, resolving targets, planning. Pure: no Kubernetes, no database, no I/O.

mod commands;
mod error;
mod graph;
mod load;
mod order;
mod plan;
#[cfg(test)]
mod properties;
mod resolve;
mod rows;
mod target;

pub use error::AlembicError;
pub use graph::{Graph, Script};
pub use load::LoadError;
pub use plan::{Direction, Plan, PlanError, adopt, decide, first_step, steps_digest};
pub use rows::Step;
pub use target::{Target, TargetError};
