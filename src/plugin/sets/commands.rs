//! What each command does with a set: reads it, lets the pure parts make text of it, and writes that; does network I/O by way of
//! `cluster`.

use super::{
    answer::{self, Unsaid},
    logs, plans, status, status_of, targets,
};
use crate::{
    api::{ANNOTATION_REQUESTED_AT, ANNOTATION_SUSPEND, DatabaseMigrationSet, SetPlan},
    plugin::{
        Session,
        approve::{self, Say},
        changes::annotation,
        cli::{ChangeArgs, LogsArgs, PlanArgs, PlanOutput, PromoteArgs, SayArgs, StatusOutput, TargetsArgs},
        document::PlanDocument,
        plan,
        text::Line,
        thing::{Named, Shown, Thing},
        view::{State, Verdict, full_name},
        wait::Until,
        which_job,
    },
};
use anyhow::{anyhow, bail};
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;

impl Session {
    pub(in crate::plugin) fn status_of_set(
        &mut self,
        set: &DatabaseMigrationSet,
        output: StatusOutput,
    ) -> anyhow::Result<u8> {
        match output {
            StatusOutput::Text => self.out.lines(&status::one(set, self.out.look()))?,
            StatusOutput::Md => self.out.text(&status::markdown(set))?,
            StatusOutput::Json => self.out.text(&format!("{:#}\n", status::json(set)))?,
        }
        Ok(State::of(set).verdict.exit_code())
    }

