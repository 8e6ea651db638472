//! What a statement is about, and the names that have to be the only ones of their kind; no I/O.

use super::cursor::Name;

/// What a hazard is about; one that this plan made does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Subject {
    Table(Name),
    /// Anything else with a name: an index, a view, a type. Each kind has names of its own.
    Object(&'static str, Name),
    #[default]
    Nothing,
}

impl Subject {
    pub fn shown(&self) -> String {
        match self {
            Self::Table(name) | Self::Object(_, name) => name.to_string(),
            Self::Nothing => String::new(),
        }
    }
}

/// Constraints are made and dropped by operations on their tables, which stand before their names.
pub(super) const CONSTRAINT: &str = "CONSTRAINT";

/// Where the name of such a thing has to be the only one: a trigger and an index may have the same.
pub(super) fn namespace(kind: &str) -> &'static str {
    const KINDS: &[&str] = &[
        "SCHEMA",
        "TRIGGER",
        "RULE",
        "ROLE",
        "EXTENSION",
        "PUBLICATION",
        "SUBSCRIPTION",
        "SERVER",
        "EVENT",
        "COLLATION",
        "LANGUAGE",
        "POLICY",
        "STATISTICS",
        "CONVERSION",
    ];
    match kind {
        "INDEX" | "VIEW" | "MATERIALIZED VIEW" | "SEQUENCE" => "RELATION",
        "TYPE" | "DOMAIN" => "TYPE",
        "DATABASE" => "SCHEMA",
        "USER" | "GROUP" => "ROLE",
        "FUNCTION" | "PROCEDURE" | "ROUTINE" | "AGGREGATE" | "PACKAGE" => "ROUTINE",
        "CONSTRAINT" => CONSTRAINT,
        _ => KINDS.iter().find(|known| **known == kind).copied().unwrap_or("OTHER"),
    }
}

/// A thing whose name can't be read goes all the same.
pub(super) const UNREAD: &str = "(its name can't be read)";
