//! The Job that writes a revision's file: it is created with the caller's own rights, watched, read and deleted; does network
//! I/O.

use super::{
    Session, author,
    cli::{DriftArgs, FileArgs, MergeArgs, RevisionArgs},
    cluster::{Cluster, told},
    text::{Line, Tone},
    view::{self, status_of},
};
use crate::{
    api::{DatabaseMigration, DriftMode},
    jobs::{
        AUTHOR_DEADLINE, Author, Authored, CONTAINER, Ended, Frames, JobInput, Joiner, PodState, Trouble, author_job,
        author_program, pod_state, reported,
    },
    text::clean,
};
use anyhow::{anyhow, bail};
use futures::AsyncReadExt;
use k8s_openapi::{
    api::{
        batch::v1::Job,
        core::v1::{ConfigMap, Event, Pod},
    },
    jiff::Timestamp,
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, LogParams, PostParams},
};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Between two looks at the Job.
const PAUSE: Duration = Duration::from_secs(1);
/// A pod is there within moments; after that its Job's events say why not.
const POD_PATIENCE: Duration = Duration::from_secs(5);
/// More than the pod itself may take.
const PATIENCE: Duration = Duration::from_secs(AUTHOR_DEADLINE.unsigned_abs() + 30);
/// Bytes of the answer; a file of a thousand tables is smaller.
const MAX_ANSWER: u64 = 4 * 1024 * 1024;
/// Bytes of a log that are read for it.
const MAX_LOG: i64 = 16 * 1024 * 1024;

impl Session {
    pub(super) async fn revision(&mut self, args: RevisionArgs) -> anyhow::Result<u8> {
        let object = self.object(&args.name).await?;
        self.write_file(&object, Author::Revision(author::revision(&args)), &args.file).await
    }

    pub(super) async fn merge(&mut self, args: MergeArgs) -> anyhow::Result<u8> {
        let object = self.object(&args.name).await?;
        self.write_file(&object, Author::Merge(author::merge(&args)), &args.file).await
    }

    pub(super) async fn revision_of_drift(
        &mut self,
        object: &DatabaseMigration,
        args: DriftArgs,
    ) -> anyhow::Result<u8> {
        let status = status_of(object);
        if view::drifted_objects(&status) == 0 && object.spec.drift.mode != DriftMode::Models {
            bail!("nothing was changed by hand: drift is {}", super::drift::summary(&status));
        }
        let name = status.drift.as_ref().and_then(|drift| drift.config_map.as_deref());
        let map = self.cluster().await?.config_map(name).await?;
        let stored = map.and_then(|map| map.data?.remove("drift.json"));
        let asked = author::by_hand(object, &args, stored.as_deref())?;
        self.write_file(object, Author::Revision(asked), &args.file).await
    }

    /// Has the file written, prints or saves it, and tells what to check.
    async fn write_file(&mut self, object: &DatabaseMigration, author: Author, args: &FileArgs) -> anyhow::Result<u8> {
        if let Some(folder) = args.out.as_ref().filter(|folder| !folder.is_dir()) {
            bail!("{} is not a folder", folder.display());
        }
        if let Some(run) = &status_of(object).runs.active {
            bail!(
                "run {} is under way: wait for its end, `kubectl dbmigration wait {}`",
                run.number,
                object.name_any()
            );
        }
        let cluster = self.cluster().await?;
        let image = match &args.image {
            Some(image) => image.clone(),
            None => {
                let known = cluster.inspections(object, false).await.unwrap_or_default();
                known.into_iter().next().map_or_else(|| object.spec.image.clone(), |found| found.image)
            }
        };
        let authored = self.have_written(&cluster, object, &image, author).await?;
        let width = self.out.look().width;
        match (&args.out, authored.files.is_empty()) {
            (_, true) => {}
            (None, false) => self.out.text(&author::text(&authored.files))?,
            (Some(folder), false) => {
                for path in author::save(&authored.files, folder)? {
                    self.out.text(&format!("✓ {path}\n"))?;
                }
            }
        }
        self.out.notes(&author::review(&authored, width))?;
        Ok(0)
    }

    async fn have_written(
        &mut self,
        cluster: &Cluster,
        object: &DatabaseMigration,
        image: &str,
        author: Author,
    ) -> anyhow::Result<Authored> {
        let job = author_job(JobInput { object, image, scratch: None }, author, &Timestamp::now().to_string())?;
        let job = cluster.create_job(&job).await?;
        let name = job.name_any();
        let work = async {
            cluster.provide(&author_program(&job)).await?;
            self.answer_of(cluster, &name).await
        };
        let answer = tokio::select! {
            answer = timeout(PATIENCE, work) => match answer {
                Ok(answer) => answer,
                Err(_) => Err(anyhow!("Job {name} has not ended within {} s", PATIENCE.as_secs())),
            },
            _ = tokio::signal::ctrl_c() => Err(anyhow!("stopped; nothing was written")),
        };
        if let Err(error) = cluster.delete_job(&name).await {
            let line = format!("Job {name} is left, and goes by itself ten minutes after its end: {error:#}");
            self.out.notes(&[Line::of(Tone::Faint, line)])?;
        }
        answer
    }

