//! Files of different folders that need each other can only be understood together: the uses of `src` make no such circle.

use super::{files, root};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

type Module = Vec<String>;

/// The modules of a crate by their paths.
struct Tree(BTreeMap<Module, Source>);

#[derive(Default)]
struct Source {
    file: PathBuf,
    text: String,
    /// What it calls by one name.
    names: BTreeMap<String, Vec<String>>,
    /// The modules of which it has everything.
    globs: Vec<Vec<String>>,
    /// What it only hands on is not among these.
    needed: Vec<Vec<String>>,
}

#[test]
fn no_files_of_different_folders_need_each_other() {
    let tree = Tree::read(&root("src"));
    let circles = tree.circles();
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn a_circle_is_found_through_what_a_module_hands_on() {
    let crate_of = |other: &str| {
        let files = [
            ("lib.rs", "mod a;\nmod b;"),
            ("a/mod.rs", "mod x;\nmod y;\npub use x::Thing;"),
            ("a/x.rs", "use crate::b::{self, Other};\npub struct Thing;"),
            ("a/y.rs", "pub struct Thing;"),
            ("b.rs", other),
        ];
        Tree::of(files.map(|(file, text)| (PathBuf::from(file), text.to_owned())))
    };
    assert!(crate_of("pub struct Other;").circles().is_empty());
    assert!(crate_of("use crate::a::y::Thing;\npub struct Other;").circles().is_empty(), "another file of the folder");
    let both = vec![vec![PathBuf::from("a/x.rs"), PathBuf::from("b.rs")]];
    assert_eq!(crate_of("pub struct Other(crate::a::Thing);").circles(), both);
    assert_eq!(crate_of("use crate::a;\npub struct Other(a::Thing);").circles(), both);
}

impl Tree {
    fn read(src: &Path) -> Self {
        let rust = files(src).into_iter().filter(|file| {
            file.extension().is_some_and(|ending| ending == "rs")
                && file.file_name().is_some_and(|name| name != "main.rs")
        });
        Self::of(rust.map(|file| (file.strip_prefix(src).unwrap().to_owned(), fs::read_to_string(&file).unwrap())))
    }

    fn of(files: impl IntoIterator<Item = (PathBuf, String)>) -> Self {
        let mut modules = BTreeMap::new();
        for (file, text) in files {
            let outer = module(&file);
            let mut within = outer.clone();
            for line in text.lines().map(|line| line.split("//").next().unwrap_or_default()) {
                // What rustfmt leaves of a module within a file begins and ends so.
                if let Some(name) = line.strip_suffix(" {").and_then(|line| line.rsplit_once("mod ")).map(|(_, n)| n) {
                    within.push(name.to_owned());
                }
                let new = || Source { file: file.clone(), ..Source::default() };
                modules.entry(within.clone()).or_insert_with(new).text += &format!("{line}\n");
                if line == "}" {
                    within.clone_from(&outer);
                }
            }
        }
        for source in modules.values_mut() {
            source.read_uses();
        }
        Self(modules)
    }

    /// Files of several folders, each of which needs all the others.
    fn circles(&self) -> Vec<Vec<PathBuf>> {
        let mut needs = BTreeMap::<_, BTreeSet<_>>::new();
        for (module, source) in &self.0 {
            needs.entry(&source.file).or_default().extend(self.needs(module));
        }
        let reach = |from| {
            let mut seen = BTreeSet::new();
            let mut next = vec![from];
            while let Some(file) = next.pop() {
                next.extend(needs[file].iter().filter(|needed| seen.insert(*needed)));
            }
            seen
        };
        let reached: BTreeMap<_, _> = needs.keys().map(|file| (*file, reach(*file))).collect();
        let mut circles = BTreeSet::new();
        for (file, there) in &reached {
            let circle: Vec<_> = there.iter().filter(|other| reached[**other].contains(file)).collect();
            if circle.iter().any(|other| self.folder(other) != self.folder(file)) {
                circles.insert(circle.into_iter().map(|file| (*file).clone()).collect());
            }
        }
        circles.into_iter().collect()
    }

    /// `a.rs` and the files of `a/` are of one folder.
    fn folder(&self, file: &Path) -> Module {
        let module = module(file);
        let has_own = self.0.iter().any(|(other, source)| other.starts_with(&module) && source.file != file);
        if has_own { module } else { module[..module.len().saturating_sub(1)].to_vec() }
    }

    /// The other files whose items a file names.
    fn needs(&self, of: &Module) -> BTreeSet<PathBuf> {
        let source = &self.0[of];
        let written = source.text.split(|letter: char| !(letter.is_alphanumeric() || "_:".contains(letter)));
        let in_code =
            written.filter(|word| word.contains("::")).map(|word| word.split("::").map(str::to_owned).collect());
        let places = source.needed.iter().cloned().chain(in_code);
        let there = places.filter_map(|path: Vec<String>| self.defined_in(of, &path, 0));
        // What is around a module is known to it, as the parts of a file are to each other.
        let files = there.filter(|there| !of.starts_with(there)).map(|there| &self.0[&there].file);
        files.filter(|file| **file != source.file).cloned().collect()
    }

    /// The module that defines what a path in a module leads to; `None` outside this crate.
    fn defined_in(&self, from: &[String], path: &[String], depth: usize) -> Option<Module> {
        let (first, rest) = path.split_first()?;
        let start = match first.as_str() {
            "crate" => Some((Vec::new(), rest)),
            "super" => Some((from[..from.len().checked_sub(1)?].to_vec(), rest)),
            "self" => Some((from.to_vec(), rest)),
            _ => None,
        };
        if let Some((module, rest)) = start {
            return if rest.is_empty() { Some(module) } else { self.defined_in(&module, rest, depth) };
        }
        let inner: Module = from.iter().cloned().chain([first.clone()]).collect();
        if self.0.contains_key(&inner) {
            return if rest.is_empty() { Some(inner) } else { self.defined_in(&inner, rest, depth) };
        }
        let source = &self.0[from];
        if depth < 8 && source.names.get(first).is_some_and(|there| there != path) {
            let there: Vec<String> = source.names[first].iter().chain(rest).cloned().collect();
            return self.defined_in(from, &there, depth + 1);
        }
        if source.defines(first) {
            return Some(from.to_vec());
        }
        if depth > 8 {
            return None;
        }
        let globs = source.globs.iter().filter_map(|glob| self.defined_in(from, glob, depth + 1));
        globs.filter(|module| module != from).find_map(|module| self.defined_in(&module, path, depth + 1))
    }
}

impl Source {
    fn defines(&self, name: &str) -> bool {
        let kinds = ["struct", "enum", "fn", "const", "static", "trait", "type", "mod"];
        kinds.iter().any(|kind| {
            let found = format!("{kind} {name}");
            self.text.match_indices(&found).any(|(at, _)| {
                !self.text[at + found.len()..].starts_with(|letter: char| letter.is_alphanumeric() || letter == '_')
            })
        })
    }

    fn read_uses(&mut self) {
        let text = self.text.clone();
        for (at, start) in text.match_indices("use ") {
            let Some((tree, _)) = text[at + start.len()..].split_once(';') else { continue };
            let line = text[..at].rsplit('\n').next().unwrap_or_default();
            let tree = tree.split_whitespace().collect::<Vec<_>>().join(" ");
            self.add_tree(&[], &tree, line.trim_start().starts_with("pub"));
        }
        // The rest is code.
        self.text = text.split_inclusive(';').filter(|part| !is_use(part)).collect();
    }

    /// Adds `a::{b, c::{self, d as e}, f::*}`.
    fn add_tree(&mut self, before: &[String], tree: &str, handed_on: bool) {
        let (path, inner) = tree.split_once('{').map_or((tree, None), |(path, inner)| (path, Some(inner)));
        let (path, alias) = path.split_once(" as ").map_or((path, None), |(path, alias)| (path, Some(alias.trim())));
        let parts = path.trim().split("::").filter(|part| !part.is_empty()).map(str::to_owned);
        let mut path: Vec<String> = before.iter().cloned().chain(parts).collect();
        if let Some(inner) = inner {
            let inner = inner.trim_end().strip_suffix('}').unwrap_or(inner);
            return branches(inner).into_iter().for_each(|branch| self.add_tree(&path, branch, handed_on));
        }
        if path.len() > 1 {
            path.pop_if(|last| last == "self");
        }
        let is_all = path.pop_if(|last| last == "*").is_some();
        if !handed_on {
            self.needed.push(path.clone());
        }
        if is_all {
            self.globs.push(path);
        } else if let Some(name) = alias.map(str::to_owned).or_else(|| path.last().cloned()) {
            self.names.insert(name, path);
        }
    }
}

fn is_use(part: &str) -> bool {
    let start = part.trim_start();
    start.starts_with("use ") || start.starts_with("pub") && start.split_whitespace().nth(1) == Some("use")
}

/// The parts between the commas that are in no braces.
fn branches(text: &str) -> Vec<&str> {
    let (mut depth, mut start, mut found) = (0, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&text[start..]);
    found.into_iter().map(str::trim).filter(|branch| !branch.is_empty()).collect()
}

fn module(file: &Path) -> Module {
    let mut module: Module = file.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
    module.pop_if(|last| ["mod", "lib"].contains(&last.as_str()));
    module
}
