//! What each command does: reads objects, lets the pure parts make text of them, and writes it; does network I/O by way of
//! `cluster`.

use super::{
    approve::{self, Say, Unasked},
    cli::{
        Command, DriftArgs, DriftOutput, LogsArgs, NameArgs, PlanArgs, PlanOutput, SayArgs, StatusArgs, StatusOutput,
        WaitArgs, WhyArgs,
    },
    cluster::{Cluster, Place, Selection},
    completion,
    document::PlanDocument,
    drift, history, manifest,
    out::Out,
    overview,
    plan::{self, About},
    sets, status, summary,
    text::Line,
    thing::{Named, Thing},
    version,
    view::{State, Verdict, full_name, status_of},
    wait, which_job, why,
};
use crate::{api::DatabaseMigration, jobs::CONTAINER};
use anyhow::{Context as _, anyhow, bail};
use kube::ResourceExt;
use std::{
    io::{self, BufRead, IsTerminal},
    path::Path,
    time::Duration,
};

/// A call of the plugin.
pub struct Session {
    place: Place,
    cluster: Option<Cluster>,
    pub(super) out: Out,
    /// What somebody types, where it does not come from the terminal.
    pub(super) typed: Option<String>,
}

/// Between two looks at an object that is being watched.
const REDRAW: Duration = Duration::from_secs(2);

impl Session {
    /// Against the cluster of a kubeconfig.
    pub fn new(place: Place, out: Out) -> Self {
        Self { place, cluster: None, out, typed: None }
    }

    /// Against a cluster that is connected already.
    pub fn with(cluster: Cluster, out: Out, typed: Option<String>) -> Self {
        Self { place: Place::default(), cluster: Some(cluster), out, typed }
    }

    /// The cluster, connected when it is needed for the first time.
    pub(super) async fn cluster(&mut self) -> anyhow::Result<Cluster> {
        if let Some(cluster) = &self.cluster {
            return Ok(cluster.clone());
        }
        let cluster = Cluster::connect(&self.place).await?;
        self.cluster = Some(cluster.clone());
        Ok(cluster)
    }

    pub(super) async fn find(&mut self, name: &str) -> anyhow::Result<Thing> {
        let cluster = self.cluster().await?;
        Box::pin(cluster.find(name)).await
    }

    pub(super) async fn object(&mut self, name: &str) -> anyhow::Result<DatabaseMigration> {
        let (Named::Any(name) | Named::Migration(name)) = Named::of(name) else {
            bail!("{name} is a DatabaseMigrationSet, and the command is for a DatabaseMigration");
        };
        self.cluster().await?.object(name).await
    }

    /// Does what a command says, and returns the exit code.
    pub async fn execute(&mut self, command: Command) -> anyhow::Result<u8> {
        match command {
            Command::Status(args) => self.status(args).await,
            Command::Plan(args) => self.plan(args).await,
            Command::Approve(args) => self.say(Say::Approve, args).await,
            Command::Reject(args) => self.say(Say::Reject, args).await,
            Command::History(args) => self.history(args).await,
            Command::Logs(args) => self.logs(args).await,
            Command::Graph(args) => self.graph(args).await,
            Command::Target(args) => self.target(args).await,
            Command::Retry(args) => self.retry(args).await,
            Command::Suspend(args) => self.suspend(args, true).await,
            Command::Resume(args) => self.suspend(args, false).await,
            Command::Promote(args) => Box::pin(self.promote(args)).await,
            Command::Targets(args) => Box::pin(self.targets(args)).await,
            Command::AcceptDrift(args) => self.accept_drift(args).await,
            Command::Drift(args) => self.drift(args).await,
            Command::Revision(args) => self.revision(args).await,
            Command::Merge(args) => self.merge(args).await,
            Command::Wait(args) => self.wait(args).await,
            Command::Why(args) => self.why(&args),
            Command::Init(args) => self.init(args).await,
            Command::Adopt(args) => self.adopt(args).await,
            Command::Gate(args) => self.gate(args).await,
            Command::Ui(args) => self.ui(args).await,
            Command::Report(args) => self.report(args).await,
            Command::Lint(args) => tokio::task::block_in_place(|| crate::cli::lint(&args)),
            Command::Fingerprint(args) => crate::cli::fingerprint(args).await,
            Command::Version => {
                let operator = match self.cluster().await {
                    Ok(cluster) => cluster.operator().await,
                    Err(error) => Err(error),
                };
                self.out.lines(&version::page(operator)).map(|()| 0).map_err(Into::into)
            }
            Command::Completion(args) => self.out.text(&completion::script(args.shell)).map(|()| 0).map_err(Into::into),
            Command::Complete(args) => self.complete(&args.words).await,
        }
    }

