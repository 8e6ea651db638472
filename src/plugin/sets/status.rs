//! `status` of sets: several as a table, one with its waves, plans and failures; from the objects alone, no I/O.

use super::{promotable, status_of, targets::rows_of};
use crate::{
    api::{DatabaseMigrationSet, DatabaseMigrationSetStatus, Reason, SetPlan, TargetFailure, WaveState, WaveStatus},
    plugin::{
        status::{Look, advice, command},
        table::{Column, table},
        text::{Line, Span, Tone},
        view::{self, State, full_name},
    },
    text::{clean, short_image},
};
use kube::ResourceExt;
use serde_json::{Value, json};

const COLUMNS: [Column; 9] = [
    Column::new("NAMESPACE", 0),
    Column::new("SET", 0),
    Column::new("STATE", 0),
    Column::right("TARGETS", 1),
    Column::right("DONE", 2),
    Column::right("FAILED", 1),
    Column::new("WAVE", 3),
    Column::new("TO", 4),
    Column::right("AGE", 5),
];

/// The sets in a table, one each line.
pub fn overview(sets: &[DatabaseMigrationSet], namespaces: bool, look: Look) -> Vec<Line> {
    let skipped = usize::from(!namespaces);
    let row = |set: &DatabaseMigrationSet| {
        let cells = [Span::plain(set.namespace().unwrap_or_default()), Span::new(Tone::Bold, set.name_any())];
        cells.into_iter().chain(cells_of(set, look)).skip(skipped).collect()
    };
    let rows: Vec<Vec<Span>> = sets.iter().map(row).collect();
    table(&COLUMNS[skipped..], &rows, look.width)
}

/// What is told of a set in a line: state, targets, done, failed, wave, to, age.
pub fn cells_of(set: &DatabaseMigrationSet, look: Look) -> [Span; 7] {
    let status = status_of(set);
    let targets = status.targets;
    let failed = if targets.failed > 0 { Tone::Bad } else { Tone::Plain };
    [
        State::of(set).span(),
        Span::plain(targets.total.to_string()),
        Span::plain(targets.at_target.to_string()),
        Span::new(failed, targets.failed.to_string()),
        Span::plain(clean(status.wave.as_deref().unwrap_or("–"), 40)),
        Span::plain(view::rows(status.to.as_deref(), &set.spec.template.target_revision)),
        Span::plain(set.creation_timestamp().map_or_else(|| "?".to_owned(), |time| view::age(&time, look.now))),
    ]
}

/// One set: where its targets stand, what failed, and what to do next.
pub fn one(set: &DatabaseMigrationSet, look: Look) -> Vec<Line> {
    let status = status_of(set);
    let state = State::of(set);
    let mut lines = vec![head(set, &status, &state, look)];
    lines.push(
        label("target").and(Tone::Name, target(set, &status)).text(format!("   of {}", image(set))).cut(look.width),
    );
    if let Some(rollout) = &status.rollout {
        lines.extend(label("waves").wrapped_spans(rollout.waves.iter().map(wave).collect(), "  ──  ", look.width));
        let plans = rollout.plans.iter().enumerate().map(|(at, plan)| plan_line(at, plan).cut(look.width));
        lines.extend(plans);
        lines.extend(rollout.batches.iter().map(|batch| {
            let text = format!("{} targets on {}", batch.targets, clean(&batch.server, 40));
            label("at work").and(Tone::Name, batch.job.clone()).text(format!("   {text}")).cut(look.width)
        }));
    }
    let told_above = match state.reason() {
        Some(Reason::AtTarget | Reason::AwaitingApproval | Reason::AwaitingPromotion) => true,
        Some(Reason::WaveFailed | Reason::TargetsFailed) => !status.failures.is_empty(),
        _ => state.message.is_empty(),
    };
    if !told_above {
        lines.extend(Line::new().text("  ").wrapped(state.verdict.tone(), &clean(&state.message, 900), look.width));
    }
    lines.extend(failures(set, &status, look));
    lines.extend(next(set, &state, &status, look.width));
    lines
}

fn label(label: &str) -> Line {
    Line::new().and(Tone::Faint, format!("  {label:<10} "))
}

fn head(set: &DatabaseMigrationSet, status: &DatabaseMigrationSetStatus, state: &State, look: Look) -> Line {
    let mut line = Line::of(Tone::Bold, full_name(set)).text("   ");
    line.push(state.span());
    if let Some(since) = state.since {
        line = line.text(format!("  for {}", view::span(look.now.as_second() - since.as_second())));
    }
    let mut facts = vec![counts(status)];
    if let Some(by) = set.suspended_by() {
        facts.push(format!("suspended by {by}"));
    }
    line.and(Tone::Faint, format!("      {}", facts.join("   "))).cut(look.width)
}

