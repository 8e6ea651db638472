//! Alembic's revision graph: loading, resolving targets, planning. Pure: no Kubernetes, no database, no I/O.

mod graph;
mod plan;
mod resolve;

pub use graph::{Graph, LoadError, Script};
pub use plan::{Direction, Plan, PlanError, decide, steps_digest};
pub use resolve::{Target, TargetError};
