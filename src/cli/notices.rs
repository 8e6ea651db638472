//! The arguments of notifications, and the task that sends them; does network I/O by way of `notify`.

use crate::{
    metrics::Metrics,
    notify::{Format, Kind, Notifier, Webhook},
};
use anyhow::Context as _;
use clap::Args;
use std::{path::PathBuf, sync::Arc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// What the operator tells a webhook.
#[derive(Debug, Args)]
pub struct NoticeArgs {
    /// A file with the URL of a webhook that is told what people wait for. It is read again at each notification.
    #[arg(long, env = "ALEMBIC_OPERATOR_WEBHOOK_URL_FILE")]
    webhook_url_file: Option<PathBuf>,
    /// What the webhook understands: CloudEvents 1.0, or `{"text": …}` as chats do.
    #[arg(long, env = "ALEMBIC_OPERATOR_WEBHOOK_FORMAT", value_enum, default_value = "CloudEvents")]
    webhook_format: Format,
    /// What it is told of, separated by commas; everything without it.
    #[arg(long, env = "ALEMBIC_OPERATOR_WEBHOOK_EVENTS", value_enum, value_delimiter = ',')]
    webhook_events: Vec<Kind>,
    /// The beginning of `source` in CloudEvents, such as the name of the cluster.
    #[arg(long, env = "ALEMBIC_OPERATOR_WEBHOOK_SOURCE", default_value = "")]
    webhook_source: String,
}

/// The task that sends.
pub struct Notices(Option<(JoinHandle<()>, CancellationToken)>);

impl NoticeArgs {
    /// Starts the task where there is a webhook.
    pub fn start(&self, metrics: &Arc<Metrics>) -> anyhow::Result<(Notifier, Notices)> {
        let Some(file) = &self.webhook_url_file else { return Ok((Notifier::default(), Notices(None))) };
        let webhook = Webhook::new(file.clone(), self.webhook_format, self.webhook_source.clone())
            .context("--webhook-url-file: no certificates to check the webhook's by")?;
        let wanted = if self.webhook_events.is_empty() { Kind::ALL.to_vec() } else { self.webhook_events.clone() };
        let stop = CancellationToken::new();
        let (notifier, sending) = Notifier::new(webhook, wanted, metrics.clone(), stop.clone());
        Ok((notifier, Notices(Some((tokio::spawn(sending), stop)))))
    }
}

impl Notices {
    /// Sends what waits, for a few seconds.
    pub async fn end(self) {
        if let Some((sending, stop)) = self.0 {
            stop.cancel();
            let _ = sending.await;
        }
    }
}
