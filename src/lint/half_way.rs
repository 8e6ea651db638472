//! What a revision leaves half done when one of its statements fails: F02; no I/O.

use super::{
    Code, Dialect, Severity,
    effect::Effect,
    hazard::Hazard,
    reading::{Kind, Reading},
    report::Found,
    subject::Subject,
    transaction::Transaction,
};

/// The statements of a revision that are not rolled back together with the rest of it.
pub(super) struct HalfWay {
    dialect: Dialect,
    /// Each with its place, and whether it changes what was there.
    loose: Vec<(usize, bool)>,
}

impl HalfWay {
    pub fn new(dialect: Dialect) -> Self {
        Self { dialect, loose: Vec::new() }
    }

    /// The statement commits by itself.
    pub fn commits(&self, reading: &Reading, transaction: &Transaction<'_>) -> bool {
        let commits = match self.dialect {
            Dialect::PostgreSql => transaction.seen && !transaction.open && !reading.only_reads(),
            // Its transactions hold changes of tables too.
            Dialect::Sqlite => reading.kind == Kind::Ddl && !transaction.open,
            Dialect::MySql | Dialect::MariaDb => reading.kind == Kind::Ddl,
        };
        commits && !reading.effects.iter().any(|e| matches!(e, Effect::Creates { temporary: true, .. }))
    }

    /// Remembers such a statement; `made`: on a table that the plan made.
    pub fn stays(&mut self, at: usize, reading: &Reading, made: bool) {
        // Rows that are changed in batches, each committed by itself, may be changed again.
        let batch = reading.kind == Kind::Data;
        let makes = |effect: &Effect| {
            matches!(
                effect,
                Effect::Creates { .. } | Effect::MayCreate(_) | Effect::CreatesObject(..) | Effect::Indexes { .. }
            )
        };
        self.loose.push((at, !(made || batch || reading.effects.iter().any(makes))));
    }

    /// What there is to say of the revision that ends here.
    pub fn told(&mut self) -> Option<Found> {
        let loose = std::mem::take(&mut self.loose);
        let (first, _) = loose.first()?;
        let autocommit = self.dialect == Dialect::PostgreSql;
        if loose.len() < 2 && !autocommit {
            return None;
        }
        let changes = loose.iter().filter(|(_, changes)| *changes).count();
        let severity = match changes {
            2.. if self.dialect != Dialect::Sqlite => Severity::High,
            0 if !autocommit => Severity::Low,
            _ => Severity::Medium,
        };
        let count = loose.len();
        let message = if autocommit {
            format!("what runs outside of the transaction ({count} of its statements) stays when a later one fails")
        } else {
            format!(
                "each of the revision's {count} changes of tables commits by itself and stays when a later one fails"
            )
        };
        Some((*first, Hazard { severity, ..Hazard::new(Code::F02, Subject::Nothing, message) }))
    }
}
