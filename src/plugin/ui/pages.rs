//! The pages as HTML: all objects, one object. Everything that comes from outside is escaped by maud; no I/O.

use crate::{
    api::{
        DatabaseMigration, DatabaseMigrationSet, DatabaseMigrationStatus, HazardStatus, Reason, RunResult, RunStatus,
    },
    plugin::{
        document::PlanDocument,
        drift, history, plan,
        stages::{self, Progress},
        status::Look,
        text::{Span, Tone},
        view::{self, State, Verdict, full_name, status_of},
    },
    text::clean,
};
use k8s_openapi::{api::core::v1::Event, apimachinery::pkg::apis::meta::v1::Condition};
use kube::ResourceExt;
use maud::{DOCTYPE, Markup, html};

/// The class of a tone in style.css.
fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Busy => "busy",
        Tone::Bad => "bad",
        Tone::Name => "name mono",
        Tone::Faint => "soft",
        Tone::Plain | Tone::Bold => "",
    }
}

pub fn span(span: &Span) -> Markup {
    html! { span class=(class(span.tone)) { (span.text) } }
}

/// A page. `refresh` is for what changes by itself.
pub fn whole(title: &str, home: &str, refresh: bool, body: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if refresh { meta http-equiv="refresh" content="5"; }
                title { (title) }
                link rel="stylesheet" href=(format!("{home}style.css"));
            }
            body { (body) }
        }
    }
}

/// Filters of the overview, by their word in the query.
const FILTERS: [(&str, Verdict); 4] = [
    ("stalled", Verdict::Stalled),
    ("waiting", Verdict::Waiting),
    ("working", Verdict::Working),
    ("ready", Verdict::Ready),
];

/// All objects, those that need somebody first, and the sets below them.
pub fn overview(
    objects: &[DatabaseMigration],
    sets: &[DatabaseMigrationSet],
    unreadable: &[String],
    filter: Option<&str>,
    place: &str,
    look: Look,
) -> Markup {
    let mut rows: Vec<(State, &DatabaseMigration)> = objects.iter().map(|object| (State::of(object), object)).collect();
    rows.sort_by_key(|(state, object)| (std::cmp::Reverse(state.verdict), object.namespace(), object.name_any()));
    let mut states: Vec<(Verdict, &DatabaseMigrationSet)> =
        sets.iter().map(|set| (State::of(set).verdict, set)).collect();
    states.sort_by_key(|(verdict, set)| (std::cmp::Reverse(*verdict), set.namespace(), set.name_any()));
    let verdicts = || rows.iter().map(|(state, _)| state.verdict).chain(states.iter().map(|(verdict, _)| *verdict));
    let count = |wanted| verdicts().filter(|verdict| *verdict == wanted).count();
    let wanted = FILTERS.iter().find(|(word, _)| Some(*word) == filter).map(|(_, verdict)| *verdict);
    let working = count(Verdict::Working) > 0;
    let shown: Vec<&DatabaseMigrationSet> = states
        .iter()
        .filter(|(verdict, _)| wanted.is_none_or(|wanted| *verdict == wanted))
        .map(|(_, set)| *set)
        .collect();
    let body = html! {
        header { h1 { "Database migrations" } span class="soft" { (place) } span class="facts soft" { (clock(look)) } }
        nav class="filter" {
            a href="./" aria-current=[wanted.is_none().then_some("page")] { (verdicts().count()) " in all" }
            @for (word, verdict) in FILTERS {
                a href=(format!("./?state={word}")) aria-current=[(wanted == Some(verdict)).then_some("page")] {
                    span class=(class(verdict.tone())) { (verdict.symbol()) } " " (count(verdict)) " " (word)
                }
            }
        }
        @if objects.is_empty() && sets.is_empty() { p { "There is no DatabaseMigration and no set here." } }
        @if !objects.is_empty() { div class="wide" { table {
            thead { tr {
                th { "Namespace" } th { "Name" } th { "State" } th { "Database" } th { "Target" } th class="number" { "Steps" }
                th { "Risk" } th { "Drift" } th { "Last run" }
            } }
            tbody {
                @for (state, object) in rows.iter().filter(|(state, _)| wanted.is_none_or(|wanted| state.verdict == wanted)) {
                    (row(state, object, look))
                }
            }
        } } }
        @if !shown.is_empty() { (super::sets::table(&shown, look)) }
        @for name in unreadable { p class="bad" { (name) " can't be read: is the plugin older than the operator?" } }
        (foot())
    };
    whole("Database migrations", "./", working, body)
}

