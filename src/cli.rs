//! The command line, and what each command does; does all kinds of I/O by way of the modules that it wires together.

mod defaults;
mod fingerprint;
mod lint;
mod notices;
mod probe;
mod wait;

pub use fingerprint::{FingerprintArgs, fingerprint};
pub use lint::{LintArgs, execute as lint};

use crate::{
    api::{DatabaseMigration, DatabaseMigrationSet, MANAGER},
    backoff::BackOff,
    controller,
    db::{AllowedHost, AllowedHosts, Network},
    http,
    lease::{Candidate, Claim, Led},
    metrics::Metrics,
    reconcile::{DriftSchedule, InspectionCache, Limits, Line, Payloads, Process, Servers},
    shard::Shard,
    telemetry::{self, LogFormat},
};
use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use k8s_openapi::{
    apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON},
    jiff::Timestamp,
};
use kube::{
    Client, CustomResourceExt,
    runtime::events::{Recorder, Reporter},
};
use std::{
    io::Write,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
};
use tokio_util::sync::CancellationToken;

/// Keeps Alembic databases at the revision that a DatabaseMigration asks for.
#[derive(Debug, Parser)]
#[command(version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator.
    Run(RunArgs),
    /// Print the CustomResourceDefinitions.
    Crd,
    /// Print the fingerprint of a database's schema, or how the schema differs from an earlier one (exit code 3).
    Fingerprint(fingerprint::FingerprintArgs),
    /// Print what the operator reads of a database: its version rows, its server, and whether that takes writes.
    Probe(probe::ProbeArgs),
    /// Look for hazards in migration SQL, such as `alembic upgrade --sql` prints.
    Lint(lint::LintArgs),
    /// Wait until a database has a revision: an init container for applications whose image has no Alembic.
    Wait(wait::WaitArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Namespaces to watch, separated by commas; empty for all.
    #[arg(long, env = "ALEMBIC_OPERATOR_NAMESPACES", value_delimiter = ',')]
    namespaces: Vec<String>,
    /// Address of /healthz, /readyz and /metrics.
    #[arg(long, env = "ALEMBIC_OPERATOR_LISTEN", default_value = "0.0.0.0:8080")]
    listen: SocketAddr,
    /// How many objects are worked on at a time.
    #[arg(long, env = "ALEMBIC_OPERATOR_CONCURRENCY", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// How many connections at a time the operator opens to one database server.
    #[arg(long, env = "ALEMBIC_OPERATOR_PROBE_CONNECTIONS", default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=256))]
    probe_connections: u16,
    /// How many runs are at work at a time; who waits for a place is Queued.
    #[arg(long, env = "ALEMBIC_OPERATOR_MAX_RUNS", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..))]
    max_runs: u16,
    /// How many of them on one database server.
    #[arg(long, env = "ALEMBIC_OPERATOR_MAX_RUNS_PER_SERVER", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..))]
    max_runs_per_server: u16,
    /// Work only on objects whose label `alembic-operator.dev/shard` has this value. Without it: only on those without the label.
    #[arg(long, env = "ALEMBIC_OPERATOR_SHARD", value_name = "KEY", default_value = "", hide_default_value = true)]
    shard: Shard,
    /// Database hosts that the operator connects to, separated by commas: networks (10.0.0.0/8), addresses, names, or all names
    /// below one (*.example.com). Without any all are allowed, but for loopback and link-local addresses.
    #[arg(long, env = "ALEMBIC_OPERATOR_ALLOW_HOSTS", value_name = "HOST", value_delimiter = ',')]
    allow_hosts: Vec<AllowedHost>,
    /// A YAML file with settings for every object: `defaults`, a partial spec, and `enforce`, what no object can weaken.
    #[arg(long, env = "ALEMBIC_OPERATOR_DEFAULTS", value_name = "FILE")]
    defaults: Option<PathBuf>,
    /// How many objects have metrics of their own; 0 for none, where names are no labels that anybody wants.
    #[arg(long, env = "ALEMBIC_OPERATOR_METRICS_OBJECTS", default_value_t = crate::metrics::OBJECTS)]
    metrics_objects: usize,
    /// Only some may approve, as the chart's admission policies see to: comments in revision files allow no hazard.
    #[arg(long, env = "ALEMBIC_OPERATOR_APPROVAL_RESTRICTED")]
    approval_restricted: bool,
    /// Work only while holding the Lease `alembic-operator`, or `alembic-operator-KEY` of a shard, in the pod's namespace, for more
    /// than one replica.
    #[arg(long, env = "ALEMBIC_OPERATOR_LEADER_ELECTION")]
    leader_election: bool,
    #[command(flatten)]
    notices: notices::NoticeArgs,
    /// How log lines look.
    #[arg(long, env = "ALEMBIC_OPERATOR_LOG_FORMAT", value_enum, default_value = "json")]
    log_format: LogFormat,
    /// What is logged: a level, or levels by module.
    #[arg(long, env = "ALEMBIC_OPERATOR_LOG", default_value = "info,kube=warn,kube_runtime=warn,sqlx=error")]
    log: String,
}