    async fn status(&mut self, args: StatusArgs) -> anyhow::Result<u8> {
        if let Some(name) = args.name.as_deref().filter(|_| args.effective) {
            let object = self.object(name).await?;
            return self.out.text(&status::effective(&object)?).map(|()| 0).map_err(Into::into);
        }
        loop {
            let code = match &args.name {
                Some(name) => self.status_of(name, args.output, args.watch).await?,
                None => self.status_of_all(&args).await?,
            };
            if !args.watch {
                return Ok(code);
            }
            tokio::time::sleep(REDRAW).await;
        }
    }

    async fn status_of(&mut self, name: &str, output: StatusOutput, again: bool) -> anyhow::Result<u8> {
        let object = match self.find(name).await? {
            Thing::Migration(object) => *object,
            Thing::Set(set) => {
                if again {
                    self.out.clear()?;
                }
                return self.status_of_set(&set, output);
            }
        };
        let known = if output == StatusOutput::Json { Default::default() } else { self.known(&object, output).await };
        if again {
            self.out.clear()?;
        }
        match output {
            StatusOutput::Text => self.out.lines(&status::one(&object, &known, self.out.look()))?,
            StatusOutput::Md => self.out.text(&summary::markdown(&object, &known))?,
            StatusOutput::Json => self.out.text(&format!("{:#}\n", status::json(&object)))?,
        }
        Ok(State::of(&object).verdict.exit_code())
    }

    /// What the images say of their revisions; without the right to read ConfigMaps nothing is known.
    async fn known(&mut self, object: &DatabaseMigration, output: StatusOutput) -> summary::Revisions {
        let Ok(cluster) = self.cluster().await else { return summary::Revisions::new() };
        // What a run went through may be in an earlier image alone.
        if output == StatusOutput::Md {
            return summary::revisions(&cluster.inspections(object, true).await.unwrap_or_default());
        }
        let image = cluster.acting_image(object).await.ok().flatten();
        summary::revisions(image.as_slice())
    }

    async fn status_of_all(&mut self, args: &StatusArgs) -> anyhow::Result<u8> {
        let selection = Selection { all_namespaces: args.all_namespaces, labels: args.selector.as_deref() };
        let cluster = self.cluster().await?;
        let (objects, mut unreadable) = cluster.list(selection).await?;
        let (sets, more) = cluster.sets(selection).await?;
        unreadable.extend(more);
        if args.watch {
            self.out.clear()?;
        }
        match args.output {
            StatusOutput::Json => {
                let all: Vec<_> = objects.iter().map(status::json).chain(sets.iter().map(sets::status::json)).collect();
                self.out.text(&format!("{:#}\n", serde_json::Value::from(all)))?;
            }
            StatusOutput::Md => {
                for object in &objects {
                    let known = summary::Revisions::new();
                    self.out.text(&(summary::markdown(object, &known) + "\n"))?;
                }
                for set in &sets {
                    self.out.text(&(sets::status::markdown(set) + "\n"))?;
                }
            }
            StatusOutput::Text if objects.is_empty() && sets.is_empty() => {
                let place = if args.all_namespaces {
                    "any namespace".into()
                } else {
                    format!("namespace {}", cluster.namespace)
                };
                self.out.text(&format!("no DatabaseMigration and no set in {place}\n"))?;
            }
            StatusOutput::Text => {
                let look = self.out.look();
                self.out.lines(&overview::overview(&objects, &sets, args.all_namespaces, look))?;
            }
        }
        for name in &unreadable {
            self.out.text(&format!("{name} can't be read: is the plugin older than the operator?\n"))?;
        }
        let states = objects.iter().map(State::of).chain(sets.iter().map(State::of));
        Ok(states.map(|state| state.verdict).max().unwrap_or(Verdict::Ready).exit_code())
    }

