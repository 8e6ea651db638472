//! What the API server's schema can't check of a spec; no I/O.

use crate::{
    api::{DatabaseMigrationSpec, DowngradePolicy, OnFailure, Problem, Reason, When, duration_problem},
    jobs::{BACKUP_FIELD, POD_TEMPLATE_FIELD, VERIFY_FIELD, check_pod_template, users_pod},
    revisions::Target,
};

/// The first thing that is wrong with a spec.
pub fn spec_problem(spec: &DatabaseMigrationSpec) -> Option<Problem> {
    let duration = duration_problem(spec).map(|message| Problem::new(Reason::InvalidSpec, message));
    duration.or_else(|| pod_template_problem(spec)).or_else(|| stage_problem(spec)).or_else(|| {
        let refused = Target::parse(&spec.target_revision).err()?;
        Some(Problem::new(Reason::InvalidTarget, format!("spec.targetRevision: {refused}")))
    })
}

fn pod_template_problem(spec: &DatabaseMigrationSpec) -> Option<Problem> {
    let whole = users_pod(spec);
    let templates = [
        (POD_TEMPLATE_FIELD, spec.pod_template.as_ref().map(|template| &template.spec)),
        // The template alone is right by now.
        ("spec.env, envFrom or resources", whole.as_ref().map(|template| &template.spec)),
        (VERIFY_FIELD, spec.stages.verify.pod_template.as_ref().map(|template| &template.spec)),
        (BACKUP_FIELD, spec.stages.backup.job.as_ref().map(|job| &job.template.spec)),
    ];
    let error = templates.into_iter().find_map(|(field, template)| check_pod_template(template?, field).err())?;
    Some(Problem::new(Reason::InvalidSpec, error.to_string()))
}

/// What the API server refuses by the CRD's rules, where it has these.
fn stage_problem(spec: &DatabaseMigrationSpec) -> Option<Problem> {
    let invalid = |message: &str| Some(Problem::new(Reason::InvalidSpec, message));
    let backup = &spec.stages.backup;
    if backup.when != When::Never && backup.job.is_some() == backup.cnpg.is_some() {
        return invalid("spec.backup: set exactly one of job and cnpg");
    }
    if spec.stages.verify.when != When::Never
        && spec.stages.verify.command.is_empty()
        && spec.stages.verify.args.is_empty()
    {
        return invalid("spec.verify: set command or args");
    }
    if spec.stages.verify.on_failure == OnFailure::Downgrade && spec.policy.downgrade != DowngradePolicy::Allow {
        return invalid("spec.verify.onFailure: Downgrade needs spec.policy.downgrade: Allow");
    }
    None
}