impl Cli {
    /// Does what was asked.
    pub fn execute(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Crd => print(&format!("{}---\n{}", crd()?, set_crd()?)),
            Command::Fingerprint(args) => fingerprint::execute(args),
            Command::Probe(args) => probe::execute(args),
            Command::Lint(args) => lint::execute(&args).map(ExitCode::from),
            Command::Wait(args) => wait::execute(args),
            Command::Run(args) => {
                telemetry::init(args.log_format, &args.log).context("--log")?;
                let runtime =
                    tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
                runtime.block_on(run(args)).map(|()| ExitCode::SUCCESS)
            }
        }
    }
}

/// The operator waits far more than it computes; each thread more costs memory for its own heap arena.
const WORKERS: usize = 2;

fn print(text: &str) -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The CustomResourceDefinition of a DatabaseMigration as YAML.
pub fn crd() -> Result<String, serde_yaml::Error> {
    definition(DatabaseMigration::crd())
}

/// The CustomResourceDefinition of a DatabaseMigrationSet as YAML.
pub fn set_crd() -> Result<String, serde_yaml::Error> {
    definition(DatabaseMigrationSet::crd())
}

fn definition(mut crd: CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    // kstatus takes an object without a status for one that is done: a pipeline that waits would go on before the operator
    // has seen it. No generation is -1.
    let schemas =
        crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut()?.open_api_v3_schema.as_mut());
    for status in schemas.filter_map(|schema| schema.properties.as_mut()?.get_mut("status")) {
        status.default = Some(JSON(serde_json::json!({ "observedGeneration": -1 })));
    }
    let mut crd = serde_yaml::to_value(crd)?;
    join_lines(&mut crd);
    without_null(&mut crd);
    serde_yaml::to_string(&crd)
}

/// Descriptions as they read, and not as the source breaks their lines: `kubectl explain` prints them as they are.
fn join_lines(value: &mut serde_yaml::Value) {
    match value {
        serde_yaml::Value::Mapping(map) => {
            for (key, value) in map.iter_mut() {
                match (key.as_str(), &mut *value) {
                    (Some("description"), serde_yaml::Value::String(text)) => {
                        let paragraphs: Vec<String> = text.split("\n\n").map(|part| part.replace('\n', " ")).collect();
                        *text = paragraphs.join("\n\n");
                    }
                    _ => join_lines(value),
                }
            }
        }
        serde_yaml::Value::Sequence(list) => list.iter_mut().for_each(join_lines),
        _ => {}
    }
}

