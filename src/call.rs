//! Calls to the API server, each with a deadline and an error that names what was tried; does network I/O.

use crate::error::{Call, Error};
use std::{future::Future, time::Duration};

/// kube's client has no read timeout; an answer that never comes must not hold an object for ever.
const DEADLINE: Duration = Duration::from_secs(10);

/// Awaits one call.
pub async fn call<T>(what: impl Into<Call>, call: impl Future<Output = kube::Result<T>>) -> Result<T, Error> {
    match tokio::time::timeout(DEADLINE, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(source)) => Err(Error::Api { what: what.into(), source: Box::new(source) }),
        Err(_) => Err(Error::Deadline { what: what.into(), after: DEADLINE }),
    }
}

/// The status code with which the API server refused, if it did.
pub fn refusal(error: &Error) -> Option<u16> {
    match error {
        Error::Api { source, .. } => match source.as_ref() {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        },
        _ => None,
    }
}
