//! Whether a WHERE leaves any row out; no I/O.

use crate::lint::{
    cursor::{Clauses, Cursor},
    parts::Filter,
    tokens::{Kind as TokenKind, Token},
};

/// What stands between the tables of a FROM.
pub(super) const SEPARATORS: &[&str] = &[",", "JOIN", "STRAIGHT_JOIN"];

/// More tables than one are named here.
pub(super) fn joins(tables: &Cursor<'_>) -> bool {
    tables.at("(") || cut(tables, SEPARATORS).len() > 1
}

/// What a statement's WHERE and LIMIT leave of the rows.
pub(super) fn filter(clauses: &Clauses<'_>, alone: bool) -> Filter {
    left_by(clauses.get("WHERE").as_ref(), has_limit(clauses), alone)
}

/// What a condition leaves of the rows, where a number limits them too or none. A value names few rows of a table that
/// is read alone: beside another table it may be a value of that one.
pub(super) fn left_by(condition: Option<&Cursor<'_>>, limited: bool, alone: bool) -> Filter {
    let Some(condition) = condition else {
        return if limited { Filter::Few } else { Filter::All };
    };
    if is_always_true(condition, 0) {
        Filter::All
    } else if limited || (alone && is_few(condition, 0)) {
        Filter::Few
    } else {
        Filter::Some
    }
}

/// MySQL's LIMIT of an UPDATE or DELETE.
fn has_limit(clauses: &Clauses<'_>) -> bool {
    clauses.get("LIMIT").is_some_and(|limit| limit.tokens.first().is_some_and(|t| t.kind == TokenKind::Number))
}

