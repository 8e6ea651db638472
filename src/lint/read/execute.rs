//! Text that is run: DO, CALL, EXECUTE, PREPARE, routines, and what a client's commands read in; no I/O.

use super::{Effect, Kind, Reading, Subject, is_postgres, scan};
use crate::lint::{
    Code, Dialect, Severity,
    cursor::{Cursor, Name},
    tokens::{Kind as TokenKind, Token, lex},
};

/// Names of these are the plan's own: routines it defines, prepared statements, MySQL's variables that hold a text.
pub(super) const CALLABLE: &str = "CALLABLE";
pub(super) const PREPARED: &str = "PREPARED";
const TEXT: &str = "TEXT";

/// Where the text comes from that a block or routine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Dynamic {
    No,
    /// It is put together from strings that stand in the block.
    Shown,
    /// It comes from elsewhere.
    Unseen,
}

/// Reads DO, CALL, EXECUTE, PREPARE and BEGIN NOT ATOMIC; what stands in their strings is looked at afterwards.
pub(super) fn read(mut at: Cursor<'_>) -> Reading {
    let mut out = Reading::of(Kind::Unknown);
    if at.eat("CALL") {
        let name = at.name();
        let shown = name.as_ref().map(ToString::to_string).unwrap_or_default();
        out.effects.extend(name.clone().map(Effect::Calls));
        let message = format!("it calls {shown}, which may do anything: this plan does not define it");
        out.unseen(name.map_or(Subject::Nothing, callable), message);
    } else if at.eat("PREPARE") {
        prepare(at, &mut out);
    } else if at.eat("EXECUTE IMMEDIATE") {
        text(&at, &mut out);
    } else if at.eat("EXECUTE") {
        let shown = at.shown();
        let prepared = at.part().map(|name| Subject::Object(PREPARED, Name { schema: None, name }));
        out.unseen(prepared.unwrap_or(Subject::Nothing), format!("it runs {shown}, which was prepared elsewhere"));
    } else {
        let severity = block(&at);
        out.doubts(severity, Subject::Nothing, block_message(severity));
    }
    out
}

fn block_message(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "a block of code is judged by the statements that stand in it",
        Severity::Medium => "a block of code puts statements together, or calls what may do anything",
        _ => "a block of code runs a text that does not stand in it",
    }
}

/// How little is seen of a block.
fn block(at: &Cursor<'_>) -> Severity {
    let strange = language(at).is_some_and(|language| !is_known(&language));
    if strange {
        return Severity::High;
    }
    let calls = |tokens: &[Token<'_>]| ["PERFORM", "CALL"].iter().any(|word| tokens.iter().any(|t| t.is(word)));
    let mut inside = calls(at.tokens);
    let mut dynamic = dynamic(at);
    for body in bodies(at) {
        let lexed = lex(scan::inside(body.text), at.dialect);
        inside |= calls(&lexed.tokens);
        dynamic = dynamic.max(self::dynamic(&Cursor::new(&lexed.tokens, at.dialect)));
    }
    match dynamic {
        Dynamic::Unseen => Severity::High,
        Dynamic::Shown => Severity::Medium,
        Dynamic::No if inside => Severity::Medium,
        Dynamic::No => Severity::Low,
    }
}

/// PostgreSQL's bodies are strings.
fn bodies<'a>(at: &Cursor<'a>) -> impl Iterator<Item = &'a Token<'a>> {
    let postgres = is_postgres(at);
    at.tokens.iter().filter(move |t| postgres && t.kind == TokenKind::Text)
}

/// The language that a routine or block says it is in, as a name or a string: before its body, where that is no string.
fn language(at: &Cursor<'_>) -> Option<String> {
    let mut language = at.clauses(&["BEGIN"]).head().clauses(&["LANGUAGE"]).get("LANGUAGE")?;
    let text = language.tokens.first().filter(|t| t.kind == TokenKind::Text).map(|t| scan::inside(t.text).to_owned());
    text.or_else(|| language.part())
}

