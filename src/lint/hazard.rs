//! What is dangerous about a statement, and what would make it harmless; no I/O.

use super::{Code, Severity, cursor::Name, subject::Subject};

#[derive(Clone, Debug)]
pub(super) struct Hazard {
    pub code: Code,
    pub severity: Severity,
    pub subject: Subject,
    pub message: String,
    /// Harmless where validated CHECKs say already that none of these columns is NULL.
    pub not_null: Vec<String>,
    /// Those of this index, where the columns are not known.
    pub of_index: Option<Name>,
    /// Harmless where this plan added each of these columns.
    pub unless_own: Vec<String>,
    /// What goes by it: another of that name made later in the revision takes its place.
    pub thing: Option<(&'static str, Name)>,
    /// Which of the statement's operations it comes from, from 1; 0 for the statement as a whole.
    pub cause: usize,
    /// Harmless where this plan added one of these columns, and it is NULL in every row.
    pub unless_empty: Vec<String>,
    /// This column no longer fills itself.
    pub of_default: Option<String>,
}

impl Hazard {
    pub fn new(code: Code, subject: Subject, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: code.severity(),
            subject,
            message: message.into(),
            not_null: Vec::new(),
            of_index: None,
            unless_own: Vec::new(),
            thing: None,
            cause: 0,
            unless_empty: Vec::new(),
            of_default: None,
        }
    }
}