/// Null is no value of an enum, and `kubectl explain` would show it as one. The API server takes a null in a manifest for a field
/// that is not there, unless the field is nullable.
fn without_null(value: &mut serde_yaml::Value) {
    match value {
        serde_yaml::Value::Mapping(map) => {
            if let Some(serde_yaml::Value::Sequence(values)) = map.get_mut("enum")
                && values.contains(&serde_yaml::Value::Null)
            {
                values.retain(|value| !value.is_null());
                map.remove("nullable");
            }
            map.iter_mut().for_each(|(_, value)| without_null(value));
        }
        serde_yaml::Value::Sequence(list) => list.iter_mut().for_each(without_null),
        _ => {}
    }
}

async fn run(args: RunArgs) -> anyhow::Result<()> {
    let defaults = args.defaults.as_deref().map(defaults::read).transpose()?;
    let client =
        Client::try_default().await.context("no way to the API server: neither a kubeconfig nor a service account")?;
    let stop = CancellationToken::new();
    let metrics = Arc::new(Metrics::new(args.metrics_objects, Timestamp::now));
    let reporter = Reporter { controller: MANAGER.to_owned(), instance: std::env::var("POD_NAME").ok() };
    let hosts = Arc::new(AllowedHosts::new(args.allow_hosts.clone()));
    let (notifier, notices) = args.notices.start(&metrics)?;
    let limits = Limits { all: args.max_runs.into(), server: args.max_runs_per_server.into() };
    let process = |claim| {
        Arc::new(Process {
            inspections: InspectionCache::default(),
            servers: Servers::new(args.probe_connections.into()),
            line: Line::new(limits, metrics.clone()),
            recorder: Recorder::new(client.clone(), reporter.clone()),
            back_off: BackOff::default(),
            checks: DriftSchedule::default(),
            payloads: Payloads::default(),
            metrics: metrics.clone(),
            notifier,
            claim,
            prober: Box::new(Network),
            hosts: hosts.clone(),
            defaults: defaults.clone(),
            restricted: args.approval_restricted,
            shard: args.shard.clone(),
            clock: Timestamp::now,
        })
    };
    // Whoever waits for the leadership is ready: to take over.
    let synced = Arc::new(AtomicBool::new(args.leader_election));
    let listener = http::bind(args.listen).await.with_context(|| format!("listening on {}", args.listen))?;
    let server = tokio::spawn(http::serve(listener, metrics.clone(), synced.clone(), stop.clone()));
    tokio::spawn(stop_on_signal(stop.clone()));
    let settings = defaults.as_ref().map(|defaults| defaults.hash.as_str());
    let shard = args.shard.to_string();
    tracing::info!(version = env!("CARGO_PKG_VERSION"), namespaces = ?args.namespaces, shard, defaults = settings, "started");
    let work = |claim| {
        controller::run(client.clone(), &args.namespaces, process(claim), synced, args.concurrency, stop.clone())
    };
    if args.leader_election {
        let identity = std::env::var("POD_NAME").unwrap_or_else(|_| format!("process-{}", std::process::id()));
        let candidate = Candidate::new(client.clone(), &args.shard.named(MANAGER), &identity, Timestamp::now);
        anyhow::ensure!(candidate.lead(stop.clone(), work).await == Led::Done, "the leadership was lost");
    } else {
        work(Claim::default()).await;
    }
    notices.end().await;
    stop.cancel();
    server.await?.with_context(|| format!("serving on {}", args.listen))
}

/// The first signal lets passes finish; a second one ends the process at once.
async fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let mut asked = Asked::new()?;
    asked.wait().await?;
    tracing::info!("stopping: passes under way are finished first");
    stop.cancel();
    asked.wait().await?;
    std::process::exit(1);
}

/// What asks a process to end.
#[cfg(unix)]
struct Asked {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Asked {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(&mut self) -> std::io::Result<()> {
        tokio::select! { _ = self.terminate.recv() => {}, _ = self.interrupt.recv() => {} }
        Ok(())
    }
}

/// The operator runs on Linux; the plugin is built from the same library for other systems.
#[cfg(not(unix))]
struct Asked;

#[cfg(not(unix))]
impl Asked {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn wait(&mut self) -> std::io::Result<()> {
        tokio::signal::ctrl_c().await
    }
}
