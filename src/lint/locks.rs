//! The one table of locks: which lock an operation takes on its table; no I/O. PostgreSQL's are those of its manual
//! ("Explicit Locking"), as a real server takes them (`tests/lint/oracle_postgresql.jsonl`). MySQL and MariaDB lock a
//! table's definition for a moment, whatever ALTER TABLE does, and SQLite its whole file.

use super::{
    Dialect,
    catalog::ConstraintKind,
    operation::{Alteration, Operation},
};

/// PostgreSQL's locks of tables, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lock {
    AccessShare,
    RowShare,
    RowExclusive,
    ShareUpdateExclusive,
    Share,
    ShareRowExclusive,
    Exclusive,
    AccessExclusive,
}

impl Lock {
    /// Every lock, the weakest first.
    pub const ALL: [Self; 8] = [
        Self::AccessShare,
        Self::RowShare,
        Self::RowExclusive,
        Self::ShareUpdateExclusive,
        Self::Share,
        Self::ShareRowExclusive,
        Self::Exclusive,
        Self::AccessExclusive,
    ];

    /// As `pg_locks` calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccessShare => "AccessShareLock",
            Self::RowShare => "RowShareLock",
            Self::RowExclusive => "RowExclusiveLock",
            Self::ShareUpdateExclusive => "ShareUpdateExclusiveLock",
            Self::Share => "ShareLock",
            Self::ShareRowExclusive => "ShareRowExclusiveLock",
            Self::Exclusive => "ExclusiveLock",
            Self::AccessExclusive => "AccessExclusiveLock",
        }
    }

    /// As LOCK TABLE calls it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::AccessShare => "ACCESS SHARE",
            Self::RowShare => "ROW SHARE",
            Self::RowExclusive => "ROW EXCLUSIVE",
            Self::ShareUpdateExclusive => "SHARE UPDATE EXCLUSIVE",
            Self::Share => "SHARE",
            Self::ShareRowExclusive => "SHARE ROW EXCLUSIVE",
            Self::Exclusive => "EXCLUSIVE",
            Self::AccessExclusive => "ACCESS EXCLUSIVE",
        }
    }

    /// Writes wait for its end.
    pub fn blocks_writes(self) -> bool {
        self >= Self::Share
    }

    /// Reads wait too.
    pub fn blocks_reads(self) -> bool {
        self == Self::AccessExclusive
    }
}

/// The strongest lock that the operations take on their table.
pub(super) fn of_alteration(alteration: &Alteration, dialect: Dialect) -> Option<Lock> {
    alteration.operations.iter().filter_map(|operation| of_operation(operation, dialect)).max()
}

/// None where it is on no table.
fn of_operation(operation: &Operation, dialect: Dialect) -> Option<Lock> {
    if let Operation::LockTable { lock } = operation {
        return Some(*lock);
    }
    if is_of_rows(operation) {
        return Some(Lock::RowExclusive);
    }
    let lock = if dialect == Dialect::PostgreSql { of_definition(operation) } else { Lock::AccessExclusive };
    is_of_table(operation).then_some(lock)
}

fn is_of_rows(operation: &Operation) -> bool {
    use Operation as O;
    matches!(
        operation,
        O::Delete { .. }
            | O::Update { .. }
            | O::Merge { .. }
            | O::Replace { .. }
            | O::Upsert { .. }
            | O::InsertFound { .. }
    )
}

/// It changes a table, or what belongs to one.
fn is_of_table(operation: &Operation) -> bool {
    use Operation as O;
    !matches!(
        operation,
        O::Publish
            | O::IgnoredReference { .. }
            | O::DropNamespace { .. }
            | O::DropOwned { .. }
            | O::DropRole { .. }
            | O::Rename { .. }
            | O::RenamePart { .. }
            | O::AddValue { .. }
            | O::DropAttribute { .. }
            | O::AlterAttribute { .. }
            | O::TightenDomain { .. }
            | O::DropDomainConstraint { .. }
            | O::LoosenDomain { .. }
            | O::DropDomainDefault { .. }
            | O::Revoke { .. }
            | O::RevokeDefault
            | O::GrantToAll { .. }
            | O::ReassignAll
            | O::ChangeOwnerOf { .. }
            | O::ChangePolicy { .. }
            | O::Refresh
            | O::LiftLockLimit { .. }
    )
}

/// PostgreSQL's: the strongest, but for these.
fn of_definition(operation: &Operation) -> Lock {
    use Operation as O;
    match operation {
        O::CreateIndex { concurrently: true, .. }
        | O::DropNamedIndex { concurrently: true, .. }
        | O::ValidateConstraint { .. }
        | O::AttachPartition { .. }
        | O::DetachPartition { waits: false }
        | O::Tune => Lock::ShareUpdateExclusive,
        O::CreateIndex { concurrently: false, .. } | O::Reindex => Lock::Share,
        O::CreateTrigger | O::ReferTo | O::SwitchTrigger => Lock::ShareRowExclusive,
        O::AddConstraint { constraint, .. } if constraint.kind == ConstraintKind::ForeignKey => Lock::ShareRowExclusive,
        _ => Lock::AccessExclusive,
    }
}
