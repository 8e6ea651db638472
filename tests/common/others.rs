//! What others do at any moment: they delete what the operator made, or the objects themselves, lose a status, or run another
//! version of the operator. What must be so afterwards is said here too. No network.

use super::{
    cluster::{Cluster, NAMESPACE},
    scenarios::{Changes, dump, leased, shop},
    store::Store,
};
use alembic_operator::api::MANAGER;
use serde_json::{Value, json};
use std::sync::Arc;

/// What somebody does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    DeleteJobs,
    DeletePods,
    DeleteConfigMaps,
    /// As `kubectl delete` does by itself.
    DeleteObjects,
    /// As Argo CD does.
    DeleteObjectsInForeground,
    /// As a backup of the cluster that is played back without statuses.
    LoseStatus,
    DeleteLease,
}

const OBJECTS: &str = "databasemigrations.alembic-operator.dev";

impl Deed {
    /// What is tried at each write of whatever is done every day.
    const ALL: [Self; 6] = [
        Self::DeleteJobs,
        Self::DeletePods,
        Self::DeleteConfigMaps,
        Self::DeleteObjects,
        Self::DeleteObjectsInForeground,
        Self::LoseStatus,
    ];

    fn resource(self) -> &'static str {
        match self {
            Self::DeleteJobs => "jobs.batch",
            Self::DeletePods => "pods",
            Self::DeleteConfigMaps => "configmaps",
            Self::DeleteObjects | Self::DeleteObjectsInForeground | Self::LoseStatus => OBJECTS,
            Self::DeleteLease => "leases.coordination.k8s.io",
        }
    }

    /// Whether it ends the objects.
    pub fn ends(self) -> bool {
        matches!(self, Self::DeleteObjects | Self::DeleteObjectsInForeground)
    }

    pub fn carry_out(self, store: &Store) {
        let found = store.all().into_iter().map(|(key, _)| key).filter(|key| key.resource == self.resource());
        for key in found.collect::<Vec<_>>() {
            // What is gone meanwhile is as good as deleted.
            let _ = match self {
                Self::DeleteObjectsInForeground => store.delete_in_foreground(&key),
                Self::LoseStatus => store.update(&key, true, |object| {
                    object["status"] = json!({ "observedGeneration": -1 });
                    Ok(())
                }),
                _ => store.delete(&key, &Value::Null),
            };
        }
    }
}

