//! What becomes of a database that has tables and no version row, or rows that no history has; no I/O.

use super::plan::{Chosen, identified, usable_graph};
use crate::{
    api::{Adopt, DatabaseMigrationStatus, Problem, Reason},
    jobs::Inspected,
    reconcile::facts::DatabaseId,
    revisions::{Plan, Target, adopt},
    text,
};
use std::{collections::BTreeSet, sync::Arc};

/// The plan by which a database becomes one of this history: with tables and no version row, or with rows that no history
/// has any more.
pub fn adoption(
    image: &Arc<Inspected>,
    spec: &Adopt,
    rows: &BTreeSet<String>,
    status: &DatabaseMigrationStatus,
    database: DatabaseId,
) -> Result<Chosen, Problem> {
    let invalid = |e: String| Problem::new(Reason::InvalidSpec, format!("spec.adopt.revision: {e}"));
    let target = Target::parse(&spec.revision).map_err(|e| invalid(e.to_string()))?;
    let plan = adopt(usable_graph(image)?, &target).map_err(|e| invalid(e.to_string()))?;
    let plan = Plan { from: rows.clone(), ..plan };
    identified(plan, Vec::new(), image, database, status.runs.succeeded())
}

/// Whether a database without version rows may be taken for an empty one.
#[derive(Debug)]
pub enum Unmanaged<'a> {
    No,
    /// The user says what its tables are.
    Adopt(&'a Adopt),
    /// Nobody does.
    Unsaid(Problem),
}

/// A database without version rows may be taken for empty when it has no tables, when it was this operator that
/// brought it back to base or left tables in an upgrade from there, or when the user says that the tables are none of
/// this project's.
pub fn unmanaged<'a>(
    rows: &BTreeSet<String>,
    tables: &[String],
    status: &DatabaseMigrationStatus,
    adopt: Option<&'a Adopt>,
) -> Unmanaged<'a> {
    let by_us = status.runs.left_tables();
    match adopt {
        _ if !rows.is_empty() || tables.is_empty() || by_us => Unmanaged::No,
        Some(adopt) if adopt.revision.trim() == "base" => Unmanaged::No,
        Some(adopt) => Unmanaged::Adopt(adopt),
        None => {
            let names: Vec<String> = tables.iter().map(|t| text::clean(t, 64)).collect();
            let message = format!(
                "the database has tables ({}) and no version row, so nobody knows which revision it is at; say it in spec.adopt.revision",
                text::list(&names, 5),
            );
            Unmanaged::Unsaid(Problem::new(Reason::DatabaseUnmanaged, message))
        }
    }
}
