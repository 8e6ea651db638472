//! What the state of a Job's pod means; no I/O.

use super::{CONTAINER, Kind, Report, ReportError, stuck::trouble};
use crate::{
    api::{Problem, Reason},
    text::{clean, clean_end},
};
use k8s_openapi::api::{
    batch::v1::Job,
    core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodStatus},
};
use k8s_openapi::jiff::Timestamp;

/// The container that copies the live schema for a rehearsal.
pub(super) const COPY_CONTAINER: &str = "live-schema";

/// The condition of a pod that the cluster takes away (KEP-3329).
pub(super) const DISRUPTED: &str = "DisruptionTarget";

/// The kubelet's word for a pod whose time is up.
const DEADLINE_EXCEEDED: &str = "DeadlineExceeded";

/// How far a pod has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum PodState {
    /// Not started, and nothing is known to be wrong.
    #[default]
    Waiting,
    /// Not started, and it will not be while this lasts.
    Blocked(Trouble),
    /// The container runs.
    Running,
    /// The container has ended.
    Ended(Ended),
}

/// Why a pod can't start, in the cluster's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    ImagePull(String),
    /// Quota, admission or the kubelet refuse it.
    Rejected(String),
    /// No node has room for it.
    Unschedulable(String),
    /// It is on a node and does not start there, as when a volume can't be mounted.
    Stuck(String),
    /// An init container of the user's takes its time.
    Initializing(String),
}

/// A container that has ended, or that never ran and never will.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Ended {
    /// What it left as its termination message.
    pub message: Option<String>,
    /// Whether the container ever ran.
    pub ran: bool,
    pub exit_code: Option<i32>,
    /// The kubelet's word, such as OOMKilled or Evicted.
    pub reason: Option<String>,
    pub finished_at: Option<Timestamp>,
    /// The image that ran, as the container runtime names it.
    pub image_id: Option<String>,
    /// The container that it tells of, where that is one of those before ours, which then never ran.
    pub before: Option<String>,
    /// Whether the kubelet ended the pod since its time was up.
    pub timed_out: bool,
    /// What kept it from starting until then, in the cluster's words.
    pub stuck: Option<String>,
}

impl Ended {
    /// The runner's report, if it left one.
    pub fn report(&self) -> Result<Report, ReportError> {
        self.message.as_deref().map_or(Err(ReportError::Empty), Report::parse)
    }

    /// What its failed init container said, where it never came to our own.
    pub fn failed_before(&self) -> Option<Problem> {
        let name = self.before.as_deref()?;
        let why = self.reason.as_deref().unwrap_or("without a word");
        let code = self.exit_code.unwrap_or_default();
        let words = self.message.as_deref().map(|message| clean_end(message.trim(), 400));
        let words = words.filter(|words| !words.is_empty()).map(|words| format!(": {words}")).unwrap_or_default();
        let message = format!("init container {name} ended with exit code {code} ({why}){words}; nothing was begun");
        Some(Problem::new(Reason::InitContainerFailed, message))
    }
}

/// Whether the pod of a Job is taken away and will be replaced. Its containers end before it does; should all of them still
/// end well, it counts.
pub fn is_replaced(job: &Job, pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let succeeded = status.is_some_and(|status| status.phase.as_deref() == Some("Succeeded"));
    let mut conditions = status.into_iter().flat_map(|status| status.conditions.iter().flatten());
    let policy = job.spec.as_ref().and_then(|spec| spec.pod_failure_policy.as_ref());
    policy.is_some() && !succeeded && conditions.any(|c| c.type_ == DISRUPTED && c.status == "True")
}

/// Reads a pod's state. Where it failed before our container ran, the init container that failed stands for it: the copy of
/// the schema rather than the server, which is killed with it.
pub fn pod_state(pod: &Pod) -> PodState {
    let state = own_state(pod);
    let PodState::Ended(Ended { exit_code: None, .. }) = state else { return state };
    let Some(status) = pod.status.as_ref().filter(|status| status.reason.is_none()) else { return state };
    let statuses = status.init_container_statuses.iter().flatten();
    let failed =
        statuses.filter_map(|c| Some((c, c.state.as_ref()?.terminated.as_ref()?))).filter(|(_, e)| e.exit_code != 0);
    match failed.min_by_key(|(container, _)| container.name != COPY_CONTAINER) {
        Some((container, ended)) => {
            let before = Some(container.name.clone());
            PodState::Ended(Ended { before, ..ended_container(container, ended, None) })
        }
        None => state,
    }
}

/// Whether none of a pod's containers will run again.
pub fn has_ended(status: &PodStatus) -> bool {
    matches!(status.phase.as_deref(), Some("Failed" | "Succeeded"))
}

