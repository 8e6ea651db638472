//! What a statement does, one operation for each thing that it does, however the dialect writes it: all that the rules see;
//! no I/O.

use super::{
    Lock,
    cursor::Name,
    parts::{Column, Constraint, ConstraintKind, Dropped, Filter, Online, Using},
    subject::Subject,
    types::Type,
};

/// The operations of one statement on one table, or on something else.
#[derive(Clone, Debug, Default)]
pub(super) struct Alteration {
    pub table: Option<Name>,
    /// What it is about where that is no table.
    pub about: Subject,
    pub operations: Vec<Operation>,
    pub online: Online,
    /// SQLite's batch mode: the table is copied with all of the changes.
    pub copied: bool,
}

#[derive(Clone, Debug)]
pub(super) enum Operation {
    AddColumn {
        column: Column,
        perhaps: bool,
    },
    DropColumn {
        name: String,
    },
    RenameColumn {
        from: String,
        to: Option<String>,
    },
    AlterType {
        name: String,
        ty: Type,
        using: Using,
    },
    /// MySQL's MODIFY and CHANGE: the whole definition, whatever of it is new.
    Redefine {
        old: String,
        column: Column,
    },
    SetNotNull {
        name: String,
    },
    DropNotNull {
        name: String,
    },
    SetDefault,
    /// The column no longer fills itself.
    DropDefault {
        name: String,
    },
    SetExpression {
        name: String,
    },
    RestartNumbers {
        name: String,
    },
    AddConstraint {
        name: Option<String>,
        constraint: Constraint,
    },
    EnforceConstraint,
    ValidateConstraint {
        name: String,
    },
    DropConstraint {
        name: Option<String>,
        kind: Option<ConstraintKind>,
        shown: String,
    },
    DropIndex {
        name: String,
        shown: String,
    },
    AddIndex {
        name: Option<String>,
        blocks: bool,
    },
    RenameTable {
        to: Option<Name>,
    },
    MoveTable {
        schema: Option<String>,
    },
    /// Every row is written anew.
    Rewrite {
        what: String,
    },
    /// Every row is written anew beside reads and writes.
    Rebuild {
        what: String,
    },
    /// Another character set; it may lack letters.
    Convert {
        shown: String,
        loses: bool,
    },
    ChangeOwner {
        to: String,
    },
    EnableRowSecurity {
        forced: bool,
    },
    DisableRowSecurity,
    PublishNothing,
    AttachPartition {
        part: Option<Name>,
    },
    DetachPartition {
        waits: bool,
    },
    DropPartition {
        shown: String,
    },
    TruncatePartition {
        shown: String,
    },
    ExchangePartition {
        shown: String,
    },
    DiscardTablespace,
    KeepHistory,
    DropHistory,
    /// A trigger or rule is switched on or off.
    SwitchTrigger,
    /// What the planner or the storage goes by, and no row has to be looked at for.
    Tune,
    /// Anything else that only the catalog says.
    Define,

    // Rows.
    Delete {
        filter: Filter,
    },
    Update {
        filter: Filter,
    },
    Merge {
        /// No row is left out.
        all: bool,
        deletes: bool,
    },
    /// Rows take the place of others with their key; only those that are listed, or all that a query finds.
    Replace {
        listed: bool,
    },
    Upsert {
        listed: bool,
    },
    /// Rows that a query finds are added.
    InsertFound {
        filter: Filter,
    },
    Truncate {
        shown: String,
        cascades: bool,
    },

    // Making.
    CreateIndex {
        unique: bool,
        concurrently: bool,
        /// Writes wait for it.
        blocks: bool,
        /// PostgreSQL's ON ONLY: of a table that is partitioned nothing is built yet.
        only: bool,
        columns: Vec<String>,
        /// Two rows with NULL are not equal.
        allows_null: bool,
    },
    CreateTrigger,
    CreateRule,
    CreatePolicy {
        restrictive: bool,
    },
    CreatePartition,
    /// A new table refers to this one.
    ReferTo,
    IgnoredReference {
        column: String,
    },
    Publish,

    // Dropping.
    DropTable {
        shown: String,
    },
    /// CREATE OR REPLACE TABLE
    ReplaceTable {
        shown: String,
    },
    DropNamespace {
        kind: String,
        shown: String,
    },
    DropOwned {
        by: String,
    },
    /// By a statement of its own, which may not say of which table.
    DropNamedIndex {
        name: Option<Name>,
        concurrently: bool,
    },
    DropPolicy {
        name: String,
    },
    DropRole {
        shown: String,
    },
    Drop(Dropped),

    // Changing what is no table.
    Rename {
        shown: String,
    },
    /// A column of a view, or an attribute of a type.
    RenamePart {
        of: String,
    },
    AddValue {
        to: String,
    },
    DropAttribute {
        name: String,
        of: String,
    },
    AlterAttribute {
        of: String,
    },
    TightenDomain {
        shown: String,
        validated: bool,
    },
    DropDomainConstraint {
        of: String,
    },
    LoosenDomain {
        shown: String,
    },
    DropDomainDefault {
        of: String,
    },

    // Rights.
    Revoke {
        shown: String,
    },
    RevokeDefault,
    GrantToAll {
        shown: String,
    },
    ReassignAll,
    ChangeOwnerOf {
        shown: String,
    },
    ChangePolicy {
        shown: String,
    },

    // Locks and maintenance.
    LockTable {
        lock: Lock,
    },
    Reindex,
    Refresh,
    LiftLockLimit {
        setting: String,
    },
}

impl Alteration {
    /// One operation on this.
    pub fn of(on: Subject, operation: Operation) -> Self {
        let operations = vec![operation];
        match on {
            Subject::Table(table) => Self { table: Some(table), operations, ..Self::default() },
            about => Self { about, operations, ..Self::default() },
        }
    }

    pub fn subject(&self) -> Subject {
        self.table.clone().map_or_else(|| self.about.clone(), Subject::Table)
    }
}

/// A constraint's name with its table's before it.
pub(super) fn constraint_name(table: &Name, name: &str) -> Name {
    Name { schema: Some(table.to_string()), name: name.to_lowercase() }
}
