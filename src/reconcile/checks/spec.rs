//! What the API server's schema can't check of a spec; no I/O.

use crate::{
    api::{DatabaseMigrationSpec, Reason, parse_duration},
    reconcile::observed::Problem,
    revisions::Target,
    runner::check_pod_template,
};

/// The first thing that is wrong with a spec.
pub fn spec_problem(spec: &DatabaseMigrationSpec) -> Option<Problem> {
    duration_problem(spec).or_else(|| pod_template_problem(spec)).or_else(|| {
        let refused = Target::parse(&spec.target_revision).err()?;
        Some(Problem::new(Reason::InvalidTarget, format!("spec.targetRevision: {refused}")))
    })
}

fn pod_template_problem(spec: &DatabaseMigrationSpec) -> Option<Problem> {
    let error = check_pod_template(&spec.pod_template.as_ref()?.spec).err()?;
    Some(Problem::new(Reason::InvalidSpec, error.to_string()))
}

fn duration_problem(spec: &DatabaseMigrationSpec) -> Option<Problem> {
    let fields = [
        ("database.probe.interval", &spec.database.probe.interval),
        ("database.probe.timeout", &spec.database.probe.timeout),
        ("timeouts.lock", &spec.timeouts.lock),
        ("timeouts.statement", &spec.timeouts.statement),
        ("timeouts.run", &spec.timeouts.run),
    ];
    let no_limit = |name: &str| name == "timeouts.statement";
    let wrong = |name: &str, text: &str| parse_duration(text).is_none_or(|d| d.is_zero() && !no_limit(name));
    fields.into_iter().find(|(name, value)| value.as_deref().is_some_and(|v| wrong(name, v))).map(|(name, _)| {
        Problem::new(
            Reason::InvalidSpec,
            format!("spec.{name} is not a duration: write hours, minutes and seconds, such as 1h30m or 45s"),
        )
    })
}
