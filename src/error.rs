//! What can fail in a pass, and what follows from it; no I/O.

use std::{fmt, time::Duration};

/// A call to the API server: what a refusal means follows from what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    CreateJob(String),
    /// Of CloudNativePG, which need not be there.
    GetBackup(String),
    CreateBackup(String),
    /// A refusal of this one means what its code says.
    Other(String),
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateJob(name) => write!(f, "create Job {name}"),
            Self::GetBackup(name) => write!(f, "get Backup {name}"),
            Self::CreateBackup(name) => write!(f, "create Backup {name}"),
            Self::Other(what) => f.write_str(what),
        }
    }
}

impl From<&str> for Call {
    fn from(what: &str) -> Self {
        Self::Other(what.to_owned())
    }
}

impl From<&String> for Call {
    fn from(what: &String) -> Self {
        Self::Other(what.clone())
    }
}

/// A failure of a pass. What is wrong with an object or its database is not one: that is a condition.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what}: {}", said(.source))]
    Api {
        what: Call,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("{what}: the API server did not answer within {} s", .after.as_secs())]
    Deadline { what: Call, after: Duration },
    #[error("{0} changed while it was being reconciled")]
    Stale(String),
    #[error("{0}: others come first")]
    Busy(String),
    #[error("{what} is not created: this process may no longer lead")]
    NotLeading { what: String },
    #[error("{what} belongs to another object; delete it or rename one of the two")]
    Foreign { what: String },
    #[error("the Lease {lease} of this database is held by Job {holder}, which works or has worked until a moment ago")]
    Locked { lease: String, holder: String },
    #[error("{what}: {detail}")]
    Internal { what: String, detail: String },
}

/// What the API server said, without the rest of its answer.
fn said(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        other => other.to_string(),
    }
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
            Self::Api { what, source } => match source.as_ref() {
                kube::Error::Api(status) => of_code(what, status.code),
                _ => Class::Transient,
            },
            Self::Deadline { .. } | Self::Busy(_) | Self::NotLeading { .. } => Class::Transient,
            Self::Foreign { .. } | Self::Locked { .. } | Self::Internal { .. } => Class::Permanent,
        }
    }
}

fn of_code(what: &Call, code: u16) -> Class {
    match (what, code) {
        (_, 409) => Class::Stale,
        // The kind is not there.
        (Call::CreateBackup(_), 404) => Class::Permanent,
        // A token is renewed, and what is gone is seen to be gone next time; too many requests and failures of the server pass.
        (_, 401 | 404 | 408 | 429) => Class::Transient,
        // What it refuses stays refused.
        (_, 400..500) => Class::Permanent,
        _ => Class::Transient,
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
