//! The fingerprint of a schema: what each object of the catalog is, as it is read from the catalog's rows; no I/O.

mod compare;
mod definition;
mod spelling;

pub use compare::{ALGORITHM, Exclude, Fingerprint, Incomparable, compare};
pub use definition::{Definition, Objects};

use super::budget::{Full, Share};
use definition::hashed;
use std::sync::Arc;

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
/// Kinds whose texts are programs or options: a token or the password of another system may stand in them. Only their
/// hashes are kept.
const UNKEPT: [&str; 9] = [
    "function",
    "procedure",
    "body of function",
    "body of procedure",
    "trigger",
    "event",
    "rule",
    "foreign server",
    "foreign table",
];
/// The kind of a row that names what the user of the connection may not see; `event *` stands for all events.
const UNSEEN: &str = "unseen";
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
            Definition::Unseen => 0,
        };
        self.share.grow(kind.len() + name.len() + text + OVERHEAD)?;
        self.insert(kind, name, definition);
        Ok(())
    }

    fn definition(&mut self, kind: &str, definition: String) -> Definition {
        if kind == UNSEEN {
            return Definition::Unseen;
        }
        let definition = match self.engine.split(' ').next() {
            Some("postgresql") if spelling::is_spelled_anew(kind) => spelling::steady(&definition),
            // What somebody wrote, with their blanks and line breaks.
            Some("sqlite") => spelling::with_single_blanks(&definition),
            _ => definition,
        };
        if self.texts + definition.len() > MAX_TEXTS || UNKEPT.contains(&kind) {
            return Definition::Hash(hashed(&definition));
        }
        self.texts += definition.len();
        Definition::Text(definition)
    }

    fn insert(&mut self, kind: &str, name: &str, definition: Definition) {
        if kind == "sequence" && self.engine.starts_with("mariadb") {
            self.sequences.push(name.to_owned());
        }
        let object = if kind == UNSEEN { name.to_owned() } else { format!("{kind} {name}") };
        self.objects.insert(object, definition);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_with_a_secret_is_compared_and_not_shown() {
        let catalog = |secret: &str| {
            let row = |kind: &str, name: &str, text: String| (kind.to_owned(), name.to_owned(), text);
            let view = row("view", "v", format!("SELECT connect('{secret}')"));
            let function = row("function", "f()", format!("connect('{secret}')"));
            Catalog::new("postgresql 15".into(), [view, function, row("table", "a", String::new())])
        };
        let mut one = catalog("hunter2");
        assert!(!format!("{:?}", one.objects["function f()"]).contains("hunter2"));
        let plain = one.clone();
        one.hide(&["hunter2", "x"]);
        assert!(!format!("{one:?}").contains("hunter2"));
        assert_eq!(compare(&plain.objects, &one.objects, &Exclude::default()), vec![]);
        let mut other = catalog("hunter3");
        other.hide(&["hunter3"]);
        let found = compare(&one.objects, &other.objects, &Exclude::default());
        assert!(found.len() == 2 && found.iter().all(|d| d.expected.is_none() && d.actual.is_none()));
        let short: Objects = plain.objects.iter().map(|(name, d)| (name.clone(), d.shortened())).collect();
        assert_eq!(compare(&short, &plain.objects, &Exclude::default()), vec![]);
    }
}
