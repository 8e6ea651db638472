//! A plan's statements one after the other: revision, line, what each does, and what its comments allow; no I/O.

use super::{
    Code, Dialect, Input, allow,
    cursor::Cursor,
    effect::Effect,
    hazard::Hazard,
    parsers, read,
    reading::{Kind, Reading},
    said::{self, Said, Told},
    side_by_side::side_by_side,
    statements::{Statement, is_routine, split},
    subject::Subject,
    tokens::{Comment, Kind as TokenKind, Token},
};
use crate::text;
use std::collections::HashSet;

#[derive(Debug)]
pub(super) struct Step {
    pub section: usize,
    pub revision: Option<String>,
    pub line: usize,
    /// As it may be shown.
    pub shown: String,
    pub reading: Reading,
    /// It names Alembic's rows by their revision, as only Alembic does.
    pub by_revision: bool,
    /// What Alembic's operations say of the database before it.
    pub said: Vec<Said>,
    pub allows: Vec<CommentAllow>,
}

/// A hazard of one statement that a comment allows.
#[derive(Debug)]
pub(super) struct CommentAllow {
    pub code: Code,
    pub reason: String,
    pub line: usize,
}

/// Every statement of the plan.
pub(super) fn steps(input: &Input) -> Vec<Step> {
    let mut out = Steps { input, steps: Vec::new(), values: HashSet::new() };
    for section in 0..input.sections.len() {
        split(&input.sections[section].sql, input.dialect, |statements| {
            let mut at = Place { section, revision: input.sections[section].revision.clone(), last_line: 0 };
            for (statement, judged) in statements.iter().zip(side_by_side(statements, |it| judged(it, input.dialect))) {
                out.add(&mut at, statement, judged);
            }
        });
    }
    out.steps
}

/// What a statement is by itself, whatever came before it.
struct Judged {
    reading: Reading,
    shown: String,
    by_revision: bool,
}

fn judged(statement: &Statement<'_>, dialect: Dialect) -> Option<Judged> {
    statement.tokens.first()?;
    let reading = judge(statement, dialect);
    let shown = shown(statement, reading.kind);
    let by_revision = by_revision(&Cursor::new(statement.tokens, dialect));
    Some(Judged { reading, shown, by_revision })
}

struct Steps<'a> {
    input: &'a Input,
    steps: Vec<Step>,
    /// Those that enums got so far.
    values: HashSet<String>,
}

/// Where in the plan a statement stands.
struct Place {
    section: usize,
    revision: Option<String>,
    last_line: usize,
}

impl Steps<'_> {
    fn add(&mut self, at: &mut Place, statement: &Statement<'_>, judged: Option<Judged>) {
        let (mut allows, mut said) = (Vec::new(), Vec::new());
        for comment in statement.comments {
            self.comment(at, comment, &mut allows, &mut said);
        }
        // Comments that no statement follows have a step of their own: what they allow is not used.
        if judged.is_none() && allows.is_empty() {
            return;
        }
        let line = statement.tokens.first().map_or(at.last_line, |first| first.line);
        at.last_line = line + statement.sql.matches('\n').count();
        let empty = Judged { reading: Reading::default(), shown: String::new(), by_revision: false };
        let Judged { mut reading, shown, by_revision } = judged.unwrap_or(empty);
        if !self.values.is_empty() {
            let mentioned = statement.tokens.iter().filter(|t| self.values.contains(t.text));
            reading.effects.extend(mentioned.map(|t| Effect::MentionsValue(t.text.to_owned())));
        }
        self.values.extend(reading.effects.iter().filter_map(|effect| match effect {
            Effect::AddsValue { value, .. } => Some(value.clone()),
            _ => None,
        }));
        let (section, revision) = (at.section, at.revision.clone());
        self.steps.push(Step { section, revision, line, shown, reading, by_revision, said, allows });
    }

    fn comment(&mut self, at: &mut Place, comment: &Comment<'_>, allows: &mut Vec<CommentAllow>, said: &mut Vec<Said>) {
        match said::of_comment(comment.text, self.input.dialect) {
            Some(Told::Said(told)) => said.push(told),
            Some(Told::Copies { reading, shown }) => self.steps.push(Step {
                section: at.section,
                revision: at.revision.clone(),
                line: comment.line,
                shown,
                reading: *reading,
                by_revision: false,
                said: std::mem::take(said),
                allows: Vec::new(),
            }),
            None => {}
        }
        // Where it is known whose SQL it is, a comment in it can't say otherwise.
        let known = self.input.sections[at.section].revision.is_some();
        if let Some(running) = running(comment.text).filter(|_| !known) {
            at.revision = Some(running);
        }
        let found = if self.input.comments_allow { allowed(comment) } else { Vec::new() };
        match self.steps.last_mut().filter(|step| step.section == at.section && comment.line == at.last_line) {
            // It stands behind the statement before.
            Some(before) => before.allows.extend(found),
            None => allows.extend(found),
        }
    }
}

