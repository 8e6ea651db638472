//! The plugin's command line; no I/O.

use crate::{cli::FingerprintArgs, cli::LintArgs, jobs::Kind};
use clap::{Args, Parser, Subcommand, ValueEnum, builder::PossibleValue};
use std::path::PathBuf;

mod file;
mod set;

pub use file::{DriftArgs, DriftOutput, FileArgs, MergeArgs, RevisionArgs};
pub use set::{PromoteArgs, TargetState, TargetsArgs};

/// Alembic migrations in Kubernetes: what is planned, what ran, and what to do next.
#[derive(Debug, Parser)]
#[command(name = "kubectl-dbmigration", bin_name = "kubectl dbmigration", version, after_help = EXIT_CODES)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "Exit codes of status, wait and approve: 0 ready, 1 stalled, 3 waits for somebody, 4 at work.
Exit code 2: the question could not be asked.";

/// Flags as kubectl has them.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// The namespace (default: that of the context).
    #[arg(short, long, global = true, value_name = "NAMESPACE")]
    pub namespace: Option<String>,
    /// The context of the kubeconfig.
    #[arg(long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig (default: KUBECONFIG, or ~/.kube/config).
    #[arg(long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Whether the answer has colours; NO_COLOR is obeyed.
    #[arg(long, global = true, value_enum, default_value = "auto")]
    pub color: Color,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Where a database is and where it should be: one object or set, or all in a table.
    Status(StatusArgs),
    /// What will run: the SQL with the hazards under each statement.
    Plan(PlanArgs),
    /// Approve the plan that waits, and follow it.
    Approve(SayArgs),
    /// Reject the plan that waits: it does not run, and whoever waits for it stops.
    Reject(SayArgs),
    /// The runs that have ended.
    History(NameArgs),
    /// The log of the newest Job, of a run, or of another kind of Job.
    Logs(LogsArgs),
    /// The revisions with the database, the target and what lies between.
    Graph(GraphArgs),
    /// What a target means now, relative forms too (`target shop -- -1`), and the line to commit.
    Target(TargetArgs),
    /// Try again now what failed.
    Retry(ChangeArgs),
    /// Start no new run or batch, whatever the spec says; what runs is left to finish.
    #[command(visible_alias = "pause")]
    Suspend(ChangeArgs),
    /// Take `suspend` back.
    Resume(ChangeArgs),
    /// Let the next wave of a set begin.
    Promote(PromoteArgs),
    /// Where each target of a set is, and why not at the revision that it should be at.
    Targets(TargetsArgs),
    /// Accept the live schema as it is now; any other is drift again.
    AcceptDrift(AcceptArgs),
    /// How the live schema differs from what it should be.
    Drift(DriftArgs),
    /// Write the next revision: what the models have and the database has not, by Alembic's own autogenerate.
    Revision(RevisionArgs),
    /// Write the revision that joins several heads.
    Merge(MergeArgs),
    /// Wait until an object is ready; ends at once when it is stalled.
    Wait(WaitArgs),
    /// What a reason or a hazard's code means, and what to do about it.
    Why(WhyArgs),
    /// Write a first DatabaseMigration as YAML, from a Deployment (`init deploy/shop`) or from flags.
    Init(InitArgs),
    /// Write the lines by which a database with tables and no version row is taken over.
    Adopt(AdoptArgs),
    /// Write the init container that holds an application back until the database has what its image needs.
    Gate(NameArgs),
    /// Serve a page on 127.0.0.1 that shows all of this, and open it in the browser.
    Ui(UiArgs),
    /// Write a zip for a bug report, without secrets.
    Report(ReportArgs),
    /// Look for hazards in migration SQL.
    Lint(LintArgs),
    /// Print the fingerprint of a database's schema, or how it differs from an earlier one.
    Fingerprint(FingerprintArgs),
    /// The version of the plugin and of the operator.
    Version,
    /// Print the completion for a shell; `kubectl` is the script that kubectl itself calls.
    Completion(CompletionArgs),
    /// What a shell may complete; for kubectl_complete-dbmigration.
    #[command(name = "__complete", hide = true, disable_help_flag = true)]
    Complete(CompleteArgs),
}

