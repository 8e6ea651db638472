//! What keeps a pod from starting; no I/O.

use super::{Trouble, pod::COPY_CONTAINER, scratch::SERVER};
use crate::text::{clean, clean_end};
use k8s_openapi::{
    api::core::v1::{ContainerStatus, Pod},
    jiff::Timestamp,
};
use std::time::Duration;

/// Reasons with which the kubelet waits for an image.
const PULL_REASONS: [&str; 7] = [
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "ErrImageNeverPull",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];
/// Reasons with which it can't make the container.
const CREATE_REASONS: [&str; 7] = [
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
    "CreatePodSandboxError",
    "PreCreateHookError",
    "PreStartHookError",
    "PostStartHookError",
];
/// The reason with which it waits before it starts a container once more: in a pod of a Job, that of a sidecar.
const RESTARTED: &str = "CrashLoopBackOff";

/// How long a pod may take to start. After that it is given up, and another one is tried.
pub const START_DEADLINE: Duration = Duration::from_secs(15 * 60);
/// Init containers that run longer than this are named.
const INIT_PATIENCE: i64 = 60;

/// The init containers that the operator itself puts into pods.
const OWN_INIT_CONTAINERS: [&str; 2] = [COPY_CONTAINER, SERVER];

/// A pod that is on a node and has not started after this many seconds is asked about.
const SLOW: i64 = 10;

/// Reasons of events with which the cluster tells why a pod on a node does not start.
const STUCK_REASONS: [&str; 5] =
    ["FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox", "NetworkNotReady"];

/// Whether an event tells why a pod does not start.
pub fn tells_why_stuck(reason: &str) -> bool {
    STUCK_REASONS.contains(&reason)
}

/// What holds a pod up by its status. Any container of the pod can: the user's sidecars and init containers too.
pub(super) fn trouble(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let containers = status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    for container in containers {
        let Some(waiting) = container.state.as_ref().and_then(|s| s.waiting.as_ref()) else { continue };
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let text = format!("{reason}: {}", waiting.message.as_deref().unwrap_or("no message"));
        let text = format!("container {}: {}", container.name, clean(&text, 400));
        if PULL_REASONS.contains(&reason) {
            return Some(Trouble::ImagePull(text));
        }
        if CREATE_REASONS.contains(&reason) {
            return Some(Trouble::Rejected(text));
        }
        if reason == RESTARTED {
            return Some(Trouble::Stuck(restarted(container)));
        }
    }
    let mut conditions = status.conditions.iter().flatten();
    let unscheduled = conditions.find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
    let words = unscheduled.message.as_deref().or(unscheduled.reason.as_deref()).unwrap_or("no message");
    Some(Trouble::Unschedulable(format!("the pod can't be scheduled: {}", clean(words, 400))))
}

/// A sidecar that ends again and again before the others may start: how it ended, and its last words.
fn restarted(container: &ContainerStatus) -> String {
    let (name, times) = (&container.name, container.restart_count);
    let Some(ended) = container.last_state.as_ref().and_then(|last| last.terminated.as_ref()) else {
        return format!("container {name} is started again and again ({times} times)");
    };
    let why = ended.reason.as_deref().map(|why| format!(" ({})", clean(why, 64))).unwrap_or_default();
    let words = ended.message.as_deref().map(|words| clean_end(words.trim(), 300)).filter(|words| !words.is_empty());
    let words = words.map(|words| format!(": {words}")).unwrap_or_default();
    format!("container {name} ends with exit code {}{why}, {times} times so far{words}", ended.exit_code)
}

/// Where a pod is on its node and does not start: the init container of the user's that it has waited for, for a while.
pub fn initializing(pod: &Pod, now: Timestamp) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let mut containers = status.init_container_statuses.iter().flatten();
    let running = containers.find_map(|c| {
        let since = c.state.as_ref()?.running.as_ref()?.started_at.as_ref()?.0;
        // A sidecar that has started holds nothing up.
        let waits = c.started != Some(true) && !OWN_INIT_CONTAINERS.contains(&c.name.as_str());
        waits.then_some((&c.name, since))
    });
    let (name, since) = running.filter(|(_, since)| now.duration_since(*since).as_secs() >= INIT_PATIENCE)?;
    Some(Trouble::Initializing(format!("init container {name} has been running since {since:.0}")))
}

