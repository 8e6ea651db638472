//! Whether the tables are compared with the models, and what the Jobs have found that do so; no I/O.

use super::{Lasts, answers};
use crate::{
    api::{DatabaseMigration, DriftMode, OnDrift},
    db::{Snapshot, VersionRows},
    jobs::{CompareRequest, Inspected, Kind, compare_request, compared},
    reconcile::{
        checks::requested_at,
        facts::{DatabaseView, Facts, ImageView::Stored, ModelsView},
    },
};
use k8s_openapi::jiff::Timestamp;
use std::{collections::BTreeSet, iter, sync::Arc};

/// The comparison with the models, as far as it has come.
#[derive(Debug, Default)]
pub struct Models {
    pub view: ModelsView,
    /// What a Job has to compare next.
    pub next: Option<CompareRequest>,
    /// Jobs whose answers nobody needs any more.
    pub obsolete: Vec<String>,
}

/// The tables are compared with the models when the database is where these are: at the heads. `before` are the images that the
/// object was inspected with, where one of them may be needed.
pub fn models(object: &DatabaseMigration, facts: &Facts, before: Vec<Arc<Inspected>>, now: Timestamp) -> Models {
    let all = || facts.of(Kind::Compare).map(|job| job.name.clone()).collect();
    if object.spec.drift.mode != DriftMode::Models {
        return Models { obsolete: all(), ..Models::default() };
    }
    let Some((image, rows)) = image_and_rows(facts) else { return Models::default() };
    let Some(image) = iter::once(image.clone()).chain(before).find(|image| has_models_of(image, rows)) else {
        return Models { view: ModelsView::NotAtHeads, next: None, obsolete: all() };
    };
    let wanted = compare_request(object, &image.image, requested_at(object));
    let found = answers(facts.of(Kind::Compare), wanted, compared, Lasts::models(object), now);
    let next = found.next.clone().map(|record| CompareRequest { record, image: image.image.clone() });
    Models { next, obsolete: found.obsolete.clone(), view: found.models() }
}

/// Whether the models of an image that ran before may be those that the tables should have: models are of the newest revision,
/// and drift would hold up another image that is to be deployed.
pub fn needs_older_models(object: &DatabaseMigration, facts: &Facts) -> bool {
    let drift = &object.spec.drift;
    drift.mode == DriftMode::Models
        && drift.on_drift == OnDrift::Block
        && image_and_rows(facts).is_some_and(|(image, rows)| !has_models_of(image, rows))
}

fn image_and_rows(facts: &Facts) -> Option<(&Arc<Inspected>, &BTreeSet<String>)> {
    match (&facts.image, &facts.database) {
        (Stored(image), DatabaseView::Seen(Snapshot { rows: VersionRows::Rows(rows), .. })) => Some((image, rows)),
        _ => None,
    }
}

fn has_models_of(image: &Inspected, rows: &BTreeSet<String>) -> bool {
    image.graph.as_ref().is_ok_and(|graph| rows.iter().eq(&BTreeSet::from_iter(graph.heads())))
}

#[cfg(test)]
mod tests {
    use super::{
        super::needed::tests::{facts, image, object},
        *,
    };
    use crate::jobs::{JobRecord, Request};
    use crate::reconcile::facts::JobView;

    #[test]
    fn models_are_those_of_the_rows() {
        let compared_in = |object: &DatabaseMigration, rows: &str| {
            let facts = facts("a b", rows);
            let before = needs_older_models(object, &facts).then(|| image("shop@0", "a"));
            let found = models(object, &facts, before.into_iter().collect(), Timestamp::UNIX_EPOCH);
            found.next.map(|next| next.image)
        };
        let mut object = object("head");
        assert_eq!(compared_in(&object, "b"), None, "nobody asked for it");
        object.spec.drift.mode = DriftMode::Models;
        assert_eq!(compared_in(&object, "b").as_deref(), Some("shop@1"));
        assert_eq!(compared_in(&object, "a"), None, "not at the heads");
        object.spec.drift.on_drift = OnDrift::Block;
        assert_eq!(compared_in(&object, "a").as_deref(), Some("shop@0"));
    }

    #[test]
    fn comparisons_that_nobody_asks_for_any_more_go() {
        let request = Request::Compare;
        let record = JobRecord { request, ..JobRecord::default() };
        let mut facts = facts("a b", "b");
        facts.jobs = vec![JobView { name: "compare-1".to_owned(), record, ..JobView::default() }];
        let found = models(&object("head"), &facts, Vec::new(), Timestamp::UNIX_EPOCH);
        assert_eq!(found.obsolete, ["compare-1"]);
    }
}
