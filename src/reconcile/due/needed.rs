//! What of the world a decision needs, by what is known so far: which version table, whether the way to the target is to be
//! judged, and which other images; no I/O.

use crate::{
    api::{DatabaseMigration, OnFailure},
    db::{ALEMBICS_WIDTH, VersionRows, VersionTable},
    reconcile::facts::{
        DatabaseView, Facts,
        ImageView::{self, Reported, Stored},
    },
    revisions::Target,
};
use std::collections::BTreeSet;

/// The table that env.py uses, as far as it is known.
pub fn version_table(object: &DatabaseMigration, image: &ImageView) -> VersionTable {
    let inspected = match image {
        Stored(image) | Reported { image, .. } => Some(&image.inspection),
        _ => None,
    };
    let spec = &object.spec.database;
    let name = spec.version_table.clone().or_else(|| inspected.map(|i| i.version_table.clone()));
    let schema = spec.version_table_schema.clone().or_else(|| inspected.and_then(|i| i.version_table_schema.clone()));
    let measure = inspected.is_some_and(|i| i.revisions.iter().any(|r| r.id.chars().count() > ALEMBICS_WIDTH));
    VersionTable { schema, name: name.unwrap_or_else(|| "alembic_version".to_owned()), measure }
}

/// Whether the rows are others than the target's: then somebody wants to know what the way there does.
pub fn is_pending(object: &DatabaseMigration, facts: &Facts) -> bool {
    let (Stored(image) | Reported { image, .. }, DatabaseView::Seen(snapshot)) = (&facts.image, &facts.database) else {
        return false;
    };
    let (Ok(graph), Ok(target)) = (&image.graph, Target::parse(&object.spec.target_revision)) else { return false };
    let there = snapshot.rows.clone().into_set();
    // A verification that fails may lead back from the target.
    object.spec.stages.verify.on_failure == OnFailure::Downgrade
        || graph.resolve_target(&target).map_or(true, |target| BTreeSet::from_iter(target) != there)
}

/// The image that ran last, where another one is to be compared with it.
pub fn ran_before<'a>(object: &'a DatabaseMigration, facts: &Facts) -> Option<&'a str> {
    let (Stored(image) | Reported { image, .. }) = &facts.image else { return None };
    let success = object.status.as_ref()?.runs.last_success.as_ref()?;
    (success.run.image != image.image).then_some(success.run.image.as_str())
}

