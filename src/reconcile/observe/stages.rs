//! What backs up and verifies: the Jobs without the secrets in their words, and the Backup of CloudNativePG, which is asked
//! for since its kind may not be there to be watched. Does network I/O.

use super::{
    database::Located,
    jobs::{LookView, payload, redact},
    look::reported,
};
use crate::{
    api::{BackupMethod, BackupResult, DatabaseMigration, RehearsalResult},
    db::Endpoint,
    error::Error,
    jobs::{Ended, PodState, Rehearsal},
    reconcile::{
        Context,
        api::call,
        cnpg,
        observed::{CnpgView, RehearsalEnd, RehearsalView, StageView, Stages},
    },
    text,
};
use kube::ResourceExt;

/// Looks at all of it; at CloudNativePG only while a backup of it is waited for.
pub async fn stages(
    object: &DatabaseMigration,
    context: &Context,
    mut backups: Vec<StageView>,
    mut verifications: Vec<StageView>,
    rehearsals: Vec<LookView>,
    located: &Located,
) -> Result<Stages, Error> {
    let secrets = &located.secrets();
    for stage in backups.iter_mut().chain(&mut verifications) {
        redact(&mut stage.job, secrets);
    }
    let backup = object.status.as_ref().and_then(|status| status.backup.as_ref());
    let waited_for = backup.filter(|b| b.method == BackupMethod::Cnpg && b.result == BackupResult::Running);
    let cnpg = match waited_for {
        Some(backup) => Some(look(object, context, &backup.reference, secrets).await?),
        None => None,
    };
    let place = located.endpoint.as_ref().map(Endpoint::place).unwrap_or_default();
    let mut seen = Vec::new();
    for rehearsal in rehearsals {
        seen.push(rehearsed(object, context, rehearsal, secrets).await?);
    }
    Ok(Stages { backups, verifications, cnpg, rehearsals: seen, scheme: located.scheme.clone(), place })
}

/// A rehearsal, with what it found where that is not recorded yet.
async fn rehearsed(
    object: &DatabaseMigration,
    context: &Context,
    mut look: LookView,
    secrets: &[&str],
) -> Result<RehearsalView, Error> {
    redact(&mut look.job, secrets);
    let recorded = object.status.as_ref().and_then(|status| status.rehearsal.as_ref());
    let known = recorded.is_some_and(|r| r.job == look.job.name && r.result != RehearsalResult::Running);
    let (PodState::Ended(ended), false) = (&look.job.state, known) else {
        return Ok(RehearsalView { job: look.job, end: None });
    };
    let frames = ended.report().ok().and_then(|report| report.frames);
    let found = match (&frames, &look.pod) {
        (Some(frames), Some(pod)) => payload(object, context, pod, frames).await?.ok(),
        _ => None,
    };
    let found = found.and_then(|json| Rehearsal::parse(&json).ok());
    let verdict = match reported(ended) {
        Err(_) if ended.before.is_some() => Err(failed_before(ended)),
        Ok(_) if found.is_none() => Err("what it found could not be read from its log".to_owned()),
        Ok(_) => Ok(()),
        Err(problem) => Err(problem.message),
    };
    Ok(RehearsalView { job: look.job, end: Some(RehearsalEnd { found, verdict }) })
}

/// What a container said that had to end well before the rehearsal could begin.
fn failed_before(ended: &Ended) -> String {
    let name = ended.before.as_deref().unwrap_or_default();
    let words = ended.message.as_deref().map(|message| text::clean_end(message.trim(), 400)).filter(|w| !w.is_empty());
    let code = ended.exit_code.unwrap_or_default();
    format!("its container {name} failed: {}", words.unwrap_or_else(|| format!("exit code {code}")))
}

async fn look(object: &DatabaseMigration, context: &Context, name: &str, secrets: &[&str]) -> Result<CnpgView, Error> {
    let namespace = object.namespace().unwrap_or_default();
    let api = cnpg::api(context.client.clone(), &namespace);
    let name = name.to_owned();
    let found = call(&format!("{} {name}", cnpg::GET), api.get_opt(&name)).await?;
    let Some(backup) = found else { return Ok(CnpgView::Gone { name }) };
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
