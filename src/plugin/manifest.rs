//! A change of one value in a YAML file that people keep in Git: comments, order and everything else stay as they are. Pure
//! text; what can't be changed safely is refused.

use super::thing::Named;
use serde_yaml::Value;

/// Why a file is not changed.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    #[error("it holds no {0} called {1}")]
    NotFound(&'static str, String),
    #[error("it is no YAML: {0}; if it is a template, write the line yourself: {1}")]
    NotYaml(String, String),
    #[error("it is written in a way that can't be changed safely; write the line yourself: {0}")]
    Unsafe(String),
}

/// Sets a text at a path of the object with this name.
pub fn set(text: &str, named: Named<'_>, path: &[&str], value: &str) -> Result<String, EditError> {
    let kind = match named {
        Named::Any(_) | Named::Migration(_) => "DatabaseMigration",
        Named::Set(_) => "DatabaseMigrationSet",
    };
    let name = named.name();
    let told = format!("{}: \"{value}\"", path.join("."));
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (start, end) in documents(&lines) {
        let whole: String = lines[start..end].concat();
        let before: Value =
            serde_yaml::from_str(&whole).map_err(|error| EditError::NotYaml(error.to_string(), told.clone()))?;
        if before["kind"].as_str() != Some(kind) || before["metadata"]["name"].as_str() != Some(name) {
            continue;
        }
        let mut changed: Vec<String> = lines[start..end].iter().map(|line| (*line).to_owned()).collect();
        let all = 0..changed.len();
        set_in(&mut changed, all, 0, path, value).ok_or_else(|| EditError::Unsafe(told.clone()))?;
        let changed = changed.concat();
        let after: Value = serde_yaml::from_str(&changed).map_err(|_| EditError::Unsafe(told.clone()))?;
        if after != with(before, path, value) {
            return Err(EditError::Unsafe(told));
        }
        return Ok(lines[..start].concat() + &changed + &lines[end..].concat());
    }
    Err(EditError::NotFound(kind, name.to_owned()))
}

/// The lines of each document.
fn documents(lines: &[&str]) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    let mut start = 0;
    for (at, line) in lines.iter().enumerate() {
        if line.trim_end() == "---" || line.starts_with("--- ") {
            out.push((start, at));
            start = at + 1;
        }
    }
    out.push((start, lines.len()));
    out.retain(|(start, end)| lines[*start..*end].iter().any(|line| !is_blank(line)));
    out
}

/// What the document must be after the change.
fn with(mut document: Value, path: &[&str], value: &str) -> Value {
    let mut at = &mut document;
    for key in path {
        if at.is_null() {
            *at = Value::Mapping(serde_yaml::Mapping::new());
        }
        let Value::Mapping(mapping) = at else { return Value::Null };
        at = mapping.entry(Value::from(*key)).or_insert(Value::Null);
    }
    *at = Value::from(value);
    document
}