fn is_known(language: &str) -> bool {
    ["sql", "plpgsql"].iter().any(|known| language.eq_ignore_ascii_case(known))
}

/// Whether a block runs texts, and where they come from.
fn dynamic(at: &Cursor<'_>) -> Dynamic {
    let each = at.tokens.iter().enumerate().map(|(place, token)| {
        let mut rest = Cursor::new(&at.tokens[place + 1..], at.dialect);
        let granted = rest.at_any(&["ON", "PROCEDURE", "FUNCTION"]);
        if token.is("PREPARE") {
            let named = rest.part().is_some() && rest.eat("FROM");
            return if named { origin(&rest, at) } else { Dynamic::No };
        }
        if !token.is("EXECUTE") || granted || (at.dialect.is_mysql() && !rest.at("IMMEDIATE")) {
            return Dynamic::No;
        }
        let _ = rest.eat("IMMEDIATE");
        origin(&rest, at)
    });
    each.max().unwrap_or(Dynamic::No)
}

/// Where a text comes from that is run here: a string, or a variable that is given one somewhere in the block.
fn origin(from: &Cursor<'_>, block: &Cursor<'_>) -> Dynamic {
    let until_end =
        |at: &Cursor<'_>| at.tokens.iter().take_while(|t| !t.is(";")).take(FAR).any(|t| t.kind == TokenKind::Text);
    let Some(first) = from.tokens.first() else { return Dynamic::Unseen };
    if first.kind != TokenKind::Word || until_end(&from.before(&["USING", "INTO", "LOOP"])) {
        return if until_end(from) { Dynamic::Shown } else { Dynamic::Unseen };
    }
    let given = block.tokens.iter().enumerate().any(|(place, token)| {
        let rest = Cursor::new(&block.tokens[place + 1..], block.dialect);
        let before = block.tokens[..place].rsplit(|t| t.is(";")).next().unwrap_or_default();
        let to_it = place > 0
            && block.tokens[place - 1].is("INTO")
            && before.iter().rev().take(FAR).any(|t| t.kind == TokenKind::Text);
        let assigned = rest.at_any(&[": =", "=", "TEXT : =", "TEXT =", "VARCHAR : =", "TEXT DEFAULT"]);
        token.text.eq_ignore_ascii_case(first.text) && (to_it || (assigned && until_end(&rest)))
    });
    if given { Dynamic::Shown } else { Dynamic::Unseen }
}

/// Statements longer than this are not searched to their end for each text that they run.
const FAR: usize = 500;

fn prepare(mut at: Cursor<'_>, out: &mut Reading) {
    let name = at.part();
    out.effects.extend(name.map(|name| Effect::CreatesObject(PREPARED, Name { schema: None, name })));
    if at.eat("FROM") {
        return text(&at, out);
    }
    out.unclear("what is prepared is run later");
}

/// MySQL runs what stands here: a string, or a variable that holds one.
fn text(at: &Cursor<'_>, out: &mut Reading) {
    let variable = at.tokens.first().filter(|t| t.text.starts_with('@')).map(|t| t.text.to_lowercase());
    if let Some(name) = variable {
        let message = format!("it runs the text in {name}, which this plan does not show");
        out.unseen(Subject::Object(TEXT, Name { schema: None, name }), message);
    } else if !at.tokens.iter().any(|t| t.kind == TokenKind::Text) {
        out.unseen(Subject::Nothing, "it runs a text that this plan does not show");
    }
    out.unclear("a text is run as a statement");
}

/// MySQL's variable is given a text that stands here.
pub(super) fn gives_text(variable: &str, value: &Cursor<'_>, out: &mut Reading) {
    if value.tokens.iter().any(|t| t.kind == TokenKind::Text) {
        let name = Name { schema: None, name: variable.to_lowercase() };
        out.effects.push(Effect::CreatesObject(TEXT, name));
    }
}

/// What is called by this name. MySQL compares names of routines without case.
pub(super) fn callable(name: Name) -> Subject {
    Subject::Object(CALLABLE, Name { schema: name.schema, name: name.name.to_lowercase() })
}

