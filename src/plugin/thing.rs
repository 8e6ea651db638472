//! What the plugin shows: a DatabaseMigration or a DatabaseMigrationSet, by the same words; no I/O.

use super::view::State;
use crate::api::{DatabaseMigration, DatabaseMigrationSet};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

/// What both kinds have: conditions, and the generation that they are about.
pub trait Shown: ResourceExt {
    /// What stands before the name in the plugin's commands.
    const PREFIX: &'static str;

    /// `None` where there is no status at all.
    fn conditions(&self) -> Option<&[Condition]>;

    fn observed_generation(&self) -> Option<i64>;

    /// The name as the plugin's commands take it.
    fn argument(&self) -> String {
        format!("{}{}", Self::PREFIX, self.name_any())
    }
}

impl Shown for DatabaseMigration {
    const PREFIX: &'static str = "";

    fn conditions(&self) -> Option<&[Condition]> {
        self.status.as_ref().map(|status| status.conditions.as_slice())
    }

    fn observed_generation(&self) -> Option<i64> {
        self.status.as_ref()?.observed_generation
    }
}

impl Shown for DatabaseMigrationSet {
    const PREFIX: &'static str = "set/";

    fn conditions(&self) -> Option<&[Condition]> {
        self.status.as_ref().map(|status| status.conditions.as_slice())
    }

    fn observed_generation(&self) -> Option<i64> {
        self.status.as_ref()?.observed_generation
    }
}

/// What somebody means by a name: `shop` is a DatabaseMigration, or else a set; `set/shop` is the set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    Any(&'a str),
    Migration(&'a str),
    Set(&'a str),
}

impl<'a> Named<'a> {
    pub fn of(argument: &'a str) -> Self {
        match argument.split_once('/') {
            Some(("set" | "dbmset" | "dbmsets" | "databasemigrationset" | "databasemigrationsets", name)) => {
                Self::Set(name)
            }
            Some(("dbm" | "dbmigration" | "databasemigration" | "databasemigrations", name)) => Self::Migration(name),
            // The name of a kind that a script did not know.
            Some(("", name)) => Self::Any(name),
            _ => Self::Any(argument),
        }
    }

    pub fn name(self) -> &'a str {
        match self {
            Self::Any(name) | Self::Migration(name) | Self::Set(name) => name,
        }
    }
}

/// An object of either kind.
#[derive(Clone, Debug)]
pub enum Thing {
    Migration(Box<DatabaseMigration>),
    Set(Box<DatabaseMigrationSet>),
}

impl Thing {
    pub fn state(&self) -> State {
        match self {
            Self::Migration(object) => State::of(&**object),
            Self::Set(set) => State::of(&**set),
        }
    }

    /// Whether the operator has written another status since.
    pub fn has_same_status(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Migration(one), Self::Migration(other)) => one.status == other.status,
            (Self::Set(one), Self::Set(other)) => one.status == other.status,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_say_which_kind_it_is() {
        assert_eq!(Named::of("shop"), Named::Any("shop"));
        assert_eq!((Named::of("set/shop"), Named::of("dbmset/shop")), (Named::Set("shop"), Named::Set("shop")));
        assert_eq!(Named::of("dbm/shop"), Named::Migration("shop"));
        assert_eq!(Named::of("else/shop").name(), "else/shop");
    }
}
