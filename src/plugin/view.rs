//! What an object's status means in a word or a number, as every command shows it; no I/O.

use super::{
    text::{Span, Tone},
    thing::Shown,
};
use crate::{
    api::{
        ConditionType, DatabaseMigration, DatabaseMigrationStatus, PlanStatus, Reason, ReasonKind, RunResult,
        RunStatus, TO_APPROVE, TO_PROMOTE,
    },
    text::{clean, short_image},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};
use std::borrow::Cow;

/// Where an object stands, in one word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The reason of Ready, or why there is none.
    pub word: String,
    pub message: String,
    pub verdict: Verdict,
    /// Since when it has been so.
    pub since: Option<Timestamp>,
}

/// What a script, or whoever waits, makes of a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Ready,
    /// The operator is at work.
    Working,
    /// Somebody has to say something first.
    Waiting,
    /// Nothing happens until somebody changes something.
    Stalled,
}

impl Verdict {
    /// The exit code of `status`, `wait` and `approve`. 2 is for what could not be asked at all.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::Stalled => 1,
            Self::Waiting => 3,
            Self::Working => 4,
        }
    }

    pub fn symbol(self) -> &'static str {
        match self {
            Self::Ready => "✓",
            Self::Working => "◐",
            Self::Waiting => "◐",
            Self::Stalled => "✗",
        }
    }

    pub fn tone(self) -> Tone {
        match self {
            Self::Ready => Tone::Good,
            Self::Working | Self::Waiting => Tone::Busy,
            Self::Stalled => Tone::Bad,
        }
    }
}

impl State {
    /// By the conditions, where they are about the spec as it is now.
    pub fn of(object: &impl Shown) -> Self {
        let find = |type_: ConditionType| object.conditions()?.iter().find(|c| c.type_ == type_.as_str());
        let is_true = |type_: ConditionType| find(type_).is_some_and(|condition| condition.status == "True");
        let Some(ready) = find(ConditionType::Ready) else {
            let message = "the operator has not seen the object yet; is it running, and does it watch this namespace?";
            return Self::new("NotSeen", message, Verdict::Working, object.creation_timestamp().map(|time| time.0));
        };
        if object.meta().deletion_timestamp.is_some() {
            return Self::new("Deleting", &ready.message, Verdict::Working, None);
        }
        if object.observed_generation() < object.meta().generation {
            let message = "the spec has changed, and the operator has not looked at it yet";
            return Self::new("Changed", message, Verdict::Working, None);
        }
        let since = Some(ready.last_transition_time.0);
        let verdict = match Reason::parse(&ready.reason) {
            _ if is_true(ConditionType::Ready) => Verdict::Ready,
            _ if is_true(ConditionType::Stalled) => Verdict::Stalled,
            Some(Reason::AwaitingApproval | Reason::AwaitingPromotion) => Verdict::Waiting,
            Some(reason) if reason.kind() == ReasonKind::Held => Verdict::Waiting,
            _ => Verdict::Working,
        };
        Self::new(&ready.reason, &ready.message, verdict, since)
    }

    fn new(word: &str, message: &str, verdict: Verdict, since: Option<Timestamp>) -> Self {
        // The plugin has a command of its own for it.
        let commands = [TO_APPROVE, TO_PROMOTE];
        let message =
            commands.iter().fold(message, |message, command| message.split(command).next().unwrap_or(message));
        Self { word: clean(word, 64), message: clean(message, 2000), verdict, since }
    }

    /// The reason, where the operator and this plugin know the same.
    pub fn reason(&self) -> Option<Reason> {
        Reason::parse(&self.word)
    }

    /// Its symbol and word.
    pub fn span(&self) -> Span {
        Span::new(self.verdict.tone(), format!("{} {}", self.verdict.symbol(), self.word))
    }
}

/// An object's status; of one that has none, an empty one.
pub fn status_of(object: &DatabaseMigration) -> Cow<'_, DatabaseMigrationStatus> {
    object.status.as_ref().map_or_else(|| Cow::Owned(DatabaseMigrationStatus::default()), Cow::Borrowed)
}