#[derive(Debug, Args)]
pub struct StatusArgs {
    /// The object, or the set (also as set/NAME); without one, all in the namespace.
    pub name: Option<String>,
    /// In all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Those with these labels.
    #[arg(short = 'l', long, value_name = "LABELS")]
    pub selector: Option<String>,
    /// Draw it again until it is stopped.
    #[arg(short, long)]
    pub watch: bool,
    /// The spec that holds: the object's own with the settings of the platform under it.
    #[arg(long, requires = "name", conflicts_with_all = ["watch", "output"])]
    pub effective: bool,
    /// md is a report to paste, json is for programs.
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: StatusOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum StatusOutput {
    Text,
    Md,
    Json,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The object or set.
    pub name: String,
    /// Of a set the plan that is meant, or its beginning; without it, all of them.
    #[arg(long, value_name = "HASH")]
    pub plan: Option<String>,
    /// sql is what runs, undo undoes it, json is for programs, md for a pull request.
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: PlanOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PlanOutput {
    Text,
    Sql,
    Undo,
    Json,
    Md,
}

#[derive(Debug, Args)]
pub struct SayArgs {
    /// The object or set.
    pub name: String,
    /// The plan that is meant, or its beginning; any other is refused. Of a set several, separated by commas.
    #[arg(long, value_name = "HASH")]
    pub plan: Option<String>,
    /// Why; it is kept with the run.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Write the approval into a manifest instead of the cluster, as spec.policy.approvedPlan.
    #[arg(long, value_name = "FILE")]
    pub git: Option<PathBuf>,
    /// Do not wait for what follows.
    #[arg(long)]
    pub no_follow: bool,
}

#[derive(Debug, Args)]
pub struct NameArgs {
    /// The object.
    pub name: String,
}

#[derive(Debug, Args)]
pub struct LogsArgs {
    /// The object or set.
    pub name: String,
    /// Number of the run, as `history` shows it; of a set the name of a target.
    pub run: Option<String>,
    /// Another kind of Job.
    #[arg(long, value_enum)]
    pub job: Option<Kind>,
    /// Go on until the Job has ended.
    #[arg(short, long)]
    pub follow: bool,
    /// With the lines in which the runner hands over its results.
    #[arg(long)]
    pub raw: bool,
}

/// The kinds of Jobs, by their words in the Jobs' names.
impl ValueEnum for Kind {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()))
    }
}

#[derive(Debug, Args)]
pub struct WaitArgs {
    /// The object or set.
    pub name: String,
    /// How long, such as 90s, 10m or 1h30m.
    #[arg(long, default_value = "10m", value_parser = duration)]
    pub timeout: std::time::Duration,
    /// End when a plan waits for an approval, or a wave for a promotion, too.
    #[arg(long)]
    pub until_asked: bool,
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    crate::api::parse_duration(text).ok_or_else(|| "write it as 90s, 10m or 1h30m".to_owned())
}

#[derive(Debug, Args)]
pub struct WhyArgs {
    /// A reason in a condition, such as MultipleHeads, or a hazard's code, such as D02; without one, all words.
    pub word: Option<String>,
}

#[derive(Debug, Args)]
pub struct CompletionArgs {
    #[arg(value_enum)]
    pub shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
    Kubectl,
}

#[derive(Debug, Args)]
pub struct CompleteArgs {
    /// The words of the command line so far; the last one is being typed.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

#[derive(Debug, Args)]
pub struct GraphArgs {
    /// The object.
    pub name: String,
    /// dot is for Graphviz, mermaid for Markdown, svg a picture by itself, json for programs.
    #[arg(short, long, value_enum, default_value = "ascii")]
    pub output: GraphOutput,
    /// With all applied revisions.
    #[arg(long)]
    pub all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphOutput {
    Ascii,
    Dot,
    Mermaid,
    Svg,
    Json,
}

#[derive(Debug, Args)]
pub struct TargetArgs {
    /// The object.
    pub name: String,
    /// A target as Alembic's commands take it: head, an id or its beginning, -1, +2, branch@+1, id-1.
    #[arg(allow_hyphen_values = true)]
    pub target: String,
    /// Write it into a manifest, as spec.targetRevision.
    #[arg(long, value_name = "FILE")]
    pub git: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ChangeArgs {
    /// The object or set.
    pub name: String,
    /// Do not wait for what follows.
    #[arg(long)]
    pub no_follow: bool,
}

#[derive(Debug, Args)]
pub struct AcceptArgs {
    /// The object.
    pub name: String,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Write it into a manifest instead of the cluster, as spec.drift.acceptedFingerprint.
    #[arg(long, value_name = "FILE")]
    pub git: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct InitArgs {
    /// deploy/NAME, or the name of the new object.
    pub from: String,
    /// The container of the Deployment, where it has several.
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// The image, where there is no Deployment.
    #[arg(long)]
    pub image: Option<String>,
    /// The variable that carries the database's URL (default: the one that looks like it, or DATABASE_URL).
    #[arg(long, value_name = "NAME")]
    pub url_env: Option<String>,
    /// The Secret with the URL, where no variable of the Deployment names it.
    #[arg(long, value_name = "NAME")]
    pub secret: Option<String>,
    /// Its key (default: url).
    #[arg(long)]
    pub key: Option<String>,
    /// Where the database should be (default: head).
    #[arg(long, value_name = "REVISION")]
    pub target: Option<String>,
}

#[derive(Debug, Args)]
pub struct AdoptArgs {
    /// The object.
    pub name: String,
    /// The revision that the tables are at.
    #[arg(default_value = "head")]
    pub revision: String,
    /// Write it into a manifest, as spec.adopt.revision.
    #[arg(long, value_name = "FILE")]
    pub git: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ReportArgs {
    /// The object.
    pub name: String,
    /// Where it is written (default: NAME-report.zip).
    #[arg(short, long)]
    pub file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct UiArgs {
    /// The object that is opened; without one, all.
    pub name: Option<String>,
    /// Of all namespaces.
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// The port (default: any free one).
    #[arg(long, default_value_t = 0)]
    pub port: u16,
    /// Open no browser.
    #[arg(long)]
    pub no_open: bool,
}
