//! Sending one notification: a few attempts with pauses, each with a time limit; does network I/O. The URL may hold a secret,
//! as those of chats do: it is read from a file, and never told.

use super::Happened;
use clap::ValueEnum;
use http_body_util::Full;
use hyper::{Method, Request, StatusCode, Uri, body::Bytes, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::json;
use std::{path::PathBuf, time::Duration};
use tokio::time::{sleep, timeout};

/// What a webhook understands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// CloudEvents 1.0 in structured mode.
    #[default]
    #[value(name = "CloudEvents")]
    CloudEvents,
    /// `{"text": …}`, as Slack, Mattermost and others take it.
    #[value(name = "Text")]
    Text,
}

/// Where notifications go.
pub struct Webhook {
    url_file: PathBuf,
    format: Format,
    source: String,
    limits: Limits,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
}

/// How long and how often it is tried.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub attempts: u32,
    /// Of one attempt.
    pub time: Duration,
    /// After the first attempt; twice as long after each further one.
    pub pause: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { attempts: 5, time: Duration::from_secs(10), pause: Duration::from_secs(2) }
    }
}

/// Why a notification was not delivered. No text holds the URL.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("the file with the webhook's URL can't be read: {0}")]
    File(std::io::Error),
    #[error("the file with the webhook's URL holds none: it has to begin with http:// or https://")]
    Url,
    #[error("the webhook can't be reached ({0})")]
    Unreachable(&'static str),
    #[error("the webhook did not answer within {} s", .0.as_secs_f32())]
    Late(Duration),
    #[error("the webhook answered {0}")]
    Refused(StatusCode),
    #[error("it can't be written as a request")]
    Request,
}

impl SendError {
    /// Whether another attempt may go better.
    fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Late(_) => true,
            Self::Refused(status) => {
                status.is_server_error()
                    || [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_MANY_REQUESTS].contains(status)
            }
            Self::File(_) | Self::Url | Self::Request => false,
        }
    }
}

impl Webhook {
    /// The file is read at each notification, so that a Secret may change.
    pub fn new(url_file: PathBuf, format: Format, source: String) -> std::io::Result<Self> {
        Self::with(url_file, format, source, Limits::default())
    }

    pub fn with(url_file: PathBuf, format: Format, source: String, limits: Limits) -> std::io::Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .try_with_platform_verifier()
            .map_err(std::io::Error::other)?
            .https_or_http()
            .enable_http1()
            .build();
        let client = Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { url_file, format, source, limits, client })
    }

    /// Tries until it is delivered, or no attempt is left.
    pub async fn deliver(&self, happened: &Happened) -> Result<(), SendError> {
        let mut pause = self.limits.pause;
        let mut attempt = 1;
        loop {
            let tried = match timeout(self.limits.time, self.send(happened)).await {
                Ok(tried) => tried,
                Err(_) => Err(SendError::Late(self.limits.time)),
            };
            match tried {
                Err(error) if error.may_pass() && attempt < self.limits.attempts => {
                    tracing::debug!(object = happened.subject(), attempt, %error, "a notification is tried again");
                }
                tried => return tried,
            }
            sleep(pause).await;
            pause *= 2;
            attempt += 1;
        }
    }

    async fn send(&self, happened: &Happened) -> Result<(), SendError> {
        let text = std::fs::read_to_string(&self.url_file).map_err(SendError::File)?;
        let url: Uri = text.trim().parse().map_err(|_| SendError::Url)?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
            return Err(SendError::Url);
        }
        let (kind, body) = match self.format {
            Format::CloudEvents => ("application/cloudevents+json; charset=utf-8", happened.cloud_event(&self.source)),
            Format::Text => ("application/json; charset=utf-8", json!({ "text": happened.line() })),
        };
        let request = Request::builder()
            .method(Method::POST)
            .uri(url)
            .header(header::CONTENT_TYPE, kind)
            .header(header::USER_AGENT, concat!("alembic-operator/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(Bytes::from(body.to_string())))
            .map_err(|_| SendError::Request)?;
        let answer = self.client.request(request).await.map_err(|error| {
            SendError::Unreachable(if error.is_connect() { "no connection" } else { "the connection broke" })
        })?;
        // Its body is of no interest, and may be endless.
        if answer.status().is_success() { Ok(()) } else { Err(SendError::Refused(answer.status())) }
    }
}
