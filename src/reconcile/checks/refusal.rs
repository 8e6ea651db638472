//! What the API server's refusal of something that a pass needs means for its object; no I/O.

use crate::{
    api::Reason,
    error::{Class, Error},
    reconcile::observed::Problem,
    text,
};

/// A problem that people have to solve; `None` for what passes by itself.
pub fn refused(error: &Error) -> Option<Problem> {
    if error.class() != Class::Permanent {
        return None;
    }
    let reason = match error {
        Error::Api { what, .. } if what.starts_with("create Job") => Reason::PodRejected,
        Error::Api { source, .. } => match source.as_ref() {
            kube::Error::Api(status) if status.code == 403 => Reason::Forbidden,
            _ => Reason::InvalidSpec,
        },
        Error::Foreign { .. } => Reason::PodRejected,
        _ => return None,
    };
    Some(Problem::new(reason, text::clean(&error.to_string(), 900)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn api(what: &str, code: u16) -> Option<Reason> {
        let status = Status { code, message: "no".into(), ..Status::default() };
        let source = Box::new(kube::Error::Api(Box::new(status)));
        refused(&Error::Api { what: what.into(), source }).map(|problem| problem.reason)
    }

    #[test]
    fn what_stays_refused_is_told() {
        assert_eq!(api("create Job shop-run-1", 422), Some(Reason::PodRejected));
        assert_eq!(api("create Job shop-run-1", 403), Some(Reason::PodRejected));
        assert_eq!(api("get Secret shop", 403), Some(Reason::Forbidden));
        assert_eq!(api("get Secret shop", 500), None);
        assert_eq!(api("write the status of shop", 409), None);
    }
}
