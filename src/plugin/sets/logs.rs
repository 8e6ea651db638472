//! Which batch's log somebody means, and what of it is about one target; no I/O.

use crate::{api::DatabaseMigrationSet, jobs::BatchRecord, text::clean};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;

/// The newest batch of a set that is still there, or the newest with a target; without any, the inspection.
pub fn choose<'a>(set: &DatabaseMigrationSet, jobs: &'a [Job], target: Option<&str>) -> Result<&'a Job, String> {
    let uid = set.uid();
    let mut batches: Vec<(&Job, BatchRecord)> = jobs
        .iter()
        .filter_map(|job| Some((job, BatchRecord::of(job)?)))
        .filter(|(_, record)| Some(&record.uid) == uid.as_ref() && record.number > 0)
        .collect();
    batches.sort_by_key(|(_, record)| std::cmp::Reverse(record.number));
    let Some(target) = target else {
        let newest = || jobs.iter().max_by_key(|job| job.creation_timestamp().map(|time| time.0));
        let first = batches.first().map(|(job, _)| *job).or_else(newest);
        return first.ok_or_else(|| "no Job of the set is left: their logs go with them".to_owned());
    };
    let has = |record: &BatchRecord| {
        record.members.iter().any(|key| key == target || key.split_once('/').is_some_and(|(_, name)| name == target))
    };
    let found = batches.iter().find(|(_, record)| has(record)).map(|(job, _)| *job);
    found.ok_or_else(|| {
        let there: Vec<String> = batches.iter().map(|(job, _)| job.name_any()).collect();
        let there = if there.is_empty() { "none is left".to_owned() } else { crate::text::list(&there, 5) };
        format!("no batch that is still there has the target {}: {there}", clean(target, 64))
    })
}

/// The lines about one target.
pub fn of_target(log: &str, target: &str) -> String {
    let name = target.rsplit('/').next().unwrap_or(target);
    let about = format!("alembic-operator: [{name}] ");
    log.lines().filter(|line| line.starts_with(&about)).map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::ANNOTATION_RECORD;
    use serde_json::json;

    fn job(name: &str, number: i64, members: &[&str]) -> Job {
        let record = json!({ "uid": "u", "number": number, "server": "main", "members": members }).to_string();
        let metadata = json!({ "name": name, "annotations": { ANNOTATION_RECORD: record } });
        serde_json::from_value(json!({ "metadata": metadata })).unwrap()
    }

    #[test]
    fn the_newest_batch_with_the_target_is_meant() {
        let mut set = DatabaseMigrationSet::new("shop", Default::default());
        set.metadata.uid = Some("u".into());
        let jobs = [job("b1", 1, &["main/a", "main/b"]), job("b2", 2, &["main/b"]), job("b3", 3, &["main/c"])];
        let of = |target| choose(&set, &jobs, target).map(|job| job.name_any());
        assert_eq!((of(None), of(Some("a")), of(Some("main/b"))), (Ok("b3".into()), Ok("b1".into()), Ok("b2".into())));
        assert_eq!(of(Some("d")).unwrap_err(), "no batch that is still there has the target d: b3, b2, b1");
        assert!(choose(&set, &[], None).unwrap_err().starts_with("no Job of the set is left"));
    }

    #[test]
    fn lines_of_others_are_left_out() {
        let log = "INFO x\nalembic-operator: [a] upgrade step 1/1 f0\nalembic-operator: [ab] upgrade step 1/1 f0\n";
        assert_eq!(of_target(log, "main/a"), "alembic-operator: [a] upgrade step 1/1 f0\n");
    }
}
