//! What hides in a statement that can't be read as a whole: procedural blocks, SQL in strings; no I/O.

use super::{Kind, Reading, verb};
use crate::lint::{
    Code,
    cursor::Cursor,
    tokens::{Kind as TokenKind, lex},
};

const VERBS: &[&str] = &[
    "ALTER", "CLUSTER", "CREATE", "DELETE", "DROP", "INSERT", "LOCK", "MERGE", "REASSIGN", "RENAME", "REPLACE",
    "REVOKE", "TRUNCATE", "UPDATE", "VACUUM",
];

/// SQL in a string in a procedure in a string … ends here.
const DEPTH: usize = 3;

/// Looking further than this from each verb would take too long where there are many.
const REACH: usize = 500;
const MOST: usize = 5_000;

/// Adds the hazards of every statement that may be in these tokens, but not in their strings.
pub(in crate::lint) fn words(out: &mut Reading, tokens: &Cursor<'_>) {
    into(out, tokens, DEPTH);
}

/// Adds the hazards of every statement that may be in these tokens and their strings.
pub(super) fn into(out: &mut Reading, tokens: &Cursor<'_>, depth: usize) {
    let mut found = 0;
    for (at, token) in tokens.tokens.iter().enumerate() {
        if token.kind == TokenKind::Text && depth < DEPTH {
            let inside = lex(inside(token.text), tokens.dialect);
            into(out, &Cursor::new(&inside.tokens, tokens.dialect), depth + 1);
        } else if found < MOST && token.kind == TokenKind::Word && VERBS.iter().any(|verb| token.is(verb)) {
            found += 1;
            let rest = &tokens.tokens[at..(at + REACH).min(tokens.tokens.len())];
            let end = rest.iter().position(|t| t.is(";")).unwrap_or(rest.len());
            let statement = Cursor::new(&rest[..end], tokens.dialect);
            if is_one(&statement) {
                keep(out, verb(statement, DEPTH));
            }
        }
    }
}

/// A string without its quotes.
fn inside(text: &str) -> &str {
    let text = text.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '&');
    if let Some(tagged) = text.strip_prefix('$') {
        let tag = tagged.find('$').map_or(1, |at| at + 2);
        return text.get(tag..text.len().saturating_sub(tag)).unwrap_or_default();
    }
    text.get(1..text.len().saturating_sub(1)).unwrap_or_default()
}

/// Not ON DELETE CASCADE, FOR UPDATE, BEFORE INSERT OR UPDATE ON, INSERT() or UPDATE as a word of a sentence.
fn is_one(at: &Cursor<'_>) -> bool {
    let mut rest = at.clone();
    rest.skip();
    if at.at("DELETE") {
        return rest.has("FROM");
    }
    if at.at("UPDATE") {
        return rest.has("SET") && !rest.at_any(&["OF", "ON", "OR"]);
    }
    if at.at("INSERT") || at.at("REPLACE") {
        return rest.has("INTO") || rest.has("VALUES");
    }
    !rest.is_done() && !rest.at_any(&[".", "=", ",", ")", "("])
}

/// That a part can't be judged is known already.
fn keep(out: &mut Reading, part: Reading) {
    out.hazards.extend(part.hazards.into_iter().filter(|h| h.code != Code::O02));
    if out.kind == Kind::Session {
        out.kind = Kind::Unknown;
    }
}
