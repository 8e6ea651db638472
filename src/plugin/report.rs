//! `report`: everything that a bug report needs in one zip, without secrets; no network.

use super::{gather::Gathered, text::cut};
use crate::text::{clean, redact};
use kube::ResourceExt;
use serde_json::{Value, json};
use std::io::{Cursor, Write};
use zip::{CompressionMethod, ZipWriter, result::ZipResult, write::SimpleFileOptions};

/// What stands in the place of a value that may be a secret.
const MASK: &str = "***";
/// Bytes of a log: its end says most.
const MAX_LOG: usize = 1 << 20;

/// The files of a report. Secrets are never read; values of variables and the users of URLs are taken out of what was.
pub fn files(found: &Gathered) -> Vec<(String, String)> {
    let mut files = vec![
        ("README.txt".to_owned(), readme(found)),
        ("object.json".to_owned(), pretty(json!(found.object))),
        ("jobs.json".to_owned(), pretty(json!(found.jobs))),
        ("pods.json".to_owned(), pretty(json!(found.pods))),
        ("events.json".to_owned(), pretty(json!(found.events))),
    ];
    for map in &found.config_maps {
        let data = map.data.iter().flatten();
        files.extend(
            data.map(|(key, text)| (format!("configmaps/{}/{}", map.name_any(), safe(key)), masked_text(text))),
        );
    }
    for (name, log) in &found.logs {
        let start = log.len().saturating_sub(MAX_LOG);
        let start = (start..log.len()).find(|at| log.is_char_boundary(*at)).unwrap_or(log.len());
        files.push((format!("logs/{}.log", safe(name)), masked_text(&super::which_job::readable(&log[start..]))));
    }
    if !found.missing.is_empty() {
        files.push(("missing.txt".to_owned(), found.missing.join("\n") + "\n"));
    }
    files
}

fn readme(found: &Gathered) -> String {
    let state = super::view::State::of(&found.object);
    format!(
        "{}: {}\n{}\n\nplugin {}, operator {}\n\nSecrets were not read. The values of variables and the users in URLs were taken out; read the files before you pass them on.\n",
        super::view::full_name(&found.object),
        state.word,
        masked_text(&state.message),
        env!("CARGO_PKG_VERSION"),
        found.operator.as_deref().unwrap_or("not known"),
    )
}

fn pretty(mut value: Value) -> String {
    mask(&mut value);
    format!("{value:#}\n")
}

/// Takes out the values of variables, of managed fields nobody needs, and the users of URLs.
fn mask(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.remove("managedFields");
            map.remove("kubectl.kubernetes.io/last-applied-configuration");
            for (key, value) in map.iter_mut() {
                match (key.as_str(), &mut *value) {
                    ("env", Value::Array(variables)) => variables.iter_mut().for_each(mask_variable),
                    ("x", Value::Array(arguments)) => arguments.iter_mut().for_each(mask_argument),
                    ("args" | "command", Value::Array(words)) => words.iter_mut().for_each(mask_argument),
                    _ => {}
                }
                mask(value);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(mask),
        Value::String(text) => *text = masked_text(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn mask_variable(variable: &mut Value) {
    if let Some(value) = variable.get_mut("value") {
        *value = json!(MASK);
    }
}

/// `--password=abc` and `key=value` keep their names.
fn mask_argument(argument: &mut Value) {
    let Some(text) = argument.as_str() else { return };
    if let Some((name, _)) = text.split_once('=') {
        *argument = json!(format!("{}={MASK}", cut(name, 100)));
    }
}

fn masked_text(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let word = ["PASSWORD", "SECRET", "TOKEN"].into_iter().find_map(|word| find(line, word));
        match word.and_then(|at| line[at..].find(['=', ':']).map(|sign| at + sign + 1)) {
            // What follows such a word in a log or a manifest is taken out whole.
            Some(value) if !line[value..].trim().is_empty() && !line.contains("secretKeyRef") => {
                format!("{} {MASK}", &line[..value])
            }
            _ => line.to_owned(),
        }
    });
    redact(&clean(&lines.collect::<Vec<_>>().join("\n"), usize::MAX - 1), &[])
}

/// Where a word is, in capitals or not.
fn find(line: &str, word: &str) -> Option<usize> {
    line.to_ascii_uppercase().find(word)
}

/// A name that is no path.
fn safe(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect()
}

/// The files as a zip.
pub fn zip(files: &[(String, String)]) -> ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
    for (name, text) in files {
        zip.start_file(name, options)?;
        zip.write_all(text.as_bytes())?;
    }
    Ok(zip.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_and_users_are_taken_out() {
        let mut value = json!({ "metadata": { "managedFields": [1] }, "spec": { "env": [{ "name": "A", "value": "s3cret" },
            { "name": "B", "valueFrom": { "secretKeyRef": { "name": "db", "key": "url" } } }], "x": ["tenant=acme"] },
            "status": { "message": "postgresql://u:pw@db/shop is away" } });
        mask(&mut value);
        let text = value.to_string();
        for secret in ["s3cret", "acme", "u:pw", "managedFields"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
        assert!(text.contains("secretKeyRef") && text.contains("tenant=***"), "{text}");
    }

    #[test]
    fn what_follows_a_password_in_a_log_goes() {
        assert_eq!(masked_text("PGPASSWORD=abc psql\nfine: yes"), "PGPASSWORD= ***\nfine: yes");
    }

    #[test]
    fn the_zip_holds_every_file() {
        let bytes = zip(&[("a.txt".into(), "one".into()), ("logs/b.log".into(), "two".into())]).unwrap();
        let read = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        assert_eq!(read.len(), 2);
    }
}
