//! The `kubectl-dbmigration` program: reads the command line and does what it says.

use alembic_operator::plugin::{self, cli::Cli};
use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    plugin::execute(Cli::parse())
}