/// `30 targets: 4 done, 25 pending, 1 failed`.
pub fn counts(status: &DatabaseMigrationSetStatus) -> String {
    let targets = status.targets;
    let parts = [
        (targets.at_target, "done"),
        (targets.running, "at work"),
        (targets.pending, "pending"),
        (targets.failed, "failed"),
    ];
    let told: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")).collect();
    let noun = if targets.total == 1 { "target" } else { "targets" };
    match told.is_empty() {
        true => format!("{} {noun}", targets.total),
        false => format!("{} {noun}: {}", targets.total, told.join(", ")),
    }
}

/// The revision to go to, or what the spec asks for where that means none.
pub fn target(set: &DatabaseMigrationSet, status: &DatabaseMigrationSetStatus) -> String {
    view::rows(status.to.as_deref(), &set.spec.template.target_revision)
}

/// The image of the rollout, or that of the spec.
pub fn image(set: &DatabaseMigrationSet) -> String {
    let status = status_of(set);
    let pinned = status.rollout.as_ref().map(|rollout| rollout.image.as_str()).filter(|image| !image.is_empty());
    short_image(pinned.unwrap_or(&set.spec.template.image))
}

/// `✗ canary 1 of 3, 1 failed`.
pub fn wave(wave: &WaveStatus) -> Span {
    let (symbol, tone, word) = match wave.state {
        WaveState::Waiting => ("○", Tone::Faint, ""),
        WaveState::Running => ("◐", Tone::Busy, ""),
        WaveState::Paused => ("✗", Tone::Bad, ""),
        WaveState::Soaking => ("◐", Tone::Busy, ", soaks"),
        WaveState::AwaitingPromotion => ("◐", Tone::Busy, ", waits for a promotion"),
        WaveState::Passed => ("✓", Tone::Good, ""),
    };
    let failed = if wave.failed > 0 { format!(", {} failed", wave.failed) } else { String::new() };
    Span::new(tone, format!("{symbol} {} {} of {}{failed}{word}", clean(&wave.name, 40), wave.done, wave.total))
}

/// `upgrade of 4 steps from e90a7b3c51d6`.
pub fn plan_words(plan: &SetPlan) -> String {
    let noun = if plan.steps == 1 { "step" } else { "steps" };
    format!("{} of {} {noun} from {}", clean(&plan.direction, 16), plan.steps, rows_of(&plan.from))
}

/// `997 targets`.
pub fn targets_of(plan: &SetPlan) -> String {
    format!("{} {}", plan.targets, if plan.targets == 1 { "target" } else { "targets" })
}

fn plan_line(at: usize, plan: &SetPlan) -> Line {
    let line = label(if at == 0 { "plans" } else { "" }).and(Tone::Name, clean(&plan.hash, 32));
    let mut line = line.text(format!("   {}, {}   ", plan_words(plan), targets_of(plan)));
    line.push(view::risk_of(&plan.hazard_summary));
    match plan.approved {
        true => line.and(Tone::Good, "   may run"),
        false => line.and(Tone::Busy, "   waits"),
    }
}

/// Failures that are shown beside the rest of a set.
const SHOWN: usize = 5;

fn failures(set: &DatabaseMigrationSet, status: &DatabaseMigrationSetStatus, look: Look) -> Vec<Line> {
    let shown = status.failures.iter().take(SHOWN);
    let mut lines: Vec<Line> = shown.flat_map(|failure| failure_lines(failure, look.width)).collect();
    let rest = usize::try_from(status.targets.failed).unwrap_or(0).saturating_sub(SHOWN);
    if rest > 0 {
        let all = command(set, "targets");
        lines.push(Line::of(Tone::Faint, format!("  … and {rest} more: {all} --state failed")).cut(look.width));
    }
    lines
}

/// A target, why it failed, and the message below.
fn failure_lines(failure: &TargetFailure, width: Option<usize>) -> Vec<Line> {
    let mut head = Line::of(Tone::Bad, "  ✗ ").and(Tone::Bold, clean(&failure.target, 64));
    head = head.and(Tone::Bad, format!("   {}", clean(&failure.reason, 64)));
    if let Some(revision) = &failure.revision {
        head = head.text(" at ").and(Tone::Name, clean(revision, 32));
    }
    let head = head.and(Tone::Faint, tried(failure.attempts)).cut(width);
    let message = Line::new().text("    ").wrapped(Tone::Plain, &clean(&failure.message, 300), width);
    std::iter::once(head).chain(message).collect()
}

