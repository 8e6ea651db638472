//! What is known of one object of a schema: its text, the hash of it, or nothing; no I/O.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Objects by kind and name, such as `column public.goods.price`.
pub type Objects = BTreeMap<String, Definition>;

/// What an object of a schema is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Definition {
    #[serde(rename = "=")]
    Text(String),
    /// Only the hash of a text that is too long to be kept, or not to be shown. A shorter hash is the beginning of a longer
    /// one.
    #[serde(rename = "#")]
    Hash(String),
    /// The user of the connection may not see it, so nobody knows whether it is as it was.
    #[serde(rename = "?")]
    Unseen,
}

/// Digits that a hash keeps at least.
const FEWEST_DIGITS: usize = 10;

impl Definition {
    /// 16 hexadecimal digits, or what is known of them; empty where nothing is.
    pub fn hash(&self) -> String {
        match self {
            Self::Text(text) => hashed(text),
            Self::Hash(hash) => hash.clone(),
            Self::Unseen => String::new(),
        }
    }

    /// From what [`Self::hash`] gave.
    pub(super) fn of_hash(hash: &str) -> Self {
        if hash.is_empty() { Self::Unseen } else { Self::Hash(hash.to_owned()) }
    }

    /// Without its text, in little space.
    pub fn shortened(&self) -> Self {
        Self::of_hash(&self.hash().chars().take(FEWEST_DIGITS).collect::<String>())
    }

    /// Whether the two are the same object, as far as both are known.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unseen, _) | (_, Self::Unseen) => true,
            (Self::Text(one), Self::Text(other)) => one == other,
            _ => {
                let (one, other) = (self.hash(), other.hash());
                one.len().min(other.len()) >= FEWEST_DIGITS && (one.starts_with(&other) || other.starts_with(&one))
            }
        }
    }

    /// Its text, where that is kept.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Hash(_) | Self::Unseen => None,
        }
    }
}

/// 16 hexadecimal digits.
pub(super) fn hashed(text: &str) -> String {
    crate::jobs::hex(&Sha256::digest(text))[..16].to_owned()
}
