//! The fingerprint of a schema: what each object of the catalog is, a hash for each and one for all, and what two schemas
//! differ in; no I/O.

use super::budget::{Full, Share};
use crate::api::{Change, DriftedObject};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use wildmatch::WildMatch;

/// Another number for another way to make the definitions: fingerprints of different numbers can't be compared.
pub const ALGORITHM: u32 = 1;

/// What an object of a schema is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Definition {
    #[serde(rename = "=")]
    Text(String),
    /// Only the hash of a text that is too long to be kept, or not to be shown. A shorter hash is the beginning of a longer
    /// one.
    #[serde(rename = "#")]
    Hash(String),
}

/// Digits that a hash keeps at least.
const FEWEST_DIGITS: usize = 10;

impl Definition {
    /// 16 hexadecimal digits, or what is known of them.
    pub fn hash(&self) -> String {
        match self {
            Self::Text(text) => hashed(text),
            Self::Hash(hash) => hash.clone(),
        }
    }

    /// Without its text, in little space.
    pub fn shortened(&self) -> Self {
        Self::Hash(self.hash().chars().take(FEWEST_DIGITS).collect())
    }

    /// Whether the two are the same object.
    pub fn is(&self, other: &Self) -> bool {
        match (self, other) {
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
            Self::Hash(_) => None,
        }
    }

    fn text(&self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text.clone()),
            Self::Hash(_) => None,
        }
    }
}

/// Objects by kind and name, such as `column public.goods.price`.
pub type Objects = BTreeMap<String, Definition>;

/// The objects of a schema with their definitions.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    /// Name and major version of the server: another one may spell the same definition in another way.
    pub engine: String,
    pub objects: Objects,
    /// Kept until the last copy is gone.
    _share: Arc<Share>,
}

impl PartialEq for Catalog {
    fn eq(&self, other: &Self) -> bool {
        self.engine == other.engine && self.objects == other.objects
    }
}

impl Eq for Catalog {}

/// Bytes of definitions that are kept as texts. Of the others there is a hash, which finds a difference just as well.
const MAX_TEXTS: usize = 4 * 1024 * 1024;
/// About what an object takes in memory beside its texts.
const OVERHEAD: usize = 128;

/// A catalog while it is read, row by row.
pub(super) struct Reading {
    engine: String,
    objects: Objects,
    /// To MariaDB a sequence is a table with columns.
    sequences: Vec<String>,
    texts: usize,
    share: Share,
}

impl Reading {
    pub(super) fn of(engine: String) -> Self {
        Self { engine, objects: Objects::new(), sequences: Vec::new(), texts: 0, share: Share::default() }
    }

    /// Takes one row of the catalog query.
    pub(super) fn take(&mut self, kind: &str, name: &str, definition: String) -> Result<(), Full> {
        let definition = self.definition(kind, definition);
        let text = match &definition {
            Definition::Text(text) | Definition::Hash(text) => text.len(),
        };
        self.share.grow(kind.len() + name.len() + text + OVERHEAD)?;
        self.insert(kind, name, definition);
        Ok(())
    }

    fn definition(&mut self, kind: &str, definition: String) -> Definition {
        let definition = match self.engine.split(' ').next() {
            Some("postgresql") if spelled_anew(kind) => steady(&definition),
            // What somebody wrote, with their blanks and line breaks.
            Some("sqlite") => joined(&words(&definition)),
            _ => definition,
        };
        if self.texts + definition.len() > MAX_TEXTS {
            return Definition::Hash(hashed(&definition));
        }
        self.texts += definition.len();
        Definition::Text(definition)
    }

    fn insert(&mut self, kind: &str, name: &str, definition: Definition) {
        if kind == "sequence" && self.engine.starts_with("mariadb") {
            self.sequences.push(name.to_owned());
        }
        self.objects.insert(format!("{kind} {name}"), definition);
    }

