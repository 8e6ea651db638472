//! Whether a WHERE leaves any row out; no I/O.

use crate::lint::{
    cursor::Cursor,
    tokens::{Kind as TokenKind, Token},
};

/// There is a WHERE, and it leaves rows out.
pub(super) fn filter(at: &Cursor<'_>) -> bool {
    let Some(condition) = at.after("WHERE") else { return false };
    let ends = ["RETURNING", "ORDER", "LIMIT"];
    let mut depth = 0i64;
    let end = condition.tokens.iter().position(|t| {
        depth += i64::from(t.is("(")) - i64::from(t.is(")"));
        depth < 0 || (depth == 0 && ends.iter().any(|word| t.is(word)))
    });
    let condition = Cursor::new(&condition.tokens[..end.unwrap_or(condition.tokens.len())], at.dialect);
    !is_always_true(&condition, 0)
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
        return parts.into_iter().any(nested);
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
        [not, rest @ ..] if not.is("NOT") => is_always_false(rest),
        [.., like, pattern] if like.is("LIKE") => pattern.text.trim_matches('\'').chars().all(|c| c == '%'),
        [start @ .., is, value] if is.is("IS") && value.is("TRUE") => nested(start),
        _ => equal_sides(tokens),
    }
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

fn is_always_false(tokens: &[Token<'_>]) -> bool {
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
fn cut<'a>(condition: &Cursor<'a>, words: &[&str]) -> Vec<&'a [Token<'a>]> {
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
