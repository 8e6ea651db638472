//! The targets of a set: what each is, what was read of it, what is remembered of it, and how that stands in the pages; no I/O.

use crate::{api::Problem, text};
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// A database or schema of the set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    pub name: String,
    /// One of spec.servers.
    pub server: String,
    pub database: Option<String>,
    pub schema: Option<String>,
    pub labels: BTreeMap<String, String>,
}

impl Target {
    /// What it is known by in the set.
    pub fn key(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// Names come from data that others may write. They stand in arguments, logs and ConfigMaps.
    pub fn is_well_named(&self) -> bool {
        let good = |name: &str| {
            let first = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
            first && name.len() <= 63 && name.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c))
        };
        [Some(&self.name), self.database.as_ref(), self.schema.as_ref()].into_iter().flatten().all(|name| good(name))
    }
}

/// What was read of a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Rows(BTreeSet<String>),
    Unreadable(Problem),
}

/// What is remembered of a target beside its rows: that it is in a batch, and what failed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// The rollout that it is about.
    #[serde(skip_serializing_if = "is_zero")]
    pub rollout: i64,
    /// The batch that it was given to; 0 for none.
    #[serde(skip_serializing_if = "is_zero")]
    pub batch: i64,
    #[serde(skip_serializing_if = "is_none")]
    pub attempts: i32,
    /// Whether it is not tried again by itself.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub held: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it was tried last, in seconds of Unix time.
    #[serde(skip_serializing_if = "is_zero")]
    pub since: i64,
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_none(number: &i32) -> bool {
    *number == 0
}

const FIRST_PAUSE: u64 = 5;
const LONGEST_PAUSE: u64 = 300;

impl Memory {
    /// How long it is still left alone after it was tried in vain.
    pub fn pause(&self, now: Timestamp) -> Option<Duration> {
        if self.attempts == 0 {
            return None;
        }
        let doublings = u32::try_from(self.attempts.saturating_sub(1).clamp(0, 16)).unwrap_or(0);
        let pause = FIRST_PAUSE.saturating_mul(1 << doublings).min(LONGEST_PAUSE);
        let passed = u64::try_from(now.as_second().saturating_sub(self.since)).unwrap_or(0);
        pause.checked_sub(passed).filter(|left| *left > 0).map(Duration::from_secs)
    }
}

/// A target with all that is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    pub target: Target,
    pub seen: Seen,
    pub memory: Memory,
}

impl Member {
    pub fn rows(&self) -> Option<&BTreeSet<String>> {
        match &self.seen {
            Seen::Rows(rows) => Some(rows),
            Seen::Unreadable(_) => None,
        }
    }
}

/// Where a target stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    AtTarget,
    Pending,
    Running,
    Held(Problem),
}

impl State {
    pub fn word(&self) -> &'static str {
        match self {
            Self::AtTarget => "AtTarget",
            Self::Pending => "Pending",
            Self::Running => "Running",
            Self::Held(_) => "Failed",
        }
    }
}

/// A line of a page.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub name: String,
    pub server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    pub wave: String,
    pub state: String,
    pub rows: Vec<String>,
    #[serde(flatten)]
    pub memory: Memory,
}

impl Line {
    pub fn new(member: &Member, state: &State, wave: &str) -> Self {
        let mut memory = member.memory.clone();
        if let State::Held(problem) = state
            && !memory.held
        {
            // What the look itself found is shown, and found again by the next one.
            memory.reason = problem.reason.to_string();
            memory.message = text::clean(&problem.message, MESSAGE);
        }
        Self {
            name: text::clean(&member.target.name, 128),
            server: member.target.server.clone(),
            database: member.target.database.as_deref().map(|name| text::clean(name, 128)),
            schema: member.target.schema.as_deref().map(|name| text::clean(name, 128)),
            wave: wave.to_owned(),
            state: state.word().to_owned(),
            rows: member.rows().into_iter().flatten().map(|row| text::clean(row, 64)).take(8).collect(),
            memory,
        }
    }

    pub fn key(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }
}

/// Characters of a message that a page keeps.
pub const MESSAGE: usize = 300;

/// Targets of a page, about; a ConfigMap holds a megabyte, and a line may be a kilobyte.
const PER_PAGE: usize = 500;

/// The lines by the number of their page. A target keeps its page for as long as the number of pages is the same, and that is a power
/// of two.
pub fn pages(lines: Vec<Line>) -> Vec<Vec<Line>> {
    let count = lines.len().div_ceil(PER_PAGE).max(1).next_power_of_two();
    let mut pages = vec![Vec::new(); count];
    for line in lines {
        let hash = crate::jobs::short_hash(&[&line.key()], 8);
        let number = usize::from_str_radix(&hash, 16).unwrap_or_default() % count;
        if let Some(page) = pages.get_mut(number) {
            page.push(line);
        }
    }
    pages
}

/// A page as text: a line of JSON for each target.
pub fn page_text(lines: &[Line]) -> String {
    lines.iter().filter_map(|line| serde_json::to_string(line).ok()).map(|line| line + "\n").collect()
}

/// What a page says; a line that can't be read is none.
pub fn read_page(text: &str) -> impl Iterator<Item = Line> + use<'_> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Reason;

    fn member(name: &str) -> Member {
        let target =
            Target { name: name.into(), server: "main".into(), schema: Some(name.into()), ..Target::default() };
        let memory =
            Memory { rollout: 3, attempts: 2, held: true, reason: "MigrationFailed".into(), ..Memory::default() };
        Member { target, seen: Seen::Rows(BTreeSet::from(["a1".to_owned()])), memory }
    }

    #[test]
    fn a_page_is_read_as_it_was_written() {
        let held = State::Held(Problem::new(Reason::MigrationFailed, "no"));
        let lines: Vec<Line> = (0..1200).map(|n| Line::new(&member(&format!("tenant_{n}")), &held, "canary")).collect();
        let pages = pages(lines.clone());
        assert_eq!(pages.len(), 4);
        let mut read: Vec<Line> =
            pages.iter().flat_map(|page| read_page(&page_text(page)).collect::<Vec<_>>()).collect();
        read.sort_by_key(|line| lines.iter().position(|other| other == line));
        assert_eq!(read, lines);
        assert!(pages.iter().all(|page| (200..400).contains(&page.len()) && page_text(page).len() < 100 * 1024));
        assert_eq!(read_page("no line\n{}\n").count(), 0);
    }

    #[test]
    fn names_that_others_may_write_are_looked_at() {
        let named = |name: &str| Target { name: name.into(), ..Target::default() }.is_well_named();
        assert!(named("tenant_1") && named("a.b-c") && named("0"));
        for bad in ["", "a b", "a'; DROP", "-x", "../a", "ü", "$(name)", &"a".repeat(64)] {
            assert!(!named(bad), "{bad}");
        }
        let schema = Target { name: "a".into(), schema: Some("a\"b".into()), ..Target::default() };
        assert!(!schema.is_well_named());
    }

    #[test]
    fn pauses_grow() {
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let memory = |attempts| Memory { attempts, since: 100, ..Memory::default() };
        assert_eq!((memory(0).pause(at(100)), memory(1).pause(at(105))), (None, None));
        assert_eq!(memory(1).pause(at(101)), Some(Duration::from_secs(4)));
        assert_eq!(memory(3).pause(at(100)), Some(Duration::from_secs(20)));
        assert_eq!(memory(30).pause(at(100)), Some(Duration::from_secs(300)));
    }
}