fn own_state(pod: &Pod) -> PodState {
    let Some(status) = &pod.status else { return PodState::Waiting };
    let container = status.container_statuses.iter().flatten().find(|c| c.name == CONTAINER);
    let state = container.and_then(|c| c.state.as_ref());
    if let (Some(container), Some(ended)) = (container, state.and_then(|s| s.terminated.as_ref())) {
        return PodState::Ended(ended_container(container, ended, status.reason.as_deref()));
    }
    // Evicted, preempted or refused by the kubelet before the container ran. Of a pod whose node is lost the last that the kubelet
    // said stays: that its container runs.
    if has_ended(status) {
        let ran = state.is_some_and(|s| s.running.is_some());
        let reason = status.reason.as_deref().map(|r| clean(r, 64));
        let message = status.message.as_deref().map(|m| clean(m, 300));
        let reason = [reason, message].into_iter().flatten().collect::<Vec<_>>().join(": ");
        let timed_out = status.reason.as_deref() == Some(DEADLINE_EXCEEDED);
        return PodState::Ended(Ended { reason: Some(reason), ran, timed_out, ..Ended::default() });
    }
    if state.is_some_and(|s| s.running.is_some()) {
        return PodState::Running;
    }
    match trouble(pod) {
        Some(trouble) => PodState::Blocked(trouble),
        None => PodState::Waiting,
    }
}

/// How far the pod of a Job of this kind is.
pub fn state_of_pod(kind: Kind, pod: &Pod) -> PodState {
    if kind.traits().all_containers { whole_pod_state(pod) } else { pod_state(pod) }
}

/// Reads the state of a pod of which every container counts: one that failed stands for all.
fn whole_pod_state(pod: &Pod) -> PodState {
    let Some(status) = &pod.status else { return PodState::Waiting };
    let all = || status.init_container_statuses.iter().flatten().chain(status.container_statuses.iter().flatten());
    let ended = |c: &&ContainerStatus| c.state.as_ref().is_some_and(|s| s.terminated.is_some());
    let terminated = |c: &ContainerStatus| c.state.clone().and_then(|state| state.terminated);
    match status.phase.as_deref() {
        Some("Succeeded") => PodState::Ended(Ended {
            ran: true,
            exit_code: Some(0),
            finished_at: all().filter_map(|c| terminated(c)?.finished_at).map(|t| t.0).max(),
            ..Ended::default()
        }),
        Some("Failed") => {
            let failed = all().filter_map(|c| Some((c, terminated(c)?))).find(|(_, ended)| ended.exit_code != 0);
            match failed {
                Some((container, ended)) => {
                    PodState::Ended(ended_container(container, &ended, status.reason.as_deref()))
                }
                None => pod_state(pod),
            }
        }
        _ if all().any(|c| c.state.as_ref().is_some_and(|s| s.running.is_some())) || all().any(|c| ended(&c)) => {
            trouble(pod).map_or(PodState::Running, PodState::Blocked)
        }
        _ => trouble(pod).map_or(PodState::Waiting, PodState::Blocked),
    }
}

