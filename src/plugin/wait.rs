//! `wait`, and what follows an approval: a line for each change of the state, and when it is over; no I/O.

use super::{
    text::{Line, Tone, cut},
    view::{State, Verdict},
};
use crate::text::clean;
use k8s_openapi::jiff::{Timestamp, tz::TimeZone};

/// What has been told of an object so far.
#[derive(Debug, Default)]
pub struct Told {
    last: Option<(String, Verdict)>,
    /// Steps of the run that were told, by Job.
    steps: Vec<String>,
    progress: Option<String>,
}

impl Told {
    /// A line, where the state is another one than the last that was told.
    pub fn state(&mut self, state: &State, now: Timestamp, width: Option<usize>) -> Option<Line> {
        let key = (state.word.clone(), state.verdict);
        if self.last.as_ref() == Some(&key) {
            return None;
        }
        self.last = Some(key);
        let mut line = Line::new();
        line.push(state.span());
        let line = line.and(Tone::Faint, format!("   {}   ", clock(now)));
        Some(line.text(clean(&state.message, 900).replace('\n', " ")).cut(width))
    }

    /// How far a set has come, where that is not what was told last.
    pub fn progress(&mut self, text: &str, width: Option<usize>) -> Vec<Line> {
        if self.progress.as_deref() == Some(text) {
            return Vec::new();
        }
        self.progress = Some(text.to_owned());
        vec![Line::new().text(format!("    {text}")).cut(width)]
    }

    /// Whether steps of a Job were told.
    pub fn follows(&self, job: &str) -> bool {
        self.steps.iter().any(|step| step.strip_prefix(job).is_some_and(|rest| rest.starts_with(' ')))
    }

    /// The steps in a run's log that were not told yet.
    pub fn steps(&mut self, job: &str, log: &str) -> Vec<Line> {
        let mut lines = Vec::new();
        for step in run_steps(log) {
            let key = format!("{job} {}", step.number);
            if !self.steps.contains(&key) {
                self.steps.push(key);
                let line = Line::new().text(format!("    {:>7}  ", step.number));
                lines.push(line.and(Tone::Name, step.revision).text(format!("  {}", cut(&step.title, 80))));
            }
        }
        lines
    }
}

/// A step that a run has begun.
#[derive(Debug, PartialEq, Eq)]
struct StepLine {
    /// `2/4`.
    number: String,
    revision: String,
    title: String,
}

/// The steps that the runner told in its log: `alembic-operator: upgrade step 2/4 ID TITLE`.
fn run_steps(log: &str) -> Vec<StepLine> {
    let step = |line: &str| {
        let (_, rest) = line.strip_prefix("alembic-operator: ")?.split_once(" step ")?;
        let mut words = rest.splitn(3, ' ');
        let number = words.next().filter(|number| number.split('/').all(|n| n.parse::<u32>().is_ok()))?;
        let revision = clean(words.next()?, 64);
        Some(StepLine { number: number.to_owned(), revision, title: clean(words.next().unwrap_or_default(), 200) })
    };
    log.lines().filter_map(step).collect()
}

/// What ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Ready, or nothing that happens by itself any more.
    Settled,
    /// The same, but a plan that waits for somebody is not the end.
    Ready,
}

/// Whether a wait is over.
pub fn is_over(verdict: Verdict, until: Until) -> bool {
    match verdict {
        Verdict::Ready | Verdict::Stalled => true,
        Verdict::Waiting => until == Until::Settled,
        Verdict::Working => false,
    }
}

/// The time of day, in UTC as in the log.
fn clock(now: Timestamp) -> String {
    now.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::text::plain;

    #[test]
    fn each_step_of_a_run_is_told_once() {
        let mut told = Told::default();
        let log =
            "noise\nalembic-operator: upgrade step 1/2 d7130e4f stock of products\nalembic-operator: rehearsal: up\n";
        assert_eq!(plain(&told.steps("run-1", log)), "        1/2  d7130e4f  stock of products\n");
        let more = format!("{log}alembic-operator: upgrade step 2/2 5c2f81ab \nalembic-operator: x step y z\n");
        assert_eq!(plain(&told.steps("run-1", &more)), "        2/2  5c2f81ab\n");
        assert_eq!(told.steps("run-2", log).len(), 1);
    }
}
