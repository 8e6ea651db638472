//! How far a Job is that backs up or verifies, and its end in words; no I/O.

use crate::{
    jobs::{Ended, PodState, Trouble},
    reconcile::observed::JobView,
    text,
};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// How far a stage is.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress {
    /// Nobody has begun.
    Absent,
    /// At work, or held up by something.
    Working(Option<Trouble>),
    Passed {
        at: Option<Timestamp>,
    },
    Failed {
        message: String,
        at: Option<Timestamp>,
    },
}

/// The kubelet ends a pod at its deadline and says so, once its containers have had their time to end; only a pod that never
/// gets that far is given up here.
const GRACE: Duration = Duration::from_secs(90);
/// Longest part of what a container left behind, from its end.
const MAX_WORDS: usize = 500;

/// Reads a Job. All that counts is its end: what it did is its own matter.
pub fn progress(job: Option<&JobView>, timeout: Duration, now: Timestamp) -> Progress {
    let Some(job) = job else { return Progress::Absent };
    let held_up = match &job.state {
        PodState::Ended(ended) => return end(ended),
        PodState::Blocked(trouble) => Some(trouble.clone()),
        PodState::Waiting | PodState::Running => None,
    };
    if !overdue(job.created, timeout.saturating_add(GRACE), now) {
        return Progress::Working(held_up);
    }
    let why = match held_up {
        Some(Trouble::ImagePull(why) | Trouble::Rejected(why)) => format!(": {why}"),
        None => String::new(),
    };
    Progress::Failed { message: format!("it did not end within {} s{why}", timeout.as_secs()), at: Some(now) }
}

/// Whether something lasts too long.
pub fn overdue(since: Option<Timestamp>, limit: Duration, now: Timestamp) -> bool {
    let limit = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
    since.is_some_and(|since| now.duration_since(since).as_secs() > limit)
}

fn end(ended: &Ended) -> Progress {
    let at = ended.finished_at;
    if ended.exit_code == Some(0) && ended.ran {
        return Progress::Passed { at };
    }
    let why = ended.reason.as_deref().filter(|why| !why.is_empty()).unwrap_or("without a word");
    let words = ended.message.as_deref().map(|m| text::clean_end(m.trim(), MAX_WORDS)).filter(|m| !m.is_empty());
    let words = words.map(|words| format!(": {words}")).unwrap_or_default();
    let message = match (ended.ran, ended.exit_code) {
        (true, Some(code)) => format!("its container ended with exit code {code} ({why}){words}"),
        (false, Some(_)) => format!("its container could not be started ({why}){words}"),
        (_, None) => format!("its pod ended ({why}){words}"),
    };
    Progress::Failed { message, at }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000;
    const LIMIT: Duration = Duration::from_secs(60);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(NOW + second).unwrap()
    }

    fn of(state: PodState, second: i64) -> Progress {
        progress(Some(&JobView { name: "j".into(), created: Some(at(0)), state }), LIMIT, at(second))
    }

    fn ended(exit_code: Option<i32>, message: &str) -> PodState {
        PodState::Ended(Ended {
            ran: exit_code != Some(128),
            exit_code,
            reason: Some("Error".into()),
            message: Some(message.into()),
            ..Ended::default()
        })
    }

    #[test]
    fn only_exit_code_zero_is_a_success() {
        assert_eq!(progress(None, LIMIT, at(0)), Progress::Absent);
        assert_eq!(of(ended(Some(0), ""), 1), Progress::Passed { at: None });
        for (state, words) in [
            (ended(Some(2), "disk full\n"), "exit code 2 (Error): disk full"),
            (ended(Some(128), "no such file"), "could not be started (Error): no such file"),
            (ended(None, ""), "its pod ended (Error)"),
        ] {
            assert!(matches!(of(state, 1), Progress::Failed { message, .. } if message.ends_with(words)), "{words}");
        }
        let long = ended(Some(1), &format!("{} the last words", "x".repeat(9000)));
        assert!(
            matches!(of(long, 1), Progress::Failed { message, .. } if message.ends_with("the last words") && message.len() < 700)
        );
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let pull = || PodState::Blocked(Trouble::ImagePull("no such image".into()));
        assert!(matches!(of(pull(), 140), Progress::Working(Some(_))));
        assert_eq!(of(PodState::Running, 140), Progress::Working(None));
        assert!(
            matches!(of(pull(), 151), Progress::Failed { message, .. } if message == "it did not end within 60 s: no such image")
        );
    }
}
