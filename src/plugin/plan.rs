//! `plan`: each step with its SQL, the hazards under the statement that they are about, and the locks of the rehearsal; no I/O.

use super::{
    document::{PlanDocument, RehearsalDocument},
    status::Look,
    text::{Line, Tone, cut},
    view,
};
use crate::{
    api::{DatabaseMigration, HazardStatus, PlanStep, Reason, Reversible},
    text::{clean, list},
};

/// What is told of a plan beside its document.
#[derive(Clone, Debug)]
pub struct About {
    /// The image, where the document does not name one.
    pub image: String,
    /// What stands beside the image.
    pub of: String,
    /// All of its steps; the document may have fewer.
    pub steps: usize,
    pub hazards: String,
    /// Where it stands, and the tone of that.
    pub standing: (Tone, String),
    /// What somebody types who has read it.
    pub answers: Vec<String>,
}

impl About {
    /// Of an object's plan.
    pub fn object(object: &DatabaseMigration, plan: &PlanDocument) -> Self {
        let status = view::status_of(object);
        let state = view::State::of(object);
        let steps = status.plan.as_ref().and_then(|plan| usize::try_from(plan.step_count).ok());
        let waits = state.reason() == Some(Reason::AwaitingApproval);
        Self {
            image: object.spec.image.clone(),
            of: String::new(),
            steps: steps.unwrap_or(plan.steps.len()),
            hazards: status.plan.as_ref().map_or_else(|| "no hazard".to_owned(), view::hazards_in_words),
            standing: (state.verdict.tone(), format!("{}: {}", state.word, clean(&state.message, 600))),
            answers: if waits { super::status::answers(object, &plan.hash).to_vec() } else { Vec::new() },
        }
    }
}

/// The plan with everything that is known of it.
pub fn page(about: &About, plan: &PlanDocument, look: Look) -> Vec<Line> {
    let mut lines = head(about, plan, look);
    let scripts = plan.scripts();
    for (number, step) in plan.steps.iter().enumerate() {
        lines.push(Line::new());
        lines.extend(step_head(number, plan, step, look));
        lines.extend(body(plan, step, scripts.get(number).copied().unwrap_or_default(), look.width));
    }
    let shown = plan.steps.len();
    let more = about.steps.saturating_sub(shown);
    if more > 0 {
        lines.push(Line::of(Tone::Faint, format!("\n  … and {more} more steps that are not shown")));
    }
    lines.push(Line::new());
    lines.extend(
        plan.allowances
            .iter()
            .flat_map(|line| Line::of(Tone::Faint, "allowed: ").wrapped(Tone::Faint, line, look.width)),
    );
    lines.extend(foot(about, plan, look));
    lines
}

/// The direction and the ends of a plan.
fn head(about: &About, plan: &PlanDocument, look: Look) -> Vec<Line> {
    let rows = |rows: &[String]| if rows.is_empty() { "base".to_owned() } else { list(rows, 3) };
    let count = plan.steps.len().max(about.steps);
    let steps = if count == 1 { "1 step".to_owned() } else { format!("{count} steps") };
    let first = Line::new()
        .and(Tone::Bold, "Plan ")
        .and(Tone::Name, plan.hash.clone())
        .text(format!("   {}   ", plan.direction))
        .and(Tone::Name, rows(&plan.from))
        .text(" → ")
        .and(Tone::Name, rows(&plan.to))
        .text(format!("   {steps}"));
    let image = if plan.image.is_empty() { &about.image } else { &plan.image };
    let mut second = Line::new().text(format!("Image {}{}", crate::text::short_image(image), about.of));
    if let Some(rehearsal) = &plan.rehearsal {
        second = rehearsed(second.text("   rehearsed: "), rehearsal);
    }
    vec![first.cut(look.width), second.cut(look.width)]
}

/// How each way of the rehearsal went.
fn rehearsed(mut line: Line, rehearsal: &RehearsalDocument) -> Line {
    for (number, phase) in rehearsal.phases.iter().enumerate() {
        let name = phase.name.replace("upgrade", "up").replace("downgrade", "down");
        let gap = if number > 0 { "   " } else { "" };
        line = line.text(format!("{gap}{name} ")).and(Tone::Good, "✓").text(format!(" {} ms", phase.milliseconds));
    }
    line
}

/// What undoing a step means, or what a step of a downgrade loses.
pub fn undo_words(direction: &str, reversible: Reversible) -> (Tone, &'static str) {
    match (direction, reversible) {
        ("downgrade", Reversible::LosesData) => (Tone::Bad, "loses data"),
        ("downgrade", Reversible::Clean) => (Tone::Good, "loses nothing"),
        ("downgrade", _) => (Tone::Busy, "what is lost is not known"),
        (_, Reversible::Clean) => (Tone::Good, "undo: clean"),
        (_, Reversible::LosesData) => (Tone::Busy, "undo: loses data"),
        (_, Reversible::Irreversible) => (Tone::Bad, "undo: not possible"),
        (_, Reversible::Unknown) => (Tone::Busy, "undo: not known"),
    }
}

/// Columns of a step's head where there is room.
const WIDE: usize = 90;