/// Making a function or procedure runs nothing; what it will do counts where the plan calls it.
pub(super) fn routine(at: &Cursor<'_>, replaces: bool, out: &mut Reading) {
    let mut named = at.clone();
    named.skip();
    let perhaps = named.eat("IF NOT EXISTS");
    let name = named.name().map(|name| Name { schema: name.schema, name: name.name.to_lowercase() });
    if !perhaps {
        out.effects.extend(name.clone().map(|name| Effect::Makes("ROUTINE", name)));
    }
    if !replaces && !perhaps {
        out.effects.extend(super::create::routine_name(at, name.as_ref()).map(|n| Effect::CreatesObject("ROUTINE", n)));
    }
    let severity = block(&named);
    let mut body = Reading::of(Kind::Unknown);
    scan::into(&mut body, &named, 0);
    let (mut hazards, alterations) = (body.hazards, body.alterations);
    if severity > Severity::Low {
        hazards.push(super::Hazard {
            severity,
            ..super::Hazard::new(Code::O02, Subject::Nothing, block_message(severity))
        });
    }
    // What is run later, by whoever calls it, is not the plan's doing; that nobody sees it is worth a word.
    if at.at("PROCEDURE") || at.at("PACKAGE") || severity == Severity::High || dynamic_inside(&named) {
        out.unclear("what the routine does is only seen when it runs");
    }
    if let Some(name) = name.filter(|_| !perhaps) {
        out.effects.push(Effect::Defines { name: name.clone(), hazards, alterations });
        out.effects.push(Effect::CreatesObject(CALLABLE, name));
    }
}

fn dynamic_inside(at: &Cursor<'_>) -> bool {
    let text = |body: &Token<'_>| {
        let lexed = lex(scan::inside(body.text), at.dialect);
        dynamic(&Cursor::new(&lexed.tokens, at.dialect)) != Dynamic::No
    };
    dynamic(at) != Dynamic::No || bodies(at).any(text)
}

/// psql's and sqlite3's own commands: some run what is in another file, or on the machine.
pub(super) fn client_command(at: &Cursor<'_>) -> Reading {
    const HARMLESS: &[&str] = &[
        "\\echo",
        "\\qecho",
        "\\warn",
        "\\timing",
        "\\pset",
        "\\x",
        "\\conninfo",
        "\\encoding",
        "\\q",
        "\\t",
        "\\a",
        "\\errverbose",
        "\\unset",
        "\\d",
        "\\dt",
        "\\l",
        ".bail",
        ".echo",
        ".headers",
        ".header",
        ".mode",
        ".timeout",
        ".print",
        ".width",
        ".changes",
        ".timer",
        ".nullvalue",
        ".separator",
        ".tables",
        ".schema",
        ".indexes",
        ".databases",
        ".quit",
        ".exit",
        ".stats",
        ".show",
    ];
    const FOREIGN: &[&str] = &[
        "\\i",
        "\\ir",
        "\\include",
        "\\include_relative",
        "\\!",
        "\\gexec",
        "\\copy",
        ".read",
        ".shell",
        ".system",
        ".import",
        ".restore",
        ".load",
    ];
    let mut out = Reading::of(if at.at_any(HARMLESS) { Kind::Session } else { Kind::Unknown });
    if at.at_any(FOREIGN) {
        out.unseen(Subject::Nothing, format!("{} brings in what this plan does not show", at.shown()));
    } else if out.kind == Kind::Unknown {
        out.unclear(format!("{} is not known to be harmless", at.shown()));
    }
    out
}

/// Whether these statements are read here.
pub(super) fn is_one(at: &Cursor<'_>) -> bool {
    let block = at.at("DO") && is_postgres(at);
    let expressions = at.at("DO") && at.dialect.is_mysql();
    block
        || (!expressions && at.at_any(&["CALL", "EXECUTE", "BEGIN NOT ATOMIC"]))
        || (at.at("PREPARE") && !at.at("PREPARE TRANSACTION") && at.dialect != Dialect::Sqlite)
}
