//! Following an object or a log until it is over: looks again and again, and tells what is new; does network I/O.

use super::{
    Session,
    cluster::Cluster,
    sets,
    thing::Thing,
    view::status_of,
    wait::{Told, Until, is_over},
    which_job,
};
use crate::api::DatabaseMigration;
use kube::ResourceExt;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// The operator answers a change within moments; until then the old state is no end.
const PATIENCE: Duration = Duration::from_secs(10);

impl Session {
    /// Tells each change of an object's state until it is over. `before` is the object as it was before it was changed: what
    /// still is as it was then is no answer yet.
    pub(super) async fn follow(
        &mut self,
        name: &str,
        until: Until,
        timeout: Option<Duration>,
        before: Option<&Thing>,
    ) -> anyhow::Result<u8> {
        let cluster = self.cluster().await?;
        let begun = Instant::now();
        let mut told = Told::default();
        loop {
            let thing = Box::pin(cluster.find(name)).await?;
            let answered = before.is_none_or(|before| !before.has_same_status(&thing)) || begun.elapsed() > PATIENCE;
            if answered {
                let state = thing.state();
                let look = self.out.look();
                let steps = match &thing {
                    Thing::Migration(object) => self.steps(&cluster, object, &mut told).await,
                    Thing::Set(set) => told.progress(&sets::status::counts(&sets::status_of(set)), look.width),
                };
                self.out.lines(&steps)?;
                if let Some(line) = told.state(&state, look.now, look.width) {
                    self.out.lines(&[line])?;
                }
                if is_over(state.verdict, until) {
                    return Ok(state.verdict.exit_code());
                }
                if timeout.is_some_and(|timeout| begun.elapsed() >= timeout) {
                    self.out.text(&format!("not over within {} s\n", timeout.unwrap_or_default().as_secs()))?;
                    return Ok(state.verdict.exit_code());
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// The steps that the run at work has begun since the last look; what can't be read is not told.
    async fn steps(
        &mut self,
        cluster: &Cluster,
        object: &DatabaseMigration,
        told: &mut Told,
    ) -> Vec<super::text::Line> {
        let status = status_of(object);
        let job = match (&status.runs.active, &status.last_run) {
            (Some(active), _) => cluster.job_of_run(object, active.number).await.ok().flatten(),
            (None, Some(run)) if told.follows(&run.job) => Some(run.job.clone()),
            _ => None,
        };
        let Some(job) = job else { return Vec::new() };
        let Ok(logs) = cluster.logs_of(&job).await else { return Vec::new() };
        logs.iter().flat_map(|(_, text)| told.steps(&job, text)).collect()
    }

    /// Prints a Job's log as it grows, until the Job has ended; of a batch the lines about one target alone, where one is named.
    pub(super) async fn follow_log(
        &mut self,
        cluster: &Cluster,
        job: &str,
        raw: bool,
        target: Option<&str>,
    ) -> anyhow::Result<u8> {
        let mut shown = String::new();
        loop {
            let ended = cluster.has_ended(job).await?;
            let text: String =
                cluster.logs_of(job).await.unwrap_or_default().into_iter().map(|(_, text)| text).collect();
            let text = if raw { text } else { which_job::readable(&text) };
            let text = target.map_or_else(|| text.clone(), |target| sets::of_target(&text, target));
            match text.strip_prefix(shown.as_str()) {
                Some(new) => self.out.text(new)?,
                // Another pod.
                None => self.out.text(&text)?,
            }
            shown = text;
            if ended {
                return Ok(0);
            }
            sleep(PAUSE).await;
        }
    }
}

impl Cluster {
    /// Whether a Job has ended, or is gone.
    async fn has_ended(&self, job: &str) -> anyhow::Result<bool> {
        let found = self.job(job).await?;
        Ok(found.is_none_or(|job| crate::jobs::is_finished(&job)))
    }

    /// The Job of a run.
    async fn job_of_run(&self, object: &DatabaseMigration, number: i64) -> anyhow::Result<Option<String>> {
        let jobs = self.jobs(object).await?;
        let wanted = which_job::Wanted { run: Some(number), kind: None };
        Ok(which_job::choose(object, &jobs, wanted).ok().map(ResourceExt::name_any))
    }
}