fn step_head(number: usize, plan: &PlanDocument, step: &PlanStep, look: Look) -> Vec<Line> {
    let (tone, undo) = undo_words(&plan.direction, step.reversible);
    let width = look.width.unwrap_or(WIDE).min(WIDE);
    let line = Line::new()
        .and(Tone::Bold, format!("{:>3}/{}  ", number + 1, plan.steps.len()))
        .and(Tone::Name, step.revision.clone())
        .text("  ");
    let room = width.saturating_sub(line.width() + undo.chars().count() + 2);
    if room < 12 {
        return vec![
            line.and(tone, undo).cut(look.width),
            Line::new().text(format!("       {}", cut(&step.title, width.saturating_sub(7)))),
        ];
    }
    let line = line.and(Tone::Bold, cut(&step.title, room));
    vec![line.padded(width - undo.chars().count()).and(tone, undo)]
}

/// A statement with what is said of it.
pub struct Piece<'a> {
    pub lines: Vec<&'a str>,
    pub hazards: Vec<&'a HazardStatus>,
}

/// A step in parts.
pub struct Parts<'a> {
    pub pieces: Vec<Piece<'a>>,
    /// Hazards of the step as a whole.
    pub loose: Vec<&'a HazardStatus>,
    /// What the rehearsal measured.
    pub measured: Vec<String>,
}

/// The statements of a step, each with the hazards that are about it.
pub fn parts<'a>(plan: &'a PlanDocument, step: &'a PlanStep, script: &'a str) -> Parts<'a> {
    let mut pieces: Vec<Piece> =
        statements(script).into_iter().map(|lines| Piece { lines, hazards: Vec::new() }).collect();
    let mut loose = Vec::new();
    for hazard in plan.hazards_of(&step.revision) {
        match pieces.iter_mut().find(|piece| is_about(hazard, &piece.lines)) {
            Some(piece) => piece.hazards.push(hazard),
            None => loose.push(hazard),
        }
    }
    let found = plan.rehearsed(&step.revision);
    let mut measured: Vec<String> =
        found.iter().flat_map(|found| &found.locks).map(|lock| lock_in_words(lock)).collect();
    let rewritten = found.iter().filter(|found| !found.rewritten.is_empty());
    measured.extend(rewritten.map(|found| format!("every row written again: {}", list(&found.rewritten, 5))));
    Parts { pieces, loose, measured }
}

fn body(plan: &PlanDocument, step: &PlanStep, script: &str, width: Option<usize>) -> Vec<Line> {
    let Parts { pieces, loose, measured } = parts(plan, step, script);
    let of_rehearsal = |text| Note { mark: (Tone::Faint, "rehearsed".to_owned()), text: vec![(Tone::Plain, text)] };
    let mut last: Vec<Note> = loose.into_iter().map(told).chain(measured.into_iter().map(of_rehearsal)).collect();
    let mut lines = Vec::new();
    for (number, piece) in pieces.iter().enumerate() {
        let comment = |line: &str| line.trim_start().starts_with("--");
        lines.extend(piece.lines.iter().map(|line| {
            let tone = if comment(line) { Tone::Faint } else { Tone::Plain };
            Line::of(tone, format!("       {}", clean(line, 4000)))
        }));
        let notes = piece.hazards.iter().map(|hazard| told(hazard));
        match number + 1 == pieces.len() {
            true => last.splice(..0, notes).for_each(drop),
            false => lines.extend(branches(notes.collect(), width)),
        }
    }
    lines.extend(branches(last, width));
    lines
}

/// The statements of a script, each with the comments before it. A statement of Alembic's ends with a semicolon at the end of a line.
fn statements(script: &str) -> Vec<Vec<&str>> {
    let mut all = Vec::new();
    let mut statement = Vec::new();
    for line in script.lines().filter(|line| !line.trim().is_empty()) {
        statement.push(line.trim_end());
        if line.trim_end().ends_with(';') {
            all.push(std::mem::take(&mut statement));
        }
    }
    all.extend(Some(statement).filter(|rest| !rest.is_empty()));
    all
}

/// Whether a hazard is about a statement: the finding has it in one line, cut.
fn is_about(hazard: &HazardStatus, lines: &[&str]) -> bool {
    let squeezed = |text: &str| text.chars().filter(|c| !c.is_whitespace() && *c != ';').collect::<String>();
    let statement: String = lines.iter().filter(|line| !line.trim_start().starts_with("--")).copied().collect();
    let wanted = squeezed(hazard.statement.trim_end_matches('…'));
    !wanted.is_empty() && squeezed(&statement).starts_with(&wanted)
}

/// Something that is said of what stands above it.
struct Note {
    mark: (Tone, String),
    text: Vec<(Tone, String)>,
}

fn told(hazard: &HazardStatus) -> Note {
    let mut text = vec![(Tone::Plain, hazard.message.clone())];
    if matches!(hazard.severity.as_str(), "critical" | "high" | "medium") {
        text.push((Tone::Faint, format!("instead: {}", hazard.advice)));
    }
    let word = format!("{:<4} {}", view::severity_word(&hazard.severity), hazard.code);
    Note { mark: (view::severity_tone(&hazard.severity), word), text }
}

