//! Which objects a process works on, where several share them by a label; no I/O.

use crate::api::LABEL_SHARD;
use kube::{Resource, ResourceExt};
use std::{fmt, str::FromStr};

/// Those with a value of the label `alembic-operator.dev/shard`; without one, those that have no such label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shard(Option<String>);

impl Shard {
    /// Selects its objects.
    pub fn selector(&self) -> String {
        match &self.0 {
            Some(key) => format!("{LABEL_SHARD}={key}"),
            None => format!("!{LABEL_SHARD}"),
        }
    }

    /// Selects those of all others.
    pub fn others(&self) -> String {
        match &self.0 {
            Some(key) => format!("{LABEL_SHARD}!={key}"),
            None => LABEL_SHARD.to_owned(),
        }
    }

    /// Whether an object is one of its own.
    pub fn has(&self, object: &impl Resource) -> bool {
        object.labels().get(LABEL_SHARD) == self.0.as_ref()
    }

    /// A name for what there is one of in a shard.
    pub fn named(&self, name: &str) -> String {
        match &self.0 {
            Some(key) => format!("{name}-{key}"),
            None => name.to_owned(),
        }
    }
}

impl FromStr for Shard {
    type Err = String;

    /// The key is a label's value, and a part of a name.
    fn from_str(key: &str) -> Result<Self, String> {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        match key {
            "" => Ok(Self(None)),
            key if key.len() > 40 || !key.chars().all(plain) || key.starts_with('-') || key.ends_with('-') => {
                Err("up to 40 of a-z, 0-9 and -, with no - at either end".to_owned())
            }
            key => Ok(Self(Some(key.to_owned()))),
        }
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_deref().unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DatabaseMigration;

    #[test]
    fn an_object_is_in_one_shard() {
        let shard = |key: &str| key.parse::<Shard>().unwrap();
        let mut object = DatabaseMigration::new("shop", Default::default());
        assert!(shard("").has(&object) && !shard("a").has(&object));
        object.labels_mut().insert(LABEL_SHARD.to_owned(), "a".to_owned());
        assert!(!shard("").has(&object) && shard("a").has(&object) && !shard("b").has(&object));
        assert_eq!(
            (shard("").selector(), shard("a").selector()),
            (format!("!{LABEL_SHARD}"), format!("{LABEL_SHARD}=a"))
        );
        assert_eq!((shard("").others(), shard("a").others()), (LABEL_SHARD.to_owned(), format!("{LABEL_SHARD}!=a")));
        assert_eq!((shard("").named("lease"), shard("a").named("lease")), ("lease".to_owned(), "lease-a".to_owned()));
    }

    #[test]
    fn a_key_fits_into_labels_and_names() {
        for key in ["A", "a_b", "-a", "a-", "a,b", &"a".repeat(41)] {
            assert!(key.parse::<Shard>().is_err(), "{key}");
        }
        assert_eq!("eu-1".parse::<Shard>().unwrap().to_string(), "eu-1");
    }
}
