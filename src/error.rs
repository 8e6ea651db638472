//! What can fail in a pass, and what follows from it; no I/O.

use std::time::Duration;

/// A failure of a pass. What is wrong with an object or its database is not one: that is a condition.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: {source}")]
    Api {
        what: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("{what}: the API server did not answer within {} s", .after.as_secs())]
    Deadline { what: String, after: Duration },
    #[error("{0} changed while it was being reconciled")]
    Stale(String),
    #[error("{what} is not created: this process may no longer lead")]
    NotLeading { what: String },
    #[error("{what} belongs to another object; delete it or rename one of the two")]
    Foreign { what: String },
    #[error("{what}: {detail}")]
    Internal { what: String, detail: String },
}

/// What a failure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Look again at once: the world has moved on.
    Stale,
    /// Try again with growing pauses.
    Transient,
    /// Trying again soon will not help.
    Permanent,
}

impl Error {
    /// The only place that tells the classes apart.
    pub fn class(&self) -> Class {
        match self {
            Self::Stale(_) => Class::Stale,
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) if status.code == 409 => Class::Stale,
                // Too many requests and failures of the server pass; what it refuses stays refused.
                kube::Error::Api(status) if (400..500).contains(&status.code) && status.code != 429 => Class::Permanent,
                _ => Class::Transient,
            },
            Self::Deadline { .. } | Self::NotLeading { .. } => Class::Transient,
            Self::Foreign { .. } | Self::Internal { .. } => Class::Permanent,
        }
    }
}

impl Class {
    /// The value of the metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stale => "stale",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
        }
    }
}