/// `UPDATE … SET version_num = 'b' WHERE version_num = 'a'`, `DELETE FROM … WHERE version_num = 'a'`.
fn by_revision(at: &Cursor<'_>) -> bool {
    let mut at = at.clone();
    let is_row = |at: &mut Cursor<'_>| {
        let named = at.name().is_some_and(|name| name.name.eq_ignore_ascii_case("version_num"));
        let valued = at.eat("=") && at.tokens.first().is_some_and(|t| t.kind == TokenKind::Text);
        at.skip();
        named && valued
    };
    let written = match at.eat_any(&["UPDATE", "DELETE FROM"]).as_deref() {
        Some("UPDATE") => at.name().is_some() && at.eat("SET") && is_row(&mut at),
        Some(_) => at.name().is_some(),
        None => false,
    };
    written && at.eat("WHERE") && is_row(&mut at) && (at.is_done() || at.at("RETURNING"))
}

/// The revision that Alembic's comment names: what an upgrade applies, what a downgrade undoes.
fn running(comment: &str) -> Option<String> {
    let text = comment.trim_start_matches(['-', '#', ' ']).strip_prefix("Running ")?;
    let (kind, ids) = text.split_once(' ')?;
    let (from, to) = ids.split_once("->")?;
    let id = if kind == "downgrade" { from } else { to };
    Some(text::clean(id.trim(), 200)).filter(|id| !id.is_empty())
}

fn allowed(comment: &Comment<'_>) -> Vec<CommentAllow> {
    let found = allow::of_comment(comment.text).into_iter();
    found.map(|(code, reason)| CommentAllow { code, reason, line: comment.line }).collect()
}

/// What the tokens say, what the parser says, and squawk's rules, together.
fn judge(statement: &Statement<'_>, dialect: Dialect) -> Reading {
    let mut reading = read::read(Cursor::new(statement.tokens, dialect), statement.broken);
    // The parser for the other dialects does not know much of their DDL.
    if reading.kind == Kind::Session || (dialect != Dialect::PostgreSql && reading.kind != Kind::Data) {
        // No parser says that the statement has ended long before.
        if let Some(next) = another(statement, dialect) {
            reading.hazards.push(Hazard::new(Code::O02, Subject::Nothing, "another statement seems to follow in it"));
            read::scan_all(&mut reading, &Cursor::new(next, dialect));
        }
        add(&mut reading, calls_of_query(statement, dialect).unwrap_or_default());
        return reading;
    }
    let opinion = match reading.parsed.take() {
        Some(opinion) => opinion,
        None => parsers::parse(set_for(statement, dialect).as_ref().unwrap_or(statement), dialect),
    };
    let subject = reading.table.clone().map_or(Subject::Nothing, Subject::Table);
    for (code, message) in opinion.rules {
        if !reading.hazards.iter().any(|h| h.code == code) {
            reading.hazards.push(Hazard::new(code, subject.clone(), text::clean(&message, 300)));
        }
    }
    if let Some(error) = opinion.error {
        reading.hazards.push(Hazard::new(Code::O02, Subject::Nothing, text::clean(&error, 300)));
        if !statement.tokens[0].is("CREATE") {
            read::scan_words(&mut reading, &Cursor::new(statement.tokens, dialect));
        }
    }
    let mut calls = opinion.calls;
    if reading.effects.iter().any(|effect| matches!(effect, Effect::Schema(_))) {
        calls.retain(|call| call.trim_start_matches("pg_catalog.") != "set_config");
    }
    // What DDL calls is only run where it fills a table.
    if reading.kind == Kind::Data || reading.fills {
        add(&mut reading, read::calls_hazards(&calls, dialect));
    }
    reading
}

/// What MariaDB's SET STATEMENT … FOR runs, which the parser does not know.
fn set_for<'a>(statement: &Statement<'a>, dialect: Dialect) -> Option<Statement<'a>> {
    let sets = dialect == Dialect::MariaDb && Cursor::new(statement.tokens, dialect).at("SET STATEMENT");
    let place = statement.tokens.iter().position(|t| sets && t.is("FOR"))?;
    let tokens = &statement.tokens[place + 1..];
    let sql = statement.sql.get(tokens.first()?.start - statement.tokens[0].start..)?;
    Some(Statement { tokens, sql, comments: &[], broken: statement.broken })
}