/// Whether a pod has been on a node for so long without starting that the cluster is asked why.
pub fn is_slow(pod: &Pod, now: Timestamp) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let scheduled = conditions.filter(|c| c.type_ == "PodScheduled" && c.status == "True").find_map(|c| {
        let since = c.last_transition_time.as_ref()?.0;
        Some(now.duration_since(since).as_secs() >= SLOW)
    });
    scheduled.unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_pod_that_takes_its_time_is_asked_about() {
        let now: Timestamp = "2026-01-01T00:02:00Z".parse().unwrap();
        let pod = |init: Value| -> Pod {
            let status = json!({"phase": "Pending", "initContainerStatuses": init, "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-01-01T00:00:30Z"}]});
            serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap()
        };
        let init = |name: &str, started: bool| {
            json!([{"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "started": started,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:40Z"}}}])
        };
        assert!(is_slow(&pod(json!([])), now) && !is_slow(&pod(json!([])), "2026-01-01T00:00:35Z".parse().unwrap()));
        let named = initializing(&pod(init("wait-for-db", false)), now);
        assert!(matches!(named, Some(Trouble::Initializing(words)) if words.contains("wait-for-db")));
        for (name, started) in [("wait-for-db", true), (COPY_CONTAINER, false), (SERVER, false)] {
            assert_eq!(initializing(&pod(init(name, started)), now), None, "{name}");
        }
    }

    fn status(status: Value) -> Option<Trouble> {
        trouble(&serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap())
    }

    fn waiting(kind: &str, name: &str, reason: &str, message: &str) -> Value {
        json!({"phase": "Pending", kind: [{"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 3,
            "state": {"waiting": {"reason": reason, "message": message}}, "lastState": {"terminated": {"exitCode": 1,
            "reason": "Error", "message": "dial tcp: no route to host\n"}}}]})
    }

    #[test]
    fn what_holds_a_pod_up_is_named() {
        let (own, init) = ("containerStatuses", "initContainerStatuses");
        let told = [
            (
                waiting(own, "alembic", "ImagePullBackOff", "not found"),
                "ImagePull",
                "container alembic: ImagePullBackOff: not found",
            ),
            (waiting(init, "wait", "ErrImagePull", "denied"), "ImagePull", "container wait: ErrImagePull: denied"),
            (
                waiting(own, "alembic", "CreateContainerConfigError", "secret \"x\" not found"),
                "Rejected",
                "secret \"x\" not found",
            ),
            (waiting(own, "alembic", "RunContainerError", "no such device"), "Rejected", "no such device"),
            (
                waiting(own, "logs", "PostStartHookError", "exit 3"),
                "Rejected",
                "container logs: PostStartHookError: exit 3",
            ),
            (
                waiting(init, "sql-proxy", "CrashLoopBackOff", "back-off 40s"),
                "Stuck",
                "container sql-proxy ends with exit code 1 (Error), 3 times so far: dial tcp: no route to host",
            ),
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}]}),
                "Unschedulable",
                "can't be scheduled: 0/1 nodes",
            ),
            (
                json!({"conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated",
                       "message": "Scheduling is blocked due to non-empty scheduling gates"}]}),
                "Unschedulable",
                "non-empty scheduling gates",
            ),
        ];
        for (given, kind, words) in told {
            let found = format!("{:?}", status(given.clone()));
            assert!(found.contains(kind) && found.replace("\\\"", "\"").contains(words), "{found}");
        }
        for reason in ["ContainerCreating", "PodInitializing"] {
            assert_eq!(status(waiting(own, "alembic", reason, "")), None);
        }
    }
}
