//! A set in a world of its own: what is decided is done, batches end as they may, and what must hold does after each step.

use super::*;
use crate::{
    api::{ANNOTATION_REQUESTED_AT, SetServer, WaveState},
    fleet::{facts::BatchView, object},
    jobs::{BatchReport, Ended, Inspection, MemberEnd, MemberResult, wanted},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use proptest::prelude::*;
use serde_json::{Value, json};

pub(super) fn image(ids: &[&str]) -> Arc<Inspected> {
    let nothing = json!({"text": "", "sha256": "0", "opaque": []});
    let revision = |(i, id): (usize, &&str)| {
        json!({"id": id, "down": i.checked_sub(1).map(|p| ids[p]).into_iter().collect::<Vec<_>>(), "file": format!("{id}.py"),
               "sha256": id, "upgrade": "present", "downgrade": "present", "sql": {"upgrade": nothing, "downgrade": nothing}})
    };
    let inspection = json!({"alembic": "1.20.1", "dialect": "postgresql", "version_table": "alembic_version", "version_table_schema": null,
        "transactional_ddl": true, "transaction_per_migration": false, "external_transaction": false,
        "revisions": ids.iter().enumerate().map(revision).collect::<Vec<_>>()});
    let inspection = Inspection::parse(inspection.to_string().as_bytes()).unwrap();
    Arc::new(Inspected::new(format!("shop:{}", ids.len()), Some("d".into()), inspection))
}

struct World {
    set: DatabaseMigrationSet,
    image: Arc<Inspected>,
    members: Vec<Member>,
    now: i64,
    /// What came of the batches that are at work.
    ends: Vec<BatchView>,
    /// The targets whose runs fail.
    poisoned: BTreeSet<String>,
    /// The wave of each target that was ever begun, in the order of the batches.
    begun: Vec<(String, usize)>,
    /// What else a look finds.
    lines: Vec<Line>,
    places: Vec<String>,
    vanished: bool,
}

impl World {
    fn new(count: usize, rollout: Value) -> Self {
        let set = serde_json::from_value(json!({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigrationSet",
            "metadata": {"name": "app", "namespace": "shop", "uid": "u1", "generation": 1},
            "spec": {"template": {"image": "shop:1", "targetRevision": "head", "policy": {"downgrade": "Allow"}},
                "servers": [{"name": "main", "urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}}],
                "targets": [{"schemas": {"server": "main", "matching": "."}}], "rollout": rollout},
        }))
        .unwrap();
        let member = |n: usize| {
            let name = format!("t{n:03}");
            let labels =
                if n == 0 { BTreeMap::from([("tier".to_owned(), "internal".to_owned())]) } else { BTreeMap::new() };
            let target =
                Target { name: name.clone(), server: "main".into(), schema: Some(name), labels, ..Target::default() };
            Member { target, seen: Seen::Rows(BTreeSet::new()), memory: Memory::default() }
        };
        let (members, ends, poisoned, begun) = ((0..count).map(member).collect(), vec![], BTreeSet::new(), vec![]);
        let (lines, places, vanished) = (vec![], vec!["main db:5432".to_owned()], false);
        let image = image(&["a"]);
        Self { set, image, members, now: 1_800_000_000, ends, poisoned, begun, lines, places, vanished }
    }

    fn object(&self) -> DatabaseMigration {
        let server: &SetServer = &self.set.spec.servers[0];
        object::of_server(&self.set, server, None).unwrap()
    }

    /// One pass, and all that it asks for.
    fn pass(&mut self) -> Decision {
        self.now += 15;
        let object = self.object();
        let facts = Facts {
            looked: true,
            vanished: self.vanished,
            places: self.places.clone(),
            lines: self.lines.clone(),
            members: self.members.clone(),
            batches: std::mem::take(&mut self.ends),
            image: ImageView::Stored(self.image.clone()),
            wanted: Some(wanted(&object, "postgresql", None)),
            server_version: "15.4".into(),
            ..Facts::default()
        };
        let decision = decide(&self.set, &object, &facts, Timestamp::from_second(self.now).unwrap());
        for line in decision.lines.iter().flatten() {
            if let Some(member) = self.members.iter_mut().find(|member| member.target.key() == line.key()) {
                member.memory = line.memory.clone();
            }
        }
        self.set.status = Some(decision.status.clone());
        for request in &decision.batches {
            self.carry_out(request);
        }
        decision
    }

    fn carry_out(&mut self, request: &BatchRequest) {
        let uid = self.set.uid().unwrap_or_default();
        let mut failed = 0;
        let mut results = Vec::new();
        for key in &request.record.members {
            if failed > request.failures_left {
                results.push(MemberResult::default());
                continue;
            }
            let member = self.members.iter_mut().find(|member| member.target.key() == *key).unwrap();
            self.begun.push((member.target.name.clone(), waves::wave_of(&uid, &self.set.spec.rollout, &member.target)));
            assert_eq!(member.rows().unwrap().iter().cloned().collect::<Vec<_>>(), request.run.from);
            if self.poisoned.contains(&member.target.name) {
                failed += 1;
                let reason = Some(Reason::MigrationFailed);
                results.push(MemberResult {
                    end: MemberEnd::Failed,
                    reason,
                    revision: Some("x".into()),
                    message: "no".into(),
                    ..MemberResult::default()
                });
            } else {
                member.seen = Seen::Rows(request.run.end.iter().cloned().collect());
                results.push(MemberResult { end: MemberEnd::Done, ..MemberResult::default() });
            }
        }
        let rollout = self.set.status.as_ref().and_then(|status| status.rollout.clone()).unwrap();
        let status = rollout.batches.iter().find(|batch| batch.number == request.record.number).unwrap().clone();
        self.ends.push(BatchView {
            status,
            members: request.record.members.clone(),
            there: true,
            suspended: false,
            withdrawn: None,
            state: PodState::Ended(Ended::default()),
            report: Some(BatchReport { members: results, ..BatchReport::default() }),
        });
    }

    fn reason(&self) -> String {
        let conditions = &self.set.status.as_ref().unwrap().conditions;
        conditions.iter().find(|condition| condition.type_ == "Ready").unwrap().reason.clone()
    }

    fn until_it_rests(&mut self) -> Decision {
        for _ in 0..100 {
            let decision = self.pass();
            if self.ends.is_empty() && !["Migrating", "Soaking"].contains(&self.reason().as_str()) {
                return decision;
            }
        }
        panic!("it never rests: {}", self.reason());
    }

    fn annotate(&mut self, key: &str, value: &str) {
        self.set.annotations_mut().insert(key.to_owned(), value.to_owned());
    }
}

fn canary() -> Value {
    json!({"waves": [{"name": "canary", "match": {"tier": "internal"}, "then": {"soak": "1m", "promotion": "Required"}},
                     {"name": "third", "upTo": "30%"}]})
}

#[test]
fn the_plans_are_written_once_for_people_to_read() {
    let mut world = World::new(3, json!({}));
    world.set.spec.template.policy.approval.mode = crate::api::ApprovalMode::Always;
    let first = world.pass();
    let rollout = first.status.rollout.unwrap();
    let written = first.plans.unwrap();
    let keys: Vec<String> = super::plans::PARTS.map(|part| format!("{}.{part}", rollout.plans[0].hash)).into();
    assert!(keys.iter().all(|key| written.contains_key(key)) && written.len() == 3, "{:?}", written.keys());
    assert!(rollout.config_map.is_some_and(|name| name.starts_with("app-plans-")));
    assert_eq!(world.pass().plans, None);
}

#[test]
fn a_rollout_goes_through_its_waves() {
    let mut world = World::new(400, canary());
    world.until_it_rests();
    assert_eq!((world.reason().as_str(), world.begun.len()), ("AwaitingPromotion", 1));
    world.annotate(ANNOTATION_PROMOTE, "1/canary");
    let last = world.until_it_rests();
    assert_eq!(world.reason(), "AtTarget");
    assert_eq!(world.begun.len(), 400, "nothing is done twice");
    assert!(world.begun.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{:?}", world.begun);
    let status = world.set.status.clone().unwrap();
    assert_eq!((status.targets.at_target, status.settled.unwrap().revisions), (400, vec!["a".to_owned()]));
    // At rest the next pass changes nothing.
    let again = world.pass();
    assert_eq!((again.status, again.lines), (last.status, last.lines));
    assert!(again.batches.is_empty() && !again.finalizer);
}

#[test]
fn a_failure_pauses_until_somebody_asks_anew() {
    let mut world = World::new(60, json!({"waves": [{"name": "third", "upTo": "30%"}]}));
    let uid = world.set.uid().unwrap();
    let of_third = |member: &&Member| waves::wave_of(&uid, &world.set.spec.rollout, &member.target) == 0;
    let poisoned = world.members.iter().find(of_third).unwrap().target.name.clone();
    world.poisoned.insert(poisoned.clone());
    world.until_it_rests();
    assert_eq!(world.reason(), "WaveFailed");
    let status = world.set.status.clone().unwrap();
    assert_eq!((status.failures.len(), status.failures[0].target.as_str()), (1, poisoned.as_str()));
    assert!(world.begun.iter().all(|(_, wave)| *wave == 0));
    world.until_it_rests();
    assert_eq!(world.begun.iter().filter(|(name, _)| *name == poisoned).count(), 1, "it is not tried again by itself");
    world.poisoned.clear();
    world.annotate(ANNOTATION_REQUESTED_AT, "now");
    world.until_it_rests();
    assert_eq!((world.reason().as_str(), world.begun.len()), ("AtTarget", 61));
}

#[test]
fn another_image_is_another_rollout_and_the_way_back_too() {
    let mut world = World::new(20, json!({}));
    world.until_it_rests();
    world.image = image(&["a", "b"]);
    world.until_it_rests();
    let rollout = world.set.status.clone().unwrap().rollout.unwrap();
    assert_eq!((rollout.number, rollout.to), (2, vec!["b".to_owned()]));
    world.set.spec.template.target_revision = "a".into();
    world.until_it_rests();
    let status = world.set.status.clone().unwrap();
    assert_eq!(
        (world.reason().as_str(), status.rollout.unwrap().number, status.to.as_deref()),
        ("AtTarget", 3, Some("a"))
    );
}

#[test]
fn one_approval_is_for_all_at_the_same_rows() {
    let mut world = World::new(9, json!({}));
    world.set.spec.template.policy.approval.mode = crate::api::ApprovalMode::Always;
    world.image = image(&["a", "b"]);
    for member in &mut world.members[..3] {
        member.seen = Seen::Rows(BTreeSet::from(["a".to_owned()]));
    }
    world.until_it_rests();
    assert_eq!(world.reason(), "AwaitingApproval");
    let plans = world.set.status.clone().unwrap().rollout.unwrap().plans;
    assert_eq!(plans.iter().map(|plan| (plan.targets, plan.steps)).collect::<Vec<_>>(), [(6, 2), (3, 1)]);
    let message = world.set.status.as_ref().unwrap().conditions[0].message.clone();
    assert!(message.contains("databasemigrationset app"), "{message}");
    world.annotate(crate::api::ANNOTATION_APPROVE, &plans[1].hash);
    world.until_it_rests();
    assert_eq!((world.reason().as_str(), world.begun.len()), ("AwaitingApproval", 3), "the others wait for theirs");
    world.annotate(crate::api::ANNOTATION_APPROVE, &format!("{},{}", plans[1].hash, plans[0].hash));
    world.until_it_rests();
    assert_eq!((world.reason().as_str(), world.begun.len()), ("AtTarget", 9));
}

#[test]
fn a_full_status_is_short() {
    let waves: Vec<Value> = (0..7).map(|n| json!({"name": format!("{}{n}", "w".repeat(39)), "upTo": "1%"})).collect();
    let mut world = World::new(2000, json!({"waves": waves, "failureBudget": "100%"}));
    for (n, member) in world.members.iter_mut().enumerate() {
        member.seen = match n % 2 {
            0 => Seen::Unreadable(Problem::new(Reason::InvalidVersionRows, "é".repeat(900))),
            _ => Seen::Rows((0..50).map(|row| format!("{n}{row}{}", "r".repeat(60))).collect()),
        };
    }
    let decision = world.pass();
    let size = serde_json::to_string(&decision.status).unwrap().len();
    assert!(size < 32 * 1024, "{size}");
    assert_eq!((decision.status.targets.total, decision.status.failures.len()), (2000, 20));
}

#[test]
fn an_approval_is_for_the_servers_where_they_are() {
    let mut world = World::new(3, json!({}));
    world.set.spec.template.policy.approval.mode = crate::api::ApprovalMode::Always;
    let hash = |world: &mut World| {
        world.until_it_rests();
        world.set.status.clone().unwrap().rollout.unwrap().plans[0].hash.clone()
    };
    let approved = hash(&mut world);
    world.places = vec!["main production:5432".to_owned()];
    world.annotate(crate::api::ANNOTATION_APPROVE, &approved);
    let other = hash(&mut world);
    assert_eq!((world.reason().as_str(), world.begun.len()), ("AwaitingApproval", 0), "it was for another server");
    world.set.spec.per_target.x = vec!["schema=$(schema)".to_owned()];
    world.annotate(crate::api::ANNOTATION_APPROVE, &other);
    let last = hash(&mut world);
    assert!(world.begun.is_empty() && BTreeSet::from([&approved, &other, &last]).len() == 3);
    world.annotate(crate::api::ANNOTATION_APPROVE, &last);
    world.until_it_rests();
    assert_eq!((world.reason().as_str(), world.begun.len()), ("AtTarget", 3));
}

#[test]
fn a_batch_that_was_not_let_begin_does_not_begin_in_a_set_that_is_suspended_or_goes() {
    for goes in [false, true] {
        let mut world = World::new(3, json!({}));
        let job = world.pass().release[0].clone();
        let waits = BatchView { suspended: true, state: PodState::Waiting, report: None, ..world.ends.pop().unwrap() };
        world.members.iter_mut().for_each(|member| member.seen = Seen::Rows(BTreeSet::new()));
        world.ends = vec![waits.clone()];
        assert_eq!(world.pass().release, std::slice::from_ref(&job), "a pass had broken off");
        world.set.spec.suspend = !goes;
        world.set.metadata.deletion_timestamp = goes.then(|| Time(Timestamp::from_second(world.now).unwrap()));
        let withdrawn = Some(Withdrawn { job: job.clone(), ..Withdrawn::default() });
        world.ends = vec![BatchView { withdrawn, ..waits }];
        let decision = world.pass();
        assert_eq!(decision.withdraw.iter().map(|seen| &seen.job).collect::<Vec<_>>(), [&job]);
        assert!(decision.release.is_empty() && decision.own.is_empty() && !decision.finalizer);
        assert_eq!(world.reason(), "Suspended");
        let begun = |member: &Member| member.memory.attempts > 0 || !goes && member.memory.batch > 0;
        assert!(!world.members.iter().any(begun), "nobody was tried");
    }
}

#[test]
fn what_failed_is_remembered_of_targets_that_leave_for_a_while() {
    let mut world = World::new(9, json!({}));
    world.poisoned.insert("t004".to_owned());
    world.lines = world.until_it_rests().lines.unwrap();
    let gone = world.members.remove(4);
    world.annotate(ANNOTATION_REQUESTED_AT, "it is meant");
    world.vanished = true;
    world.lines = world.until_it_rests().lines.unwrap();
    let line = world.lines.iter().find(|line| line.name == "t004").unwrap();
    assert_eq!((line.state.as_str(), line.memory.held), ("Left", true));
    assert_eq!((world.reason().as_str(), world.begun.len()), ("AtTarget", 9));
    world.members.push(Member { memory: line.memory.clone(), ..gone });
    world.vanished = false;
    world.until_it_rests();
    assert_eq!((world.reason().as_str(), world.begun.len()), ("TargetsFailed", 9), "it is not tried again by itself");
    // What came of a batch is recorded, whoever is there.
    let mut world = World::new(2, json!({}));
    world.lines = world.pass().lines.unwrap();
    let mut batch = world.ends.pop().unwrap();
    batch.status.transactional = false;
    world.ends = vec![BatchView { status: batch.status, ..BatchView::default() }];
    world.members.pop();
    let lines = world.pass().lines.unwrap();
    let line = lines.iter().find(|line| line.name == "t001").unwrap();
    assert_eq!((line.state.as_str(), line.memory.reason.as_str(), line.memory.batch), ("Left", "RunLost", 0));
}

#[test]
fn who_says_that_many_are_meant_to_be_gone_asks_for_no_other_try() {
    let mut world = World::new(5, json!({}));
    world.poisoned.insert("t002".to_owned());
    world.until_it_rests();
    world.vanished = true;
    world.annotate(ANNOTATION_REQUESTED_AT, "they are gone");
    world.until_it_rests();
    world.vanished = false;
    world.until_it_rests();
    assert_eq!((world.reason().as_str(), world.begun.len()), ("WaveFailed", 3));
    world.annotate(ANNOTATION_REQUESTED_AT, &"again".repeat(100));
    world.until_it_rests();
    assert_eq!(world.begun.len(), 4);
    assert_eq!(world.set.status.clone().unwrap().last_handled_reconcile_at.unwrap().len(), 256);
    world.until_it_rests();
    assert_eq!(world.begun.len(), 4, "it was asked once");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// However targets fail: waves keep their order, failures stay within the budget, and nobody who succeeded runs again.
    #[test]
    fn what_must_hold_holds(poisoned in proptest::collection::btree_set(0usize..50, 0..8), budget in 0i32..4) {
        let mut world = World::new(50, json!({"waves": [{"name": "tenth", "upTo": "20%"}, {"name": "half", "upTo": "60%"}], "failureBudget": budget}));
        world.poisoned = poisoned.iter().map(|n| format!("t{n:03}")).collect();
        world.until_it_rests();
        let mut seen = BTreeSet::new();
        prop_assert!(world.begun.iter().all(|(name, _)| seen.insert(name.clone())), "each is begun once");
        prop_assert!(world.begun.windows(2).all(|pair| pair[0].1 <= pair[1].1));
        let status = world.set.status.clone().unwrap();
        let waves = status.rollout.unwrap().waves;
        for wave in &waves {
            prop_assert!(wave.failed <= budget + 1, "{wave:?}");
            prop_assert!(wave.state != WaveState::Passed || wave.done + wave.failed == wave.total);
        }
        let failed: i32 = waves.iter().map(|wave| wave.failed).sum();
        let expected = match (waves.iter().any(|wave| wave.state == WaveState::Paused), failed) {
            (true, _) => "WaveFailed",
            (false, 0) => "AtTarget",
            (false, _) => "TargetsFailed",
        };
        prop_assert_eq!(world.reason(), expected);
    }
}
