//! A text cut into statements: delimiters, routine bodies, COPY data, and the comments that belong to each; no I/O.

use super::{
    Dialect,
    tokens::{Comment, Kind, Token, lex},
};
use std::ops::Range;

/// One statement, without its semicolon.
#[derive(Debug)]
pub(super) struct Statement<'a> {
    pub tokens: &'a [Token<'a>],
    /// As it is written.
    pub sql: &'a str,
    /// The comments since the statement before, and inside.
    pub comments: &'a [Comment<'a>],
    /// A quote or comment begins in it that never ends.
    pub broken: bool,
}

/// Gives the statements of a text to `with`; behind the last one stand the comments that no statement follows.
pub(super) fn split<T>(sql: &str, dialect: Dialect, with: impl FnOnce(&[Statement<'_>]) -> T) -> T {
    let lexed = lex(sql, dialect);
    let mut comments = &lexed.comments[..];
    let mut take_comments = |until: usize| {
        let (taken, rest) = comments.split_at(comments.partition_point(|c| c.start < until));
        comments = rest;
        taken
    };
    let ranges = ranges(sql, &lexed.tokens, dialect);
    let mut statements = Vec::with_capacity(ranges.len() + 1);
    for range in ranges.into_iter().filter(|r| !r.is_empty()) {
        let tokens = &lexed.tokens[range];
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else { continue };
        let text = first.start..last.end();
        statements.push(Statement {
            tokens,
            sql: &sql[text.clone()],
            comments: take_comments(text.end),
            broken: lexed.unterminated.iter().any(|at| text.contains(at)),
        });
    }
    statements.push(Statement { tokens: &[], sql: "", comments: take_comments(usize::MAX), broken: false });
    with(&statements)
}

/// The tokens of each statement.
fn ranges(sql: &str, tokens: &[Token<'_>], dialect: Dialect) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let (mut start, mut at) = (0, 0);
    let mut delimiter: Option<&str> = None;
    let mut body = Body::default();
    // Once a body has no end, no more are looked for: trying each would take forever on a hostile text.
    let mut endless = false;
    while at < tokens.len() {
        let token = &tokens[at];
        if at == start && dialect.is_mysql() && token.is("DELIMITER") {
            let line = sql[token.end()..].split(['\n', '\r']).next().unwrap_or_default();
            delimiter = line.split_whitespace().next().filter(|d| *d != ";");
            let end = token.end() + line.len();
            at += tokens[at..].partition_point(|t| t.start < end);
            start = at;
            continue;
        }
        if at == start
            && let Some(end) = line_statement(sql, &tokens[at..], dialect, delimiter)
        {
            out.push(start..at + end);
            at += end;
            start = at;
            continue;
        }
        if let Some(delimiter) = delimiter.filter(|d| sql[token.start..].starts_with(d)) {
            out.push(start..at);
            at += tokens[at..].partition_point(|t| t.start < token.start + delimiter.len());
            (start, body) = (at, Body::default());
            continue;
        }
        if !endless {
            body.see(&tokens[start..=at], dialect);
        }
        at += 1;
        if token.is(";") && body.depth == 0 {
            out.push(start..at - 1);
            (start, body) = (at, Body::default());
        }
        // A body that never ends must not swallow the statements after it.
        if at == tokens.len() && body.depth > 0 && start < at {
            let end = start + tokens[start..].iter().position(|t| t.is(";")).unwrap_or(at - start);
            out.push(start..end);
            (start, at, body, endless) = (end + 1, end + 1, Body::default(), true);
        }
    }
    out.push(start.min(tokens.len())..tokens.len());
    out
}

/// How many tokens of a statement begin here that ends with its line: a client's command, or MySQL's USE.
fn line_statement(sql: &str, tokens: &[Token<'_>], dialect: Dialect, delimiter: Option<&str>) -> Option<usize> {
    let first = tokens.first()?;
    let uses = dialect.is_mysql() && first.is("USE");
    if !uses && !first.is_client_command() {
        return None;
    }
    let ends = |t: &Token<'_>| t.is(";") || delimiter.is_some_and(|d| sql[t.start..].starts_with(d));
    let end = tokens.iter().position(|t| t.line > first.line || (uses && ends(t))).unwrap_or(tokens.len());
    // What ends USE on its line ends it as any other statement.
    let open = tokens.get(end).is_none_or(|t| t.line > first.line);
    (!uses || (open && end > 1)).then_some(end)
}

/// How deep in a routine's BEGIN … END a place is: semicolons there end nothing.
#[derive(Default)]
struct Body {
    routine: bool,
    depth: usize,
}

impl Body {
    fn see(&mut self, statement: &[Token<'_>], dialect: Dialect) {
        let Some(token) = statement.last().filter(|t| t.kind == Kind::Word) else { return };
        let before = statement.len().checked_sub(2).map(|at| &statement[at]);
        if dialect == Dialect::PostgreSql {
            // Other bodies are strings there.
            let atomic = token.is("ATOMIC") && before.is_some_and(|t| t.is("BEGIN")) && statement[0].is("CREATE");
            self.routine |= atomic;
            self.depth += usize::from(atomic);
        } else if statement.len() <= 16 {
            self.routine |= is_routine(statement);
        }
        if !self.routine {
            return;
        }
        let after_end = before.is_some_and(|t| t.is("END"));
        if (token.is("BEGIN") || token.is("CASE")) && !after_end {
            self.depth += 1;
        } else if token.is("END") {
            self.depth = self.depth.saturating_sub(1);
        } else if after_end && ["IF", "LOOP", "WHILE", "REPEAT", "FOR"].iter().any(|w| token.is(w)) {
            // What END closed is not counted.
            self.depth += 1;
        }
    }
}

/// The statement creates something with a body, or is one (MariaDB's BEGIN NOT ATOMIC).
pub(super) fn is_routine(statement: &[Token<'_>]) -> bool {
    let kinds = ["TABLE", "VIEW", "INDEX", "DATABASE", "SCHEMA", "USER", "ROLE", "SEQUENCE"];
    let routines = ["TRIGGER", "PROCEDURE", "FUNCTION", "EVENT", "PACKAGE"];
    let first = statement.iter().find(|t| kinds.iter().chain(&routines).any(|word| t.is(word)));
    match statement {
        [first, second, third, ..] if first.is("BEGIN") && second.is("NOT") => third.is("ATOMIC"),
        [create, ..] if create.is("CREATE") => first.is_some_and(|t| routines.iter().any(|word| t.is(word))),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(sql: &str, dialect: Dialect) -> Vec<String> {
        let written = |s: &Statement<'_>| (!s.sql.is_empty()).then(|| s.sql.to_owned());
        split(sql, dialect, |all| all.iter().filter_map(written).collect())
    }

    #[test]
    fn bodies_are_whole() {
        let trigger =
            "CREATE TRIGGER a AFTER INSERT ON b BEGIN UPDATE c SET d = CASE WHEN 1 THEN 2 END; DELETE FROM e; END";
        assert_eq!(statements(&format!("{trigger}; SELECT 1"), Dialect::Sqlite), [trigger, "SELECT 1"]);
        let procedure = "CREATE PROCEDURE p() BEGIN IF a THEN SELECT 1; END IF; WHILE b DO SELECT 2; END WHILE; END";
        let delimited = format!("DELIMITER //\n{procedure}//\nDELIMITER ;\nDROP TABLE a;DROP TABLE b");
        assert_eq!(statements(&delimited, Dialect::MySql), [procedure, "DROP TABLE a", "DROP TABLE b"]);
        let atomic = "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT 2; END";
        assert_eq!(
            statements(&format!("{atomic}; BEGIN; SELECT 3"), Dialect::PostgreSql),
            [atomic, "BEGIN", "SELECT 3"]
        );
    }

    #[test]
    fn a_body_without_an_end_swallows_nothing() {
        let sql = "CREATE TRIGGER a AFTER INSERT ON b BEGIN SELECT 1; DROP TABLE c; DROP TABLE d";
        assert_eq!(statements(sql, Dialect::MySql).last().map(String::as_str), Some("DROP TABLE d"));
        assert_eq!(statements("CREATE TABLE event (a int); DROP TABLE b; BEGIN; SELECT 1", Dialect::MySql).len(), 4);
    }

    #[test]
    fn copied_data_is_no_sql() {
        let sql = "COPY t FROM stdin;\nDROP TABLE a;\n\\.\nSELECT 1";
        assert_eq!(statements(sql, Dialect::PostgreSql), ["COPY t FROM stdin", "SELECT 1"]);
    }
}
