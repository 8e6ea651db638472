//! A set whose operator, pods and nodes end at any moment: whatever order they end in, each revision runs once in each target, and
//! nothing of a later wave begins before its time.

use super::{tests::image, *};
use crate::{
    fleet::{
        facts::{BatchView, OtherBatch},
        object,
    },
    jobs::{BatchReport, Ended, MemberEnd, MemberResult, wanted},
};
use proptest::prelude::*;
use serde_json::json;

/// How a pod ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    /// It was killed after so many targets; the kubelet kept its report.
    Killed(usize),
    /// The same, and its report went with the node.
    Vanished(usize),
    /// Its Job was deleted by hand meanwhile.
    Deleted(usize),
}

/// What breaks in one pass: the operator ends after so many writes, and a batch ends so.
#[derive(Clone, Copy, Debug)]
struct Luck {
    writes: usize,
    end: End,
}

struct Batch {
    request: BatchRequest,
    suspended: bool,
    owned: bool,
    ended: Option<Option<BatchReport>>,
}

/// The cluster and the databases.
struct World {
    set: DatabaseMigrationSet,
    image: Arc<Inspected>,
    /// As the pages have them; rows are the databases' own.
    members: Vec<Member>,
    jobs: BTreeMap<String, Batch>,
    now: i64,
    /// Every step that ran, with its target.
    ran: Vec<String>,
    waves: Vec<usize>,
    /// Whether a step that is cut off leaves something behind.
    halves: bool,
}

impl World {
    fn new(budget: usize) -> Self {
        let server = |name: &str| json!({"name": name, "urlFrom": {"secretKeyRef": {"name": "db", "key": "url"}}});
        let set = serde_json::from_value(json!({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigrationSet",
            "metadata": {"name": "app", "namespace": "shop", "uid": "u1", "generation": 1},
            "spec": {"template": {"image": "shop:1", "targetRevision": "head", "retry": {"limit": 100}},
                "servers": [server("one"), server("two")],
                "targets": [{"schemas": {"server": "one", "matching": "."}}],
                "rollout": {"waves": [{"name": "tenth", "upTo": "20%"}, {"name": "half", "upTo": "60%"}], "failureBudget": budget}},
        }))
        .unwrap();
        let member = |n: usize| {
            let name = format!("t{n:02}");
            let server = if n.is_multiple_of(2) { "one" } else { "two" };
            let target = Target { name: name.clone(), server: server.into(), schema: Some(name), ..Target::default() };
            Member { target, seen: Seen::Rows(BTreeSet::new()), memory: Memory::default() }
        };
        let (members, image) = ((0..30).map(member).collect(), image(&["a", "b"]));
        Self {
            set,
            image,
            members,
            jobs: BTreeMap::new(),
            now: 1_800_000_000,
            ran: vec![],
            waves: vec![],
            halves: false,
        }
    }

    fn object(&self) -> DatabaseMigration {
        object::of_server(&self.set, &self.set.spec.servers[0], None).unwrap()
    }

    fn facts(&self, object: &DatabaseMigration) -> Facts {
        let status = self.set.status.clone().unwrap_or_default();
        let named = status.rollout.map(|rollout| rollout.batches).unwrap_or_default();
        let others = self.jobs.iter().filter(|(name, _)| named.iter().all(|batch| batch.job != **name));
        let others = others.map(|(name, batch)| OtherBatch {
            job: name.clone(),
            number: batch.request.record.number,
            suspended: batch.suspended,
            owned: batch.owned,
        });
        let view = |status: &crate::api::BatchStatus| match self.jobs.get(&status.job) {
            None => BatchView { status: status.clone(), ..BatchView::default() },
            Some(batch) => BatchView {
                status: status.clone(),
                members: batch.request.record.members.clone(),
                there: true,
                suspended: batch.suspended,
                withdrawn: None,
                state: if batch.ended.is_some() {
                    PodState::Ended(Ended { ran: true, ..Ended::default() })
                } else {
                    PodState::default()
                },
                report: batch.ended.clone().flatten(),
            },
        };
        let batches: Vec<BatchView> = named.iter().map(view).collect();
        let looked = batches.is_empty() || batches.iter().any(BatchView::has_ended);
        Facts {
            looked,
            members: if looked { self.members.clone() } else { Vec::new() },
            batches,
            others: others.collect(),
            image: ImageView::Stored(self.image.clone()),
            wanted: Some(wanted(object, "postgresql", None)),
            server_version: "15.4".into(),
            ..Facts::default()
        }
    }

    /// One pass, of which no more than so many writes come to be; the order is that of `act`.
    fn pass(&mut self, writes: usize) {
        self.now += 400; // longer than any pause before the next try
        let object = self.object();
        let facts = self.facts(&object);
        let decision = decide(&self.set, &object, &facts, Timestamp::from_second(self.now).unwrap());
        let mut left = writes;
        let mut may = || {
            let one_more = left > 0;
            left = left.saturating_sub(1);
            one_more
        };
        for request in &decision.batches {
            if !may() {
                return;
            }
            let batch = Batch { request: request.clone(), suspended: true, owned: false, ended: None };
            self.jobs.entry(request.name(&object)).or_insert(batch);
        }
        if let Some(lines) = &decision.lines {
            if !may() {
                return;
            }
            for line in lines {
                let member = self.members.iter_mut().find(|member| member.target.key() == line.key()).unwrap();
                member.memory = line.memory.clone();
            }
        }
        if !may() {
            return;
        }
        self.set.status = Some(decision.status);
        for name in &decision.release {
            if !may() {
                return;
            }
            if let Some(batch) = self.jobs.get_mut(name) {
                batch.suspended = false;
            }
        }
        for name in &decision.own {
            if let Some(batch) = self.jobs.get_mut(name) {
                batch.owned = true;
            }
        }
        for name in &decision.delete {
            let gone = self.jobs.remove(name);
            assert!(gone.is_none_or(|batch| batch.suspended || batch.ended.is_some()), "{name} is deleted at work");
        }
    }