fn add(reading: &mut Reading, calls: Reading) {
    reading.hazards.extend(calls.hazards);
    reading.effects.extend(calls.effects);
}

/// What CREATE TABLE … SELECT and MySQL's SET @x = … call is run: the query is parsed, as the rest can't be.
fn calls_of_query(statement: &Statement<'_>, dialect: Dialect) -> Option<Reading> {
    let whole = Cursor::new(statement.tokens, dialect);
    let fills = whole.at("CREATE") && statement.tokens[..statement.tokens.len().min(5)].iter().any(|t| t.is("TABLE"));
    let sets = dialect.is_mysql() && whole.at("SET") && statement.tokens.get(1)?.text.starts_with('@');
    let at = match (fills, sets) {
        (true, _) => (1..statement.tokens.len()).find(|at| {
            let (before, token) = (&statement.tokens[at - 1], &statement.tokens[*at]);
            token.is("SELECT") || (token.is("WITH") && before.is("AS"))
        })?,
        (_, true) => 1,
        _ => return None,
    };
    let tokens = match statement.tokens[at - 1].is("(") {
        true => Cursor::new(&statement.tokens[at - 1..], dialect).parentheses()?,
        false => &statement.tokens[at..],
    };
    let of_statement = |place: usize| place - statement.tokens[0].start;
    let sql = statement.sql.get(of_statement(tokens.first()?.start)..of_statement(tokens.last()?.end()))?;
    let sql = if sets { format!("SELECT {sql}") } else { sql.to_owned() };
    let query = Statement { tokens, sql: &sql, comments: &[], broken: statement.broken };
    Some(read::calls_hazards(&parsers::parse(&query, dialect).calls, dialect))
}

/// Where another statement begins in this one: on a line of its own, or behind what may be a client's delimiter.
fn another<'a>(statement: &Statement<'a>, dialect: Dialect) -> Option<&'a [Token<'a>]> {
    let first = statement.tokens.first()?;
    // The bodies of routines are statements.
    if first.is("CREATE") && is_routine(&statement.tokens[..statement.tokens.len().min(16)]) {
        return None;
    }
    let action = first.is("ALTER");
    let mut depth = 0i64;
    (1..statement.tokens.len()).find_map(|at| {
        let (before, token) = (&statement.tokens[at - 1], &statement.tokens[at]);
        depth += i64::from(before.is("(")) - i64::from(before.is(")"));
        let delimited = DELIMITERS.iter().any(|word| before.is(word));
        let apart = delimited || (token.line > before.line && !CONTINUES.iter().any(|word| before.is(word)));
        let rest = &statement.tokens[at..];
        (depth <= 0 && apart && read::begins(&Cursor::new(rest, dialect), action)).then_some(rest)
    })
}

const DELIMITERS: &[&str] = &["$", "/", "|", "GO"];
/// Words and symbols after which a line goes on with what only looks like a statement.
const CONTINUES: &[&str] = &[",", "AFTER", "AS", "BEFORE", "EXPLAIN", "FOR", "GRANT", "IF", "ON", "OR", "REVOKE"];

/// A statement in one line, cut. Strings in it may be somebody's data or password: only DDL shows them.
fn shown(statement: &Statement<'_>, kind: Kind) -> String {
    let secret =
        |word: &str| ["PASSWORD", "IDENTIFIED", "USER", "ROLE", "SERVER", "SUBSCRIPTION", "SYSTEM"].contains(&word);
    let masks = kind != Kind::Ddl || statement.tokens.iter().any(|t| secret(&t.text.to_ascii_uppercase()));
    let mut out = String::new();
    let mut end = None;
    for token in statement.tokens {
        // What never ends may be a string too.
        if out.len() > SHOWN * 4 || (statement.broken && matches!(token.text, "'" | "\"" | "$" | "`")) {
            out.push('…');
            break;
        }
        if end.is_some_and(|end| end != token.start) {
            out.push(' ');
        }
        out.push_str(if masks && token.kind == TokenKind::Text { "'***'" } else { token.text });
        end = Some(token.end());
    }
    text::clean(&out.replace(['\n', '\r'], " "), SHOWN)
}

/// How long a statement in a finding may be.
const SHOWN: usize = 200;
