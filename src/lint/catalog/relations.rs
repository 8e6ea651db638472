//! Which tables are there: one that is not is nobody's, and where there is none nothing can be lost or locked; no I/O.

use crate::lint::{Code, Dialect, Severity, cursor::Name, hazard::Hazard, subject::Subject};
use std::collections::HashSet;

/// The tables and views of the database before the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Relations {
    /// Nobody looked, or not at all of them.
    #[default]
    Unknown,
    /// Those that the plan may mean, in lower case and without their schemas.
    Named(HashSet<String>),
    /// There is none.
    Nothing,
}

impl Relations {
    /// There is no table of this name: whoever makes it comes later in the plan.
    pub(in crate::lint) fn lacks(&self, table: &Name, dialect: Dialect) -> bool {
        let elsewhere = match (&table.schema, dialect) {
            (Some(schema), Dialect::PostgreSql) => schema.starts_with("pg_") || schema == "information_schema",
            // Another database, which nobody looked at.
            (Some(_), _) => true,
            (None, _) => table.name.starts_with("pg_"),
        };
        match self {
            Self::Unknown => false,
            Self::Named(there) => !elsewhere && !there.contains(&table.name.to_lowercase()),
            Self::Nothing => !elsewhere,
        }
    }

    /// These are there too.
    pub fn and(self, names: impl Iterator<Item = String>) -> Self {
        let mut names = names.map(|name| name.to_lowercase()).peekable();
        match self {
            Self::Named(there) => Self::Named(there.into_iter().chain(names).collect()),
            Self::Nothing if names.peek().is_some() => Self::Named(names.collect()),
            Self::Unknown | Self::Nothing => self,
        }
    }

    /// What was there has another name now.
    pub(in crate::lint) fn renames(&mut self, from: &Name, to: &Name, dialect: Dialect) {
        let lacks = self.lacks(from, dialect);
        if let (Self::Named(there), false) = (self, lacks) {
            there.insert(to.name.to_lowercase());
        }
    }

    /// What is left of a hazard where there is no table at all: nobody can lose rows, wait, or miss anything.
    pub(in crate::lint) fn on_nothing(&self, mut hazard: Hazard) -> Option<Hazard> {
        if *self != Self::Nothing {
            return Some(hazard);
        }
        let lasts = match hazard.code {
            Code::O01 | Code::O02 => {
                hazard.severity = Severity::Low;
                true
            }
            // Other databases and the server's roles are none of its tables.
            Code::D01 => matches!(hazard.subject, Subject::Object("SCHEMA", _)),
            Code::D08 | Code::B02 | Code::B09 | Code::F02 | Code::F03 => true,
            Code::I01 | Code::I02 | Code::O03 | Code::O04 => true,
            Code::D02 | Code::D03 | Code::D04 | Code::D05 | Code::D06 | Code::D07 => false,
            Code::B01 | Code::B03 | Code::B04 | Code::B05 | Code::B06 | Code::B07 | Code::B08 | Code::B10 => false,
            Code::C01 | Code::C02 | Code::C03 | Code::C04 | Code::C05 | Code::C06 | Code::F01 => false,
        };
        lasts.then_some(hazard)
    }
}