    /// What the Job's pod says at its end; what keeps it from starting is told meanwhile.
    async fn answer_of(&mut self, cluster: &Cluster, job: &str) -> anyhow::Result<Authored> {
        let begun = Instant::now();
        let mut said = String::new();
        loop {
            let pod = cluster.pods(job).await?.into_iter().next();
            let words = match pod.as_ref().map(pod_state) {
                Some(PodState::Ended(ended)) => {
                    let pod = pod.map(|pod| pod.name_any()).unwrap_or_default();
                    return cluster.authored(&pod, &ended).await;
                }
                Some(PodState::Running) => "Alembic compares, and writes".to_owned(),
                Some(PodState::Blocked(trouble)) => words_of(trouble),
                Some(PodState::Waiting) => "the pod starts".to_owned(),
                None if begun.elapsed() > POD_PATIENCE => {
                    cluster.why_no_pod(job).await.unwrap_or_else(|| "there is no pod yet".to_owned())
                }
                None => "the Job is created".to_owned(),
            };
            if words != said {
                self.out.notes(&[Line::of(Tone::Busy, "◐ ").and(Tone::Faint, clean(&words, 400))])?;
                said = words;
            }
            sleep(PAUSE).await;
        }
    }
}

fn words_of(trouble: Trouble) -> String {
    match trouble {
        Trouble::ImagePull(words) => format!("the image can't be pulled: {words}"),
        Trouble::Rejected(words) => format!("the pod is refused: {words}"),
        Trouble::Unschedulable(words) => format!("no node has room: {words}"),
        Trouble::Stuck(words) | Trouble::Initializing(words) => format!("the pod does not start: {words}"),
    }
}

impl Cluster {
    /// The program of the Job, which its pod waits for.
    async fn provide(&self, map: &ConfigMap) -> anyhow::Result<()> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &self.namespace);
        let created = api.create(&PostParams::default(), map).await;
        created.map(drop).map_err(|error| lacking(error, "create", "configmaps"))
    }

    async fn create_job(&self, job: &Job) -> anyhow::Result<Job> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        api.create(&PostParams::default(), job).await.map_err(|error| lacking(error, "create", "jobs.batch"))
    }

    async fn delete_job(&self, name: &str) -> anyhow::Result<()> {
        let api: Api<Job> = Api::namespaced(self.client.clone(), &self.namespace);
        match api.delete(name, &DeleteParams::background()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(lacking(error, "delete", "jobs.batch")),
            Ok(_) => Ok(()),
        }
    }

    /// Reads what the runner wrote, or says why it wrote nothing.
    async fn authored(&self, pod: &str, ended: &Ended) -> anyhow::Result<Authored> {
        let report = match ended.report() {
            Ok(report) => report,
            Err(_) => match reported(ended) {
                Ok(report) => report,
                Err(problem) => bail!("{}", problem.message),
            },
        };
        if let Some(failure) = report.error {
            let detail = failure.detail.filter(|detail| !detail.trim().is_empty());
            bail!("{}{}", failure.message, detail.map(|detail| format!("\n{detail}")).unwrap_or_default());
        }
        let Some(frames) = report.frames else { bail!("the pod ended before it had written anything") };
        let payload = self.payload(pod, &frames).await?;
        serde_json::from_slice(&payload).map_err(|error| anyhow!("what the pod wrote can't be read: {error}"))
    }

    async fn payload(&self, pod: &str, frames: &Frames) -> anyhow::Result<Vec<u8>> {
        if frames.size() > MAX_ANSWER {
            bail!("what the pod wrote is longer than {MAX_ANSWER} bytes");
        }
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let params = LogParams {
            container: Some(CONTAINER.to_owned()),
            tail_lines: Some(frames.tail_lines()),
            limit_bytes: Some(MAX_LOG),
            ..LogParams::default()
        };
        let log = api.log_stream(pod, &params).await.map_err(|error| lacking(error, "get", "pods/log"))?;
        let mut log = std::pin::pin!(log);
        let mut joiner = Joiner::new(frames)?;
        let mut piece = vec![0; 64 * 1024];
        loop {
            let read = log.read(&mut piece).await?;
            if read == 0 {
                return Ok(joiner.finish()?);
            }
            joiner.feed(piece.get(..read).unwrap_or_default());
        }
    }

    /// The last event about a Job: quota and admission speak there.
    async fn why_no_pod(&self, job: &str) -> Option<String> {
        let api: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let fields = format!("involvedObject.name={job},involvedObject.kind=Job");
        let events = api.list(&ListParams::default().fields(&fields)).await.ok()?.items;
        events.into_iter().rev().find_map(|event| event.message)
    }
}

/// What the API server said; where a right is missing, which one, and what it is for.
fn lacking(error: kube::Error, verb: &str, resource: &str) -> anyhow::Error {
    match &error {
        kube::Error::Api(status) if status.code == 403 => anyhow!(
            "you may not {verb} {resource} here ({}); a revision is written by a Job, which needs the rights to create and delete jobs, to create configmaps, and to read pods and pods/log (the cluster's role `edit` has them)",
            clean(&status.message, 300)
        ),
        _ => told(error),
    }
}