/// Whether the image does not know the live rows, or the target: then others are asked.
pub fn needs_other_images(object: &DatabaseMigration, facts: &Facts) -> bool {
    let (Stored(image) | Reported { image, .. }, DatabaseView::Seen(snapshot)) = (&facts.image, &facts.database) else {
        return false;
    };
    let Ok(graph) = &image.graph else { return false };
    let known = match &snapshot.rows {
        VersionRows::Rows(rows) => rows.iter().all(|row| graph.contains(row)),
        VersionRows::NoTable => true,
    };
    let target = Target::parse(&object.spec.target_revision);
    !known || target.is_ok_and(|target| graph.resolve_target(&target).is_err())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::{
        api::{DatabaseMigrationStatus, RunRecord, RunsStatus, SucceededRun},
        db::Snapshot,
        jobs::{Inspected, Inspection},
    };
    use serde_json::{Value, json};
    use std::sync::Arc;

    /// A line of revisions.
    pub(in crate::reconcile::due) fn image(name: &str, ids: &str) -> Arc<Inspected> {
        let ids: Vec<&str> = ids.split_whitespace().collect();
        let down = |place: usize| place.checked_sub(1).map(|before| ids[before]).into_iter().collect::<Vec<_>>();
        let revision = |(place, id): (usize, &&str)| -> Value {
            json!({"id": id, "down": down(place), "file": "a.py", "sha256": "0", "upgrade": "present", "downgrade": "present",
                "sql": {"upgrade": {"text": "", "sha256": "0", "opaque": []}, "downgrade": {"text": "", "sha256": "0", "opaque": []}}})
        };
        let inspection = json!({"alembic": "1.20.1", "dialect": "postgresql", "version_table": "its_own", "version_table_schema": "app",
            "transactional_ddl": true, "transaction_per_migration": false, "external_transaction": false,
            "revisions": ids.iter().enumerate().map(revision).collect::<Vec<_>>()});
        let inspection = Inspection::parse(inspection.to_string().as_bytes()).unwrap();
        Arc::new(Inspected::new(name.to_owned(), None, inspection))
    }

    pub(in crate::reconcile::due) fn object(target: &str) -> DatabaseMigration {
        let mut object = DatabaseMigration::new("shop", Default::default());
        object.spec.target_revision = target.to_owned();
        object
    }

    fn set(ids: &str) -> BTreeSet<String> {
        ids.split_whitespace().map(str::to_owned).collect()
    }

    pub(in crate::reconcile::due) fn facts(ids: &str, rows: &str) -> Facts {
        let database = DatabaseView::Seen(Snapshot {
            dialect: "postgresql".into(),
            server_version: "15".into(),
            rows: VersionRows::Rows(set(rows)),
            tables: Vec::new(),
            column: None,
            identity: None,
            read_only: false,
        });
        Facts { image: Stored(image("shop@1", ids)), database, ..Facts::default() }
    }

    #[test]
    fn the_spec_names_the_version_table_before_env_py_does() {
        let known = facts("a", "a").image;
        let of = |object: &DatabaseMigration, image: &ImageView| {
            let table = version_table(object, image);
            (table.schema.unwrap_or_default(), table.name, table.measure)
        };
        let mut object = object("head");
        assert_eq!(of(&object, &ImageView::default()), (String::new(), "alembic_version".into(), false));
        assert_eq!(of(&object, &known), ("app".into(), "its_own".into(), false));
        object.spec.database.version_table = Some("given".into());
        assert_eq!(of(&object, &known), ("app".into(), "given".into(), false));
        let long = Stored(image("shop@1", &"a".repeat(ALEMBICS_WIDTH + 1)));
        assert!(of(&object, &long).2);
    }

    #[test]
    fn the_way_is_judged_where_there_is_one() {
        assert!(is_pending(&object("head"), &facts("a b", "a")));
        assert!(!is_pending(&object("head"), &facts("a b", "b")));
        // What can't be resolved is shown with what the plan would be.
        assert!(is_pending(&object("z"), &facts("a b", "b")));
        assert!(!is_pending(&object("head"), &Facts::default()));
        let mut back = object("head");
        back.spec.stages.verify.on_failure = OnFailure::Downgrade;
        assert!(is_pending(&back, &facts("a b", "b")));
    }

    #[test]
    fn other_images_are_asked_where_this_one_does_not_know() {
        assert!(!needs_other_images(&object("head"), &facts("a b", "a")));
        assert!(needs_other_images(&object("head"), &facts("a b", "c")));
        assert!(needs_other_images(&object("c"), &facts("a b", "a")));
        assert!(!needs_other_images(&object("head"), &Facts::default()));
    }

    #[test]
    fn the_image_that_ran_is_compared_with_another_one_alone() {
        let mut object = object("head");
        assert_eq!(ran_before(&object, &facts("a", "a")), None);
        let run = |image: &str| SucceededRun {
            run: RunRecord { image: image.into(), ..RunRecord::default() },
            job: String::new(),
        };
        for (image, found) in [("shop@0", Some("shop@0")), ("shop@1", None)] {
            let runs = RunsStatus { last_success: Some(run(image)), ..RunsStatus::default() };
            object.status = Some(DatabaseMigrationStatus { runs, ..DatabaseMigrationStatus::default() });
            assert_eq!(ran_before(&object, &facts("a", "a")), found);
        }
    }
}
