//! SQL cut into tokens and comments, by each dialect's own rules for quotes; any text has tokens; no I/O.

use super::Dialect;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    /// A name in quotes, backticks or brackets.
    Quoted,
    /// A string; in MySQL also what may be a name under ANSI_QUOTES.
    Text,
    Number,
    Symbol,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub kind: Kind,
    /// As it is written, quotes included.
    pub text: &'a str,
    pub start: usize,
    pub line: usize,
}

impl Token<'_> {
    pub fn end(&self) -> usize {
        self.start + self.text.len()
    }

    /// A command for psql or sqlite3, without what follows it.
    pub fn is_client_command(&self) -> bool {
        self.kind == Kind::Symbol && self.text.len() > 1 && self.text.starts_with(['\\', '.'])
    }

    pub fn is(&self, word: &str) -> bool {
        matches!(self.kind, Kind::Word | Kind::Symbol) && self.text.eq_ignore_ascii_case(word)
    }
}

#[derive(Debug)]
pub(super) struct Comment<'a> {
    pub text: &'a str,
    pub start: usize,
    pub line: usize,
}

#[derive(Debug, Default)]
pub(super) struct Lexed<'a> {
    pub tokens: Vec<Token<'a>>,
    pub comments: Vec<Comment<'a>>,
    /// Where a quote or a comment begins that never ends. What follows is read as if it were not there.
    pub unterminated: Vec<usize>,
}

/// Every token and comment of a text.
pub(super) fn lex(sql: &str, dialect: Dialect) -> Lexed<'_> {
    let mut lexer = Lexer {
        sql,
        dialect,
        line: 1,
        counted: 0,
        hopeless: Vec::new(),
        executable: 0,
        statement: 0,
        out: Lexed::default(),
    };
    let mut at = 0;
    while at < sql.len() {
        at = lexer.step(at);
    }
    lexer.out
}

struct Lexer<'a> {
    sql: &'a str,
    dialect: Dialect,
    line: usize,
    /// Up to where lines were counted.
    counted: usize,
    /// Openings for which there is no end any more: searching again for each would take forever on a hostile text.
    hopeless: Vec<char>,
    /// The first token of the statement, as far as semicolons tell.
    statement: usize,
    /// How many executable comments (`/*! … */`) are open.
    executable: usize,
    out: Lexed<'a>,
}

