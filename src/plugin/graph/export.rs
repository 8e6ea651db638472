//! The graph for other programs: Graphviz, Mermaid, JSON; no I/O.

use super::{Mark, Node, Picture};
use serde_json::{Value, json};
use std::collections::HashSet;

/// For Graphviz.
pub fn dot(picture: &Picture) -> String {
    let mut out = String::from(
        "digraph revisions {\n  rankdir=BT;\n  node [shape=box, style=\"rounded,filled\", fontname=\"monospace\", fillcolor=white];\n",
    );
    let known = known(picture);
    for node in &picture.nodes {
        let (fill, border) = match node.mark {
            Mark::Database | Mark::Applied => ("#dafbe1", "#1a7f37"),
            Mark::Pending | Mark::Target => ("#fff8c5", "#9a6700"),
            Mark::Failed | Mark::Unknown => ("#ffebe9", "#cf222e"),
            Mark::Beyond => ("white", "#8c959f"),
        };
        let wide = if node.notes.is_empty() { 1 } else { 2 };
        let label = quoted(&label(node, "\n"));
        out += &format!(
            "  {} [label={label}, fillcolor=\"{fill}\", color=\"{border}\", penwidth={wide}];\n",
            quoted(&node.id)
        );
    }
    for (from, to, solid) in edges(picture, &known) {
        let style = if solid { "" } else { " [style=dashed]" };
        out += &format!("  {} -> {}{style};\n", quoted(from), quoted(to));
    }
    out + "}\n"
}

/// For Markdown files that are shown by GitHub or GitLab.
pub fn mermaid(picture: &Picture) -> String {
    let known = known(picture);
    let place = |id: &str| picture.nodes.iter().position(|node| node.id == id).unwrap_or_default();
    let mut out = String::from("graph BT\n");
    for (at, node) in picture.nodes.iter().enumerate() {
        let label = label(node, "<br/>").replace('"', "#quot;");
        out += &format!("  r{at}[\"{label}\"]:::{}\n", class(node.mark));
    }
    for (from, to, solid) in edges(picture, &known) {
        out += &format!("  r{} {} r{}\n", place(from), if solid { "-->" } else { "-.->" }, place(to));
    }
    out + "  classDef good fill:#dafbe1,stroke:#1a7f37\n  classDef busy fill:#fff8c5,stroke:#9a6700\n  classDef bad fill:#ffebe9,stroke:#cf222e\n  classDef none fill:#fff,stroke:#8c959f\n"
}

fn class(mark: Mark) -> &'static str {
    match mark {
        Mark::Database | Mark::Applied => "good",
        Mark::Pending | Mark::Target => "busy",
        Mark::Failed | Mark::Unknown => "bad",
        Mark::Beyond => "none",
    }
}

/// For programs.
pub fn json(picture: &Picture) -> Value {
    let node = |node: &Node| {
        json!({
            "revision": node.id, "title": node.title, "downRevisions": node.parents, "dependsOn": node.depends_on,
            "state": node.mark.word(), "step": node.step, "notes": node.notes,
            "hazards": node.hazards.iter().map(|hazard| json!({ "code": hazard.code, "severity": hazard.severity })).collect::<Vec<_>>(),
        })
    };
    json!({ "image": picture.image, "direction": if picture.down { "downgrade" } else { "upgrade" },
        "revisions": picture.nodes.iter().map(node).collect::<Vec<_>>(), "hidden": picture.hidden })
}

fn label(node: &Node, line: &str) -> String {
    let notes = if node.notes.is_empty() { String::new() } else { format!("{line}{}", node.notes.join(", ")) };
    format!("{}{line}{}{notes}", node.id, node.title)
}

fn known(picture: &Picture) -> HashSet<&str> {
    picture.nodes.iter().map(|node| node.id.as_str()).collect()
}

/// From parents to children; dependencies are not solid.
fn edges<'a>(picture: &'a Picture, known: &HashSet<&str>) -> Vec<(&'a str, &'a str, bool)> {
    let of = |node: &'a Node| {
        let parents = node.parents.iter().map(|parent| (parent.as_str(), node.id.as_str(), true));
        parents.chain(node.depends_on.iter().map(|parent| (parent.as_str(), node.id.as_str(), false)))
    };
    picture.nodes.iter().flat_map(of).filter(|(parent, ..)| known.contains(parent)).collect()
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}
