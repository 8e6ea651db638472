//! The fingerprint of a schema: a hash for each object of the catalog and one for all, and what two of them differ in; no I/O.

use crate::api::{Change, DriftedObject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Another number for another way to make the definitions: fingerprints of different numbers can't be compared.
const ALGORITHM: u32 = 1;

/// The objects of a schema by kind and name, such as `column public.goods.price`, with their definitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Catalog {
    /// Name and major version of the server: another one may spell the same definition in another way.
    pub engine: String,
    pub objects: BTreeMap<String, String>,
}

impl Catalog {
    /// From the rows of the catalog query: kind, name and definition.
    pub fn new(engine: String, rows: impl IntoIterator<Item = (String, String, String)>) -> Self {
        let objects = rows.into_iter().map(|(kind, name, definition)| {
            let anew = engine.starts_with("postgresql") && spelled_anew(&kind);
            let definition = if anew { steady(&definition) } else { definition };
            (format!("{kind} {name}"), definition)
        });
        let objects = objects.collect();
        Self { engine, objects }
    }
}

/// Hashes of the objects of a schema.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// One hash over all objects.
    pub fingerprint: String,
    pub engine: String,
    pub algorithm: u32,
    /// The hash of each object by its kind and name.
    pub objects: BTreeMap<String, String>,
}

/// Why two fingerprints say nothing about each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the fingerprint was taken on {expected}, the database is on {found}: take a new one")]
pub struct Incomparable {
    expected: String,
    found: String,
}

impl Fingerprint {
    /// Of a schema as it is.
    pub fn of(catalog: &Catalog) -> Self {
        let mut whole = Sha256::new();
        let mut objects = BTreeMap::new();
        for (object, definition) in &catalog.objects {
            let hash = hashed(&[object, definition]);
            whole.update(&hash);
            objects.insert(object.clone(), hash);
        }
        let fingerprint = crate::runner::hex(&whole.finalize());
        Self { fingerprint, engine: catalog.engine.clone(), algorithm: ALGORITHM, objects }
    }

    /// How a schema differs from this one, in the order of the objects' names.
    pub fn compare(&self, found: &Self) -> Result<Vec<DriftedObject>, Incomparable> {
        if (&self.engine, self.algorithm) != (&found.engine, found.algorithm) {
            let taken = |one: &Self| format!("{} (format {})", one.engine, one.algorithm);
            return Err(Incomparable { expected: taken(self), found: taken(found) });
        }
        let change = |object: &String| match (self.objects.get(object), found.objects.get(object)) {
            (Some(one), Some(other)) if one == other => None,
            (Some(_), Some(_)) => Some(Change::Modified),
            (Some(_), None) => Some(Change::Missing),
            (None, _) => Some(Change::Unexpected),
        };
        let all: std::collections::BTreeSet<&String> = self.objects.keys().chain(found.objects.keys()).collect();
        let differences = all.into_iter().filter_map(|object| Some((change(object)?, object.clone())));
        Ok(differences.map(|(change, object)| DriftedObject { change, object }).collect())
    }
}

fn hashed(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    crate::runner::hex(&hash.finalize())[..32].to_owned()
}

/// Whether the server makes the definition's text from a parse tree. PostgreSQL then adds casts and parentheses, and
/// adds them in other places once its own text was read back, as after a dump and restore.
fn spelled_anew(kind: &str) -> bool {
    matches!(
        kind,
        "column" | "constraint" | "index" | "policy" | "view" | "materialized view" | "domain" | "statistics" | "rule"
    )
}

/// Arrays within arrays that are looked through.
const DEEPEST: usize = 16;

/// A definition without casts, without parentheses around a single value, and with single blanks. One pass: whoever
/// owns a schema can make its texts long.
fn steady(definition: &str) -> String {
    let words = words(definition);
    let mut kept: Vec<String> = Vec::with_capacity(words.len());
    // Where the brackets that are open begin an ARRAY[…], which is one value.
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        at += 1;
        match word.as_str() {
            "::" => at = after_type(&words, at),
            ")" if holds_one_value(&kept) => drop(kept.remove(kept.len() - 2)),
            "[" => {
                let array = open.len() < DEEPEST && kept.last().is_some_and(|last| last == "ARRAY");
                open.push(array.then(|| kept.len() - 1));
                kept.push(word.clone());
            }
            "]" => {
                kept.push(word.clone());
                if let Some(start) = open.pop().flatten() {
                    let array = kept.drain(start.min(kept.len())..).collect::<Vec<_>>().join(" ");
                    kept.push(array);
                }
            }
            _ => kept.push(word.clone()),
        }
    }
    kept.join(" ")
}

/// Whether the words end in a parenthesis with a single value, which is not that of a call.
fn holds_one_value(words: &[String]) -> bool {
    let [before @ .., open, value] = words else { return false };
    let call =
        |name: &String| name.ends_with(|c: char| is_of_a_word(c) || c == '"') && !KEYWORDS.contains(&name.as_str());
    open == "(" && value != "(" && !before.last().is_some_and(call)
}

