//! The page of a set: its waves, the plans of its cohorts, and what failed. Everything that comes from outside is escaped by maud;
//! no I/O.

use super::pages::{clock, conditions, events_section, foot, message, span, steps, whole};
use crate::{
    api::{DatabaseMigrationSet, SetPlan},
    fleet::Line as Target,
    plugin::{
        document::PlanDocument,
        sets::{
            status::{cells_of, counts, image, plan_words, target, targets_of, wave},
            status_of,
            targets::{at, tone},
        },
        status::{Look, answers, command},
        text::Span,
        view::{self, State, Verdict, full_name},
    },
    text::clean,
};
use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt;
use maud::{Markup, html};

/// The sets in a table.
pub fn table(sets: &[&DatabaseMigrationSet], look: Look) -> Markup {
    html! { div class="wide" { table {
        thead { tr {
            th { "Namespace" } th { "Set" } th { "State" } th class="number" { "Targets" } th class="number" { "Done" }
            th class="number" { "Failed" } th { "Wave" } th { "To" } th { "Age" }
        } }
        tbody { @for set in sets { (row(set, look)) } }
    } } }
}

fn row(set: &DatabaseMigrationSet, look: Look) -> Markup {
    let (namespace, name) = (set.namespace().unwrap_or_default(), set.name_any());
    let [state, targets, done, failed, wave, to, age] = cells_of(set, look);
    html! { tr {
        td { (namespace) }
        td { a href=(format!("./sets/{namespace}/{name}/")) { (name) } }
        td class="state" { (span(&state)) }
        td class="number" { (span(&targets)) }
        td class="number" { (span(&done)) }
        td class="number" { (span(&failed)) }
        td { (span(&wave)) }
        td class="mono" { (span(&to)) }
        td { (span(&age)) }
    } }
}

/// What is known of one set.
pub struct Detail<'a> {
    pub set: &'a DatabaseMigrationSet,
    pub plans: Vec<(&'a SetPlan, PlanDocument)>,
    /// Those that are held by a failure; all of them, as far as the pages may be read.
    pub failed: Vec<Target>,
    pub events: &'a [Event],
}

/// Failed targets that a page has; the command names all.
const FAILED: usize = 200;

/// One set.
pub fn detail(detail: &Detail, look: Look) -> Markup {
    let Detail { set, plans, failed, events } = detail;
    let status = status_of(set);
    let state = State::of(*set);
    let waves = status.rollout.as_ref().map(|rollout| rollout.waves.as_slice()).unwrap_or_default();
    let body = html! {
        header {
            a href="../../../" { "All" }
            h1 { (set.namespace().unwrap_or_default()) " / " (set.name_any()) }
            span class="state" { (span(&state.span())) }
            span class="facts soft" { (counts(&status)) " · " (image(set)) " · " (clock(look)) }
        }
        ol class="stages" { @for one in waves { li { (span(&wave(one))) } } }
        (message(&state))
        @if !answers_now(set, &state).is_empty() { section {
            h2 { "Next" }
            @for answer in answers_now(set, &state) { code class="command" { (answer) } }
        } }
        @if !failed.is_empty() { (failures(set, failed)) }
        section {
            h2 { "Plans" small { "to " code { (target(set, &status)) } } }
            @if plans.is_empty() { p class="soft" { "Nothing is to be run." } }
        }
        @for (plan, document) in plans { (plan_section(set, plan, document)) }
        (conditions(&status.conditions)) (events_section(events, look)) (foot())
    };
    whole(&full_name(*set), "../../../", state.verdict == Verdict::Working, body)
}

/// The commands that answer a set; the page itself changes nothing.
fn answers_now(set: &DatabaseMigrationSet, state: &State) -> Vec<String> {
    use crate::api::Reason;
    match state.reason() {
        Some(Reason::AwaitingPromotion) => vec![command(set, "promote")],
        Some(Reason::WaveFailed | Reason::TargetsFailed) => vec![command(set, "retry")],
        Some(Reason::Suspended) => vec![command(set, "resume")],
        _ => Vec::new(),
    }
}

fn failures(set: &DatabaseMigrationSet, failed: &[Target]) -> Markup {
    html! { section {
        h2 { "Failed" small { (failed.len()) " of " (status_of(set).targets.total) " targets" } }
        div class="wide" { table {
            thead { tr { th { "Target" } th { "Wave" } th { "At" } th { "Reason" } th { "Revision" } th class="number" { "Tried" } th { "Message" } } }
            tbody { @for target in failed.iter().take(FAILED) { tr {
                td { (clean(&target.name, 128)) }
                td { (clean(&target.wave, 40)) }
                td class="mono" { (at(target)) }
                td { (span(&Span::new(tone(&target.state), clean(&target.memory.reason, 64)))) }
                td class="mono" { (target.memory.revision.as_deref().map(|id| clean(id, 32)).unwrap_or_default()) }
                td class="number" { (target.memory.attempts) }
                td class="text" { (clean(&target.memory.message, 300)) }
            } } }
        } }
        @if failed.len() > FAILED { p class="soft" { "All of them: " code { (command(set, "targets")) " --state failed" } } }
    } }
}

fn plan_section(set: &DatabaseMigrationSet, plan: &SetPlan, document: &PlanDocument) -> Markup {
    let hazards = view::summary_in_words(Some(&plan.hazard_summary));
    html! { section {
        h2 {
            "Plan " code { (plan.hash) }
            small { (plan_words(plan)) " · " (targets_of(plan)) " · " (hazards) " · " a href=(format!("plan/{}", plan.hash)) { "SQL" } }
        }
        @if !plan.approved {
            p { "It waits for somebody. Read it, then:" }
            @for answer in answers(set, &plan.hash) { code class="command" { (answer) } }
        }
        (steps(document))
    } }
}
