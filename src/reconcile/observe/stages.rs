//! What backs up and verifies: the Jobs without the secrets in their words, and the Backup of CloudNativePG, which is asked
//! for since its kind may not be there to be watched. Does network I/O.

use super::jobs::redact;
use crate::{
    api::{BackupMethod, BackupResult, DatabaseMigration},
    error::Error,
    reconcile::{
        Context,
        api::call,
        cnpg,
        observed::{CnpgView, StageView, Stages},
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
    secrets: &[&str],
) -> Result<Stages, Error> {
    for stage in backups.iter_mut().chain(&mut verifications) {
        redact(&mut stage.job, secrets);
    }
    let backup = object.status.as_ref().and_then(|status| status.backup.as_ref());
    let waited_for = backup.filter(|b| b.method == BackupMethod::Cnpg && b.result == BackupResult::Running);
    let cnpg = match waited_for {
        Some(backup) => Some(look(object, context, &backup.reference, secrets).await?),
        None => None,
    };
    Ok(Stages { backups, verifications, cnpg })
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
