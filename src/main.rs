//! The `alembic-operator` program: reads the command line and does what it says.

use alembic_operator::cli::Cli;
use clap::Parser;

fn main() -> anyhow::Result<()> {
    Cli::parse().execute()
}
