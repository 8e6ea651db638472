//! What keeps a pod that is on a node from starting there; no I/O.

use super::{Trouble, pod::COPY_CONTAINER, scratch::SERVER};
use k8s_openapi::{api::core::v1::Pod, jiff::Timestamp};
use std::time::Duration;

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
}
