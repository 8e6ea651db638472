//! The `alembic-operator` program: reads the command line and does what it says.

use alembic_operator::cli::Cli;
use clap::Parser;
use std::process::ExitCode;

fn main() -> anyhow::Result<ExitCode> {
    Cli::parse().execute()
}
