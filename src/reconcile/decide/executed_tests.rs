//! What is decided about steps that nobody can see before a rehearsal has seen what they execute.

use super::{
    fixtures::{after, image_of, job, now, object, observed, reason, requested, seen, started},
    *,
};
use crate::{
    api::{ExecutedStatus, When},
    jobs::{Rehearsal, RehearseRequest},
    reconcile::facts::{ImageView, RehearsalEnd, RehearsalView},
};
use serde_json::json;

/// A plan of `b` and `c`, of which `b` is opaque, and what its rehearsal saw `b` execute.
struct Tried {
    before: Decision,
    ended: Decision,
    after: Decision,
}

impl Tried {
    fn executed(&self) -> ExecutedStatus {
        self.ended.status.stages.rehearsal.clone().and_then(|rehearsal| rehearsal.executed).unwrap_or_default()
    }

    /// Whether a run starts in the pass of the rehearsal's end; the next one, by the status, says the same.
    fn runs(&self) -> bool {
        let runs = started(&self.ended).is_some();
        assert_eq!(
            (reason(&self.after), self.after.status.plan.clone()),
            (reason(&self.ended), self.ended.status.plan.clone())
        );
        runs
    }
}

fn tried(executed: serde_json::Value, reads: bool, policy: serde_json::Value) -> Tried {
    let none = json!({"text": null, "sha256": null, "opaque": ["reads the database"]});
    let some = json!({"text": "SELECT 1;", "sha256": "1", "opaque": []});
    let image = image_of("shop@sha256:1", "a b c", |id| {
        let script = if id == "b" { &none } else { &some };
        json!({"upgrade": script, "downgrade": some})
    });
    let mut object = object("c");
    object.spec.policy = serde_json::from_value(policy).unwrap();
    object.spec.stages.rehearsal.when = When::OnHazard;
    object.spec.scratch.image = Some("postgres:15".into());
    let mut facts = observed(ImageView::Stored(image), seen("a"));
    facts.scheme = "postgresql".into();
    let before = decide(&object, &facts, now());
    let ask = requested::<RehearseRequest>(&before).unwrap();
    let step = json!({"revision": "b", "seconds": 0.1, "locks": null, "rewritten": null, "sampled": false,
                      "executed": executed, "unseen": null, "reads": reads});
    let phase =
        json!({"name": "upgrade", "seconds": 0.1, "steps": [step], "omitted": 0, "leaves": null, "differences": null});
    let found = json!({"source": "dump", "phases": [phase], "reversible": true, "irreversible": [], "failed": null,
                       "locks_unknown": null, "rows": ["c"]});
    let found = Rehearsal::parse(found.to_string().as_bytes()).ok();
    let name = before.status.stages.rehearsal.as_ref().unwrap().stage.job.clone();
    let view = JobView { name, record: ask.record, ..job(PodState::Running) };
    let object = after(object, &before);
    let end = |end| RehearsalView { job: view.clone(), end };
    facts.rehearsals = vec![end(Some(RehearsalEnd { found, verdict: Ok(()) }))];
    let ended = decide(&object, &facts, now());
    // Its log is not read again.
    facts.rehearsals = vec![end(None)];
    let mut object = after(object, &ended);
    object.status.as_mut().unwrap().runs = Default::default();
    let after = decide(&object, &facts, now());
    Tried { before, ended, after }
}

#[test]
fn what_a_rehearsal_saw_is_judged_in_place_of_what_nobody_saw() {
    let harmless = tried(json!(["ALTER TABLE goods ADD COLUMN note TEXT"]), false, json!({}));
    assert_eq!(reason(&harmless.before), "Rehearsing");
    assert_eq!(harmless.before.status.condition(ConditionType::HazardFree).unwrap().reason, "Opaque");
    assert!(harmless.runs());
    assert_eq!(harmless.executed(), ExecutedStatus { revisions: vec!["b".into()], ..ExecutedStatus::default() });
    assert_eq!(harmless.ended.status.condition(ConditionType::HazardFree).unwrap().reason, "None");

    let drops = tried(json!(["DROP TABLE goods", "CREATE TABLE x (a int)"]), false, json!({}));
    assert!(!drops.runs());
    let hazard = &drops.ended.status.plan.as_ref().unwrap().hazards[0];
    assert_eq!(
        (hazard.code.as_str(), hazard.severity.as_str(), hazard.revision.as_deref()),
        ("D01", "critical", Some("b"))
    );
    assert_eq!((hazard.table.as_deref(), hazard.statement.as_str()), (Some("goods"), "DROP TABLE goods"));
    // As any other it can be allowed, and one of another code can't.
    let allowed = |code| json!({"hazards": {"allow": [{"code": code, "revision": "b", "reason": "empty"}]}});
    assert!(tried(json!(["DROP TABLE goods"]), false, allowed("D01")).runs());
    assert!(!tried(json!(["DROP TABLE goods"]), false, allowed("D02")).runs());
}

#[test]
fn a_step_that_reads_rows_may_do_more_and_one_that_was_not_heard_is_as_before() {
    let reads = tried(json!(["ALTER TABLE goods ADD COLUMN note TEXT"]), true, json!({}));
    assert!(reads.runs());
    let hazard = &reads.ended.status.plan.as_ref().unwrap().hazards[0];
    assert_eq!((hazard.code.as_str(), hazard.severity.as_str()), ("O01", "medium"));
    assert!(hazard.message.contains("it reads rows"), "{}", hazard.message);

    let unheard = tried(json!(null), false, json!({}));
    assert!(!unheard.runs() && unheard.executed() == ExecutedStatus::default());
    // More than there is room for is not cut, but not taken.
    let many: Vec<String> = (0..200).map(|number| format!("DROP TABLE goods{number}")).collect();
    let many = tried(json!(many), false, json!({}));
    assert!(!many.runs() && many.executed().revisions.is_empty());
    assert_eq!(many.ended.status.condition(ConditionType::HazardFree).unwrap().reason, "Opaque");
}

#[test]
fn what_was_executed_is_shown_without_values() {
    let insert = "INSERT INTO users VALUES ('a secret') -- of mine";
    let shown = tried(json!([insert, "DROP TABLE goods"]), false, json!({}));
    let map = shown.ended.effects.iter().find_map(|effect| match effect {
        Effect::ShowPlan { map, .. } => Some(map.clone()),
        _ => None,
    });
    let sql = map.unwrap()["data"]["rehearsal.sql"].as_str().unwrap_or_default().to_owned();
    assert!(sql.starts_with("-- executed by b\nINSERT INTO users VALUES ('***')"), "{sql}");
    assert!(sql.contains("DROP TABLE goods;") && !sql.contains("secret"), "{sql}");
}