/// `key = 'a'`, `id IN (1, 2)`, `id IN (SELECT … LIMIT 100)`, `id BETWEEN 1 AND 100`, `id >= 100 AND id < 200`.
fn is_few(condition: &Cursor<'_>, depth: usize) -> bool {
    let tokens = condition.tokens;
    if depth > 20 || tokens.len() > 2_000 {
        return false;
    }
    let nested = |tokens| is_few(&Cursor::new(tokens, condition.dialect), depth + 1);
    if let Some(inside) = parenthesized(condition) {
        return nested(inside);
    }
    let parts = cut(condition, &["OR"]);
    if parts.len() > 1 {
        return parts.into_iter().all(nested);
    }
    let parts = cut(condition, &["AND"]);
    if parts.len() > 1 {
        let parts: Vec<_> = parts.into_iter().filter(|part| !denies(part, 0)).collect();
        let bound = |word: &str| {
            let is = |part: &&[Token<'_>]| place(part, &[word]).is_some_and(|at| at > 0 && compares(part, at));
            parts.iter().any(|part| is(part) && part.iter().any(is_value))
        };
        let begins = |part: &[Token<'_>]| place(part, &["BETWEEN"]).is_some_and(|at| !denies(part, at));
        let between = parts.windows(2).any(|pair| begins(pair[0]));
        return between || (bound(">") && bound("<")) || parts.iter().any(|part| nested(part));
    }
    let Some(operator) = place(tokens, &["=", "IN"]).filter(|at| !denies(tokens, *at)) else { return false };
    let rest = Cursor::new(&tokens[operator + 1..], condition.dialect);
    if tokens[operator].is("=") {
        return rest.tokens.first().is_some_and(is_value);
    }
    let inside = rest.clone().parentheses().unwrap_or_default();
    let inside = Cursor::new(inside, condition.dialect);
    inside.clauses(&["LIMIT"]).has("LIMIT") || (!inside.at("SELECT") && inside.tokens.iter().any(is_value))
}

/// Where one of these words stands first, outside of parentheses: what a subquery asks for names no row of this statement.
fn place(tokens: &[Token<'_>], words: &[&str]) -> Option<usize> {
    let mut depth = 0i64;
    tokens.iter().position(|token| {
        depth += i64::from(token.is("(")) - i64::from(token.is(")"));
        depth == 0 && words.iter().any(|word| token.is(word))
    })
}

/// The < or > at this place is no part of <>, ->, @> or the like.
fn compares(tokens: &[Token<'_>], operator: usize) -> bool {
    let other = |at: usize| {
        tokens.get(at).is_some_and(|t| ["<", ">", "@", "#"].iter().any(|word| t.is(word)))
            || (at < operator && tokens[at].is("-"))
    };
    !denies(tokens, operator) && !other(operator + 1) && !other(operator - 1)
}

/// The operator at this place leaves out what it names, or all of the condition is denied.
fn denies(tokens: &[Token<'_>], operator: usize) -> bool {
    let before = operator.checked_sub(1).and_then(|at| tokens.get(at));
    tokens.first().is_some_and(|t| t.is("NOT"))
        || before.is_some_and(|t| ["<", ">", "!", "NOT"].iter().any(|word| t.is(word)))
}

/// A value that few rows have: no flag.
fn is_value(token: &Token<'_>) -> bool {
    match token.kind {
        TokenKind::Text => true,
        TokenKind::Number => !matches!(token.text, "0" | "1"),
        TokenKind::Symbol => matches!(token.text, ":" | "$" | "?" | "%"),
        TokenKind::Word | TokenKind::Quoted => false,
    }
}

/// A condition that says nothing: TRUE, 1 = 1, a = a, x LIKE '%', or those joined by OR and AND.
pub(super) fn is_always_true(condition: &Cursor<'_>, depth: usize) -> bool {
    let tokens = condition.tokens;
    if depth > 20 || tokens.len() > 200 {
        return false;
    }
    let nested = |tokens| is_always_true(&Cursor::new(tokens, condition.dialect), depth + 1);
    if let Some(inside) = parenthesized(condition) {
        return nested(inside);
    }
    let parts = cut(condition, &["OR", "|"]);
    if parts.len() > 1 {
        return null_or_not(&parts) || parts.into_iter().any(nested);
    }
    let parts = cut(condition, &["AND", "&"]);
    if parts.len() > 1 {
        return parts.into_iter().all(nested);
    }
    match tokens {
        [] => true,
        // A cast changes nothing of it.
        [start @ .., colon, second, _] if !start.is_empty() && colon.is(":") && second.is(":") => nested(start),
        [one] if one.kind == TokenKind::Text => {
            ["1", "t", "true", "y", "yes", "on"].contains(&one.text.trim_matches('\'').to_lowercase().as_str())
        }
        [one] => one.is("TRUE") || (one.kind == TokenKind::Number && !one.text.trim_matches(['0', '.']).is_empty()),
        [not, rest @ ..] if not.is("NOT") => is_false(rest),
        [.., like, pattern] if like.is("LIKE") => pattern.text.trim_matches('\'').chars().all(|c| c == '%'),
        [start @ .., is, value] if is.is("IS") && value.is("TRUE") => nested(start),
        _ => equal_sides(tokens),
    }
}

/// a IS NULL OR a IS NOT NULL
fn null_or_not(parts: &[&[Token<'_>]]) -> bool {
    let text = |tokens: &[Token<'_>]| tokens.iter().map(|t| t.text.to_lowercase()).collect::<Vec<_>>().join(" ");
    let texts: Vec<String> = parts.iter().map(|part| text(part)).collect();
    let other = |part: &String| part.strip_suffix(" is null").map(|tested| format!("{tested} is not null"));
    texts.iter().filter_map(other).any(|other| texts.contains(&other))
}

/// Both sides of = are the same, or two numbers differ as < and > say.
fn equal_sides(tokens: &[Token<'_>]) -> bool {
    let Some(middle) = tokens.iter().position(|t| ["=", "<", ">", "!"].iter().any(|word| t.is(word))) else {
        return false;
    };
    let operator: String =
        tokens[middle..].iter().take_while(|t| ["=", "<", ">", "!"].iter().any(|w| t.is(w))).map(|t| t.text).collect();
    let text = |tokens: &[Token<'_>]| tokens.iter().map(|t| t.text.to_lowercase()).collect::<String>();
    let (left, right) = (text(&tokens[..middle]), text(&tokens[middle + operator.len()..]));
    let numbers = left.parse::<f64>().ok().zip(right.parse::<f64>().ok());
    let literals = [&left, &right].iter().all(|side| side.starts_with('\'') || side.parse::<f64>().is_ok());
    match operator.as_str() {
        "=" | "<=" | ">=" | "<=>" if left == right => true,
        "<>" | "!=" => literals && left != right,
        "<" | "<=" => numbers.is_some_and(|(l, r)| l < r),
        ">" | ">=" => numbers.is_some_and(|(l, r)| l > r),
        _ => false,
    }
}

/// A condition that no row meets.
pub(super) fn is_always_false(condition: &Cursor<'_>) -> bool {
    is_false(condition.tokens)
}

fn is_false(tokens: &[Token<'_>]) -> bool {
    let tokens = match tokens {
        [open, inside @ .., close] if open.is("(") && close.is(")") => inside,
        _ => tokens,
    };
    match tokens {
        [one] => one.is("FALSE") || one.text == "0",
        [left, is, right] if is.is("=") => {
            left.kind == TokenKind::Number && right.kind == TokenKind::Number && left.text != right.text
        }
        _ => false,
    }
}

/// What stands in parentheses that hold the whole condition.
fn parenthesized<'a>(condition: &Cursor<'a>) -> Option<&'a [Token<'a>]> {
    let mut rest = condition.clone();
    let inside = rest.parentheses()?;
    rest.is_done().then_some(inside)
}

/// The parts between these words, outside of parentheses and BETWEEN.
pub(super) fn cut<'a>(condition: &Cursor<'a>, words: &[&str]) -> Vec<&'a [Token<'a>]> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0i64);
    for (at, token) in condition.tokens.iter().enumerate() {
        depth += i64::from(token.is("(")) - i64::from(token.is(")"));
        if depth == 0 && words.iter().any(|word| token.is(word)) {
            if at > start {
                parts.push(&condition.tokens[start..at]);
            }
            start = at + 1;
        }
    }
    parts.push(&condition.tokens[start.min(condition.tokens.len())..]);
    parts
}
