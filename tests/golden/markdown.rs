//! Reads Markdown as far as the checks need it: headings, links, code blocks; no network.

use super::root;
use std::{collections::HashSet, fs, path::PathBuf};

/// A page, its includes filled in.
pub struct Page {
    /// Where it is in the repository.
    pub path: String,
    pub text: String,
}

/// A fenced block.
pub struct Block<'a> {
    /// What it says after the fence.
    pub language: &'a str,
    pub text: String,
    /// The line of its fence.
    pub line: usize,
}

impl Page {
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(root(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let text = text.lines().map(|line| included(path, line) + "\n").collect();
        Self { path: path.to_owned(), text }
    }

    /// The fenced blocks.
    pub fn blocks(&self) -> Vec<Block<'_>> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut open = false;
        for (number, line) in self.text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), open) {
                (Some(language), false) => {
                    blocks.push(Block { language: language.trim(), text: String::new(), line: number + 1 });
                    open = true;
                }
                (Some(_), true) => open = false,
                (None, true) => {
                    if let Some(block) = blocks.last_mut() {
                        block.text += &format!("{line}\n");
                    }
                }
                (None, false) => {}
            }
        }
        assert!(!open, "{}: a block is not closed", self.path);
        blocks
    }

    /// The text without its blocks, with line numbers.
    pub fn prose(&self) -> Vec<(usize, &str)> {
        let mut open = false;
        let lines = self.text.lines().enumerate();
        lines
            .filter_map(|(number, line)| {
                let fence = line.trim_start().starts_with("```");
                open ^= fence;
                (!fence && !open).then_some((number + 1, line))
            })
            .collect()
    }

    /// The anchors of its headings, as mdBook and code hosts make them.
    pub fn anchors(&self) -> HashSet<String> {
        let headings = self.prose().into_iter().filter(|(_, line)| line.starts_with('#'));
        headings.map(|(_, line)| anchor(line.trim_start_matches('#').trim())).collect()
    }

    /// The targets of its links and pictures.
    pub fn links(&self) -> Vec<(usize, &str)> {
        let targets = self.prose().into_iter().flat_map(|(number, line)| {
            let parts = line.split("](").skip(1);
            parts.filter_map(move |part| Some((number, part.split_once(')')?.0)))
        });
        targets.collect()
    }

    /// What stands in backticks, and the lines of the blocks that are commands.
    pub fn code(&self) -> Vec<(usize, String)> {
        let spans = self.prose().into_iter().flat_map(|(number, line)| {
            line.split('`').skip(1).step_by(2).map(move |span| (number, span.to_owned())).collect::<Vec<_>>()
        });
        let commands = |block: Block| {
            let text = block.text.replace("\\\n", " ");
            let wanted = matches!(block.language, "" | "sh" | "console");
            text.lines().filter(|_| wanted).map(|line| (block.line, line.to_owned())).collect::<Vec<_>>()
        };
        spans.chain(self.blocks().into_iter().flat_map(commands)).collect()
    }
}

/// The id that a heading gets.
pub fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// A line, or the file that it includes.
fn included(page: &str, line: &str) -> String {
    let Some(file) = line.trim().strip_prefix("{{#include ").and_then(|rest| rest.strip_suffix("}}")) else {
        return line.to_owned();
    };
    let path = beside(page, file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{page} includes {}: {error}", path.display()))
}

/// A path as a page names it.
pub fn beside(page: &str, target: &str) -> PathBuf {
    let mut path = root(page);
    path.pop();
    path.join(target)
}

/// Every page that is written or generated here.
pub fn all() -> Vec<Page> {
    let mut paths: Vec<String> =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(str::to_owned).into();
    paths.push("tests/cluster/README.md".to_owned());
    paths.push("charts/alembic-operator/README.md".to_owned());
    paths.extend(book());
    paths.iter().map(|path| Page::read(path)).collect()
}

/// The pages of the book.
pub fn book() -> Vec<String> {
    let top = root("");
    let mut pages: Vec<String> = super::files(&root("docs/src"))
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "md"))
        .filter_map(|file| Some(file.strip_prefix(&top).ok()?.to_str()?.to_owned()))
        .collect();
    pages.sort();
    pages
}