    /// The catalog, with nothing of it counted twice.
    pub(super) fn finish(self) -> Catalog {
        let mut objects = self.objects;
        for sequence in &self.sequences {
            let columns = format!("column {sequence}.");
            let of_it: Vec<String> = objects
                .range(columns.clone()..)
                .map(|(object, _)| object)
                .take_while(|o| o.starts_with(&columns))
                .cloned()
                .collect();
            of_it.iter().for_each(|column| drop(objects.remove(column)));
        }
        Catalog { engine: self.engine, objects, _share: Arc::new(self.share) }
    }
}

impl Catalog {
    /// From the rows of the catalog query, as somebody else has read them: kind, name and definition.
    pub fn new(engine: String, rows: impl IntoIterator<Item = (String, String, String)>) -> Self {
        let mut reading = Reading::of(engine);
        for (kind, name, definition) in rows {
            let definition = reading.definition(&kind, definition);
            reading.insert(&kind, &name, definition);
        }
        reading.finish()
    }

    /// The hash of an object; empty where there is none.
    pub fn hash_of(&self, object: &str) -> String {
        self.objects.get(object).map(Definition::hash).unwrap_or_default()
    }

    /// Forgets the text of every definition that has a secret in it.
    pub fn hide(&mut self, secrets: &[&str]) {
        for definition in self.objects.values_mut() {
            let Definition::Text(text) = definition else { continue };
            // As in `text::redact`: what is shorter protects nothing.
            if secrets.iter().any(|secret| secret.chars().count() >= 3 && text.contains(secret)) {
                *definition = Definition::Hash(definition.hash());
            }
        }
    }
}

/// Objects that are left out, by globs over their name, or kind and name.
#[derive(Clone, Debug, Default)]
pub struct Exclude(Vec<WildMatch>);

impl Exclude {
    pub fn new(globs: &[String]) -> Self {
        Self(globs.iter().map(|glob| WildMatch::new(glob)).collect())
    }

