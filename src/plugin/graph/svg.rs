//! The graph as SVG: the same lanes as in the terminal, each character a piece of a line. Nothing in it is loaded or run. No I/O.

use super::{Mark, Node, Picture, lanes};
use crate::plugin::{text::cut, view};
use std::fmt::Write;

/// Of a character.
const WIDTH: f32 = 10.0;
/// Of a line.
const HEIGHT: f32 = 16.0;
const MARGIN: f32 = 12.0;
/// Of a letter, for the width of the whole.
const LETTER: f32 = 7.3;

/// A picture by itself, with its colours in it; those of a dark page follow the reader's setting.
pub fn svg(picture: &Picture) -> String {
    let rows = lanes::rows(picture);
    let lanes = rows.iter().flat_map(|row| &row.lanes).map(|lane| lane.trim_end().chars().count()).max().unwrap_or(1);
    let start = MARGIN + WIDTH * (lanes as f32 + 1.5);
    let mut body = String::new();
    let mut line = 0.0_f32;
    let mut longest = 0;
    for row in &rows {
        let node = &picture.nodes[row.node];
        for (number, lane) in row.lanes.iter().enumerate() {
            let (mut x, y) = (MARGIN, MARGIN + HEIGHT * line);
            for c in lane.trim_end().chars() {
                match number == 0 && node.mark.glyph().starts_with(c) {
                    true => circle(&mut body, node.mark, x, y),
                    false => stroke(&mut body, c, x, y),
                }
                x += WIDTH;
            }
            if number == 0 {
                longest = longest.max(text(&mut body, node, picture.down, start, y));
            }
            line += 1.0;
        }
    }
    if picture.hidden > 0 {
        let y = MARGIN + HEIGHT * line + 12.0;
        put(
            &mut body,
            format_args!(r#"<text class="faint" x="{start}" y="{y}">{} more applied</text>"#, picture.hidden),
        );
        line += 1.0;
    }
    let (width, height) = (start + longest as f32 * LETTER + MARGIN, HEIGHT * line + 2.0 * MARGIN);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
         aria-label=\"Revisions of {}\">\n<style>{STYLE}</style>\n{body}</svg>\n",
        escaped(&crate::text::short_image(&picture.image)),
    )
}

const STYLE: &str = "text{font:12px ui-monospace,Menlo,Consolas,monospace;fill:#1f2328}path{stroke:#8c959f;stroke-width:1.5;fill:none}.dash{stroke-dasharray:2 3}\
.faint{fill:#6e7781}.id{font-weight:600}.good{fill:#1a7f37;stroke:#1a7f37}.busy{fill:#fff;stroke:#9a6700}.bad{fill:#cf222e;stroke:#cf222e}.none{fill:#fff;stroke:#8c959f}\
text.busy{fill:#9a6700;stroke:none}text.bad{fill:#cf222e;stroke:none}text.good{fill:#1a7f37;stroke:none}circle{stroke-width:2}circle.ring{fill:none}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}path{stroke:#6e7681}.faint{fill:#8d96a0}.good{fill:#3fb950;stroke:#3fb950}.busy{fill:#0d1117;stroke:#d29922}.bad{fill:#f85149;stroke:#f85149}\
.none{fill:#0d1117;stroke:#6e7681}text.busy{fill:#d29922}text.bad{fill:#f85149}text.good{fill:#3fb950}}";

/// A String takes all that is written to it.
fn put(out: &mut String, text: std::fmt::Arguments) {
    let _ = writeln!(out, "{text}");
}

fn circle(out: &mut String, mark: Mark, x: f32, y: f32) {
    let (x, y) = (x + WIDTH / 2.0, y + HEIGHT / 2.0);
    put(
        out,
        format_args!(
            r#"<circle class="{}" cx="{x}" cy="{y}" r="4.5"><title>{}</title></circle>"#,
            class(mark),
            mark.word()
        ),
    );
    if matches!(mark, Mark::Database | Mark::Target) {
        put(out, format_args!(r#"<circle class="{} ring" cx="{x}" cy="{y}" r="7.5"/>"#, class(mark)));
    }
}

fn class(mark: Mark) -> &'static str {
    match mark {
        Mark::Database | Mark::Applied => "good",
        Mark::Pending | Mark::Target => "busy",
        Mark::Failed | Mark::Unknown => "bad",
        Mark::Beyond => "none",
    }
}

/// A character of the lanes as a piece of a line.
fn stroke(out: &mut String, c: char, x: f32, y: f32) {
    let (left, middle, right) = (x, x + WIDTH / 2.0, x + WIDTH);
    let (top, centre, bottom) = (y, y + HEIGHT / 2.0, y + HEIGHT);
    let vertical = format!("M{middle} {top}V{bottom}");
    let horizontal = format!("M{left} {centre}H{right}");
    let curve = |from_x: f32, to_y: f32| format!("M{from_x} {centre}Q{middle} {centre} {middle} {to_y}");
    let path = match c {
        '│' | '╷' | '┆' => vertical,
        '─' => horizontal,
        '╯' => curve(left, top),
        '╮' => curve(left, bottom),
        '╰' => curve(right, top),
        '╭' => curve(right, bottom),
        '┴' => horizontal + &format!("M{middle} {centre}V{top}"),
        '┬' => horizontal + &format!("M{middle} {centre}V{bottom}"),
        '┤' => vertical + &curve(left, top),
        '├' => vertical + &curve(right, top),
        '┼' => vertical + &horizontal,
        '~' => format!("M{left} {centre}q{} -4 {} 0t{} 0", WIDTH / 4.0, WIDTH / 2.0, WIDTH / 2.0),
        _ => return,
    };
    let class = if matches!(c, '╷' | '┆') { " class=\"dash\"" } else { "" };
    put(out, format_args!("<path{class} d=\"{path}\"/>"));
}

/// What is said of a revision, and how many letters that is.
fn text(out: &mut String, node: &Node, down: bool, x: f32, y: f32) -> usize {
    let y = y + HEIGHT / 2.0 + 4.0;
    let id = cut(&node.id, 16);
    let title = cut(&node.title, 44);
    let mut state = match node.step {
        Some(step) if down => format!("{step} to undo"),
        Some(step) => format!("{step} pending"),
        None if node.mark == Mark::Database => "applied".to_owned(),
        None => node.mark.word().to_owned(),
    };
    if let Some(hazard) = node.hazards.first() {
        state += &format!("  {} {}", view::severity_word(&hazard.severity), hazard.code);
    }
    if !node.notes.is_empty() {
        state += &format!("  ← {}", node.notes.join(", "));
    }
    let grave = node.hazards.first().is_some_and(|hazard| matches!(hazard.severity.as_str(), "critical" | "high"));
    let class = if grave { "bad" } else { class(node.mark) };
    let class = if class == "none" { "faint" } else { class };
    put(
        out,
        format_args!(
            r#"<text x="{x}" y="{y}" xml:space="preserve"><tspan class="id">{}</tspan>  {}</text><text class="{class}" x="{}" y="{y}">{}</text>"#,
            escaped(&id),
            escaped(&title),
            x + LETTER * (id.chars().count() + title.chars().count() + 4) as f32,
            escaped(&state),
        ),
    );
    id.chars().count() + title.chars().count() + state.chars().count() + 5
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
