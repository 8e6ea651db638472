//! What has happened, by the status before and after, and how it is written: as a CloudEvent, or as a line for a chat; no I/O.

use crate::{
    api::{ConditionType, DatabaseMigration, DatabaseMigrationStatus, Reason, RunResult},
    text::{clean, short_image},
};
use clap::ValueEnum;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::{Value, json};

/// Longest message in a notification.
const MAX_MESSAGE: usize = 900;

/// What people wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// A plan waits for an approval.
    #[value(name = "AwaitingApproval")]
    AwaitingApproval,
    /// A run has ended well.
    #[value(name = "Succeeded")]
    Succeeded,
    /// A run has failed.
    #[value(name = "Failed")]
    Failed,
    /// Nothing happens until somebody changes something.
    #[value(name = "Stalled")]
    Stalled,
    /// The live schema was changed by something else.
    #[value(name = "DriftFound")]
    DriftFound,
    /// Ready again after it was stalled.
    #[value(name = "Recovered")]
    Recovered,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::AwaitingApproval, Self::Succeeded, Self::Failed, Self::Stalled, Self::DriftFound, Self::Recovered];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "AwaitingApproval",
            Self::Succeeded => "Succeeded",
            Self::Failed => "Failed",
            Self::Stalled => "Stalled",
            Self::DriftFound => "DriftFound",
            Self::Recovered => "Recovered",
        }
    }

    fn mark(self) -> &'static str {
        match self {
            Self::AwaitingApproval => "◐",
            Self::Succeeded | Self::Recovered => "✓",
            Self::Failed | Self::Stalled => "✗",
            Self::DriftFound => "!",
        }
    }
}

/// Something that has happened to an object. Holds what the status shows, and so no secret.
#[derive(Clone, Debug, PartialEq)]
pub struct Happened {
    pub kind: Kind,
    namespace: String,
    name: String,
    uid: String,
    /// What makes it this one: the run, or the moment.
    what: String,
    reason: String,
    message: String,
    time: Timestamp,
    current: Option<String>,
    target: Option<String>,
    plan: Option<String>,
    run: Option<i64>,
    image: String,
}

/// What a change of the status means to people; mostly nothing.
pub fn happened(
    object: &DatabaseMigration,
    after: &DatabaseMigrationStatus,
    recovered: bool,
    now: Timestamp,
) -> Vec<Happened> {
    let before = object.status.clone().unwrap_or_default();
    let mut found = Vec::new();
    let new = |kind: Kind, what: String, reason: &str, message: &str| Happened {
        kind,
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
        uid: object.uid().unwrap_or_default(),
        what,
        reason: reason.to_owned(),
        message: clean(&message.replace('\n', " "), MAX_MESSAGE),
        time: now,
        current: after.current.clone(),
        target: after.target.clone(),
        plan: after.plan.as_ref().map(|plan| plan.hash.clone()),
        run: None,
        image: short_image(&object.spec.image),
    };
    let failed = match after.last_run.as_ref().filter(|run| run.number != before.recorded_runs()) {
        Some(run) => {
            let place = after.current.as_deref().filter(|current| !current.is_empty()).unwrap_or("base");
            let told = match run.result {
                RunResult::Succeeded => Some((Kind::Succeeded, format!("{} to {place}", run.direction))),
                RunResult::Failed | RunResult::Lost => Some((Kind::Failed, run.message.clone().unwrap_or_default())),
                // It is planned again by itself, or stalls.
                RunResult::Refused => None,
            };
            found.extend(told.map(|(kind, message)| Happened {
                run: Some(run.number),
                plan: Some(run.plan_hash.clone()),
                ..new(kind, format!("run-{}", run.number), run.reason.as_deref().unwrap_or(kind.as_str()), &message)
            }));
            matches!(run.result, RunResult::Failed | RunResult::Lost)
        }
        None => false,
    };
    let condition = |status: &DatabaseMigrationStatus, type_: ConditionType| status.condition(type_).cloned();
    let is = |status: &DatabaseMigrationStatus, type_| condition(status, type_).is_some_and(|c| c.status == "True");
    let Some(ready) = condition(after, ConditionType::Ready) else { return found };
    let new_reason = condition(&before, ConditionType::Ready).is_none_or(|c| c.reason != ready.reason);
    let hash = |status: &DatabaseMigrationStatus| status.plan.as_ref().map(|plan| plan.hash.clone());
    let moment = |what: &str| format!("{what}-{}", now.as_millisecond());
    let waits = ready.reason == Reason::AwaitingApproval.as_str();
    if waits && (new_reason || hash(&before) != hash(after)) {
        found.push(new(Kind::AwaitingApproval, moment("plan"), &ready.reason, &ready.message));
    }
    // A run that failed was told, with what it said.
    let newly_stalled = is(after, ConditionType::Stalled) && (new_reason || !is(&before, ConditionType::Stalled));
    if newly_stalled && !failed && !waits {
        found.push(new(Kind::Stalled, moment("stalled"), &ready.reason, &ready.message));
    }
    if let Some(drifted) = condition(after, ConditionType::Drifted)
        && drifted.status == "True"
        && !is(&before, ConditionType::Drifted)
    {
        found.push(new(Kind::DriftFound, moment("drift"), &drifted.reason, &drifted.message));
    }
    if recovered {
        found.push(new(Kind::Recovered, moment("ready"), &ready.reason, &ready.message));
    }
    found
}

impl Happened {
    /// The object that it is about.
    pub fn subject(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    /// A CloudEvent 1.0 in structured mode. The id is the same at each attempt, and of no other event.
    pub fn cloud_event(&self, source: &str) -> Value {
        let Self { kind, namespace, name, uid, what, reason, message, time, current, target, plan, run, image } = self;
        json!({
            "specversion": "1.0",
            "id": format!("{uid}/{}/{what}", kind.as_str()),
            "source": format!("{source}/apis/alembic-operator.dev/v1alpha1/namespaces/{namespace}/databasemigrations/{name}"),
            "type": format!("dev.alembic-operator.databasemigration.{}", kind.as_str().to_lowercase()),
            "subject": self.subject(),
            "time": time.to_string(),
            "datacontenttype": "application/json",
            "data": {
                "kind": kind.as_str(), "namespace": namespace, "name": name, "reason": reason, "message": message,
                "current": current, "target": target, "plan": plan, "run": run, "image": image, "next": self.next(),
            },
        })
    }

    /// A line for a chat: the fact first, and what to type next.
    pub fn line(&self) -> String {
        let Self { kind, reason, message, .. } = self;
        let colon = if message.is_empty() { "" } else { ": " };
        let next = self.next().map(|next| format!("\n{next}")).unwrap_or_default();
        let same = reason == kind.as_str();
        let reason = if same { String::new() } else { format!(" ({reason})") };
        format!("{} {} {}{reason}{colon}{message}{next}", kind.mark(), self.subject(), kind.as_str())
    }

    fn next(&self) -> Option<String> {
        let command = match self.kind {
            Kind::AwaitingApproval => "plan",
            Kind::Failed => "logs",
            Kind::Stalled => "status",
            Kind::DriftFound => "drift",
            Kind::Succeeded | Kind::Recovered => return None,
        };
        Some(format!("kubectl dbmigration {command} {} -n {}", self.name, self.namespace))
    }
}
