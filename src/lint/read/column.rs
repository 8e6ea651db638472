//! A column's definition from its tokens, and what USING makes of a column; no I/O.

use crate::lint::{
    Dialect,
    cursor::Cursor,
    parts::{Column, Default, Filled},
    tokens::{Kind as TokenKind, Token},
    types::{Kind as TypeKind, Type, is_wide},
};

/// Reads `name type …`, clause by clause.
pub(super) fn read(mut at: Cursor<'_>) -> Option<Column> {
    let name = at.part()?;
    let ty = Type::read(&mut at);
    let filled = if ty.name == "serial" && at.dialect.is_mysql() { Filled::Numbered } else { Filled::No };
    let mut column = Column::new(name, ty, filled);
    while !at.is_done() {
        clause(&mut at, &mut column);
    }
    Some(column)
}

/// One clause of a definition; what is not known is passed word by word.
fn clause(at: &mut Cursor<'_>, column: &mut Column) {
    if at.eat("NOT NULL") {
        column.not_null = true;
    } else if at.eat("DEFAULT") {
        column.default = default_of(at);
        operand(at);
    } else if at.eat("ON UPDATE") {
        operand(at);
    } else if at.eat_any(&["AUTO_INCREMENT", "AUTOINCREMENT"]).is_some() {
        column.filled = Filled::Numbered;
    } else if at.eat("PRIMARY KEY") || (at.dialect.is_mysql() && at.eat("PRIMARY")) {
        column.primary_key = true;
    } else if at.eat("UNIQUE") {
        column.unique = true;
        let _ = at.eat("KEY");
    } else if at.dialect.is_mysql() && at.eat("KEY") {
        column.primary_key = true;
    } else if at.eat("GENERATED ALWAYS AS") || at.eat("AS") {
        column.filled = Filled::Virtual;
        let _ = at.parentheses();
    } else if at.eat_any(&["STORED", "PERSISTENT"]).is_some() {
        column.filled = Filled::Stored;
    } else if at.eat("REFERENCES") {
        column.references = true;
        let _ = at.name();
        let _ = at.parentheses();
        while at.eat_any(&["ON DELETE", "ON UPDATE", "MATCH"]).is_some() {
            let _ = at.eat_any(&["SET NULL", "SET DEFAULT", "NO ACTION"]).is_none().then(|| at.skip());
        }
    } else if at.eat("CHECK") {
        column.checked = true;
        let _ = at.parentheses();
    } else if at.eat_any(&["CHARACTER SET", "CHARSET"]).is_some() {
        column.loses_letters = !holds_all_letters(at);
        let _ = at.eat("=");
        at.skip();
    } else if at.eat_any(NAMED).is_some() || at.parentheses().is_none() {
        at.skip();
    }
}

/// Clauses of two words.
const NAMED: &[&str] = &["COLLATE", "COMMENT", "CONSTRAINT", "AFTER", "COLUMN_FORMAT", "STORAGE", "SRID"];

/// Goes past a value: in parentheses, with a sign, or a call.
fn operand(at: &mut Cursor<'_>) {
    let _ = at.eat_any(&["-", "+"]);
    if at.parentheses().is_none() {
        at.skip();
        let _ = at.parentheses();
    }
}

