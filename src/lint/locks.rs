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
    alteration.operations.iter().map(|operation| of_operation(operation, dialect)).max()
}

fn of_operation(operation: &Operation, dialect: Dialect) -> Lock {
    use Operation as O;
    if dialect != Dialect::PostgreSql {
        return Lock::AccessExclusive;
    }
    match operation {
        O::ValidateConstraint { .. } | O::AttachPartition { .. } | O::DetachPartition { waits: false } | O::Tune => {
            Lock::ShareUpdateExclusive
        }
        O::AddConstraint { constraint, .. } if constraint.kind == ConstraintKind::ForeignKey => Lock::ShareRowExclusive,
        O::SwitchTrigger => Lock::ShareRowExclusive,
        O::AddColumn { .. }
        | O::DropColumn { .. }
        | O::RenameColumn { .. }
        | O::AlterType { .. }
        | O::Redefine { .. }
        | O::SetNotNull { .. }
        | O::DropNotNull { .. }
        | O::SetDefault
        | O::DropDefault { .. }
        | O::SetExpression { .. }
        | O::RestartNumbers { .. }
        | O::AddConstraint { .. }
        | O::EnforceConstraint
        | O::DropConstraint { .. }
        | O::DropIndex { .. }
        | O::AddIndex { .. }
        | O::RenameTable { .. }
        | O::MoveTable { .. }
        | O::Rewrite { .. }
        | O::Rebuild { .. }
        | O::Convert { .. }
        | O::ChangeOwner { .. }
        | O::EnableRowSecurity { .. }
        | O::DisableRowSecurity
        | O::PublishNothing
        | O::DetachPartition { waits: true }
        | O::DropPartition { .. }
        | O::TruncatePartition { .. }
        | O::ExchangePartition { .. }
        | O::DiscardTablespace
        | O::KeepHistory
        | O::DropHistory
        | O::Define => Lock::AccessExclusive,
    }
}
