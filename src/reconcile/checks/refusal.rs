//! What the API server's refusal of something that a pass needs means for its object; no I/O.

use crate::{
    api::{Problem, Reason},
    error::{Call, Class, Error},
    text,
};

/// A problem that people have to solve; `None` for what passes by itself.
pub fn refused(error: &Error) -> Option<Problem> {
    if error.class() != Class::Permanent {
        return None;
    }
    let (reason, what_to_do) = match error {
        Error::Api { what, source } => match source.as_ref() {
            kube::Error::Api(status) => of_code(what, status.code),
            _ => return None,
        },
        Error::Foreign { .. } => (Reason::PodRejected, ""),
        Error::Locked { .. } => (
            Reason::DatabaseLocked,
            "; tried again with growing pauses. A Lease that stays after its Job is gone, and whose Job this operator may not see, can be deleted",
        ),
        Error::Deadline { .. }
        | Error::Busy(_)
        | Error::Stale(_)
        | Error::NotLeading { .. }
        | Error::Internal { .. } => return None,
    };
    Some(Problem::new(reason, text::clean(&format!("{error}{what_to_do}"), 900)))
}

/// CloudNativePG need not be there, and the operator need not have rights on what it has.
fn of_code(what: &Call, code: u16) -> (Reason, &'static str) {
    match (what, code) {
        (Call::GetBackup(_) | Call::CreateBackup(_), 403) => {
            (Reason::Forbidden, "; set the chart's value backup.cnpg to true")
        }
        (Call::CreateBackup(_), 404) => (
            Reason::BackupFailed,
            "; the cluster has no Backups of postgresql.cnpg.io: install CloudNativePG, or set spec.backup.job",
        ),
        (Call::GetBackup(_) | Call::CreateBackup(_), _) => (Reason::BackupFailed, ""),
        // Quota, admission and what the user's template makes of the pod.
        (Call::CreateJob(_), _) => (Reason::PodRejected, ""),
        (Call::Other(_), 403) => (Reason::Forbidden, ""),
        (Call::Other(_), _) => (Reason::InvalidSpec, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn api(what: Call, code: u16) -> Option<Problem> {
        let status = Status { code, message: "no such thing".into(), ..Status::default() };
        let source = Box::new(kube::Error::Api(Box::new(status)));
        refused(&Error::Api { what, source })
    }

    #[test]
    fn what_stays_refused_is_told() {
        let job = || Call::CreateJob("shop-run-1".into());
        let backup = || Call::CreateBackup("shop-backup-1".into());
        let other = || Call::from("get Secret shop");
        let reason = |what, code| api(what, code).map(|problem| problem.reason);
        for code in [400, 403, 413, 422] {
            assert_eq!(reason(job(), code), Some(Reason::PodRejected), "{code}");
        }
        assert_eq!(reason(other(), 403), Some(Reason::Forbidden));
        assert_eq!(reason(other(), 422), Some(Reason::InvalidSpec));
        assert_eq!(reason(backup(), 404), Some(Reason::BackupFailed));
        assert_eq!(reason(backup(), 403), Some(Reason::Forbidden));
        // A name that looks like another call is none.
        assert_eq!(reason(Call::from("create Job of somebody"), 403), Some(Reason::Forbidden));
    }

    #[test]
    fn what_passes_by_itself_is_no_fault_of_the_object() {
        // A renewed token, something that was deleted meanwhile, a conflict, too many requests, a server in trouble.
        for code in [401, 404, 409, 429, 500, 503] {
            assert_eq!(api(Call::from("patch ConfigMap shop-plan"), code), None, "{code}");
            assert_eq!(api(Call::CreateJob("shop-run-1".into()), code), None, "{code}");
        }
    }

    #[test]
    fn the_server_is_quoted_and_nothing_else() {
        let problem = api(Call::CreateJob("shop-run-1".into()), 403).unwrap();
        assert_eq!(problem.message, "create Job shop-run-1: no such thing");
    }
}