impl<'a> Lexer<'a> {
    /// Takes what stands at a place; the place after it.
    fn step(&mut self, at: usize) -> usize {
        let rest = &self.sql[at..];
        let Some(c) = rest.chars().next() else { return self.sql.len() };
        if c.is_whitespace() || c == '\u{feff}' || c == '\0' {
            return at + c.len_utf8();
        }
        if self.line_comment(rest) {
            let end = at + rest.find(['\n', '\r']).unwrap_or(rest.len());
            return self.comment(at, end);
        }
        if rest.starts_with("/*") {
            return self.block_comment(at);
        }
        if self.executable > 0 && rest.starts_with("*/") {
            self.executable -= 1;
            return at + 2;
        }
        if let Some(end) = self.client_command(at, c) {
            return end;
        }
        if let Some((kind, end)) = self.quoted(at, c) {
            return self.token(kind, at, end);
        }
        if c.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '_').unwrap_or(rest.len());
            return self.token(Kind::Number, at, at + end);
        }
        let variables = self.dialect.is_mysql();
        if c.is_alphabetic() || c == '_' || (c == '@' && variables) || !c.is_ascii() {
            return self.token(Kind::Word, at, at + word_length(rest, variables));
        }
        let end = self.token(Kind::Symbol, at, at + c.len_utf8());
        if c == ';' { self.statement_ends(end) } else { end }
    }

    /// Goes past the lines of data that follow COPY … FROM STDIN: they are no SQL, and may hold any quote.
    fn statement_ends(&mut self, at: usize) -> usize {
        let statement = &self.out.tokens[self.statement..];
        let copies = self.dialect == Dialect::PostgreSql && is_copy_data(statement);
        self.statement = self.out.tokens.len();
        if !copies || self.hopeless.contains(&'\\') {
            return at;
        }
        match self.sql[at..].find("\n\\.") {
            Some(length) => at + length + 3,
            None => {
                self.hopeless.push('\\');
                at
            }
        }
    }

    /// A command for psql or sqlite3 (`\set x`, `.bail on`): it ends with its line, and may hold any quote.
    fn client_command(&mut self, at: usize, c: char) -> Option<usize> {
        let opening = match self.dialect {
            Dialect::PostgreSql => '\\',
            Dialect::Sqlite => '.',
            Dialect::MySql | Dialect::MariaDb => return None,
        };
        let rest = &self.sql[at..];
        let begins = self.out.tokens.len() == self.statement && c == opening;
        if !begins || !rest[1..].starts_with(|c: char| c.is_ascii_alphabetic() || c == '!' || c == '?') {
            return None;
        }
        let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
        let word = rest[..line].find(char::is_whitespace).unwrap_or(line);
        self.token(Kind::Symbol, at, at + word);
        let values = rest[word..line].trim();
        if !values.is_empty() {
            let start = at + line - rest[word..line].trim_start().len();
            self.token(Kind::Text, start, start + values.len());
        }
        self.statement = self.out.tokens.len();
        Some(at + line)
    }

    fn line_comment(&self, rest: &str) -> bool {
        if !self.dialect.is_mysql() {
            return rest.starts_with("--");
        }
        rest.starts_with('#')
            || rest
                .strip_prefix("--")
                .is_some_and(|r| r.chars().next().is_none_or(|c| c.is_whitespace() || c.is_control()))
    }

    fn block_comment(&mut self, at: usize) -> usize {
        let rest = &self.sql[at..];
        let executable = rest.strip_prefix("/*!").or_else(|| rest.strip_prefix("/*M!"));
        if let Some(inside) = executable.filter(|_| self.dialect.is_mysql()) {
            self.executable += 1;
            let version = inside.find(|c: char| !c.is_ascii_digit()).unwrap_or(inside.len());
            return self.sql.len() - inside.len() + version;
        }
        let end =
            if self.hopeless.contains(&'*') { None } else { comment_end(rest, self.dialect == Dialect::PostgreSql) };
        match end {
            Some(length) => self.comment(at, at + length),
            None => self.never_ends('*', at),
        }
    }

    /// The string or quoted name that begins here.
    fn quoted(&mut self, at: usize, c: char) -> Option<(Kind, usize)> {
        let rest = &self.sql[at..];
        let postgres = self.dialect == Dialect::PostgreSql;
        let (kind, quote, escapes, skip) = match c {
            '\'' => (Kind::Text, '\'', self.dialect.is_mysql(), 0),
            '"' if self.dialect.is_mysql() => (Kind::Text, '"', true, 0),
            '"' => (Kind::Quoted, '"', false, 0),
            '`' if !postgres => (Kind::Quoted, '`', false, 0),
            '[' if self.dialect == Dialect::Sqlite => (Kind::Quoted, ']', false, 0),
            'e' | 'E' if postgres && rest[1..].starts_with('\'') => (Kind::Text, '\'', true, 1),
            'b' | 'B' | 'x' | 'X' | 'n' | 'N' if rest[1..].starts_with('\'') => {
                (Kind::Text, '\'', self.dialect.is_mysql(), 1)
            }
            'u' | 'U' if postgres && rest[1..].starts_with("&'") => (Kind::Text, '\'', false, 2),
            'u' | 'U' if postgres && rest[1..].starts_with("&\"") => (Kind::Quoted, '"', false, 2),
            '$' if postgres => return self.dollar_quoted(at),
            _ => return None,
        };
        if self.hopeless.contains(&quote) {
            return None;
        }
        match quote_end(&rest[skip + 1..], quote, escapes) {
            Some(length) => Some((kind, at + skip + 1 + length)),
            None => {
                self.never_ends(quote, at);
                None
            }
        }
    }

    fn dollar_quoted(&mut self, at: usize) -> Option<(Kind, usize)> {
        let rest = &self.sql[at..];
        let tag = 1 + rest[1..].find(|c: char| !c.is_alphanumeric() && c != '_')?;
        if !rest[tag..].starts_with('$') || rest[1..].starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        if self.hopeless.contains(&'$') {
            return None;
        }
        let quote = &rest[..=tag];
        match rest[quote.len()..].find(quote) {
            Some(length) => Some((Kind::Text, at + length + 2 * quote.len())),
            None => {
                self.never_ends('$', at);
                None
            }
        }
    }

    fn never_ends(&mut self, opening: char, at: usize) -> usize {
        self.hopeless.push(opening);
        self.out.unterminated.push(at);
        at + 1
    }

    fn token(&mut self, kind: Kind, start: usize, end: usize) -> usize {
        let line = self.line_of(start);
        self.out.tokens.push(Token { kind, text: &self.sql[start..end], start, line });
        end
    }

    fn comment(&mut self, start: usize, end: usize) -> usize {
        let line = self.line_of(start);
        self.out.comments.push(Comment { text: &self.sql[start..end], start, line });
        end
    }

    fn line_of(&mut self, at: usize) -> usize {
        self.line += self.sql.as_bytes()[self.counted..at].iter().filter(|b| **b == b'\n').count();
        self.counted = at;
        self.line
    }
}