    pub(super) async fn document(&mut self, object: &DatabaseMigration) -> anyhow::Result<PlanDocument> {
        let name = object.status.as_ref().and_then(|status| status.plan.as_ref()?.config_map.clone());
        let map = self.cluster().await?.config_map(name.as_deref()).await?;
        Ok(PlanDocument::read(object, map.as_ref())?)
    }

    async fn plan(&mut self, args: PlanArgs) -> anyhow::Result<u8> {
        let object = match self.find(&args.name).await? {
            Thing::Migration(object) => *object,
            Thing::Set(set) => return Box::pin(self.plan_of_set(&set, &args)).await,
        };
        let document = match self.document(&object).await {
            Err(_) if object.status.as_ref().is_some_and(|status| status.plan.is_none()) => {
                return self.no_plan(&object);
            }
            read => read?,
        };
        match args.output {
            PlanOutput::Text => {
                self.out.lines(&plan::page(&About::object(&object, &document), &document, self.out.look()))?
            }
            PlanOutput::Md => self.out.text(&plan::markdown(&About::object(&object, &document), &document))?,
            PlanOutput::Sql => self.out.text(&document.sql)?,
            PlanOutput::Undo => self.out.text(&document.undo)?,
            PlanOutput::Json => self.out.text(&(document.json + "\n"))?,
        }
        Ok(0)
    }

    /// At its target an object needs no plan; elsewhere it lacks one for a reason.
    fn no_plan(&mut self, object: &DatabaseMigration) -> anyhow::Result<u8> {
        let State { word, message, verdict, .. } = State::of(object);
        if verdict == Verdict::Ready {
            self.out.notes(&[Line::new().text(format!("nothing to run: {word}, {message}"))])?;
            return Ok(0);
        }
        bail!("there is no plan: {word}: {message}\nNext:  {}", status::command(object, "status"))
    }

    async fn say(&mut self, say: Say, args: SayArgs) -> anyhow::Result<u8> {
        let object = match self.find(&args.name).await? {
            Thing::Migration(object) => *object,
            Thing::Set(set) => return Box::pin(self.say_of_set(*set, say, args)).await,
        };
        let document = self.document(&object).await?;
        approve::meant(&object, &document, args.plan.as_deref(), say)?;
        self.out.lines(&approve::question(&full_name(&object), &document, self.out.look()))?;
        if !args.yes {
            self.out.text(&approve::prompt(&document.hash, say.verb(), "plan"))?;
            approve::agreed(&document.hash, &self.answer(&document.hash)?)?;
        }
        if let Some(file) = &args.git {
            if say == Say::Reject {
                bail!(
                    "--git is for an approval: a rejection is said in the cluster, and the way back is another commit"
                );
            }
            let name = object.name_any();
            return self.edit(file, Named::Migration(&name), &["spec", "policy", "approvedPlan"], &document.hash);
        }
        let patch = approve::patch(say, &document.hash, args.reason.as_deref());
        self.cluster().await?.change(&object.name_any(), &patch).await?;
        let done = if say == Say::Approve { "approved" } else { "rejected" };
        self.out.text(&format!("✓ {done}   plan {}\n", document.hash))?;
        match say {
            Say::Approve if !args.no_follow => {
                let before = Thing::Migration(Box::new(object));
                self.follow(&args.name, wait::Until::Settled, None, Some(&before)).await
            }
            _ => Ok(0),
        }
    }

    /// What somebody types to agree to a hash.
    pub(super) fn answer(&mut self, hash: &str) -> anyhow::Result<String> {
        if let Some(typed) = self.typed.take() {
            return Ok(typed);
        }
        if !io::stdin().is_terminal() {
            self.out.text("\n")?;
            return Err(Unasked::NoTerminal(hash.to_owned()).into());
        }
        let mut line = String::new();
        io::stdin().lock().read_line(&mut line)?;
        Ok(line)
    }

