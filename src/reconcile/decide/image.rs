//! The part of a decision that is about the image: whether it is known, being inspected, or can't be; pure.

use super::{Effect, Next, Pass, SOON, WHILE_ACTIVE, WITHOUT_POD};
use crate::{
    api::{ConditionType, Reason},
    jobs::{Inspected, PodState, Trouble},
    reconcile::{
        checks::{repeats_by_itself, requested_at},
        observed::{ImageView, JobView, Problem},
    },
};
use std::sync::Arc;

impl Pass<'_> {
    /// The image, once it is known; keeps a fresh report, and a share in a stored one.
    pub(super) fn inspection(&mut self) -> Option<Arc<Inspected>> {
        let wanted = self.observed.wanted.as_ref()?;
        let image = match &self.observed.image {
            ImageView::Stored(image) => {
                if self.observed.joins {
                    self.effects.push(Effect::ShareInspection { key: wanted.key.clone(), image: image.clone() });
                }
                image
            }
            ImageView::Reported { job, image } => {
                self.effects.push(Effect::KeepInspection { key: wanted.key.clone(), image: image.clone() });
                self.after.push(Effect::DeleteJob(job.clone()));
                image
            }
            _ => return None,
        };
        self.draft.image(&self.object.spec.image, &wanted.id, image);
        // A request is handled once the image that it asks to look at has been looked at.
        self.draft.status.last_handled_reconcile_at = requested_at(self.object).map(|r| crate::text::clean(r, 256));
        Some(image.clone())
    }

    pub(super) fn without_image(&mut self) -> Next {
        self.draft.set(ConditionType::Planned, "Unknown", "NotPlanned", "the image is not inspected yet");
        let working = |pass: &mut Self, message: String| pass.draft.verdict(Reason::Inspecting, &message);
        match &self.observed.image {
            ImageView::Failed { job, problem } => {
                let problem = problem.clone();
                let repeat = repeats_by_itself(problem.reason) && self.is_old(job);
                if repeat {
                    self.after.push(Effect::DeleteJob(job.name.clone()));
                }
                self.stop(&problem)
            }
            ImageView::InProgress(job) => {
                if let PodState::Blocked(trouble) = &job.state {
                    self.draft.problem(&problem_of(trouble, &job.name));
                    return Next::After(WHILE_ACTIVE);
                }
                let waiting = job.state == PodState::Waiting;
                working(self, format!("Job {} reads the revision files in {}", job.name, self.object.spec.image));
                Next::After(if waiting { WITHOUT_POD } else { WHILE_ACTIVE })
            }
            ImageView::InProgressElsewhere => {
                working(
                    self,
                    format!("the revision files in {} are being read for another object", self.object.spec.image),
                );
                Next::After(WITHOUT_POD)
            }
            ImageView::Absent => match self.observed.wanted.clone() {
                Some(_) if self.object.spec.suspend => {
                    self.draft.verdict(Reason::Suspended, "suspended, and the image is not inspected yet");
                    self.interval()
                }
                Some(wanted) => {
                    working(self, format!("Job {} reads the revision files in {}", wanted.job, self.object.spec.image));
                    self.effects.push(Effect::Inspect(wanted));
                    Next::After(WITHOUT_POD)
                }
                None => self.interval(),
            },
            _ => self.interval(),
        }
    }

    pub(super) fn is_old(&self, job: &JobView) -> bool {
        job.created.is_some_and(|created| self.now.duration_since(created).as_secs() >= SOON.as_secs() as i64)
    }
}

/// What holds a pod up, as a problem of its object.
pub(super) fn problem_of(trouble: &Trouble, job: &str) -> Problem {
    match trouble {
        Trouble::ImagePull(message) => Problem::new(Reason::ImagePullFailed, format!("Job {job}: {message}")),
        Trouble::Rejected(message) => Problem::new(Reason::PodRejected, format!("Job {job}: {message}")),
    }
}
