//! `status` of many objects and sets as tables; from the objects alone, no I/O.

use super::{
    sets,
    status::{Look, command},
    table::{Column, table},
    text::{Line, Span, Tone},
    view::{self, State, Verdict, status_of},
};
use crate::api::{DatabaseMigration, DatabaseMigrationSet};
use kube::ResourceExt;

const COLUMNS: [Column; 9] = [
    Column::new("NAMESPACE", 0),
    Column::new("NAME", 0),
    Column::new("STATE", 0),
    Column::new("DATABASE", 4),
    Column::new("TARGET", 6),
    Column::right("STEPS", 1),
    Column::new("RISK", 3),
    Column::new("DRIFT", 2),
    Column::new("LAST RUN", 5),
];

/// The objects in a table, one each line, and the sets in another one below.
pub fn overview(
    objects: &[DatabaseMigration],
    sets: &[DatabaseMigrationSet],
    namespaces: bool,
    look: Look,
) -> Vec<Line> {
    let mut lines = if objects.is_empty() { Vec::new() } else { table_of(objects, namespaces, look) };
    if !sets.is_empty() {
        lines.extend((!lines.is_empty()).then(Line::new));
        lines.extend(sets::status::overview(sets, namespaces, look));
    }
    // Programs read the tables alone.
    let asked = objects.iter().filter(asks).max_by_key(weight).map(|worst| (weight(&worst), command(worst, "status")));
    let of_sets =
        sets.iter().map(|set| ((State::of(set).verdict, sets::status_of(set).targets.failed), command(set, "status")));
    let of_sets = of_sets.filter(|(weight, _)| *weight > (Verdict::Working, 0)).max_by_key(|(weight, _)| *weight);
    let worst = asked.into_iter().chain(of_sets).max_by_key(|(weight, _)| *weight);
    if let (Some(width), Some((_, command))) = (look.width, worst) {
        lines.push(Line::new());
        let line = Line::new().and(Tone::Bold, "Next:  ").text(command);
        let why = "  says what to do";
        lines.push(if line.width() + why.len() <= width { line.and(Tone::Faint, why) } else { line });
    }
    lines
}

fn table_of(objects: &[DatabaseMigration], namespaces: bool, look: Look) -> Vec<Line> {
    let skipped = usize::from(!namespaces);
    let row = |object: &DatabaseMigration| {
        let status = status_of(object);
        let cells = vec![
            Span::plain(object.namespace().unwrap_or_default()),
            Span::new(Tone::Bold, object.name_any()),
            State::of(object).span(),
            Span::plain(view::database(object)),
            Span::plain(view::target(object)),
            view::steps(&status),
            view::risk(&status),
            view::drift(&status),
            view::last_run(&status, look.now),
        ];
        cells.into_iter().skip(skipped).collect()
    };
    let rows: Vec<Vec<Span>> = objects.iter().map(row).collect();
    table(&COLUMNS[skipped..], &rows, look.width)
}

/// Whether an object waits for somebody.
fn asks(object: &&DatabaseMigration) -> bool {
    weight(object) > (Verdict::Working, 0)
}

fn weight(object: &&DatabaseMigration) -> (Verdict, i32) {
    let drifted = view::drifted_objects(&status_of(object));
    let verdict = State::of(*object).verdict;
    (if drifted > 0 { verdict.max(Verdict::Working) } else { verdict }, drifted)
}