fn row(state: &State, object: &DatabaseMigration, look: Look) -> Markup {
    let status = status_of(object);
    let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
    html! { tr {
        td { (namespace) }
        td { a href=(format!("./{namespace}/{name}/")) { (name) } }
        td class="state" { (span(&state.span())) }
        td class="mono" { (view::database(object)) }
        td class="mono" { (view::target(object)) }
        td class="number" { (span(&view::steps(&status))) }
        td { (span(&view::risk(&status))) }
        td { (span(&view::drift(&status))) }
        td { (span(&view::last_run(&status, look.now))) }
    } }
}

/// What is known of one object.
pub struct Detail<'a> {
    pub object: &'a DatabaseMigration,
    pub plan: Option<&'a PlanDocument>,
    pub has_graph: bool,
    pub events: &'a [Event],
}

/// One object.
pub fn detail(detail: &Detail, look: Look) -> Markup {
    let Detail { object, plan, has_graph, events } = *detail;
    let status = status_of(object);
    let state = State::of(object);
    let facts: Vec<String> = view::server(&status).into_iter().chain([view::image(object)]).collect();
    let body = html! {
        header {
            a href="../../" { "All" }
            h1 { (object.namespace().unwrap_or_default()) " / " (object.name_any()) }
            span class="state" { (span(&state.span())) }
            @if let Some(since) = state.since { span class="soft" { "for " (view::span(look.now.as_second() - since.as_second())) } }
            span class="facts soft" { (facts.join(" · ")) }
        }
        ol class="stages" { @for (name, progress) in stages::stages(object) { (stage(name, progress)) } }
        (message(&state))
        section {
            h2 { "Revisions" small { "database " code { (status.current.as_deref().unwrap_or("?")) } " → target " code { (view::target(object)) } } }
            @if has_graph { div class="graph" { img src="graph.svg" alt="The revisions with the database and the target"; } }
            @else { p class="soft" { "The image was not inspected yet." } }
        }
        @if let Some(plan) = plan { (plan_section(object, &state, plan)) }
        div class="columns" { (drift_section(&status)) (runs_section(&status, look)) }
        (conditions(&status.conditions)) (events_section(events, look)) (foot())
    };
    whole(&full_name(object), "../../", state.verdict == Verdict::Working, body)
}

/// What a state says, and what a person does about it.
pub fn message(state: &State) -> Markup {
    html! { @if state.verdict != Verdict::Ready {
        div class={ "message " (class(state.verdict.tone())) } {
            p { (state.message) }
            @if let Some(reason) = state.reason().filter(|reason| *reason != Reason::AwaitingApproval) {
                p class="soft" { (reason.advice()) }
            }
        }
    } }
}

fn stage(name: &str, progress: Progress) -> Markup {
    let (tone, symbol) = stages::symbol(progress);
    let here = if matches!(progress, Progress::Here(_)) { " here" } else { "" };
    html! { li class={ (class(tone)) (here) } { (symbol) " " (name) } }
}

fn plan_section(object: &DatabaseMigration, state: &State, plan: &PlanDocument) -> Markup {
    let status = status_of(object);
    let hazards = status.plan.as_ref().map(view::hazards_in_words).unwrap_or_default();
    html! { section {
        h2 { "Plan " code { (plan.hash) } small { (hazards) " · " a href="plan.sql" { "plan.sql" } " · " a href="undo.sql" { "undo.sql" } } }
        @if state.reason() == Some(Reason::AwaitingApproval) { (approve(object, plan)) }
        (steps(plan))
    } }
}

/// The steps of a plan with their SQL and hazards, and what a way back loses.
pub fn steps(plan: &PlanDocument) -> Markup {
    let scripts = plan.scripts();
    html! {
        @for (number, step) in plan.steps.iter().enumerate() {
            div class="step" {
                h3 {
                    span class="soft" { (number + 1) "/" (plan.steps.len()) } code { (step.revision) } span { (step.title) }
                    @let (tone, undo) = plan::undo_words(&plan.direction, step.reversible);
                    span class={ "undo " (class(tone)) } { (undo) }
                }
                @let body = plan::parts(plan, step, scripts.get(number).copied().unwrap_or_default());
                @for piece in &body.pieces {
                    pre { (clean(&piece.lines.join("\n"), 8000)) }
                    @for hazard in &piece.hazards { (hazard_note(hazard)) }
                }
                @for hazard in &body.loose { (hazard_note(hazard)) }
                @for text in &body.measured { div class="hazard soft" { (text) } }
            }
        }
        @if !plan.losses.is_empty() {
            p { strong class="bad" { @if plan.direction == "downgrade" { "Lost: " } @else { "A later downgrade loses: " } } (crate::text::list(&plan.losses, 12)) }
        }
    }
}

