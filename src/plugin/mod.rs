//! `kubectl dbmigration`: what people see of DatabaseMigrations, and how they answer. What computes text is pure; `cluster` is the
//! only file that talks to the API server, with the caller's own rights.

mod approve;
mod author;
mod author_job;
mod changes;
pub mod cli;
pub mod cluster;
mod commands;
mod completion;
mod document;
mod drift;
mod follow;
mod gather;
mod graph;
mod history;
mod manifest;
pub mod out;
mod overview;
mod plan;
mod report;
mod sets;
mod stages;
mod status;
mod summary;
mod table;
mod target;
#[cfg(test)]
mod tests;
mod text;
mod thing;
mod ui;
mod version;
mod view;
mod wait;
mod which_job;
mod why;
mod write;
mod writing;

pub use commands::Session;

use self::{cli::Cli, cluster::Place, out::Out};
use std::{io, process::ExitCode};

/// The question could not be asked: a wrong command line, no cluster, no such object.
const UNASKED: u8 = 2;

/// Does what the command line says.
pub fn execute(cli: Cli) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let code = match runtime {
        Ok(runtime) => runtime.block_on(answer(cli)),
        Err(error) => Err(error.into()),
    };
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = io::Write::write_all(&mut io::stderr(), format!("Error: {error:#}\n").as_bytes());
            ExitCode::from(UNASKED)
        }
    }
}

async fn answer(cli: Cli) -> anyhow::Result<u8> {
    let Cli { global, command } = cli;
    let out = Out::standard(global.color);
    let place = Place { kubeconfig: global.kubeconfig, context: global.context, namespace: global.namespace };
    Session::new(place, out).execute(command).await
}

/// Whether the reader of a pipe has gone, as `head` does.
fn is_closed(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
