//! `revision`, `merge` and `drift -o revision`: what the Job in the image is asked for, and what is shown of the file that it
//! wrote; writes that file, and no network.

use super::text::{Line, Tone};
use crate::{
    api::{DatabaseMigration, DriftMode},
    jobs::{Authored, ByHand, Merge, NextRevision, ReviewNote, RevisionFile},
    text::clean,
};
use anyhow::{Context as _, bail};
use serde_json::Value;
use std::{fs, io::Write, path::Path};

use super::cli::{DriftArgs, MergeArgs, RevisionArgs};

/// Bytes of the names of changed objects, which stand in a variable of the pod.
const MAX_NAMES: usize = 48 * 1024;
/// Where lines are broken when nobody looks at a terminal.
const WIDTH: usize = 100;

pub fn revision(args: &RevisionArgs) -> NextRevision {
    let RevisionArgs { name: _, file, head, splice, branch_label, version_path, depends_on } = args;
    NextRevision {
        message: file.message.clone(),
        head: head.clone(),
        splice: *splice,
        branch_label: branch_label.clone(),
        version_path: version_path.clone(),
        rev_id: file.rev_id.clone(),
        depends_on: depends_on.clone(),
        by_hand: None,
    }
}

pub fn merge(args: &MergeArgs) -> Merge {
    let MergeArgs { name: _, revisions, file } = args;
    Merge { message: file.message.clone(), revisions: revisions.clone(), rev_id: file.rev_id.clone() }
}

/// The revision of what was changed by hand. `stored` is drift.json, where there is one: the status names the first objects
/// alone.
pub fn by_hand(object: &DatabaseMigration, args: &DriftArgs, stored: Option<&str>) -> anyhow::Result<NextRevision> {
    let message = match (args.keep, args.roll_back) {
        (true, _) => "keep what was changed by hand",
        (_, true) => "roll back what was changed by hand",
        (false, false) => bail!(
            "say what the revision is to do: --keep writes what was done by hand, so that every database gets it; --roll-back writes what undoes it"
        ),
    };
    let objects = match object.spec.drift.mode {
        // The comparison is the same one.
        DriftMode::Models => Vec::new(),
        DriftMode::Snapshot | DriftMode::Replay | DriftMode::Disabled => changed(object, stored)?,
    };
    Ok(NextRevision {
        message: Some(args.file.message.clone().unwrap_or_else(|| message.to_owned())),
        rev_id: args.file.rev_id.clone(),
        by_hand: Some(ByHand { keep: args.keep, objects }),
        ..NextRevision::default()
    })
}

fn changed(object: &DatabaseMigration, stored: Option<&str>) -> anyhow::Result<Vec<String>> {
    let told = object.status.iter().flat_map(|status| &status.drift).flat_map(|drift| &drift.objects);
    let told: Vec<String> = told.map(|object| object.object.clone()).collect();
    let stored = stored.and_then(|text| serde_json::from_str::<Value>(text).ok());
    let all: Vec<String> = stored
        .iter()
        .flat_map(|json| json["objects"].as_array().into_iter().flatten())
        .filter_map(|object| object["object"].as_str().map(str::to_owned))
        .collect();
    let names = if all.len() > told.len() { all } else { told };
    if names.is_empty() {
        bail!("nothing was changed by hand: {}", super::drift::summary(&super::view::status_of(object)));
    }
    if names.iter().map(String::len).sum::<usize>() > MAX_NAMES {
        bail!("{} objects differ, which is too much for one revision: accept-drift, or undo it by hand", names.len());
    }
    Ok(names)
}