    /// Changes one value of a manifest.
    pub(super) fn edit(&mut self, file: &Path, name: Named<'_>, path: &[&str], value: &str) -> anyhow::Result<u8> {
        let shown = file.display();
        let text = std::fs::read_to_string(file).with_context(|| format!("{shown} can't be read"))?;
        let changed = manifest::set(&text, name, path, value).with_context(|| format!("{shown} is not changed"))?;
        std::fs::write(file, changed).with_context(|| format!("{shown} can't be written"))?;
        self.out.text(&format!("✓ {shown}: {} is {value}; commit it\n", path.join(".")))?;
        Ok(0)
    }

    async fn history(&mut self, args: NameArgs) -> anyhow::Result<u8> {
        let object = self.object(&args.name).await?;
        self.out.lines(&history::page(&object, self.out.look()))?;
        Ok(0)
    }

    async fn drift(&mut self, args: DriftArgs) -> anyhow::Result<u8> {
        let object = self.object(&args.name).await?;
        let key = match args.output {
            DriftOutput::Revision => return self.revision_of_drift(&object, args).await,
            DriftOutput::Text => {
                self.out.lines(&drift::page(&object, self.out.look()))?;
                return Ok(0);
            }
            DriftOutput::Diff => "drift.diff",
            DriftOutput::Json => "drift.json",
        };
        let status = status_of(&object);
        let name = status.drift.as_ref().and_then(|drift| drift.config_map.as_deref());
        let map = self.cluster().await?.config_map(name).await?;
        match map.and_then(|map| map.data?.remove(key)) {
            Some(text) => self.out.text(&(text.trim_end().to_owned() + "\n"))?,
            None if args.output == DriftOutput::Json => self.out.text("{\"objects\": []}\n")?,
            None => self.out.text("no difference\n")?,
        }
        Ok(0)
    }

    async fn wait(&mut self, args: WaitArgs) -> anyhow::Result<u8> {
        let until = if args.until_asked { wait::Until::Settled } else { wait::Until::Ready };
        self.follow(&args.name, until, Some(args.timeout), None).await
    }

    fn why(&mut self, args: &WhyArgs) -> anyhow::Result<u8> {
        let width = self.out.look().width;
        let Some(word) = &args.word else {
            self.out.lines(&why::words(width))?;
            return Ok(0);
        };
        match why::page(word, width) {
            Some(lines) => self.out.lines(&lines)?,
            None => match why::nearest(word) {
                Some(near) => bail!("{word} is neither a reason nor a hazard's code; is {near} meant?"),
                None => bail!("{word} is neither a reason nor a hazard's code; `kubectl dbmigration why` lists them"),
            },
        }
        Ok(0)
    }

    async fn logs(&mut self, args: LogsArgs) -> anyhow::Result<u8> {
        let object = match self.find(&args.name).await? {
            Thing::Migration(object) => *object,
            Thing::Set(set) => return Box::pin(self.logs_of_set(&set, &args)).await,
        };
        let cluster = self.cluster().await?;
        let jobs = cluster.jobs(&object).await?;
        let run = args.run.as_deref().map(str::parse).transpose().context("a run is named by its number")?;
        let wanted = which_job::Wanted { run, kind: args.job };
        let job = which_job::choose(&object, &jobs, wanted).map_err(|why| anyhow!(why))?.name_any();
        if args.follow {
            return self.follow_log(&cluster, &job, args.raw, None).await;
        }
        for (container, text) in cluster.logs_of(&job).await? {
            if container != CONTAINER {
                self.out.text(&format!("== {container}\n"))?;
            }
            self.out.text(&if args.raw { text } else { which_job::readable(&text) })?;
        }
        Ok(0)
    }

    async fn complete(&mut self, words: &[String]) -> anyhow::Result<u8> {
        let names = match completion::wants_name(words) {
            true => match self.cluster().await {
                Ok(cluster) => cluster.names().await,
                Err(_) => Vec::new(),
            },
            false => Vec::new(),
        };
        self.out.text(&completion::candidates(words, &names))?;
        Ok(0)
    }
}