/// `public.orders AccessExclusiveLock 8 ms` as a sentence.
fn lock_in_words(lock: &str) -> String {
    let words: Vec<&str> = lock.rsplitn(4, ' ').collect();
    let [_, ms, mode, table] = words.as_slice() else { return clean(lock, 200) };
    let effect = match *mode {
        "AccessExclusiveLock" => "nobody could read or write",
        "ShareLock" | "ShareRowExclusiveLock" | "ExclusiveLock" => "nobody could write",
        _ => "",
    };
    let effect = if effect.is_empty() { String::new() } else { format!(", {effect}") };
    format!("{table} {} for {ms} ms on a copy without rows{effect}", mode.trim_end_matches("Lock"))
}

/// Notes as branches below a statement.
fn branches(notes: Vec<Note>, width: Option<usize>) -> Vec<Line> {
    let mut lines = Vec::new();
    let count = notes.len();
    for (number, note) in notes.into_iter().enumerate() {
        let last = number + 1 == count;
        let mut start = Line::of(Tone::Faint, if last { "       └ " } else { "       ├ " });
        start = start.and(note.mark.0, note.mark.1).text("   ");
        let indent = start.width();
        let goes_on = if last { "         " } else { "       │ " };
        for (tone, text) in note.text {
            for line in std::mem::take(&mut start).wrapped(tone, &text, width.or(Some(110))) {
                lines.push(continued(line, goes_on, indent));
            }
            start = Line::new().text(" ".repeat(indent));
        }
    }
    lines
}

/// A line that goes on below a branch, with the branch's stem at its beginning.
fn continued(mut line: Line, stem: &str, indent: usize) -> Line {
    if let Some(first) = line.0.first_mut().filter(|first| first.text.len() == indent && first.text.trim().is_empty()) {
        *first = super::text::Span::new(Tone::Faint, format!("{stem}{}", " ".repeat(indent - 9)));
    }
    line
}

/// The sum, and what it waits for.
fn foot(about: &About, plan: &PlanDocument, look: Look) -> Vec<Line> {
    let mut lines = Vec::new();
    if !plan.losses.is_empty() {
        let words = match () {
            () if plan.direction == "downgrade" => "It loses",
            () if plan.steps.iter().any(|step| step.reversible == Reversible::Irreversible) => {
                "Not every step can be undone; a downgrade of the others loses"
            }
            () => "A later downgrade loses",
        };
        lines.push(Line::of(Tone::Bad, words));
        lines.extend(losses(&plan.losses, "  ", look.width));
    }
    let line = Line::new().and(Tone::Bold, format!("{}.  ", about.hazards));
    let (tone, standing) = &about.standing;
    lines.extend(line.wrapped(*tone, standing, look.width));
    let heads = std::iter::once("Next:  ").chain(std::iter::repeat("       "));
    lines.extend(heads.zip(&about.answers).map(|(head, answer)| Line::of(Tone::Bold, head).text(answer)));
    lines
}

/// So many losses are named.
const LOSSES: usize = 12;

/// What is lost, one each line.
pub fn losses(losses: &[String], indent: &str, width: Option<usize>) -> Vec<Line> {
    let mut lines: Vec<Line> = losses
        .iter()
        .take(LOSSES)
        .flat_map(|loss| Line::new().text(indent).wrapped(Tone::Plain, &clean(loss, 300), width))
        .collect();
    if losses.len() > LOSSES {
        lines.push(Line::of(Tone::Faint, format!("{indent}… and {} more", losses.len() - LOSSES)));
    }
    lines
}

/// For a pull request.
pub fn markdown(about: &About, plan: &PlanDocument) -> String {
    let rows = |rows: &[String]| if rows.is_empty() { "base".to_owned() } else { list(rows, 3) };
    let hazards = &about.hazards;
    let mut out = format!(
        "### {} of {} {}: `{}` → `{}`\n\nPlan `{}` in `{}`. {hazards}.\n",
        plan.direction,
        plan.steps.len(),
        if plan.steps.len() == 1 { "revision" } else { "revisions" },
        rows(&plan.from),
        rows(&plan.to),
        plan.hash,
        crate::text::short_image(&plan.image),
    );
    for (step, script) in plan.steps.iter().zip(plan.scripts()) {
        let (_, undo) = undo_words(&plan.direction, step.reversible);
        out += &format!("\n#### `{}` {}\n\n_{undo}_\n", step.revision, clean(&step.title, 200));
        let fence = if script.contains("```") { "~~~~" } else { "```" };
        if !script.is_empty() {
            out += &format!("\n{fence}sql\n{script}\n{fence}\n");
        }
        for hazard in plan.hazards_of(&step.revision) {
            let word = view::severity_word(&hazard.severity);
            out += &format!("\n- **{word} {}** {}", hazard.code, clean(&hazard.message, 400));
            if hazard.severity != "low" {
                out += &format!("  \n  instead: {}", hazard.advice);
            }
        }
        for text in parts(plan, step, script).measured {
            out += &format!("\n- rehearsed: {text}");
        }
        out += "\n";
    }
    out
}
