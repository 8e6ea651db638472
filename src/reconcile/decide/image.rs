//! The part of a decision that is about the image: whether it is known, being inspected, or can't be; pure.

use crate::{
    api::{ConditionType, DatabaseMigration, Reason},
    jobs::{PodState, Trouble},
    reconcile::{
        effects::{Effect, Next, Note, Step},
        facts::{Facts, ImageView, JobView},
        gates::{hold, interval, repeats_by_itself},
        pauses::{SOON, WHILE_ACTIVE, WITHOUT_POD},
    },
};
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;

/// How soon to check again what is made for another object.
const OF_OTHERS: Duration = Duration::from_secs(5);

/// Keeps a fresh report, and a share in a stored one.
pub(super) fn known(facts: &Facts) -> Step {
    let Some(wanted) = &facts.wanted else { return Step::default() };
    let (step, image) = match &facts.image {
        ImageView::Stored(image) if facts.lacks_owner => {
            let share = Effect::ShareInspection { key: wanted.key.clone(), image: image.clone() };
            (Step::default().before(share), image)
        }
        ImageView::Stored(image) => (Step::default(), image),
        ImageView::Reported { job, image } => {
            let keep = Effect::KeepInspection { key: wanted.key.clone(), image: image.clone() };
            (Step::default().before(keep).after(Effect::DeleteJob(job.clone())), image)
        }
        _ => return Step::default(),
    };
    step.note(Note::Image { id: wanted.id.clone(), image: image.clone() })
}

/// What to do about an image that is not known.
pub(super) fn without(object: &DatabaseMigration, facts: &Facts, now: Timestamp) -> Step {
    let not_planned =
        Note::condition(ConditionType::Planned, "Unknown", "NotPlanned", "the image is not inspected yet");
    let step = Step::default().note(not_planned);
    let image = crate::text::short_image(&object.spec.image);
    let at_it = |job: &str| format!("Job {job} reads the revision files in {image}");
    match &facts.image {
        ImageView::Failed { job, problem } => {
            let again = repeats_by_itself(problem.reason) && is_old(job, now);
            let step = if again { step.after(Effect::DeleteJob(job.name.clone())) } else { step };
            step.then(hold(object, problem.clone()))
        }
        ImageView::InProgress(JobView { state: PodState::Blocked(trouble), name, .. }) => {
            step.then(blocked(trouble, name))
        }
        ImageView::InProgress(job) => step.stopped(Reason::Inspecting, at_it(&job.name), Next::After(job.pause())),
        ImageView::InProgressElsewhere => {
            let message = format!("the revision files in {image} are being read for another object");
            // Many may wait for the same one, and nothing wakes them.
            step.stopped(Reason::Inspecting, message, Next::Interval(OF_OTHERS))
        }
        ImageView::Absent if object.suspended_by().is_some() => {
            let message = "suspended, and the image is not inspected yet";
            step.stopped(Reason::Suspended, message, Next::Interval(interval(object)))
        }
        ImageView::Absent => match &facts.wanted {
            Some(wanted) => step.create(wanted.clone()).stopped(
                Reason::Inspecting,
                at_it(&wanted.record.name(object)),
                Next::After(WITHOUT_POD),
            ),
            None => step,
        },
        ImageView::Stored(_) | ImageView::Reported { .. } | ImageView::NotLooked => step,
    }
}

fn blocked(trouble: &Trouble, job: &str) -> Step {
    let problem = trouble.problem(job);
    Step::stop(problem.reason, problem.message, Next::After(WHILE_ACTIVE))
}

fn is_old(job: &JobView, now: Timestamp) -> bool {
    let age = i64::try_from(SOON.as_secs()).unwrap_or(i64::MAX);
    job.created.is_some_and(|created| now.duration_since(created).as_secs() >= age)
}