    /// The documents of some of a set's plans.
    async fn documents<'a>(
        &mut self,
        set: &DatabaseMigrationSet,
        meant: Vec<&'a SetPlan>,
    ) -> anyhow::Result<Vec<(&'a SetPlan, PlanDocument)>> {
        let name = set.status.as_ref().and_then(|status| status.rollout.as_ref()?.config_map.clone());
        let map = self.cluster().await?.config_map(name.as_deref()).await?;
        let read = |plan: &'a SetPlan| Ok((plan, plans::document(set, plan, map.as_ref())?));
        meant.into_iter().map(read).collect()
    }

    pub(in crate::plugin) async fn plan_of_set(
        &mut self,
        set: &DatabaseMigrationSet,
        args: &PlanArgs,
    ) -> anyhow::Result<u8> {
        let status = status_of(set);
        let meant = plans::meant(plans::all(&status), args.plan.as_deref())?;
        if meant.is_empty() {
            let State { word, message, verdict, .. } = State::of(set);
            if verdict != Verdict::Ready {
                bail!("there is no plan: {word}: {message}\nNext:  {}", crate::plugin::status::command(set, "status"));
            }
            self.out.notes(&[Line::new().text(format!("nothing to run: {word}, {message}"))])?;
            return Ok(0);
        }
        let documents = self.documents(set, meant).await?;
        let needs_document = matches!(args.output, PlanOutput::Sql | PlanOutput::Undo | PlanOutput::Json);
        if let Some((plan, _)) = documents.iter().find(|(_, document)| needs_document && !document.is_stored()) {
            bail!("the SQL of plan {} is not stored: the ConfigMap has no room for it, or is not there", plan.hash);
        }
        if args.output == PlanOutput::Json {
            let json = |document: &PlanDocument| serde_json::from_str::<serde_json::Value>(&document.json);
            let all: Vec<_> = documents.iter().filter_map(|(_, document)| json(document).ok()).collect();
            self.out.text(&format!("{:#}\n", serde_json::Value::from(all)))?;
            return Ok(0);
        }
        for (number, (plan, document)) in documents.iter().enumerate() {
            if number > 0 {
                self.out.text("\n")?;
            }
            let about = plans::about(set, plan);
            match args.output {
                PlanOutput::Text | PlanOutput::Json => {
                    self.out.lines(&plan::page(&about, document, self.out.look()))?
                }
                PlanOutput::Md => self.out.text(&plan::markdown(&about, document))?,
                PlanOutput::Sql => self.out.text(&document.sql)?,
                PlanOutput::Undo => self.out.text(&document.undo)?,
            }
        }
        Ok(0)
    }

    pub(in crate::plugin) async fn say_of_set(
        &mut self,
        set: DatabaseMigrationSet,
        say: Say,
        args: SayArgs,
    ) -> anyhow::Result<u8> {
        let status = status_of(&set);
        let meant = answer::meant(&set, plans::all(&status), args.plan.as_deref(), say)?;
        if let Some(file) = &args.git {
            let [plan] = meant.as_slice() else {
                bail!("spec.template.policy.approvedPlan holds one plan; name it with --plan");
            };
            if say == Say::Reject {
                bail!("--git is for an approval: a rejection is said in the cluster");
            }
            let path = ["spec", "template", "policy", "approvedPlan"];
            return self.edit(file, Named::Set(&set.name_any()), &path, &plan.hash);
        }
        let documents = self.documents(&set, meant.clone()).await?;
        for (plan, document) in &documents {
            let whose = format!("{}  {}", full_name(&set), status::targets_of(plan));
            let question = match document.is_stored() {
                true => approve::question(&whose, document, self.out.look()),
                false => plans::question(&whose, plan),
            };
            self.out.lines(&question)?;
            if !args.yes {
                self.out.text(&approve::prompt(&plan.hash, say.verb(), "plan"))?;
                approve::agreed(&plan.hash, &self.answer(&plan.hash)?)?;
            }
        }
        let hashes = meant.iter().map(|plan| plan.hash.as_str()).collect::<Vec<_>>().join(",");
        let change = |now: &DatabaseMigrationSet| answer::patch_now(&set, now, say, &hashes, args.reason.as_deref());
        let before = self.cluster().await?.answer_set(&set.name_any(), change).await?;
        let done = if say == Say::Approve { "approved" } else { "rejected" };
        for plan in &meant {
            self.out.text(&format!("✓ {done}   plan {} for {}\n", plan.hash, status::targets_of(plan)))?;
        }
        match say {
            Say::Approve if !args.no_follow => self.follow_set(&before).await,
            _ => Ok(0),
        }
    }

    /// Tells what follows a change of a set.
    async fn follow_set(&mut self, set: &DatabaseMigrationSet) -> anyhow::Result<u8> {
        let before = Thing::Set(Box::new(set.clone()));
        Box::pin(self.follow(&set.argument(), Until::Settled, None, Some(&before))).await
    }

    pub(in crate::plugin) async fn promote(&mut self, args: PromoteArgs) -> anyhow::Result<u8> {
        let set = self.set(&args.name).await?;
        let (number, wave) = answer::promotion(&set, args.wave.as_deref())?;
        let status = status_of(&set);
        let waves = status.rollout.iter().flat_map(|rollout| &rollout.waves);
        self.out.lines(&Line::new().text(format!("{}  ", full_name(&set))).wrapped_spans(
            waves.map(status::wave).collect(),
            "  ──  ",
            self.out.look().width,
        ))?;
        if !args.yes {
            self.out.text(&format!("Type the name of the wave ({wave}) to let the next one begin: "))?;
            if self.answer(&wave)?.trim() != wave {
                return Err(Unsaid::Mistyped.into());
            }
        }
        let change = |now: &DatabaseMigrationSet| answer::promote(now, number, &wave);
        let before = self.cluster().await?.answer_set(&set.name_any(), change).await?;
        self.out.text(&format!("✓ promoted   {wave} of rollout {number}\n"))?;
        if args.no_follow { Ok(0) } else { self.follow_set(&before).await }
    }

    pub(in crate::plugin) async fn targets(&mut self, args: TargetsArgs) -> anyhow::Result<u8> {
        let set = self.set(&args.name).await?;
        let pages = self.cluster().await?.pages(&set).await?;
        let all = targets::all(&pages);
        let count = all.len();
        let chosen = targets::chosen(all, &args);
        if args.json {
            return self.out.text(&format!("{:#}\n", targets::json(&chosen))).map(|()| 0).map_err(Into::into);
        }
        if chosen.is_empty() {
            self.out.notes(&[Line::new().text(format!("none of {count} targets"))])?;
            return Ok(0);
        }
        self.out.lines(&targets::page(&chosen, self.out.look()))?;
        Ok(0)
    }

    /// The set of a command that is for sets alone.
    async fn set(&mut self, argument: &str) -> anyhow::Result<DatabaseMigrationSet> {
        self.cluster().await?.set(Named::of(argument).name()).await
    }

    pub(in crate::plugin) async fn logs_of_set(
        &mut self,
        set: &DatabaseMigrationSet,
        args: &LogsArgs,
    ) -> anyhow::Result<u8> {
        let cluster = self.cluster().await?;
        let jobs = cluster.jobs_of_set(set).await?;
        let target = args.run.as_deref();
        let job = logs::choose(set, &jobs, target).map_err(|why| anyhow!(why))?.name_any();
        if args.follow {
            return self.follow_log(&cluster, &job, args.raw, target).await;
        }
        for (_, text) in cluster.logs_of(&job).await? {
            let text = if args.raw { text } else { which_job::readable(&text) };
            let text = target.map_or_else(|| text.clone(), |target| logs::of_target(&text, target));
            if let (Some(target), true) = (target, text.is_empty()) {
                let said = format!("Job {job} has written nothing about {}", crate::text::clean(target, 64));
                self.out.notes(&[Line::new().text(said)])?;
            }
            self.out.text(&text)?;
        }
        Ok(0)
    }

    pub(in crate::plugin) async fn retry_set(
        &mut self,
        set: &DatabaseMigrationSet,
        args: &ChangeArgs,
    ) -> anyhow::Result<u8> {
        let moment = Timestamp::now().to_string();
        let patch = annotation(ANNOTATION_REQUESTED_AT, Some(&moment));
        self.cluster().await?.change_set(&set.name_any(), &patch).await?;
        let failed = status_of(set).targets.failed;
        let noun = if failed == 1 { "target" } else { "targets" };
        self.out.text(&format!("✓ asked for at {moment}: {failed} failed {noun}\n"))?;
        if args.no_follow { Ok(0) } else { self.follow_set(set).await }
    }

    pub(in crate::plugin) async fn suspend_set(
        &mut self,
        set: &DatabaseMigrationSet,
        args: &ChangeArgs,
        suspend: bool,
    ) -> anyhow::Result<u8> {
        let patch = annotation(ANNOTATION_SUSPEND, suspend.then_some("true"));
        self.cluster().await?.change_set(&set.name_any(), &patch).await?;
        if suspend {
            let at_work = status_of(set).rollout.as_ref().is_some_and(|rollout| !rollout.batches.is_empty());
            let rest = if at_work { "; the batch at work is left to finish" } else { "" };
            let resume = crate::plugin::status::command(set, "resume");
            self.out.text(&format!("✓ paused: no batch is started until `{resume}`{rest}\n"))?;
            return Ok(0);
        }
        if set.spec.suspend {
            self.out.text("spec.suspend is true as well: it stays paused until a commit changes that\n")?;
            return Ok(Verdict::Waiting.exit_code());
        }
        self.out.text("✓ resumed\n")?;
        let waits = State::of(set).verdict != Verdict::Ready;
        if args.no_follow || !waits { Ok(0) } else { self.follow_set(set).await }
    }
}
