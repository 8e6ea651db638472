//! A statement as it was read: what it does, what it locks, and what is wrong with it already; no I/O.

use super::{
    Code, Dialect, Lock, Severity,
    cursor::Name,
    effect::Effect,
    hazard::Hazard,
    locks,
    operation::{Alteration, Operation},
    parsers::Opinion,
    subject::Subject,
};

/// What kind of statement it is, as far as it matters to transactions and to what may be shown of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Kind {
    /// BEGIN, COMMIT, SET and the like.
    Session,
    Ddl,
    /// Rows are read or written.
    Data,
    #[default]
    Unknown,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Reading {
    pub kind: Kind,
    pub hazards: Vec<Hazard>,
    /// What it does to tables, to be judged by what they were before.
    pub alterations: Vec<Alteration>,
    pub effects: Vec<Effect>,
    /// What the statement is about, where that is one table.
    pub table: Option<Name>,
    /// The tables that it locks.
    pub locks: Vec<(Name, Lock)>,
    /// Fails in a transaction.
    pub concurrently: bool,
    /// The query in it is run, and what that calls.
    pub fills: bool,
    /// It was read from the parser's tree, and this is what else the parser says.
    pub parsed: Option<Opinion>,
}

impl Reading {
    pub fn of(kind: Kind) -> Self {
        Self { kind, ..Self::default() }
    }

    /// It does this to a table, or to something else.
    pub fn does(&mut self, on: Subject, operation: Operation, dialect: Dialect) {
        self.performs(Alteration::of(on, operation), dialect);
    }

    /// All of it, and the lock that it takes.
    pub fn performs(&mut self, alteration: Alteration, dialect: Dialect) {
        let lock = locks::of_alteration(&alteration, dialect);
        self.locks.extend(alteration.table.clone().zip(lock));
        self.alterations.push(alteration);
    }

    /// A part of it is a statement of its own.
    pub fn holds(&mut self, part: Self) {
        self.hazards.extend(part.hazards);
        self.alterations.extend(part.alterations);
        self.effects.extend(part.effects);
    }

    /// It locks a table, if that is known.
    pub fn locks(&mut self, table: Option<&Name>, lock: Lock) {
        self.locks.extend(table.cloned().map(|table| (table, lock)));
    }

    /// Nothing stays of it.
    pub fn only_reads(&self) -> bool {
        let changes = !self.hazards.is_empty()
            || !self.alterations.is_empty()
            || self.effects.iter().any(|e| !matches!(e, Effect::MentionsValue(_) | Effect::Calls(_)));
        self.kind == Kind::Session || (self.kind == Kind::Data && !changes)
    }

    /// It can't be judged.
    pub fn unclear(&mut self, message: impl Into<String>) {
        self.hazards.push(Hazard::new(Code::O02, Subject::Nothing, message));
    }

    /// It runs what nobody can see here: as bad as a revision without any SQL.
    pub fn unseen(&mut self, subject: Subject, message: impl Into<String>) {
        self.doubts(Severity::High, subject, message);
    }

    /// It can't be judged, for better or worse than others.
    pub fn doubts(&mut self, severity: Severity, subject: Subject, message: impl Into<String>) {
        self.hazards.push(Hazard { severity, ..Hazard::new(Code::O02, subject, message) });
    }
}
