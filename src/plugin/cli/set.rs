//! The flags of the commands that are for sets alone; no I/O.

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// The set.
    pub name: String,
    /// The wave that is done; any other than the one that waits is refused.
    #[arg(long, value_name = "NAME")]
    pub wave: Option<String>,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Do not wait for what follows.
    #[arg(long)]
    pub no_follow: bool,
}

#[derive(Debug, Args)]
pub struct TargetsArgs {
    /// The set.
    pub name: String,
    /// Those that stand so.
    #[arg(long, value_enum)]
    pub state: Option<TargetState>,
    /// Those of this wave.
    #[arg(long, value_name = "NAME")]
    pub wave: Option<String>,
    /// As JSON, for programs.
    #[arg(long)]
    pub json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TargetState {
    AtTarget,
    Pending,
    Running,
    Failed,
}