/// Quoted texts and names, numbers and words, `::`, and other characters one by one.
fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => quoted(rest, first),
            ':' if rest.starts_with("::") => 2,
            c if is_of_a_word(c) => rest.find(|c| !is_of_a_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        words.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    words
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.' || c == '$'
}

/// How many bytes a quoted text takes; a doubled quote stands for one.
fn quoted(text: &str, quote: char) -> usize {
    let mut end = 1;
    loop {
        match text[end..].find(quote) {
            None => return text.len(),
            Some(at) if text[end + at + 1..].starts_with(quote) => end += at + 2,
            Some(at) => return end + at + 1,
        }
    }
}

/// Names of types that take more than one word.
const OF_MORE_WORDS: [&[&str]; 7] = [
    &["character", "varying"],
    &["double", "precision"],
    &["bit", "varying"],
    &["timestamp", "without", "time", "zone"],
    &["timestamp", "with", "time", "zone"],
    &["time", "without", "time", "zone"],
    &["time", "with", "time", "zone"],
];

/// The longest list of numbers that a type's name has, as in `numeric ( 10 , 2 )`.
const MODIFIERS: usize = 6;

/// Where the words go on after the name of a type.
fn after_type(words: &[String], from: usize) -> usize {
    let is = |at: usize, text: &str| words.get(at).is_some_and(|word| word == text);
    let starts = |name: &&&[&str]| name.iter().enumerate().all(|(n, part)| is(from + n, part));
    let mut end = from + OF_MORE_WORDS.iter().find(starts).map_or(1, |name| name.len());
    if is(end, "(") {
        end += (1..MODIFIERS).find(|more| is(end + more, ")")).map_or(0, |close| close + 1);
    }
    while is(end, "[") && is(end + 1, "]") {
        end += 2;
    }
    end
}

/// Words before a parenthesis that call nothing.
const KEYWORDS: [&str; 12] =
    ["AND", "OR", "NOT", "CHECK", "ARRAY", "WHERE", "SELECT", "THEN", "ELSE", "WHEN", "IS", "default"];

#[cfg(test)]
mod tests {
    use super::*;

    fn catalog(rows: &[(&str, &str, &str)]) -> Catalog {
        let rows = rows.iter().map(|(k, n, d)| ((*k).to_owned(), (*n).to_owned(), (*d).to_owned()));
        Catalog::new("postgresql 15".into(), rows)
    }

    #[test]
    fn differences_name_the_object_and_the_change() {
        let before =
            Fingerprint::of(&catalog(&[("table", "a", ""), ("column", "a.x", "integer"), ("column", "a.y", "text")]));
        let after =
            Fingerprint::of(&catalog(&[("table", "a", ""), ("column", "a.x", "bigint"), ("index", "i", "on a")]));
        let told: Vec<String> =
            before.compare(&after).unwrap().iter().map(|d| format!("{} {}", d.change.as_str(), d.object)).collect();
        assert_eq!(told, ["Modified column a.x", "Missing column a.y", "Unexpected index i"]);
        assert_eq!(before.compare(&before), Ok(vec![]));
        assert_ne!(before.fingerprint, after.fingerprint);
        let upgraded = Fingerprint { engine: "postgresql 16".into(), ..before.clone() };
        assert!(before.compare(&upgraded).unwrap_err().to_string().contains("postgresql 16"));
    }

    #[test]
    fn what_postgresql_spells_anew_after_a_restore_is_the_same() {
        let once = "CHECK (((status)::text = ANY ((ARRAY['a'::character varying, 'b b'::character varying])::text[])))";
        let twice =
            "CHECK (((status)::text = ANY (ARRAY[('a'::character varying)::text, ('b b'::character varying)::text])))";
        assert_eq!(steady(once), steady(twice));
        let limit = |text: &str| steady(&format!("CHECK ((price > {text}))"));
        assert_ne!(limit("10"), limit("11"));
        assert_eq!(limit("(10)::numeric(10,2)"), limit("10"));
        assert_ne!(steady("(a OR b) AND c"), steady("a OR (b AND c)"));
        assert_ne!(steady("lower(a)"), steady("lower a"));
        assert_eq!(steady("DEFAULT 'it''s (x)::text'::text"), "DEFAULT 'it''s (x)::text'");
        assert_eq!(steady("now()::timestamp with time zone"), "now ( )");
        assert_eq!(steady("(ARRAY[1, ARRAY[2]])::integer[]"), "ARRAY [ 1 , ARRAY [ 2 ] ]");
    }

    #[test]
    fn a_long_text_takes_no_longer_than_it_is() {
        for part in ["((", "(a)", "::x (", "ARRAY[", "(ARRAY[", "''", "a::b"] {
            steady(&part.repeat(100_000));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text in "(['\"\\[\\](): a.]|ARRAY|::|é){0,60}") {
            let once = steady(&text);
            proptest::prop_assert!(once.len() <= text.len() * 2 + 1);
        }
    }
}