    /// Every batch that works comes to its end.
    fn pods_end(&mut self, end: End) {
        let at_work: Vec<String> = self
            .jobs
            .iter()
            .filter(|(_, batch)| !batch.suspended && batch.ended.is_none())
            .map(|(name, _)| name.clone())
            .collect();
        let servers: BTreeSet<&String> = at_work.iter().map(|name| &self.jobs[name].request.record.server).collect();
        assert_eq!(servers.len(), at_work.len(), "one batch at a time for each server");
        for name in at_work {
            let request = self.jobs[&name].request.clone();
            let until = match end {
                End::Whole => usize::MAX,
                End::Killed(count) | End::Vanished(count) | End::Deleted(count) => count,
            };
            let results = request.record.members.iter().enumerate().map(|(place, key)| match place < until {
                true => self.run(key, &request),
                false if place == until => {
                    if self.halves {
                        self.ran.push(key.rsplit('/').next().unwrap_or_default().to_owned());
                    }
                    MemberResult { end: MemberEnd::Unknown, ..MemberResult::default() }
                }
                false => MemberResult::default(),
            });
            let report = BatchReport { members: results.collect(), ..BatchReport::default() };
            match end {
                End::Deleted(_) => drop(self.jobs.remove(&name)),
                End::Vanished(_) => self.jobs.get_mut(&name).unwrap().ended = Some(None),
                End::Whole | End::Killed(_) => self.jobs.get_mut(&name).unwrap().ended = Some(Some(report)),
            }
        }
    }

    /// As the runner does: it compares the rows with those of its plan before its first step.
    fn run(&mut self, key: &str, request: &BatchRequest) -> MemberResult {
        let uid = self.set.uid().unwrap_or_default();
        let member = self.members.iter_mut().find(|member| member.target.key() == *key).unwrap();
        if member.rows().unwrap().iter().cloned().collect::<Vec<_>>() != request.run.from {
            let reason = Some(Reason::PlanOutdated);
            return MemberResult { end: MemberEnd::Later, reason, ..MemberResult::default() };
        }
        self.waves.push(waves::wave_of(&uid, &self.set.spec.rollout, &member.target));
        member.seen = Seen::Rows(request.run.end.iter().cloned().collect());
        self.ran.push(member.target.name.clone());
        MemberResult { end: MemberEnd::Done, ..MemberResult::default() }
    }

    fn reason(&self) -> String {
        let conditions = self.set.status.iter().flat_map(|status| &status.conditions);
        conditions.filter(|c| c.type_ == "Ready").map(|c| c.reason.clone()).collect()
    }
}

fn luck() -> impl Strategy<Value = Luck> {
    let count = 0usize..6;
    let end = prop_oneof![
        3 => Just(End::Whole),
        2 => count.clone().prop_map(End::Killed),
        2 => count.clone().prop_map(End::Vanished),
        1 => count.prop_map(End::Deleted),
    ];
    (prop_oneof![2 => 0usize..7, 1 => Just(99usize)], end).prop_map(|(writes, end)| Luck { writes, end })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_ends_nothing_is_lost_and_nothing_repeated(luck in proptest::collection::vec(luck(), 0..25)) {
        let mut world = World::new(0);
        let calm = std::iter::repeat_n(Luck { writes: 99, end: End::Whole }, 40);
        for Luck { writes, end } in luck.into_iter().chain(calm) {
            world.pass(writes);
            world.pods_end(end);
        }
        prop_assert_eq!(world.reason(), "AtTarget");
        let all: Vec<String> = (0..30).map(|n| format!("t{n:02}")).collect();
        let mut ran = world.ran.clone();
        ran.sort();
        prop_assert_eq!(ran, all);
        prop_assert!(world.waves.windows(2).all(|pair| pair[0] <= pair[1]), "{:?}", world.waves);
        prop_assert!(world.jobs.values().all(|batch| batch.owned && !batch.suspended && batch.ended.is_some()));
        prop_assert!(world.jobs.len() <= KEPT);
        prop_assert!(world.members.iter().all(|member| member.memory == Memory::default()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Where a step that is cut off stays in part, nobody may run it again who does not know how far it came.
    #[test]
    fn what_may_stay_in_part_is_not_repeated(luck in proptest::collection::vec(luck(), 0..25)) {
        let mut world = World::new(30);
        let mut inspection = world.image.inspection.clone();
        inspection.transactional_ddl = false;
        world.image = Arc::new(Inspected::new("shop:2".into(), Some("d".into()), inspection));
        world.halves = true;
        for Luck { writes, end } in luck {
            world.pass(writes);
            world.pods_end(end);
        }
        let mut seen = BTreeSet::new();
        prop_assert!(world.ran.iter().all(|name| seen.insert(name.clone())), "{:?}", world.ran);
    }
}

#[test]
fn what_may_fail_is_divided_among_the_servers() {
    for (budget, shares) in [(0, [0, 0]), (3, [2, 1]), (4, [2, 2])] {
        let mut world = World::new(budget);
        world.pass(99);
        let given: Vec<usize> = world.jobs.values().map(|batch| batch.request.failures_left).collect();
        let named: i32 =
            world.set.status.clone().unwrap().rollout.unwrap().batches.iter().map(|b| b.failures_allowed).sum();
        let mut sorted = given.clone();
        sorted.sort_by_key(|share| std::cmp::Reverse(*share));
        assert_eq!((sorted, named), (shares.to_vec(), i32::try_from(budget).unwrap()));
    }
}
