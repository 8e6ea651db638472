//! A place in a statement's tokens, and the names that are read there; no I/O.

use super::{
    Dialect,
    tokens::{Kind, Token},
};
use std::fmt;

/// A name, perhaps with a schema, as the database compares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Name {
    pub schema: Option<String>,
    pub name: String,
}

impl Name {
    /// A name as a person writes it, such as `public.orders`.
    pub fn parse(text: &str) -> Self {
        match text.rsplit_once('.') {
            Some((schema, name)) => Self { schema: Some(schema.to_owned()), name: name.to_owned() },
            None => Self { schema: None, name: text.to_owned() },
        }
    }

    /// The name of a schema or database, which no table in it can have.
    pub fn of_namespace(self) -> Self {
        Self { schema: Some(String::new()), ..self }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(schema) = &self.schema {
            write!(f, "{schema}.")?;
        }
        f.write_str(&self.name)
    }
}

#[derive(Clone)]
pub(super) struct Cursor<'a> {
    pub tokens: &'a [Token<'a>],
    pub dialect: Dialect,
}

impl<'a> Cursor<'a> {
    pub fn new(tokens: &'a [Token<'a>], dialect: Dialect) -> Self {
        Self { tokens, dialect }
    }

    pub fn is_done(&self) -> bool {
        self.tokens.is_empty()
    }

    /// As it is written, but for blanks and comments.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut before: Option<&Token<'_>> = None;
        for token in self.tokens {
            if let Some(before) = before.filter(|before| before.end() != token.start) {
                // Strings on two lines are one.
                out.push(if before.line == token.line { ' ' } else { '\n' });
            }
            out.push_str(token.text);
            before = Some(token);
        }
        out
    }

    /// These words stand here, one after the other.
    pub fn at(&self, words: &str) -> bool {
        self.clone().eat(words)
    }

    pub fn at_any(&self, words: &[&str]) -> bool {
        words.iter().any(|words| self.at(words))
    }

    /// Goes past these words if they stand here, one after the other.
    pub fn eat(&mut self, words: &str) -> bool {
        let mut tokens = self.tokens;
        for word in words.split(' ') {
            match tokens {
                [token, rest @ ..] if token.is(word) => tokens = rest,
                _ => return false,
            }
        }
        self.tokens = tokens;
        true
    }

    /// Goes past one of these, if it stands here.
    pub fn eat_any(&mut self, words: &[&str]) -> Option<String> {
        let found = words.iter().find(|words| self.eat(words))?;
        Some((*found).to_owned())
    }

    pub fn skip(&mut self) {
        self.tokens = self.tokens.get(1..).unwrap_or_default();
    }

    pub fn if_exists(&mut self) {
        let _ = self.eat("IF EXISTS");
    }

    /// Goes past PostgreSQL's word before a table's name; elsewhere it may be the name.
    pub fn only(&mut self) {
        let _ = self.dialect == Dialect::PostgreSql && self.eat("ONLY");
    }

    /// A name, perhaps with a schema, database or catalog before it.
    pub fn name(&mut self) -> Option<Name> {
        let mut parts = vec![self.part()?];
        while self.at(".") {
            self.skip();
            parts.push(self.part()?);
        }
        let name = parts.pop()?;
        Some(Name { schema: parts.pop(), name })
    }

    /// One part of a name.
    pub fn part(&mut self) -> Option<String> {
        let token = self.tokens.first()?;
        let name = match token.kind {
            Kind::Word if self.dialect.is_mysql() => token.text.to_owned(),
            // MySQL's names may begin with a digit.
            Kind::Number if self.dialect.is_mysql() && is_name(token.text) => token.text.to_owned(),
            Kind::Word => token.text.to_lowercase(),
            Kind::Quoted if self.dialect == Dialect::Sqlite => unquote(token.text).to_lowercase(),
            Kind::Quoted => unquote(token.text),
            Kind::Text if self.dialect != Dialect::PostgreSql => unquote(token.text),
            _ => return None,
        };
        self.skip();
        Some(name)
    }

    /// The tokens between parentheses that open here.
    pub fn parentheses(&mut self) -> Option<&'a [Token<'a>]> {
        if !self.at("(") {
            return None;
        }
        let mut depth = 0usize;
        for (at, token) in self.tokens.iter().enumerate() {
            match token.text {
                "(" => depth += 1,
                ")" => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                let inside = &self.tokens[1..at];
                self.tokens = &self.tokens[at + 1..];
                return Some(inside);
            }
        }
        let inside = &self.tokens[1..];
        self.tokens = &[];
        Some(inside)
    }

    /// The rest, cut at commas that stand in no parentheses.
    pub fn list(&self) -> Vec<Self> {
        let mut out = Vec::new();
        let (mut depth, mut start) = (0i64, 0);
        for (at, token) in self.tokens.iter().enumerate() {
            match token.text {
                "(" => depth += 1,
                ")" => depth -= 1,
                "," if depth <= 0 => {
                    out.push(Self::new(&self.tokens[start..at], self.dialect));
                    start = at + 1;
                }
                _ => {}
            }
        }
        out.push(Self::new(&self.tokens[start..], self.dialect));
        out
    }

    /// The names in a list such as `a, b CASCADE`.
    pub fn names(&self) -> Vec<Name> {
        self.list().into_iter().filter_map(|mut item| item.name()).collect()
    }

    /// What stands before the first of these words.
    pub fn before(&self, words: &[&str]) -> Self {
        let end = self.tokens.iter().position(|t| words.iter().any(|word| t.is(word)));
        Self::new(&self.tokens[..end.unwrap_or(self.tokens.len())], self.dialect)
    }

    /// The last word, and not the only one.
    pub fn ends(&self, word: &str) -> bool {
        self.tokens.len() > 1 && self.tokens.last().is_some_and(|t| t.is(word))
    }

    /// These are the last words, and not the only ones.
    pub fn closes(&self, words: &str) -> bool {
        let start = self.tokens.len().saturating_sub(words.split(' ').count());
        let mut end = Self::new(&self.tokens[start..], self.dialect);
        start > 0 && end.eat(words) && end.is_done()
    }

    /// The clauses that begin with these words, which stand in no other order, outside of parentheses.
    pub fn clauses(&self, heads: &[&'static str]) -> Clauses<'a> {
        let (mut found, mut next, mut depth, mut start) = (Vec::new(), 0, 0i64, 0);
        let mut head = None;
        let mut at = 0;
        while let Some(token) = self.tokens.get(at) {
            depth += i64::from(token.is("(")) - i64::from(token.is(")"));
            let here = Self::new(&self.tokens[at..], self.dialect);
            // IS DISTINCT FROM is an operator.
            let operator = at > 0 && self.tokens[at - 1].is("DISTINCT") && token.is("FROM");
            let begins = (next..heads.len()).find(|head| depth == 0 && !operator && here.at(heads[*head]));
            if let Some(place) = begins.filter(|_| token.kind == Kind::Word) {
                found.push((head, Self::new(&self.tokens[start..at], self.dialect)));
                (head, next) = (Some(heads[place]), place + 1);
                at += heads[place].split(' ').count();
                start = at;
                continue;
            }
            if depth < 0 {
                break;
            }
            at += 1;
        }
        found.push((head, Self::new(&self.tokens[start..at.min(self.tokens.len())], self.dialect)));
        Clauses { found }
    }

    /// What stands here, in one line and not too long, for a message; strings may be somebody's secret.
    pub fn shown(&self) -> String {
        let shown = |t: &Token<'a>| if t.kind == Kind::Text { "'***'" } else { t.text };
        let words: Vec<_> = self.tokens.iter().take(6).map(shown).collect();
        crate::text::clean(&words.join(" "), 60)
    }
}

/// A statement's clauses by the words with which they begin.
pub(super) struct Clauses<'a> {
    /// The first one has none.
    found: Vec<(Option<&'static str>, Cursor<'a>)>,
}

impl<'a> Clauses<'a> {
    /// What stands before the first of them.
    pub fn head(&self) -> Cursor<'a> {
        self.found[0].1.clone()
    }

    pub fn get(&self, head: &str) -> Option<Cursor<'a>> {
        self.found.iter().find(|(found, _)| *found == Some(head)).map(|(_, clause)| clause.clone())
    }

    pub fn has(&self, head: &str) -> bool {
        self.found.iter().any(|(found, _)| *found == Some(head))
    }
}

/// Not a number: letters stand in it, and no point.
fn is_name(text: &str) -> bool {
    !text.contains('.') && text.contains(|c: char| c.is_alphabetic() || c == '_')
}

fn unquote(text: &str) -> String {
    let text = text.trim_start_matches(['U', 'u', '&']);
    let Some(quote) = text.chars().next() else { return String::new() };
    let inside = text.get(1..text.len().saturating_sub(1)).unwrap_or_default();
    let close = if quote == '[' { ']' } else { quote };
    inside.replace(&format!("{close}{close}"), &close.to_string())
}
