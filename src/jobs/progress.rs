//! How far a Job is, and its end in words; no I/O.

use super::{Ended, PodState, Trouble};
use crate::{
    api::{Problem, Reason},
    text,
};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// How far something is that a Job does.
#[derive(Clone, Debug, PartialEq)]
pub enum Progress<T = ()> {
    /// There is no Job.
    Absent,
    /// Its pod has not started.
    Waiting,
    /// Its pod can't start.
    Blocked(Trouble),
    Running,
    /// What came of it, or why it failed; and when, where that is known.
    Done(Result<T, String>, Option<Timestamp>),
}

/// The kubelet ends a pod at its deadline and says so, once its containers have had their time to end; only a pod that never
/// gets that far is given up here.
const GRACE: Duration = Duration::from_secs(90);
/// Longest part of what a container left behind, from its end.
const MAX_WORDS: usize = 500;

/// Progress of a Job that does something of the user's. All that counts is its end: what it did is its own matter.
pub fn progress(state: &PodState, created: Option<Timestamp>, timeout: Duration, now: Timestamp) -> Progress {
    let progress = match state {
        PodState::Ended(ended) => return Progress::Done(end(ended), ended.finished_at),
        PodState::Blocked(trouble) => Progress::Blocked(trouble.clone()),
        PodState::Waiting => Progress::Waiting,
        PodState::Running => Progress::Running,
    };
    if !overdue(created, timeout.saturating_add(GRACE), now) {
        return progress;
    }
    let why = match progress {
        Progress::Blocked(trouble) => format!(": {}", trouble.words()),
        _ => String::new(),
    };
    Progress::Done(Err(format!("it did not end within {} s{why}", timeout.as_secs())), Some(now))
}

/// Whether something lasts too long.
pub fn overdue(since: Option<Timestamp>, limit: Duration, now: Timestamp) -> bool {
    let limit = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
    since.is_some_and(|since| now.duration_since(since).as_secs() > limit)
}

fn end(ended: &Ended) -> Result<(), String> {
    if ended.exit_code == Some(0) && ended.ran {
        return Ok(());
    }
    let why = ended.reason.as_deref().filter(|why| !why.is_empty()).unwrap_or("without a word");
    let words = ended.message.as_deref().map(|m| text::clean_end(m.trim(), MAX_WORDS)).filter(|m| !m.is_empty());
    let words = words.map(|words| format!(": {words}")).unwrap_or_default();
    Err(match (ended.ran, ended.exit_code) {
        (true, Some(code)) => format!("its container ended with exit code {code} ({why}){words}"),
        (false, Some(_)) => format!("its container could not be started ({why}){words}"),
        (_, None) => format!("its pod ended ({why}){words}"),
    })
}

impl Trouble {
    /// What the cluster says.
    pub fn words(&self) -> &str {
        match self {
            Self::ImagePull(words)
            | Self::Rejected(words)
            | Self::Unschedulable(words)
            | Self::Stuck(words)
            | Self::Initializing(words) => words,
        }
    }

    /// As a problem of the object whose Job it is.
    pub fn problem(&self, job: &str) -> Problem {
        let reason = match self {
            Self::ImagePull(_) => Reason::ImagePullFailed,
            Self::Rejected(_) => Reason::PodRejected,
            Self::Unschedulable(_) => Reason::PodUnschedulable,
            Self::Stuck(_) => Reason::PodStuck,
            Self::Initializing(_) => Reason::PodInitializing,
        };
        Problem::new(reason, format!("Job {job}: {}", self.words()))
    }
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
        progress(&state, Some(at(0)), LIMIT, at(second))
    }

    fn failure(progress: Progress) -> String {
        match progress {
            Progress::Done(Err(message), _) => message,
            other => panic!("{other:?}"),
        }
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
        assert_eq!(of(ended(Some(0), ""), 1), Progress::Done(Ok(()), None));
        for (state, words) in [
            (ended(Some(2), "disk full\n"), "exit code 2 (Error): disk full"),
            (ended(Some(128), "no such file"), "could not be started (Error): no such file"),
            (ended(None, ""), "its pod ended (Error)"),
        ] {
            assert!(failure(of(state, 1)).ends_with(words), "{words}");
        }
        let long = failure(of(ended(Some(1), &format!("{} the last words", "x".repeat(9000))), 1));
        assert!(long.ends_with("the last words") && long.len() < 700);
    }

    #[test]
    fn what_never_ends_is_given_up() {
        let pull = || PodState::Blocked(Trouble::ImagePull("no such image".into()));
        assert!(matches!(of(pull(), 140), Progress::Blocked(_)));
        assert_eq!(of(PodState::Running, 140), Progress::Running);
        assert_eq!(failure(of(pull(), 151)), "it did not end within 60 s: no such image");
    }
}
