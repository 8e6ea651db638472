//! The transaction that a place in a plan is in, and what it has done so far; no I/O.

use super::{cursor::Name, objects::Key};
use std::collections::HashSet;

/// What PostgreSQL's transaction holds until its end.
#[derive(Default)]
pub(super) struct Transaction<'a> {
    pub open: bool,
    /// The plan has had one: what runs outside of one does so on purpose.
    pub seen: bool,
    /// The first of the tables that were there before and that it keeps from everybody else.
    pub first_locked: Option<&'a Name>,
    pub locked: HashSet<Key>,
    /// Tables that got a constraint without validation: writes to them wait until its end.
    pub unchecked: HashSet<Key>,
    /// Values that enums got: PostgreSQL takes them only in the next one.
    pub values: HashSet<&'a str>,
    /// That it goes on working was said.
    pub warned: bool,
}

impl Transaction<'_> {
    pub fn begins(&mut self) {
        *self = Self { open: true, seen: true, ..Self::default() };
    }

    pub fn ends(&mut self) {
        *self = Self { seen: self.seen, ..Self::default() };
    }
}
