//! The arguments of what writes a revision's file; no I/O.

use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub struct DriftArgs {
    /// The object.
    pub name: String,
    /// diff has every difference to read, json for programs; revision writes a revision's file, with --keep or --roll-back.
    #[arg(short, long, value_enum, default_value = "text")]
    pub output: DriftOutput,
    /// With -o revision: the file does what was done by hand, so that every database gets it.
    #[arg(long, conflicts_with = "roll_back")]
    pub keep: bool,
    /// With -o revision: the file undoes what was done by hand.
    #[arg(long)]
    pub roll_back: bool,
    #[command(flatten)]
    pub file: FileArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DriftOutput {
    Text,
    Diff,
    Json,
    Revision,
}

/// What is told of a revision's file.
#[derive(Clone, Debug, Default, Args)]
pub struct FileArgs {
    /// What the revision is called.
    #[arg(short, long, value_name = "TEXT")]
    pub message: Option<String>,
    /// The folder that the file is written into, such as migrations/versions; without it, standard output.
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Another image than the object's, such as that of a pull request.
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The revision's id (default: one that Alembic makes up).
    #[arg(long, value_name = "ID")]
    pub rev_id: Option<String>,
}

#[derive(Debug, Args)]
pub struct RevisionArgs {
    /// The object.
    pub name: String,
    #[command(flatten)]
    pub file: FileArgs,
    /// The head to build on, where the image has several.
    #[arg(long, value_name = "REVISION")]
    pub head: Option<String>,
    /// Allow a head that is none, and so a new branch.
    #[arg(long)]
    pub splice: bool,
    /// The label of the branch that begins here.
    #[arg(long, value_name = "LABEL")]
    pub branch_label: Option<String>,
    /// The folder in the image, where the project has several version_locations.
    #[arg(long, value_name = "PATH")]
    pub version_path: Option<String>,
    /// A revision that this one depends on; may be given several times.
    #[arg(long, value_name = "REVISION")]
    pub depends_on: Vec<String>,
}

#[derive(Debug, Args)]
pub struct MergeArgs {
    /// The object.
    pub name: String,
    /// The revisions to join (default: all heads).
    pub revisions: Vec<String>,
    #[command(flatten)]
    pub file: FileArgs,
}