/// The commands that answer; the page itself changes nothing.
fn approve(object: &DatabaseMigration, plan: &PlanDocument) -> Markup {
    let command = |verb: &str| {
        format!(
            "kubectl dbmigration {verb} {} -n {} --plan {}",
            object.name_any(),
            object.namespace().unwrap_or_default(),
            plan.hash
        )
    };
    html! {
        p { "It waits for somebody. Read it, then:" }
        code class="command" { (command("approve")) }
        code class="command" { (command("reject")) }
    }
}

fn hazard_note(hazard: &HazardStatus) -> Markup {
    let severity = hazard.severity.as_str();
    html! { div class={ "hazard " (severity) } {
        strong class=(class(view::severity_tone(severity))) { (view::severity_word(severity)) " " (hazard.code) }
        (clean(&hazard.message, 400))
        @if severity != "low" { div class="soft" { "instead: " (hazard.advice) } }
    } }
}

fn drift_section(status: &DatabaseMigrationStatus) -> Markup {
    html! { section {
        h2 { "Drift" small { (drift::summary(status)) } }
        @if let Some(found) = status.drift.as_ref().filter(|found| !found.objects.is_empty()) {
            @for object in &found.objects {
                div class="step" {
                    strong { (object.change.as_str()) } " " (clean(&object.object, 200))
                    @if let Some(expected) = &object.expected { pre class="bad" { "- " (clean(expected, 400)) } }
                    @if let Some(actual) = &object.actual { pre class="good" { "+ " (clean(actual, 400)) } }
                }
            }
        }
    } }
}

fn runs_section(status: &DatabaseMigrationStatus, look: Look) -> Markup {
    let runs: Vec<&RunStatus> = status.last_run.iter().chain(&status.history).collect();
    html! { section {
        h2 { "Runs" }
        @if runs.is_empty() { p class="soft" { "No run has ended yet." } }
        @else { div class="wide" { table {
            thead { tr { th { "Run" } th { "Started" } th { "Took" } th { "Way" } th { "To" } th { "Result" } th { "Approved" } } }
            tbody { @for run in runs { tr {
                td { (run.number) }
                td { (run.started_at.as_ref().map(|time| history::moment(time, look)).unwrap_or_default()) }
                td { (view::took(run).unwrap_or_default()) }
                td { (view::direction(&run.direction)) }
                td class="mono" { (if run.to.is_empty() { "base".to_owned() } else { crate::text::list(&run.to, 2) }) }
                td { (result(run)) }
                td { @if let Some(approval) = &run.approval { (approval.manager.as_deref().unwrap_or(&approval.how)) } }
            } } }
        } } }
    } }
}

fn result(run: &RunStatus) -> Markup {
    match (run.result, run.reason.as_deref()) {
        (RunResult::Succeeded, _) => html! { span class="good" { "✓ succeeded" } },
        (result, reason) => {
            html! { span class="bad" { "✗ " (reason.map_or_else(|| format!("{result:?}"), str::to_owned)) } }
        }
    }
}

pub fn conditions(conditions: &[Condition]) -> Markup {
    html! { section {
        h2 { "Conditions" }
        div class="wide" { table {
            tbody { @for condition in conditions { tr {
                td { (condition.type_) } td { (condition.status) } td { (condition.reason) }
                td class="text" { (clean(&condition.message, 400)) }
            } } }
        } }
    } }
}

pub fn events_section(events: &[Event], look: Look) -> Markup {
    let newest = events.iter().rev().take(20);
    html! { @if !events.is_empty() { section {
        h2 { "Events" }
        div class="wide" { table { tbody { @for event in newest { tr {
            td class="soft" { (event_time(event, look)) }
            td class={ @if event.type_.as_deref() == Some("Warning") { "bad" } } { (event.reason.as_deref().unwrap_or_default()) }
            td class="text" { (clean(event.message.as_deref().unwrap_or_default(), 400)) }
        } } } } }
    } } }
}

fn event_time(event: &Event, look: Look) -> String {
    let micro = event.event_time.as_ref().map(|time| time.0);
    let time = event.last_timestamp.as_ref().map(|time| time.0).or(micro);
    time.map(|time| view::span(look.now.as_second() - time.as_second()) + " ago").unwrap_or_default()
}

pub fn clock(look: Look) -> String {
    look.now.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

pub fn foot() -> Markup {
    html! { footer { "Read with your own rights by kubectl dbmigration " (env!("CARGO_PKG_VERSION")) ". This page changes nothing." } }
}

/// What could not be shown, and why.
pub fn failed(home: &str, message: &str) -> Markup {
    let body = html! {
        header { h1 { "Database migrations" } }
        div class="message bad" { p { (message) } }
        p { a href=(home) { "All objects" } }
    };
    whole("Database migrations", home, false, body)
}
