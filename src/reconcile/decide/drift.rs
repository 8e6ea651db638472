//! The part of a decision that is about drift: what something else changed, and what differs from the models; pure.

use super::{Effect, Pass, image::problem_of};
use crate::{
    api::{Change, ConditionType, DriftMode, DriftStatus},
    reconcile::{
        checks::Drift,
        observed::{JobView, ModelsView},
    },
    runner::{Differences, Inspected, PodState},
};

/// Reasons of the Drifted condition that a comparison gives.
const COMPARED: [&str; 4] = ["InSync", "Missing", "Unexpected", "Modified"];

impl Pass<'_> {
    /// A change of the version rows by others is told even when it leads to the target; the condition is about what is
    /// still so, and at the target about the tables.
    pub(super) fn note_drift(&mut self, drift: &Drift, at_target: bool, image: &Inspected) {
        if let Drift::Changed { message } = drift {
            self.tell(true, "RevisionChanged", message, None);
        }
        if self.object.spec.drift.mode == DriftMode::Off || !at_target {
            self.draft.status.drift = None;
            return self.draft.drift(if at_target { &Drift::Unchanged } else { drift });
        }
        if let Some(record) = self.observed.next_comparison.clone() {
            self.effects.push(Effect::Compare { record, image: image.image.clone() });
        }
        self.note_models();
    }

    fn note_models(&mut self) {
        let unknown = |pass: &mut Self, reason: &str, message: &str| {
            pass.draft.status.drift = None;
            pass.draft.set(ConditionType::Drifted, "Unknown", reason, message);
        };
        match &self.observed.models {
            ModelsView::Compared(differences) => self.compared(differences),
            ModelsView::Failed(problem) => unknown(
                self,
                "ProbeFailed",
                &format!("the tables could not be compared with the models: {}", problem.message),
            ),
            ModelsView::NotAtHeads => {
                unknown(self, "NotApplicable", "models are of the image's heads, and the database is not there")
            }
            ModelsView::Comparing(Some(JobView { state: PodState::Blocked(trouble), name, .. })) => {
                let message = problem_of(trouble, name).message;
                unknown(self, "ProbeFailed", &message);
            }
            ModelsView::Comparing(_) | ModelsView::NotLooked => {
                // What the last comparison found stands until the next one has ended.
                let known = self.draft.status.condition(ConditionType::Drifted);
                if !known.is_some_and(|condition| COMPARED.contains(&condition.reason.as_str())) {
                    unknown(self, "NotChecked", "the tables were not compared with the models yet");
                }
            }
        }
    }

    fn compared(&mut self, found: &Differences) {
        let was = self.draft.status.is_true(ConditionType::Drifted);
        let count = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let kinds = [
            (Change::Missing, found.missing),
            (Change::Unexpected, found.unexpected),
            (Change::Modified, found.modified),
        ];
        let kinds: Vec<_> = kinds.into_iter().filter(|(_, number)| *number > 0).collect();
        let Some((reason, _)) = kinds.first() else {
            self.draft.status.drift = None;
            self.draft.set(ConditionType::Drifted, "False", "InSync", "the tables are those of the models");
            if was {
                self.tell(false, "DriftResolved", "the tables are those of the models again", None);
            }
            return;
        };
        self.draft.status.drift = Some(DriftStatus {
            missing: count(found.missing),
            unexpected: count(found.unexpected),
            modified: count(found.modified),
            objects: found.objects.clone(),
        });
        let word = |change: Change| change.as_str().to_lowercase();
        let numbers: Vec<String> = kinds.iter().map(|(kind, number)| format!("{number} {}", word(*kind))).collect();
        let first: Vec<String> =
            found.objects.iter().take(5).map(|o| format!("{} {}", word(o.change), o.object)).collect();
        let message = format!("against the models: {}: {}", numbers.join(", "), first.join("; "));
        self.draft.set(ConditionType::Drifted, "True", reason.as_str(), &message);
        if !was {
            self.tell(true, "DriftDetected", &message, None);
        }
    }
}
