//! What rehearsals found, from their logs, and the Backup of CloudNativePG, which is asked for since its kind may not be there
//! to be watched. Does network I/O.

use super::{database::Located, jobs::payload};
use crate::{
    api::{BackupMethod, DatabaseMigration, StageResult},
    call::call,
    error::{Call, Error},
    jobs::{Kind, Rehearsal, is_made_here, rehearsal_verdict},
    reconcile::{
        cnpg,
        context::Context,
        facts::{CnpgView, Facts, RehearsalEnd, RehearsalView},
    },
    text,
};
use kube::ResourceExt;

/// The rehearsals, each with what it found where that is not recorded yet.
pub async fn ended(object: &DatabaseMigration, context: &Context, facts: &Facts) -> Result<Vec<RehearsalView>, Error> {
    let recorded = object.status.as_ref().and_then(|status| status.stages.rehearsal.as_ref());
    let mut seen = Vec::new();
    for job in facts.of(Kind::Rehearse) {
        let known = recorded.is_some_and(|r| r.stage.job == job.name && r.stage.result != StageResult::Running);
        let mut view = RehearsalView { job: job.clone(), end: None };
        if let (Some(ended), false) = (job.ended(), known) {
            let frames = ended.report().ok().and_then(|report| report.frames);
            let found = match (&frames, &job.pod) {
                (Some(frames), Some(pod)) => {
                    let parse = |json: Vec<u8>| Rehearsal::parse(&json).ok();
                    payload(object, context, &pod.name, frames, parse).await?.ok().flatten()
                }
                _ => None,
            };
            view.end = Some(RehearsalEnd { verdict: rehearsal_verdict(ended, found.as_ref()), found });
        }
        seen.push(view);
    }
    Ok(seen)
}

/// The Backup that is waited for, if one is.
pub async fn cnpg(object: &DatabaseMigration, context: &Context, located: &Located) -> Result<Option<CnpgView>, Error> {
    let backup = object.status.as_ref().and_then(|status| status.stages.backup.as_ref());
    let waited_for = backup.filter(|b| b.method == BackupMethod::Cnpg && b.stage.result == StageResult::Running);
    match waited_for {
        Some(backup) => look(object, context, &backup.stage.job, &located.secrets()).await.map(Some),
        None => Ok(None),
    }
}

async fn look(object: &DatabaseMigration, context: &Context, name: &str, secrets: &[&str]) -> Result<CnpgView, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let api = cnpg::api(context.client.clone(), &namespace);
    let name = name.to_owned();
    let found = call(Call::GetBackup(name.clone()), api.get_opt(&name)).await?;
    let Some(backup) = found.filter(is_made_here) else { return Ok(CnpgView::Gone { name }) };
    let word = |field: &str| backup.data["status"][field].as_str().unwrap_or_default().to_owned();
    Ok(match word("phase").as_str() {
        "completed" => CnpgView::Completed { name },
        "failed" => {
            let message = text::clean(&text::redact(&word("error"), secrets), 500);
            CnpgView::Failed { name, message }
        }
        _ => CnpgView::Working { name },
    })
}