/// What a newer version of the operator may leave in a status, before an older one comes back: fields and words of its own.
pub fn another_version(store: &Store) {
    for (key, object) in store.all().into_iter().filter(|(key, _)| key.resource == OBJECTS) {
        let mut status = object["status"].clone();
        if status["observedGeneration"] == -1 {
            continue;
        }
        status["novelty"] = json!({ "of": ["another", "version"] });
        if let Some(conditions) = status["conditions"].as_array_mut() {
            conditions.push(json!({ "type": "Novel", "status": "True", "reason": "Novel", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z" }));
        }
        for place in ["/plan", "/lastRun", "/runs", "/runs/active", "/runs/lastSuccess", "/database", "/drift"] {
            if let Some(part) = status.pointer_mut(place).and_then(Value::as_object_mut) {
                part.insert("novelty".to_owned(), json!(1));
            }
        }
        for place in ["/plan/steps/0/reversible", "/drift/objects/0/change", "/history/1/result"] {
            if let Some(word) = status.pointer_mut(place) {
                *word = json!("Novel");
            }
        }
        // It goes by the same name, so that what it wrote is given up by the next one.
        let _ = store.apply(&key, MANAGER, true, &json!({ "status": status }));
    }
}

/// What people do every day, which others disturb.
pub struct Everyday {
    pub name: &'static str,
    set_up: fn(&Cluster),
    /// What has changed the database in the end.
    ran: Changes,
}

pub const EVERY_DAY: [Everyday; 7] = [
    Everyday { name: "an upgrade", set_up: |cluster| cluster.apply("shop", &json!({})), ran: &[("upgrade", "a", "c")] },
    Everyday {
        name: "backed up and verified",
        set_up: |cluster| {
            cluster.image("dump:1", "", "");
            let verify = json!({ "when": "Always", "command": ["./smoke"] });
            cluster.apply("shop", &json!({ "backup": dump("Always"), "verify": verify }));
        },
        ran: &[("upgrade", "a", "c")],
    },
    Everyday {
        name: "rehearsed",
        set_up: |cluster| {
            let rehearsal = json!({ "when": "Always" });
            cluster.apply("shop", &json!({ "rehearsal": rehearsal, "scratch": { "image": "postgres:15" } }));
        },
        ran: &[("upgrade", "a", "c")],
    },
    Everyday {
        name: "probed by Jobs",
        set_up: |cluster| {
            cluster.apply("shop", &json!({ "database": { "probe": { "mode": "Job", "interval": "24h" } } }));
        },
        ran: &[("upgrade", "a", "c")],
    },
    Everyday { name: LEASED, set_up: |cluster| cluster.apply("shop", &leased()), ran: &[("upgrade", "a", "c")] },
    Everyday {
        name: "stepwise",
        set_up: |cluster| cluster.apply("shop", &json!({ "strategy": "Stepwise" })),
        ran: &[("upgrade", "a", "b"), ("upgrade", "b", "c")],
    },
    Everyday {
        name: "compared with the history",
        set_up: |cluster| {
            cluster.apply("shop", &json!({ "drift": { "mode": "Replay" }, "scratch": { "image": "postgres:15" } }));
        },
        ran: &[("upgrade", "a", "c")],
    },
];

/// What is done under a Lease, which others may delete.
const LEASED: &str = "an upgrade under a Lease";

impl Everyday {
    /// What others do to it.
    pub fn deeds(&self) -> impl Iterator<Item = Deed> + use<> {
        Deed::ALL.into_iter().chain((self.name == LEASED).then_some(Deed::DeleteLease))
    }

    /// Goes on until it is done, or nothing more can be. Where something was lost, a person asks for it again.
    pub async fn run(&self, cluster: Arc<Cluster>) {
        shop(&cluster, Some("a"));
        (self.set_up)(&cluster);
        cluster.settled().await;
        for again in 1..=3 {
            if cluster.object("shop").is_none() || cluster.reason("shop") == "AtTarget" {
                break;
            }
            cluster.request("shop", &format!("again {again}"));
            cluster.settled().await;
        }
    }

    /// What is not as it must be after a deed.
    pub fn judge(&self, cluster: &Cluster, deed: Option<Deed>) -> Vec<String> {
        let database = cluster.seen("app");
        let changes: Vec<(String, String, String)> =
            database.runs.iter().map(|(what, from, to)| (what.clone(), from.join(","), to.join(","))).collect();
        let made: Vec<_> = changes.iter().filter(|(what, ..)| what == "upgrade" || what == "downgrade").collect();
        let expected: Vec<_> =
            self.ran.iter().map(|(what, f, t)| ((*what).to_owned(), (*f).to_owned(), (*t).to_owned())).collect();
        let ends = deed.is_some_and(Deed::ends);
        let locks = cluster.locks();
        let mut wrong = Vec::new();
        let mut must = |holds: bool, what: &str| {
            if !holds {
                wrong.push(format!("{what}: {} {changes:?} {database:?}", cluster.reason("shop")));
            }
        };
        must(database.most_working <= 1 && database.working == 0, "one run at a time");
        must(made.iter().zip(&expected).all(|(made, expected)| **made == *expected), "each step once, in order");
        must(locks.is_empty(), &format!("every Lease is given back, {locks:?}"));
        if ends {
            must(cluster.object("shop").is_none(), "the object is gone");
            must(database.killed == 0, "no run is killed by it");
            let left = cluster.store.all().into_iter().filter(|(key, _)| key.namespace == NAMESPACE);
            let left: Vec<_> = left.filter(|(key, _)| matches!(key.resource, "jobs.batch" | "pods")).collect();
            must(left.is_empty(), &format!("no Job is left, {left:?}"));
        } else {
            must(made.len() == expected.len(), "the target is reached");
            must(cluster.reason("shop") == "AtTarget", "it says so");
        }
        wrong
    }
}
