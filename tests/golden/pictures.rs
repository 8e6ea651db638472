//! The pictures of the README and the book: what the plugin's own tests hold it to print, drawn as a terminal; no network.

use super::{generated, root};
use std::fs;

/// Size of a character, and what is around the text.
const CELL: (f64, f64) = (8.0, 19.0);
const MARGIN: f64 = 18.0;

/// Words and marks that have a colour; everything else is the colour of text.
const COLOURS: [(&str, &str); 12] = [
    ("CRIT", "#ff7b72"),
    ("HIGH", "#ff7b72"),
    ("loses data", "#e3b341"),
    ("low ", "#8b949e"),
    ("✓", "#7ee787"),
    ("◉", "#7ee787"),
    ("●", "#7ee787"),
    ("DATABASE", "#7ee787"),
    ("◎", "#79c0ff"),
    ("TARGET", "#79c0ff"),
    ("instead:", "#d2a8ff"),
    ("allowed:", "#8b949e"),
];

#[test]
fn pictures_show_what_the_plugin_prints() {
    for (name, command) in [("plan", "kubectl dbmigration plan shop"), ("graph", "kubectl dbmigration graph shop")] {
        let text = fs::read_to_string(root(&format!("src/plugin/snapshots/{name}.txt"))).unwrap();
        generated(&format!("docs/src/pictures/{name}.svg"), &svg(command, text.trim_end()));
    }
}

/// A terminal with a command and its answer.
fn svg(command: &str, answer: &str) -> String {
    let lines: Vec<String> = std::iter::once(format!("$ {command}")).chain(answer.lines().map(str::to_owned)).collect();
    let columns = lines.iter().map(|line| line.chars().count()).max().unwrap_or_default();
    let (width, height) = (columns as f64 * CELL.0 + 2.0 * MARGIN, lines.len() as f64 * CELL.1 + 2.0 * MARGIN);
    let mut picture = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n\
        <title>{}</title>\n<rect width=\"100%\" height=\"100%\" rx=\"10\" fill=\"#0d1117\"/>\n\
        <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, monospace\" font-size=\"13\" fill=\"#c9d1d9\" xml:space=\"preserve\">\n",
        escaped(command)
    );
    for (number, line) in lines.iter().enumerate() {
        let y = MARGIN + (number as f64 + 0.75) * CELL.1;
        for (column, part, colour) in parts(line) {
            let x = MARGIN + column as f64 * CELL.0;
            let length = part.chars().count() as f64 * CELL.0;
            let fill = colour.map(|colour| format!(" fill=\"{colour}\"")).unwrap_or_default();
            // The length keeps columns in line, whatever the font.
            picture += &format!("<text x=\"{x}\" y=\"{y}\" textLength=\"{length}\"{fill}>{}</text>\n", escaped(&part));
        }
    }
    picture + "</g>\n</svg>\n"
}

/// A line cut at its colours and at its wide gaps: where each part begins, and its colour.
fn parts(line: &str) -> Vec<(usize, String, Option<&'static str>)> {
    let mut found: Vec<(usize, String, Option<&'static str>)> = Vec::new();
    let mut rest = line;
    let mut column = 0;
    while let Some(first) = rest.chars().next() {
        let marked = COLOURS.iter().find(|(word, _)| rest.starts_with(word));
        let (part, colour) = match marked {
            Some((word, colour)) => (*word, Some(*colour)),
            None => (&rest[..first.len_utf8()], None),
        };
        let joins = found.last().is_some_and(|(_, before, known)| *known == colour && !(before.ends_with("  ")));
        match found.last_mut().filter(|_| joins) {
            Some((_, before, _)) => before.push_str(part),
            None => found.push((column, part.to_owned(), colour)),
        }
        column += part.chars().count();
        rest = &rest[part.len()..];
    }
    let trimmed = found.into_iter().map(|(column, part, colour)| {
        let kept = part.trim_start();
        (column + part.chars().count() - kept.chars().count(), kept.trim_end().to_owned(), colour)
    });
    trimmed.filter(|(_, part, _)| !part.is_empty()).collect()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