    /// Whether an object is left out. The columns, indexes and so on of a table begin with its name: `audit.*`.
    pub fn has(&self, object: &str) -> bool {
        // A kind can have two words, and a quoted name blanks: every beginning counts.
        let names = || std::iter::once(object).chain(object.match_indices(' ').map(|(at, _)| &object[at + 1..]));
        self.0.iter().any(|glob| names().any(|name| glob.matches(name)))
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
    /// Of a schema as it is, but for what is left out.
    pub fn of(catalog: &Catalog, exclude: &Exclude) -> Self {
        let mut objects = BTreeMap::new();
        let fingerprint = Self::over(catalog, exclude, |object, hash| drop(objects.insert(object.to_owned(), hash)));
        Self { fingerprint, engine: catalog.engine.clone(), algorithm: ALGORITHM, objects }
    }

    /// The one hash over all objects, while `each` sees the object and its hash.
    pub fn over(catalog: &Catalog, exclude: &Exclude, mut each: impl FnMut(&str, String)) -> String {
        let mut whole = Sha256::new();
        for (object, definition) in catalog.objects.iter().filter(|(object, _)| !exclude.has(object)) {
            let hash = definition.hash();
            whole.update((object.len() as u64).to_be_bytes());
            whole.update(object);
            whole.update(&hash);
            each(object, hash);
        }
        crate::jobs::hex(&whole.finalize())
    }

    /// How a schema differs from this one, in the order of the objects' names.
    pub fn compare(&self, found: &Catalog, exclude: &Exclude) -> Result<Vec<DriftedObject>, Incomparable> {
        if (&self.engine, self.algorithm) != (&found.engine, ALGORITHM) {
            let taken = |engine: &str, algorithm: u32| format!("{engine} (format {algorithm})");
            let (expected, found) = (taken(&self.engine, self.algorithm), taken(&found.engine, ALGORITHM));
            return Err(Incomparable { expected, found });
        }
        let expected = self.objects.iter().map(|(object, hash)| (object.clone(), Definition::Hash(hash.clone())));
        Ok(compare(&expected.collect(), &found.objects, exclude))
    }
}

/// How the objects that were found differ from those that should be there, in the order of their names.
pub fn compare(expected: &Objects, found: &Objects, exclude: &Exclude) -> Vec<DriftedObject> {
    let all: BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let difference = |object: &String| {
        let (expected, actual) = (expected.get(object), found.get(object));
        let change = match (expected, actual) {
            (Some(one), Some(other)) if one.is(other) => return None,
            (Some(_), Some(_)) => Change::Modified,
            (Some(_), None) => Change::Missing,
            (None, _) => Change::Unexpected,
        };
        let text = |definition: Option<&Definition>| definition.and_then(Definition::text);
        Some(DriftedObject { change, object: object.clone(), expected: text(expected), actual: text(actual) })
    };
    all.into_iter().filter(|object| !exclude.has(object)).filter_map(difference).collect()
}

fn hashed(text: &str) -> String {
    crate::jobs::hex(&Sha256::digest(text))[..16].to_owned()
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
    joined(&kept)
}

/// Words with blanks where people put them.
fn joined(words: &[String]) -> String {
    let mut text = String::new();
    let mut before = "";
    for word in words {
        let closes = matches!(word.as_str(), ")" | "]" | "," | ";") || matches!(before, "(" | "[" | "");
        let calls = matches!(word.as_str(), "(" | "[")
            && before.ends_with(|c: char| is_of_a_word(c) || c == '"')
            && !KEYWORDS.contains(&before);
        if !closes && !calls {
            text.push(' ');
        }
        text.push_str(word);
        before = word;
    }
    text
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
        let all = Exclude::default();
        let before = catalog(&[("table", "a", ""), ("column", "a.x", "integer"), ("column", "a.y", "text")]);
        let after = catalog(&[("table", "a", ""), ("column", "a.x", "bigint"), ("index", "i", "on a")]);
        let taken = Fingerprint::of(&before, &all);
        let told = |exclude: &[&str]| -> Vec<String> {
            let exclude = Exclude::new(&exclude.iter().map(|glob| (*glob).to_owned()).collect::<Vec<_>>());
            let found = taken.compare(&after, &exclude).unwrap();
            found.iter().map(|d| format!("{} {}", d.change.as_str(), d.object)).collect()
        };
        assert_eq!(told(&[]), ["Modified column a.x", "Missing column a.y", "Unexpected index i"]);
        assert_eq!(told(&["a.*"]), ["Unexpected index i"]);
        assert_eq!(told(&["column *", "b"]), ["Unexpected index i"]);
        assert_eq!(taken.compare(&before, &all), Ok(vec![]));
        assert_ne!(taken.fingerprint, Fingerprint::of(&after, &all).fingerprint);
        let upgraded = Catalog { engine: "postgresql 16".into(), ..before.clone() };
        assert!(taken.compare(&upgraded, &all).unwrap_err().to_string().contains("postgresql 16"));
    }

    #[test]
    fn a_definition_with_a_secret_is_compared_and_not_shown() {
        let mut one = catalog(&[("function", "f()", "connect('hunter2')"), ("table", "a", "")]);
        let plain = one.clone();
        one.hide(&["hunter2", "x"]);
        assert!(!format!("{one:?}").contains("hunter2"));
        assert_eq!(compare(&plain.objects, &one.objects, &Exclude::default()), vec![]);
        let mut other = catalog(&[("function", "f()", "connect('hunter3')"), ("table", "a", "")]);
        other.hide(&["hunter3"]);
        let found = compare(&one.objects, &other.objects, &Exclude::default());
        assert_eq!((found.len(), found[0].expected.clone(), found[0].actual.clone()), (1, None, None));
        let short: Objects = plain.objects.iter().map(|(name, d)| (name.clone(), d.shortened())).collect();
        assert_eq!(compare(&short, &plain.objects, &Exclude::default()), vec![]);
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
        assert_eq!(steady("now()::timestamp with time zone"), "now()");
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