fn is_copy_data(statement: &[Token<'_>]) -> bool {
    statement.first().is_some_and(|first| first.is("COPY"))
        && statement.windows(2).any(|w| w[0].is("FROM") && w[1].is("STDIN"))
}

/// How long the word is that begins here. A dollar belongs to a name, two are a delimiter.
fn word_length(rest: &str, variables: bool) -> usize {
    let belongs = |(at, c): (usize, char)| {
        let dollar = c == '$' && !rest[at + 1..].starts_with('$') && !rest[..at].ends_with('$');
        c.is_alphanumeric() || c == '_' || (c == '@' && variables) || dollar || (!c.is_ascii() && !c.is_whitespace())
    };
    rest.char_indices().find(|letter| !belongs(*letter)).map_or(rest.len(), |(at, _)| at)
}

/// Where a block comment ends, counted from its beginning; PostgreSQL's nest.
fn comment_end(rest: &str, nests: bool) -> Option<usize> {
    if !nests {
        return rest[2..].find("*/").map(|at| at + 4);
    }
    let bytes = rest.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Where a quoted text ends, its closing quote included; a doubled quote stands for itself.
fn quote_end(rest: &str, quote: char, escapes: bool) -> Option<usize> {
    let mut letters = rest.char_indices().peekable();
    while let Some((at, c)) = letters.next() {
        if escapes && c == '\\' {
            letters.next();
        } else if c == quote && (quote == ']' || letters.next_if(|(_, next)| *next == quote).is_none()) {
            return Some(at + 1);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(sql: &str, dialect: Dialect) -> Vec<&str> {
        lex(sql, dialect).tokens.iter().map(|t| t.text).collect()
    }

    #[test]
    fn quotes_follow_the_dialect() {
        use Dialect::{MySql, PostgreSql, Sqlite};
        assert_eq!(words(r"'a\' ; b", PostgreSql), [r"'a\'", ";", "b"]);
        assert_eq!(words(r"'a\' ; b' c", MySql), [r"'a\' ; b'", "c"]);
        assert_eq!(words(r"E'a\' ; b' c", PostgreSql), [r"E'a\' ; b'", "c"]);
        assert_eq!(words("$x$ ' ; $$ $x$ b $1", PostgreSql), ["$x$ ' ; $$ $x$", "b", "$", "1"]);
        assert_eq!(words("[a b] `c;d` \"e\"\"f\"", Sqlite), ["[a b]", "`c;d`", "\"e\"\"f\""]);
        assert_eq!(words("END$$ a$b", MySql), ["END", "$", "$", "a$b"]);
    }

    #[test]
    fn comments_follow_the_dialect() {
        assert_eq!(words("a /* /* */ ; */ b -- c\n d", Dialect::PostgreSql), ["a", "b", "d"]);
        assert_eq!(words("a /* /* */ b # c\n--1 d", Dialect::MySql), ["a", "b", "-", "-", "1", "d"]);
        assert_eq!(words("/*!50000 DROP /* x */ TABLE t */;", Dialect::MySql), ["DROP", "TABLE", "t", ";"]);
        assert_eq!(words("/*M!100100 DROP*/ x", Dialect::MariaDb), ["DROP", "x"]);
        assert_eq!(words("a--b\rc", Dialect::Sqlite), ["a", "c"]);
    }

    #[test]
    fn what_never_ends_hides_nothing() {
        let lexed = lex("a 'b; DROP TABLE c", Dialect::PostgreSql);
        assert_eq!(lexed.unterminated, [2]);
        assert!(lexed.tokens.iter().any(|t| t.is("drop")));
        assert_eq!(words("a /* DROP", Dialect::MySql).last(), Some(&"DROP"));
    }

    #[test]
    fn hostile_texts_take_no_quadratic_time() {
        for text in [r"\'", "$a$", "/*", "'", "\"\\", "$b$ '"] {
            lex(&text.repeat(500_000), Dialect::PostgreSql);
            lex(&text.repeat(500_000), Dialect::MySql);
        }
    }
}