fn ended_container(container: &ContainerStatus, ended: &ContainerStateTerminated, pod_reason: Option<&str>) -> Ended {
    Ended {
        message: ended.message.clone(),
        // A container that the runtime could not start is "terminated" too, with exit code 128 and no start time.
        ran: ended.reason.as_deref() != Some("StartError") && ended.reason.as_deref() != Some("ContainerCannotRun"),
        exit_code: Some(ended.exit_code),
        reason: pod_reason.or(ended.reason.as_deref()).map(|r| clean(r, 64)),
        finished_at: ended.finished_at.as_ref().map(|t| t.0),
        image_id: Some(container.image_id.clone()).filter(|id| !id.is_empty()),
        before: None,
        timed_out: pod_reason == Some(DEADLINE_EXCEEDED),
        stuck: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn state(status: Value) -> PodState {
        pod_state(&serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap())
    }

    fn container(state: Value) -> Value {
        json!({"phase": "Pending", "containerStatuses": [
            {"name": "alembic", "image": "i", "imageID": "r/i@sha256:ab", "ready": false, "restartCount": 0, "state": state}]})
    }

    #[test]
    fn a_finished_container_counts_though_the_pod_still_runs_a_sidecar() {
        let ended = state(container(
            json!({"terminated": {"exitCode": 0, "message": "{}", "finishedAt": "2026-01-01T00:00:00Z"}}),
        ));
        let PodState::Ended(ended) = ended else { panic!("{ended:?}") };
        assert_eq!((ended.ran, ended.message.as_deref()), (true, Some("{}")));
        assert_eq!(ended.image_id.as_deref(), Some("r/i@sha256:ab"));
    }

    #[test]
    fn what_ran_on_a_node_that_is_lost_did_run() {
        let mut lost = container(json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}}));
        lost["phase"] = json!("Failed");
        assert!(matches!(state(lost), PodState::Ended(Ended { ran: true, exit_code: None, .. })));
    }

    #[test]
    fn a_command_that_is_not_there_never_ran() {
        let ended = state(container(
            json!({"terminated": {"exitCode": 128, "reason": "StartError", "message": "exec: uv: not found"}}),
        ));
        assert!(matches!(ended, PodState::Ended(Ended { ran: false, .. })));
    }

    #[test]
    fn a_copy_that_failed_stands_for_its_pod_and_not_the_server_that_went_with_it() {
        let init = |name: &str, code: i32, message: &str| {
            json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                   "state": {"terminated": {"exitCode": code, "message": message}}})
        };
        let waiting = container(json!({"waiting": {"reason": "PodInitializing"}}));
        let status = json!({"phase": "Failed", "containerStatuses": waiting["containerStatuses"],
            "initContainerStatuses": [init("scratch-database", 137, "killed"), init(COPY_CONTAINER, 1, "no password")]});
        let pod: Pod = serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap();
        let PodState::Ended(ended) = pod_state(&pod) else { panic!() };
        assert_eq!((ended.before.as_deref(), ended.message.as_deref()), (Some(COPY_CONTAINER), Some("no password")));
        assert_eq!(ended.exit_code, Some(1));
    }

    #[test]
    fn an_eviction_is_no_failure_of_an_init_container() {
        let init = json!({"name": "wait-for-db", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                          "state": {"terminated": {"exitCode": 143}}});
        let failed = |reason: Value| {
            state(json!({"phase": "Failed", "reason": reason, "initContainerStatuses": [init.clone()]}))
        };
        let PodState::Ended(evicted) = failed(json!("Evicted")) else { panic!() };
        assert_eq!((evicted.exit_code, evicted.failed_before()), (None, None));
        let PodState::Ended(ended) = failed(Value::Null) else { panic!() };
        let problem = ended.failed_before().unwrap();
        assert_eq!(problem.reason, Reason::InitContainerFailed);
        assert!(problem.message.starts_with("init container wait-for-db ended with exit code 143"), "{problem:?}");
    }

    #[test]
    fn of_a_backup_every_container_counts() {
        let whole = |status: Value| {
            whole_pod_state(&serde_json::from_value(json!({ "metadata": {}, "status": status })).unwrap())
        };
        let ended = |name: &str, code: i32, message: &str| {
            json!({"name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": {"terminated": {"exitCode": code, "reason": "Error", "message": message, "finishedAt": "2026-01-01T00:00:00Z"}}})
        };
        let one = json!({"phase": "Running", "containerStatuses": [ended("dump", 0, ""), {"name": "upload", "image": "i", "imageID": "",
            "ready": true, "restartCount": 0, "state": {"running": {}}}]});
        assert_eq!(whole(one), PodState::Running);
        let failed = whole(
            json!({"phase": "Failed", "containerStatuses": [ended("dump", 0, ""), ended("upload", 1, "no bucket")]}),
        );
        assert!(
            matches!(failed, PodState::Ended(Ended { exit_code: Some(1), message: Some(m), .. }) if m == "no bucket")
        );
        let done = whole(json!({"phase": "Succeeded", "containerStatuses": [ended("dump", 0, "")]}));
        assert!(matches!(done, PodState::Ended(Ended { exit_code: Some(0), finished_at: Some(_), .. })));
        let late = whole(json!({"phase": "Failed", "reason": "DeadlineExceeded", "message": "too long"}));
        assert!(
            matches!(late, PodState::Ended(Ended { exit_code: None, reason: Some(r), .. }) if r.contains("DeadlineExceeded"))
        );
    }

    #[test]
    fn a_pod_that_the_cluster_took_away_is_replaced_where_its_job_says_so() {
        let pod = |type_: &str, phase: &str| -> Pod {
            let conditions = json!([{"type": type_, "status": "True", "reason": "EvictionByEvictionAPI"}]);
            serde_json::from_value(json!({"metadata": {}, "status": {"phase": phase, "conditions": conditions}}))
                .unwrap()
        };
        let once: Job = serde_json::from_value(json!({"metadata": {}, "spec": {"template": {}}})).unwrap();
        let mut again = once.clone();
        again.spec.get_or_insert_default().pod_failure_policy = Some(crate::jobs::job::replace_disrupted());
        assert!(["Failed", "Running"].iter().all(|phase| is_replaced(&again, &pod(DISRUPTED, phase))));
        assert!(!is_replaced(&again, &pod(DISRUPTED, "Succeeded")));
        assert!(!is_replaced(&once, &pod(DISRUPTED, "Failed")) && !is_replaced(&again, &pod("Ready", "Failed")));
    }

    #[test]
    fn an_evicted_pod_has_ended_without_running() {
        let evicted = state(json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}));
        assert!(matches!(evicted, PodState::Ended(Ended { ran: false, reason: Some(r), .. }) if r.contains("Evicted")));
    }
}
