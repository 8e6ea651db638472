//! Logging set-up; writes to standard error.

use clap::ValueEnum;
use tracing_subscriber::{
    Layer,
    filter::{ParseError, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    Json,
    Text,
}

/// Starts logging. `filter` is a level, or levels by module, such as `info` or `info,kube=debug`.
pub fn init(format: LogFormat, filter: &str) -> Result<(), ParseError> {
    let filter: Targets = filter.parse()?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false);
    let registry = tracing_subscriber::registry();
    match format {
        LogFormat::Json => {
            registry.with(lines.json().flatten_event(true).with_span_list(false).with_filter(filter)).init();
        }
        LogFormat::Text => registry.with(lines.with_ansi(false).with_filter(filter)).init(),
    }
    Ok(())
}
