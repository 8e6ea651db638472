//! What the API server's refusal of something that a pass needs means for its object; no I/O.

use crate::{
    api::{Problem, Reason},
    error::{Class, Error},
    reconcile::cnpg,
    text,
};

/// A problem that people have to solve; `None` for what passes by itself.
pub fn refused(error: &Error) -> Option<Problem> {
    if error.class() != Class::Permanent {
        return None;
    }
    if let Some(problem) = without_cnpg(error) {
        return Some(problem);
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

/// CloudNativePG need not be there, and the operator need not have rights on what it has.
fn without_cnpg(error: &Error) -> Option<Problem> {
    let Error::Api { what, source } = error else { return None };
    let kube::Error::Api(status) = source.as_ref() else { return None };
    let creates = what.starts_with(cnpg::CREATE);
    if !creates && !what.starts_with(cnpg::GET) {
        return None;
    }
    let (reason, what_to_do) = match status.code {
        403 => (Reason::Forbidden, "; set the chart's value backup.cnpg to true"),
        404 if creates => (
            Reason::BackupFailed,
            "; the cluster has no Backups of postgresql.cnpg.io: install CloudNativePG, or set spec.backup.job",
        ),
        _ => (Reason::BackupFailed, ""),
    };
    Some(Problem::new(reason, text::clean(&format!("{error}{what_to_do}"), 900)))
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
        assert_eq!(api("create Backup shop-backup-1", 404), Some(Reason::BackupFailed));
        assert_eq!(api("create Backup shop-backup-1", 403), Some(Reason::Forbidden));
        assert_eq!(api("create Backup shop-backup-1", 500), None);
        assert_eq!(api("get Secret shop", 500), None);
        assert_eq!(api("write the status of shop", 409), None);
    }
}