fn is_blank(line: &str) -> bool {
    let text = line.trim();
    text.is_empty() || text.starts_with('#')
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// What stands behind a key of this indent, with the place where it begins.
fn after_key(line: &str, indent: usize, key: &str) -> Option<usize> {
    let rest = line.get(indent..)?.strip_prefix(key)?;
    let colon = rest.starts_with(':') && rest[1..].starts_with([' ', '\n', '\r']) || rest == ":";
    (indent_of(line) == indent && colon).then_some(indent + key.len() + 1)
}

fn set_in(
    lines: &mut Vec<String>,
    range: std::ops::Range<usize>,
    indent: usize,
    path: &[&str],
    value: &str,
) -> Option<()> {
    let (key, rest) = path.split_first()?;
    let found = range.clone().find_map(|at| Some((at, after_key(&lines[at], indent, key)?)));
    let Some((at, behind)) = found else {
        insert(lines, range, indent, path, value);
        return Some(());
    };
    let (held, comment) = split_comment(&lines[at][behind..]);
    let (held, comment) = (held.trim().to_owned(), comment.to_owned());
    if rest.is_empty() {
        let head = lines[at][..behind].to_owned();
        lines[at] = format!("{head} \"{value}\"{comment}");
        return Some(());
    }
    if held.starts_with('{') {
        let flow = set_in_flow(&held, rest, value)?;
        let head = lines[at][..behind].to_owned();
        lines[at] = format!("{head} {flow}{comment}");
        return Some(());
    }
    if !held.is_empty() {
        return None;
    }
    let deeper = |line: &String| is_blank(line) || indent_of(line) > indent;
    let end = (at + 1..range.end).find(|next| !deeper(&lines[*next])).unwrap_or(range.end);
    let child = (at + 1..end).find(|next| !is_blank(&lines[*next])).map_or(indent + 2, |next| indent_of(&lines[next]));
    set_in(lines, at + 1..end, child, rest, value)
}

/// Puts a new key behind the last line of a block.
fn insert(lines: &mut Vec<String>, range: std::ops::Range<usize>, indent: usize, path: &[&str], value: &str) {
    let end = range.clone().rev().find(|at| !is_blank(&lines[*at])).map_or(range.start, |at| at + 1);
    if let Some(before) =
        end.checked_sub(1).and_then(|before| lines.get_mut(before)).filter(|line| !line.ends_with('\n'))
    {
        before.push('\n');
    }
    let last = path.len() - 1;
    let new = path.iter().enumerate().map(|(depth, key)| {
        let blanks = " ".repeat(indent + 2 * depth);
        if depth == last { format!("{blanks}{key}: \"{value}\"\n") } else { format!("{blanks}{key}:\n") }
    });
    lines.splice(end..end, new.collect::<Vec<_>>());
}

/// `{downgrade: Allow}` with a key more, or another value.
fn set_in_flow(flow: &str, path: &[&str], value: &str) -> Option<String> {
    let [key] = path else { return None };
    let inside = flow.strip_prefix('{')?.strip_suffix('}')?;
    if inside.contains(['{', '[', '"', '\'']) && inside.contains(key) {
        return None;
    }
    let entry = format!("{key}: \"{value}\"");
    let mut entries: Vec<String> = inside.split(',').map(|e| e.trim().to_owned()).filter(|e| !e.is_empty()).collect();
    match entries.iter_mut().find(|e| e.split(':').next().is_some_and(|name| name.trim() == *key)) {
        Some(old) => *old = entry,
        None if inside.contains(['{', '[']) => return Some(format!("{{{entry}, {}}}", inside.trim())),
        None => entries.push(entry),
    }
    Some(format!("{{{}}}", entries.join(", ")))
}

/// A value, and the comment and line end behind it.
fn split_comment(text: &str) -> (&str, &str) {
    let mut quote = None;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '#') if before.is_whitespace() => {
                let start = text[..at].trim_end().len();
                return text.split_at(start);
            }
            _ => {}
        }
        before = c;
    }
    text.split_at(text.trim_end().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "88285e04acb88988";

    fn approved(text: &str) -> Result<String, EditError> {
        set(text, Named::Any("shop"), &["spec", "policy", "approvedPlan"], HASH)
    }

    #[test]
    fn comments_and_order_stay() {
        let before = "# the shop\napiVersion: alembic-operator.dev/v1alpha1\nkind: DatabaseMigration\nmetadata:\n  name: shop\nspec:\n  image: shop:1  # {\"$imagepolicy\": \"apps:shop\"}\n  policy:\n    # meant\n    approvedPlan: 0123 # CHG-1\n    downgrade: Allow\n  targetRevision: head\n";
        let after = before.replace("approvedPlan: 0123 #", "approvedPlan: \"88285e04acb88988\" #");
        assert_eq!(approved(before).unwrap(), after);
    }

    #[test]
    fn what_is_not_there_is_added() {
        let object = |spec: &str| format!("kind: DatabaseMigration\nmetadata: {{name: shop}}\nspec:\n{spec}");
        let cases = [
            ("  image: a\n", "  image: a\n  policy:\n    approvedPlan: \"88285e04acb88988\"\n"),
            ("  image: a", "  image: a\n  policy:\n    approvedPlan: \"88285e04acb88988\"\n"),
            (
                "    image: a\n    policy:\n        downgrade: Allow\n\n    # end\n",
                "    image: a\n    policy:\n        downgrade: Allow\n        approvedPlan: \"88285e04acb88988\"\n\n    # end\n",
            ),
            (
                "  policy: {downgrade: Allow} # why\n",
                "  policy: {downgrade: Allow, approvedPlan: \"88285e04acb88988\"} # why\n",
            ),
            (
                "  policy: {approvedPlan: ab, downgrade: Allow}\n",
                "  policy: {approvedPlan: \"88285e04acb88988\", downgrade: Allow}\n",
            ),
            ("  policy: {}\n", "  policy: {approvedPlan: \"88285e04acb88988\"}\n"),
        ];
        for (before, after) in cases {
            assert_eq!(approved(&object(before)).unwrap(), object(after), "{before}");
        }
    }

    #[test]
    fn only_the_object_of_that_name_is_changed() {
        let other = "kind: DatabaseMigration\nmetadata:\n  name: ledger\nspec:\n  image: a\n";
        let text = format!("{other}---\n{}", other.replace("ledger", "shop"));
        let changed = approved(&text).unwrap();
        assert!(
            changed.starts_with(other)
                && changed.ends_with("image: a\n  policy:\n    approvedPlan: \"88285e04acb88988\"\n")
        );
        assert!(matches!(approved(other), Err(EditError::NotFound(..))));
    }

    #[test]
    fn what_is_no_plain_yaml_is_refused() {
        assert!(matches!(approved("kind: DatabaseMigration\n{{- if .Values.on }}\n"), Err(EditError::NotYaml(..))));
        let anchored = "kind: DatabaseMigration\nmetadata:\n  name: shop\nspec:\n  policy: &p\n    downgrade: Allow\n";
        assert!(matches!(approved(anchored), Err(EditError::Unsafe(_))));
        let windows =
            "kind: DatabaseMigration\r\nmetadata:\r\n  name: shop\r\nspec:\r\n  policy:\r\n    approvedPlan: ab\r\n";
        assert_eq!(approved(windows).unwrap(), windows.replace("ab\r", "\"88285e04acb88988\"\r"));
    }
}
