//! PostgreSQL's statements, lowered from its parser's tree; no I/O.

mod alter;
mod create;
mod rows;

pub(super) use alter::{alter_table, is_not_null};

use super::Reading;
use crate::lint::{
    Dialect,
    cursor::{Cursor, Name},
    parsers::{self, Opinion},
    tokens::lex,
    types::Type,
};
use squawk_syntax::{
    SyntaxNode,
    ast::{self, AstNode, Stmt},
};

/// How statements begin that are read from their trees.
pub(super) const LOWERED: &[&str] = &[
    "CREATE", "DROP", "DELETE", "EXPLAIN", "INSERT", "MERGE", "SELECT", "TABLE", "TRUNCATE", "UPDATE", "VALUES",
    "WITH", "(",
];

/// Reads a statement from its tree, and says what else the parser has to say. There is no reading where its words say it
/// all, a kind and a name; and nothing at all where it has no tree, since it is too long.
pub(super) fn read(statement: &Cursor<'_>) -> Option<(Option<Reading>, Opinion)> {
    let (tree, opinion) = parsers::tree(&statement.text(), statement.tokens)?;
    let first = tree.children().find_map(Stmt::cast);
    let reading = first.and_then(|first| create::read(&first).or_else(|| rows::read(&first)));
    Some((reading, opinion))
}

/// The name in a part of the tree, as the server compares it.
fn name_of(node: &impl AstNode) -> Option<Name> {
    with_cursor(node, |mut at| at.name())
}

fn part_of(node: &impl AstNode) -> Option<String> {
    name_of(node).map(|name| name.name)
}

fn with_cursor<T>(node: &impl AstNode, read: impl FnOnce(Cursor<'_>) -> T) -> T {
    let text = node.syntax().text().to_string();
    let lexed = lex(&text, Dialect::PostgreSql);
    read(Cursor::new(&lexed.tokens, Dialect::PostgreSql))
}

fn shown(node: &impl AstNode) -> String {
    with_cursor(node, |at| at.shown())
}

fn type_of(ty: Option<ast::Type>) -> Type {
    ty.map_or_else(|| Type::parse("", Dialect::PostgreSql), |ty| with_cursor(&ty, |mut at| Type::read(&mut at)))
}

/// The tables that foreign keys in a part of the tree refer to, which are locked too.
fn referred(node: &SyntaxNode) -> Vec<Name> {
    let mut out = Vec::new();
    for node in node.descendants() {
        let table = match ast::ReferencesConstraint::cast(node.clone()) {
            Some(column) => column.table(),
            None => ast::ForeignKeyConstraint::cast(node).and_then(|key| key.table_name_ref()),
        };
        out.extend(table.and_then(|table| name_of(&table)).filter(|name| !out.contains(name)));
    }
    out
}
