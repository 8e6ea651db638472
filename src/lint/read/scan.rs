//! What hides in a statement that can't be read as a whole: procedural blocks, SQL in strings; no I/O.

use super::{Kind, Reading, verb};
use crate::lint::{
    Code,
    cursor::Cursor,
    tokens::{Kind as TokenKind, Token, lex},
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

/// The same, in their strings too.
pub(in crate::lint) fn all(out: &mut Reading, tokens: &Cursor<'_>) {
    into(out, tokens, 0);
}

/// A statement begins here, and not an action of ALTER, if that is what stands before it.
pub(in crate::lint) fn begins(at: &Cursor<'_>, action: bool) -> bool {
    const KINDS: &[&str] =
        &["TABLE", "DATABASE", "SCHEMA", "VIEW", "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "USER"];
    if !at.tokens.first().is_some_and(|t| t.is("CALL") || VERBS.iter().any(|verb| t.is(verb))) {
        return false;
    }
    let statement = Cursor::new(&at.tokens[..at.tokens.len().min(REACH)], at.dialect);
    let mut rest = statement.clone();
    rest.skip();
    let kind = rest.at_any(KINDS);
    if at.at("DROP") || at.at("ALTER") {
        kind || (!action && (rest.at("INDEX") || rest.at("TEMPORARY TABLE")))
    } else if at.at("RENAME") || at.at("LOCK") {
        kind || rest.at("TABLES")
    } else if at.at("TRUNCATE") {
        kind || !(action || rest.is_done())
    } else {
        is_one(&statement)
    }
}

/// Adds the hazards of every statement that may be in these tokens and their strings.
pub(super) fn into(out: &mut Reading, tokens: &Cursor<'_>, depth: usize) {
    let mut found = 0;
    for (at, token) in tokens.tokens.iter().enumerate() {
        if depth < DEPTH
            && let Some(text) = assembled(tokens, at)
        {
            let inside = lex(&text, tokens.dialect);
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

/// Stands for what is only known when the statement runs.
const UNSEEN: char = '…';

/// The text that begins here: a string, or one that || or CONCAT puts together.
fn assembled(tokens: &Cursor<'_>, at: usize) -> Option<String> {
    let rest = Cursor::new(&tokens.tokens[at..(at + REACH).min(tokens.tokens.len())], tokens.dialect);
    let mut arguments = rest.clone();
    if arguments.eat("CONCAT") {
        let inside = Cursor::new(arguments.parentheses()?, tokens.dialect);
        return Some(inside.list().iter().map(|item| piece(item.tokens)).collect());
    }
    let first = rest.tokens.first().filter(|t| t.kind == TokenKind::Text)?;
    // What stands in the middle was taken together with the beginning, and counts alone too.
    if at > 0 && tokens.tokens[at - 1].is("|") {
        return Some(unformatted(inside(first.text)));
    }
    let mut depth = 0i64;
    let end = rest.tokens.iter().position(|t| {
        depth += i64::from(t.is("(")) - i64::from(t.is(")"));
        depth < 0 || (depth == 0 && [",", ";", "USING", "INTO", "FROM"].iter().any(|word| t.is(word)))
    });
    let chain = &rest.tokens[..end.unwrap_or(rest.tokens.len())];
    let pieces = chain.split(|t| t.is("|")).filter(|tokens| !tokens.is_empty());
    Some(if chain.get(1).is_some_and(|t| t.is("|")) { pieces.map(piece).collect() } else { piece(&chain[..1]) })
}

/// One part of a text that is put together.
fn piece(tokens: &[Token<'_>]) -> String {
    match tokens {
        [one] if one.kind == TokenKind::Text => unformatted(inside(one.text)),
        _ => UNSEEN.to_string(),
    }
}

/// A text with a name for each of the places that format() fills: %I, %s, %L, %1$I.
fn unformatted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let kind = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == '$' || c == '-');
        if kind.starts_with(['I', 's', 'L']) {
            out.push(UNSEEN);
            rest = &kind[1..];
        } else {
            out.push('%');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// A string without its quotes.
pub(super) fn inside(text: &str) -> &str {
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
        return rest.at("FROM") || (at.dialect.is_mysql() && rest.clauses(&["FROM"]).has("FROM"));
    }
    if at.at("UPDATE") {
        return rest.clauses(&["SET"]).has("SET") && !rest.at_any(&["OF", "ON", "OR"]);
    }
    if at.at("INSERT") || at.at("REPLACE") {
        let clauses = rest.clauses(&["INTO", "VALUES"]);
        return clauses.has("INTO") || clauses.has("VALUES");
    }
    !rest.is_done() && !rest.at_any(&[".", "=", ",", ")", "("])
}

/// That a part can't be judged is known already.
fn keep(out: &mut Reading, part: Reading) {
    out.hazards.extend(part.hazards.into_iter().filter(|h| h.code != Code::O02));
    out.alterations.extend(part.alterations);
    out.locks.extend(part.locks);
    if out.kind == Kind::Session {
        out.kind = Kind::Unknown;
    }
}