/// MariaDB computes what is the same for all rows once; MySQL computes any expression for each of them.
fn default_of(default: &Cursor<'_>) -> Default {
    if default.at("NULL") {
        return Default::Nothing;
    }
    let current = ["CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "NOW", "LOCALTIME", "LOCALTIMESTAMP"];
    if default.at_any(&current) {
        return Default::Same;
    }
    let called = default.tokens.get(1).is_some_and(|t| t.is("(")) && default.tokens[0].kind == TokenKind::Word;
    let Some(inside) = default.clone().parentheses() else {
        return if called { Default::PerRow(default.shown()) } else { Default::Constant };
    };
    match inside {
        // DEFAULT (0) is what Alembic writes for a text as default.
        [one] if is_literal(one) => Default::Constant,
        [sign, one] if (sign.is("-") || sign.is("+")) && is_literal(one) => Default::Constant,
        _ if default.dialect == Dialect::MariaDb && is_the_same(inside) => Default::Same,
        _ => Default::PerRow(default.shown()),
    }
}

fn is_literal(token: &Token<'_>) -> bool {
    matches!(token.kind, TokenKind::Text | TokenKind::Number)
        || ["NULL", "TRUE", "FALSE"].iter().any(|word| token.is(word))
}

/// MariaDB adds the column at once where nothing but values, operators and the clock are in it.
fn is_the_same(tokens: &[Token<'_>]) -> bool {
    const WORDS: &[&str] = &[
        "CURRENT_TIMESTAMP",
        "CURRENT_DATE",
        "CURRENT_TIME",
        "NOW",
        "CURDATE",
        "CURTIME",
        "CONCAT",
        "INTERVAL",
        "DAY",
    ];
    tokens.iter().all(|t| t.kind != TokenKind::Word || is_literal(t) || WORDS.iter().any(|word| t.is(word)))
}

/// The columns in the list that follows, as for an index; expressions are left out.
pub(in crate::lint) fn listed(at: &Cursor<'_>) -> Vec<String> {
    let Some(open) = at.tokens.iter().position(|t| t.is("(")) else { return Vec::new() };
    let mut list = Cursor::new(&at.tokens[open..], at.dialect);
    let items = list.parentheses().map(|inside| Cursor::new(inside, at.dialect).list()).unwrap_or_default();
    let plain = |mut item: Cursor<'_>| {
        let name = item.part()?;
        (item.is_done() || item.at_any(&["ASC", "DESC", "NULLS"])).then_some(name)
    };
    items.into_iter().filter_map(plain).collect()
}

/// The name of MySQL's character set that stands here is one of Unicode's, or says that there is none.
pub(super) fn holds_all_letters(charset: &Cursor<'_>) -> bool {
    let name = charset.tokens.iter().find(|t| !t.is("=")).map(|t| t.text.trim_matches(['\'', '"', '`']));
    let whole = ["utf8mb4", "utf16", "utf16le", "utf32", "binary", "default"];
    name.is_none_or(|name| whole.iter().any(|set| name.eq_ignore_ascii_case(set)))
}

/// USING takes the whole value of the column: it stands there alone, cast to this type or to one that holds
/// everything, read in a time zone, or as JSON.
pub(super) fn keeps_values(using: &Cursor<'_>, column: &str, ty: &Type) -> bool {
    let mut at = using.clone();
    while let Some(inside) = at.clone().parentheses().filter(|inside| inside.len() + 2 == at.tokens.len()) {
        at = Cursor::new(inside, at.dialect);
    }
    let holds = |mut cast: Cursor<'_>| {
        let to = Type::read(&mut cast);
        let alike = to.kind == ty.kind && !matches!(ty.kind, TypeKind::Other(_));
        cast.is_done() && (to.name == ty.name || alike || is_wide(&to))
    };
    if at.eat_any(&["CAST", "to_json", "to_jsonb"]).is_some() {
        let Some(inside) = at.parentheses().filter(|_| at.is_done()) else { return false };
        let mut inside = Cursor::new(inside, at.dialect);
        return inside.part().is_some_and(|name| name == column)
            && (inside.is_done() || (inside.eat("AS") && holds(inside)));
    }
    if at.name().is_none_or(|name| name.name != column) {
        return false;
    }
    if at.eat("AT TIME ZONE") {
        return at.tokens.len() == 1;
    }
    let rest = at.tokens;
    let casts = rest.split(|token| token.is(":")).filter(|cast| !cast.is_empty());
    (rest.is_empty() || rest[0].is(":")) && casts.map(|cast| Cursor::new(cast, at.dialect)).all(holds)
}