fn tried(attempts: i32) -> String {
    match attempts {
        ..=0 => String::new(),
        1 => "   tried once".to_owned(),
        many => format!("   tried {many} times"),
    }
}

/// What a person does now.
fn next(
    set: &DatabaseMigrationSet,
    state: &State,
    status: &DatabaseMigrationSetStatus,
    width: Option<usize>,
) -> Vec<Line> {
    let lines = |commands: Vec<String>| {
        let heads = std::iter::once("  Next:  ").chain(std::iter::repeat("         "));
        heads.zip(commands).map(|(head, text)| Line::of(Tone::Bold, head).text(text)).collect()
    };
    match state.reason() {
        Some(Reason::AwaitingApproval) => {
            let waits = status.rollout.iter().flat_map(|rollout| &rollout.plans).filter(|plan| !plan.approved);
            let answers = waits.map(|plan| format!("{} --plan {}", command(set, "approve"), plan.hash));
            lines(std::iter::once(command(set, "plan")).chain(answers).collect())
        }
        Some(Reason::AwaitingPromotion) if promotable(status).is_some() => lines(vec![command(set, "promote")]),
        Some(Reason::WaveFailed | Reason::TargetsFailed) => {
            let first = status.failures.first().map(|failure| clean(&failure.target, 64)).unwrap_or_default();
            let logs = format!("kubectl dbmigration logs set/{} {first}", set.name_any());
            let logs = format!("{} -n {}", logs.trim_end(), set.namespace().unwrap_or_default());
            lines(vec![logs, format!("{}   once it is mended, or ship a new image", command(set, "retry"))])
        }
        Some(Reason::Migrating) => lines(vec![command(set, "logs -f")]),
        Some(Reason::Suspended) => lines(vec![command(set, "resume")]),
        None if state.word == "NotSeen" => lines(vec!["kubectl dbmigration version".to_owned()]),
        Some(Reason::AtTarget | Reason::Soaking) | None => Vec::new(),
        Some(reason) => Line::of(Tone::Bold, "  Next:  ").wrapped(Tone::Plain, &advice(reason, set), width),
    }
}

/// For programs.
pub fn json(set: &DatabaseMigrationSet) -> Value {
    let status = status_of(set);
    let state = State::of(set);
    json!({
        "kind": "DatabaseMigrationSet",
        "namespace": set.namespace(),
        "name": set.name_any(),
        "state": state.word,
        "verdict": format!("{:?}", state.verdict),
        "exitCode": state.verdict.exit_code(),
        "message": state.message,
        "progress": status.progress,
        "targets": status.targets,
        "wave": status.wave,
        "to": status.rollout.as_ref().map(|rollout| &rollout.to),
        "waves": status.rollout.as_ref().map(|rollout| &rollout.waves),
        "plans": status.rollout.as_ref().map(|rollout| &rollout.plans),
        "failures": status.failures,
        "image": status.rollout.as_ref().map(|rollout| &rollout.image),
    })
}

/// A report to paste.
pub fn markdown(set: &DatabaseMigrationSet) -> String {
    let (status, state) = (status_of(set), State::of(set));
    let mut out = format!("### {} {}: {}\n\n", state.verdict.symbol(), full_name(set), state.word);
    out += &format!("{}. Target `{}` of `{}`.\n", counts(&status), target(set, &status), image(set));
    if let Some(rollout) = status.rollout.as_ref().filter(|rollout| !rollout.waves.is_empty()) {
        out += "\n| Wave | Targets | Done | Failed | State |\n|---|---:|---:|---:|---|\n";
        for wave in &rollout.waves {
            let WaveStatus { name, total, done, failed, state, since: _ } = wave;
            out += &format!("| {} | {total} | {done} | {failed} | {state:?} |\n", clean(name, 40));
        }
    }
    if !state.message.is_empty() {
        out += &format!("\n> {}\n", clean(&state.message, 900).replace('\n', " "));
    }
    for failure in &status.failures {
        let revision = failure.revision.as_deref().map(|id| format!(" at `{}`", clean(id, 32))).unwrap_or_default();
        let message = clean(&failure.message, 300).replace('\n', " ");
        out += &format!("\n- **{}** {}{revision}: {message}", clean(&failure.target, 64), clean(&failure.reason, 64));
    }
    if !status.failures.is_empty() {
        out += "\n";
    }
    out
}