/// What a person has to check before the file is committed.
pub fn review(authored: &Authored, width: Option<usize>) -> Vec<Line> {
    if authored.files.is_empty() {
        let mut lines = vec![Line::new().text("There is nothing to write: the models have what the database has.")];
        lines.extend(notes(&authored.review, width));
        return lines;
    }
    let mut lines = Vec::new();
    for file in &authored.files {
        let down = if file.down.is_empty() { "base".to_owned() } else { file.down.join(", ") };
        lines.push(
            Line::of(Tone::Bold, clean(&file.path, 300))
                .text("   revision ")
                .and(Tone::Name, clean(&file.revision, 64))
                .text(format!(" after {}", clean(&down, 300))),
        );
    }
    lines.extend(notes(&authored.review, width));
    if authored.more > 0 {
        lines.push(Line::of(Tone::Faint, format!("  … and {} more", authored.more)));
    }
    lines
}

fn notes(notes: &[ReviewNote], width: Option<usize>) -> Vec<Line> {
    let width = Some(width.unwrap_or(WIDTH));
    // What is lost or fails stands first.
    let weight = |kind: &str| match kind {
        "drops" => (0, Tone::Bad),
        "fails" => (1, Tone::Bad),
        "check" => (2, Tone::Busy),
        "downgrade" => (3, Tone::Busy),
        "by hand" => (4, Tone::Busy),
        _ => (5, Tone::Faint),
    };
    let mut sorted: Vec<&ReviewNote> = notes.iter().collect();
    sorted.sort_by_key(|note| weight(&note.kind).0);
    let line = |note: &ReviewNote| {
        let head = Line::new().text("  ").and(weight(&note.kind).1, clean(&note.kind, 12)).padded(14);
        head.wrapped(Tone::Plain, &clean(&note.text, 400), width)
    };
    sorted.into_iter().flat_map(line).collect()
}

/// The files as text, each under its name where there are several.
pub fn text(files: &[RevisionFile]) -> String {
    let whole = |file: &RevisionFile| file.text.trim_end().to_owned() + "\n";
    match files {
        [file] => whole(file),
        files => files.iter().map(|file| format!("# {}\n{}", clean(&file.path, 300), whole(file))).collect(),
    }
}

/// Writes the files into a folder; one that is there already is left alone. Returns where they are.
pub fn save(files: &[RevisionFile], folder: &Path) -> anyhow::Result<Vec<String>> {
    let mut written = Vec::new();
    for file in files {
        let path = folder.join(file_name(file)?);
        let shown = path.display().to_string();
        let mut target = fs::File::create_new(&path).with_context(|| format!("{shown} can't be written"))?;
        target
            .write_all(text(std::slice::from_ref(file)).as_bytes())
            .with_context(|| format!("{shown} can't be written"))?;
        written.push(shown);
    }
    Ok(written)
}

/// The last part of its path. It comes out of a pod, so it is a plain name or none.
fn file_name(file: &RevisionFile) -> anyhow::Result<&str> {
    let name = file.path.rsplit(['/', '\\']).next().unwrap_or_default();
    let plain = name.len() <= 200
        && name.ends_with(".py")
        && !name.starts_with('.')
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '@'));
    match plain {
        true => Ok(name),
        false => bail!("{:?} is no name for a revision's file", clean(name, 200)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str) -> RevisionFile {
        RevisionFile { path: path.into(), revision: "f00d".into(), down: vec!["e90a".into()], text: "x = 1\n\n".into() }
    }

    #[test]
    fn a_file_is_written_under_its_own_name_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let written = save(&[file("versions/f00d_more.py")], folder.path()).unwrap();
        assert!(written[0].ends_with("f00d_more.py"));
        assert_eq!(fs::read_to_string(folder.path().join("f00d_more.py")).unwrap(), "x = 1\n");
        assert!(save(&[file("other/f00d_more.py")], folder.path()).is_err());
        for bad in ["versions/..", "/etc/passwd", "versions/.py", "a\u{1b}.py", "x.sh"] {
            assert!(save(&[file(bad)], folder.path()).is_err(), "{bad}");
        }
    }

    #[test]
    fn several_files_are_told_apart() {
        assert_eq!(text(&[file("a.py")]), "x = 1\n");
        assert_eq!(text(&[file("a.py"), file("b.py")]), "# a.py\nx = 1\n# b.py\nx = 1\n");
    }
}