/// What is said of a table, where its statement does not stand beside it and the words do not name it.
pub fn with_table<'a>(table: Option<&str>, message: &'a str) -> Cow<'a, str> {
    match table.filter(|table| !message.contains(table)) {
        Some(table) => Cow::Owned(format!("{table}: {message}")),
        None => Cow::Borrowed(message),
    }
}

/// `3 objects`, `1 object`.
pub fn counted(count: i32, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// `namespace/name`.
pub fn full_name(object: &impl Shown) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// Steps between the database and the target: `+4`, `-4`, `0`, or `?`.
pub fn steps(status: &DatabaseMigrationStatus) -> Span {
    let Some(pending) = &status.pending else { return Span::new(Tone::Faint, "?") };
    match (pending.count, status.plan.as_ref().map(|plan| plan.direction.as_str())) {
        (0, Some("stamp")) => Span::new(Tone::Busy, "adopt"),
        (0, _) => Span::plain("0"),
        (count, Some("downgrade")) => Span::new(Tone::Busy, format!("-{count}")),
        (count, _) => Span::new(Tone::Busy, format!("+{count}")),
    }
}

/// The hazards of the plan: `1H 4L`.
pub fn risk(status: &DatabaseMigrationStatus) -> Span {
    match &status.plan {
        Some(plan) => risk_of(plan.hazard_summary.as_deref().unwrap_or_default()),
        None => Span::new(Tone::Faint, "–"),
    }
}

/// Hazards as they are counted: `1H 4L`.
pub fn risk_of(summary: &str) -> Span {
    let grave = summary.contains('C') || summary.contains('H');
    match summary {
        "" => Span::new(Tone::Good, "none"),
        summary => Span::new(if grave { Tone::Bad } else { Tone::Plain }, summary),
    }
}

/// How many objects drifted: `2 !`, `–` for none, `?` where nobody could tell.
pub fn drift(status: &DatabaseMigrationStatus) -> Span {
    let count = drifted_objects(status);
    match status.condition(ConditionType::Drifted).map(|c| c.status.as_str()) {
        Some("True") if count > 0 => Span::new(Tone::Bad, format!("{count} !")),
        Some("True") => Span::new(Tone::Bad, "rows !"),
        Some("False") => Span::new(Tone::Faint, "–"),
        _ => Span::new(Tone::Faint, "?"),
    }
}

/// Number of objects of the schema that are not as they should be.
pub fn drifted_objects(status: &DatabaseMigrationStatus) -> i32 {
    status.drift.as_ref().map_or(0, |drift| drift.missing + drift.unexpected + drift.modified)
}

/// Revisions in one line, short enough for a column.
pub fn rows(text: Option<&str>, fallback: &str) -> String {
    super::text::cut(&clean(text.filter(|text| !text.is_empty()).unwrap_or(fallback), 200), 25)
}

/// The revision that the database is at, where anybody knows it.
pub fn database(object: &DatabaseMigration) -> String {
    match State::of(object).reason() {
        Some(Reason::DatabaseUnmanaged) => "no version row".to_owned(),
        _ => rows(status_of(object).current.as_deref(), "?"),
    }
}

/// The target's revision, or what the spec asks for where that means none.
pub fn target(object: &DatabaseMigration) -> String {
    rows(object.status.as_ref().and_then(|status| status.target.as_deref()), &object.spec.target_revision)
}

/// `3d  ✓ up 2`: when the newest run ended, how, and how many steps it had.
pub fn last_run(status: &DatabaseMigrationStatus, now: Timestamp) -> Span {
    let Some(run) = &status.last_run else { return Span::new(Tone::Faint, "–") };
    let ended = run.finished_at.as_ref().map_or_else(|| "?".to_owned(), |time| age(time, now));
    let good = run.result == RunResult::Succeeded;
    let tone = if good { Tone::Good } else { Tone::Bad };
    Span::new(tone, format!("{ended:>3}  {} {}", if good { "✓" } else { "✗" }, direction(&run.direction)))
}

/// The word for a direction in tables.
pub fn direction(direction: &str) -> &str {
    match direction {
        "upgrade" => "up",
        "downgrade" => "down",
        other => other,
    }
}

/// How long ago something was, as kubectl writes it: `12s`, `4m`, `3h`, `9d`.
pub fn age(time: &Time, now: Timestamp) -> String {
    span(now.as_second() - time.0.as_second())
}

/// A time span in its largest unit.
pub fn span(seconds: i64) -> String {
    match seconds.max(0) {
        s if s < 120 => format!("{s}s"),
        s if s < 120 * 60 => format!("{}m", s / 60),
        s if s < 48 * 3600 => format!("{}h", s / 3600),
        s => format!("{}d", s / 86_400),
    }
}

/// How long a run took.
pub fn took(run: &RunStatus) -> Option<String> {
    let (started, finished) = (run.started_at.as_ref()?, run.finished_at.as_ref()?);
    Some(span(finished.0.as_second() - started.0.as_second()))
}

/// The image of the spec with the digest that it had when it was inspected.
pub fn image(object: &DatabaseMigration) -> String {
    let inspected = object.status.as_ref().and_then(|status| status.image.as_ref());
    let digest =
        inspected.filter(|image| image.reference == object.spec.image).and_then(|image| image.digest.as_deref());
    match digest.filter(|_| !object.spec.image.contains('@')) {
        Some(digest) => short_image(&format!("{}@{digest}", object.spec.image)),
        None => short_image(&object.spec.image),
    }
}

/// The database's name and version.
pub fn server(status: &DatabaseMigrationStatus) -> Option<String> {
    let database = status.database.as_ref()?;
    let name = match database.dialect.as_str() {
        "postgresql" => "PostgreSQL",
        "mysql" => "MySQL",
        "mariadb" => "MariaDB",
        "sqlite" => "SQLite",
        other => other,
    };
    Some(format!("{name} {}", database.version).trim_end().to_owned())
}

/// `1 high, 4 low`.
pub fn hazards_in_words(plan: &PlanStatus) -> String {
    summary_in_words(plan.hazard_summary.as_deref())
}

/// The words for `1H 4L`.
pub fn summary_in_words(summary: Option<&str>) -> String {
    let Some(summary) = summary.filter(|summary| !summary.is_empty()) else { return "no hazard".to_owned() };
    let word = |part: &str| {
        let (count, letter) = part.split_at(part.len().checked_sub(1)?);
        let severity = match letter {
            "C" => "critical",
            "H" => "high",
            "M" => "medium",
            "L" => "low",
            _ => return None,
        };
        Some(format!("{count} {severity}"))
    };
    let words: Option<Vec<String>> = summary.split(' ').map(word).collect();
    words.map_or_else(|| summary.to_owned(), |words| words.join(", "))
}

/// How a severity looks.
pub fn severity_tone(severity: &str) -> Tone {
    match severity {
        "critical" | "high" => Tone::Bad,
        "medium" => Tone::Busy,
        _ => Tone::Faint,
    }
}

/// A severity as it stands before a hazard: the grave ones are loud.
pub fn severity_word(severity: &str) -> String {
    match severity {
        "critical" | "high" => severity.to_uppercase(),
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hazards_are_told_in_words() {
        let plan =
            |summary: Option<&str>| PlanStatus { hazard_summary: summary.map(str::to_owned), ..PlanStatus::default() };
        assert_eq!(hazards_in_words(&plan(Some("1C 12H"))), "1 critical, 12 high");
        assert_eq!(hazards_in_words(&plan(None)), "no hazard");
    }

    #[test]
    fn spans_are_short() {
        assert_eq!(
            [5, 119, 120, 7199, 7200, 172_799, 172_800].map(span),
            ["5s", "119s", "2m", "119m", "2h", "47h", "2d"]
        );
    }
}
