//! The graph in lanes, drawn with Sapling's renderer, as text for a terminal; no I/O.

use super::{Mark, Node, Picture};
use crate::plugin::{
    status::Look,
    text::{Line, Tone, cut},
    view,
};
use renderdag::{Ancestor, GraphRowRenderer, Renderer};
use std::collections::{HashMap, HashSet};

/// A revision with its lanes: the first line has its glyph, the others lead to the next one.
#[derive(Clone, Debug)]
pub struct Row {
    pub node: usize,
    pub lanes: Vec<String>,
}

/// What stands where the text of a row begins, and in no lane.
const TEXT: char = '\u{1}';
/// Above so many rows there is no empty line between two.
const AIRY: usize = 60;

/// The lanes of every row.
pub fn rows(picture: &Picture) -> Vec<Row> {
    let height = if picture.nodes.len() > AIRY { 1 } else { 2 };
    let mut renderer = GraphRowRenderer::new().output().with_min_row_height(height).build_box_drawing();
    let known: HashSet<&str> = picture.nodes.iter().map(|node| node.id.as_str()).collect();
    let row = |(at, node): (usize, &Node)| {
        let text =
            renderer.next_row(node.id.clone(), ancestors(node, &known), node.mark.glyph().to_owned(), TEXT.to_string());
        Row {
            node: at,
            lanes: text.lines().map(|line| line.split(TEXT).next().unwrap_or_default().to_owned()).collect(),
        }
    };
    picture.nodes.iter().enumerate().map(row).collect()
}

/// Where the lanes of a revision lead. What is left out below has no name.
fn ancestors(node: &Node, known: &HashSet<&str>) -> Vec<Ancestor<String>> {
    let lead = |id: &String, line: fn(String) -> Ancestor<String>| match known.contains(id.as_str()) {
        true => line(id.clone()),
        false => Ancestor::Anonymous,
    };
    let parents = node.parents.iter().map(|id| lead(id, Ancestor::Parent));
    let others = node.depends_on.iter().map(|id| lead(id, Ancestor::Ancestor));
    let mut all: Vec<Ancestor<String>> = parents.chain(others).collect();
    // One way out of the picture is enough.
    let mut seen = false;
    all.retain(|ancestor| !matches!(ancestor, Ancestor::Anonymous) || !std::mem::replace(&mut seen, true));
    all
}

/// Columns of the lanes that are worth aligning the text for.
const WIDEST: usize = 24;
const LONGEST_ID: usize = 16;

/// The graph as text.
pub fn text(picture: &Picture, look: Look) -> Vec<Line> {
    let rows = rows(picture);
    let first = |row: &Row| row.lanes.first().map_or(0, |lane| lane.trim_end().chars().count());
    let widest = rows.iter().map(first).max().unwrap_or(1).min(WIDEST);
    let longest = picture.nodes.iter().map(|node| node.id.chars().count()).max().unwrap_or(0).min(LONGEST_ID);
    let titles = picture.nodes.iter().map(|node| node.title.chars().count()).max().unwrap_or(0).clamp(8, TITLE);
    let absent = |target: &String| Line::of(Tone::Bad, format!("✗  {target}  no revision of this image   ← TARGET"));
    let mut lines: Vec<Line> = picture.absent.iter().map(|target| absent(target).cut(look.width)).collect();
    for row in &rows {
        let node = &picture.nodes[row.node];
        for (number, lane) in row.lanes.iter().enumerate() {
            let line = drawn(lane, (number == 0).then_some(node));
            if number > 0 {
                lines.push(line.cut(look.width));
                continue;
            }
            let line = line
                .padded(widest + 2)
                .and(Tone::Name, format!("{:<longest$}", cut(&node.id, LONGEST_ID.max(longest))));
            lines.push(described(line.text("  "), node, picture, titles, look));
        }
    }
    if picture.hidden > 0 {
        // The last lane ends in a line of its own.
        lines.pop_if(|last| last.0.iter().map(|span| span.text.trim()).collect::<String>() == "~");
        lines.push(Line::of(Tone::Faint, format!("~    {} more applied (--all)", picture.hidden)));
    }
    // Disconnected revisions leave an empty line behind them.
    while lines.pop_if(|last| last.0.iter().all(|span| span.text.trim().is_empty())).is_some() {}
    lines.push(Line::new());
    lines.push(legend(picture, look));
    lines
}

/// The lanes with the glyph in its colour.
fn drawn(lane: &str, node: Option<&Node>) -> Line {
    let lane = lane.trim_end();
    match node.and_then(|node| lane.split_once(node.mark.glyph()).map(|parts| (node, parts))) {
        Some((node, (before, after))) => {
            Line::of(Tone::Faint, before).and(tone(node.mark), node.mark.glyph()).and(Tone::Faint, after)
        }
        None => Line::of(Tone::Faint, lane),
    }
}

/// Columns of the longest title that is shown whole where there is room.
const TITLE: usize = 60;

fn described(line: Line, node: &Node, picture: &Picture, titles: usize, look: Look) -> Line {
    let state = match (node.mark, node.step) {
        (Mark::Failed, _) => "failed".to_owned(),
        (_, Some(step)) if picture.down => format!("{step} to undo"),
        (_, Some(step)) => format!("{step} pending"),
        (Mark::Applied | Mark::Database, None) => "applied".to_owned(),
        (Mark::Unknown, None) => "unknown".to_owned(),
        (Mark::Beyond, None) => "not asked for".to_owned(),
        (Mark::Pending | Mark::Target, None) => String::new(),
    };
    // What is said of it has its place at the right.
    let room = look.width.map_or(titles, |width| width.saturating_sub(line.width() + 40).min(titles));
    let line = if room < 8 {
        line
    } else {
        let column = line.width() + room;
        line.text(cut(&node.title, room)).padded(column).text("  ")
    };
    let mut line = line.and(tone(node.mark), format!("{state:<10}"));
    if let Some(hazard) = node.hazards.first() {
        let word = format!("  {} {}", view::severity_word(&hazard.severity), hazard.code);
        line = line.and(view::severity_tone(&hazard.severity), word);
    }
    if !node.notes.is_empty() {
        line = line.and(Tone::Bold, format!("   ← {}", node.notes.join(", ")));
    }
    line.cut(look.width)
}

pub(super) fn tone(mark: Mark) -> Tone {
    match mark {
        Mark::Database | Mark::Applied => Tone::Good,
        Mark::Pending | Mark::Target => Tone::Busy,
        Mark::Failed | Mark::Unknown => Tone::Bad,
        Mark::Beyond => Tone::Faint,
    }
}

/// The marks that the picture has.
fn legend(picture: &Picture, look: Look) -> Line {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for node in &picture.nodes {
        *counts.entry(node.mark.glyph()).or_default() += 1;
    }
    let mut line = Line::new();
    for (mark, word) in Mark::LEGEND.into_iter().filter(|(mark, _)| counts.contains_key(mark.glyph())) {
        line = line.and(tone(mark), mark.glyph()).and(Tone::Faint, format!(" {word}  "));
    }
    line.and(Tone::Faint, crate::text::short_image(&picture.image)).cut(look.width)
}
