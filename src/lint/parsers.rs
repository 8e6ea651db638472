//! What the SQL parsers say to a statement: whether it is SQL at all, what it calls, and squawk's rules; no I/O.

use super::{Dialect, squawk, statements::Statement, tokens::Token};
use crate::lint::Code;
use sqlparser::{
    ast::{Expr, visit_expressions},
    dialect::{MySqlDialect, SQLiteDialect},
    parser::Parser,
};
use squawk_syntax::{
    Parse, SourceFile, SyntaxNode,
    ast::{AstNode, CallExpr, Expr as PgExpr},
};
use std::{
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
};

#[derive(Clone, Debug, Default)]
pub(super) struct Opinion {
    /// Functions by name.
    pub calls: Vec<String>,
    /// Why it can't be read.
    pub error: Option<String>,
    /// What squawk's rules find, in its words.
    pub rules: Vec<(Code, String)>,
}

/// Both parsers, and what drops their trees, call themselves for each level; this many fit `lint::STACK`.
const TOKENS: usize = 20_000;
const NESTING: i64 = 64;

/// What the dialect's parser says.
pub(super) fn parse(statement: &Statement<'_>, dialect: Dialect) -> Opinion {
    if let Some(how) = too_much(statement.tokens) {
        return failed(format!("it is too {how} to be parsed"));
    }
    let parsed = catch_unwind(AssertUnwindSafe(|| match dialect {
        Dialect::PostgreSql => postgres(statement.sql, statement.tokens).1,
        _ => other(statement, dialect),
    }));
    parsed.unwrap_or_else(|_| failed("the parser falls over it".to_owned()))
}

fn failed(error: String) -> Opinion {
    Opinion { error: Some(error), ..Opinion::default() }
}

/// Why these tokens are not given to a parser.
fn too_much(tokens: &[Token<'_>]) -> Option<&'static str> {
    if tokens.len() > TOKENS {
        Some("long")
    } else if nesting(tokens) > NESTING {
        Some("deeply nested")
    } else {
        None
    }
}

/// PostgreSQL's tree of a statement, and what its parser says; there is one of broken SQL too.
pub(super) fn tree(sql: &str, tokens: &[Token<'_>]) -> Option<(SyntaxNode, Opinion)> {
    if too_much(tokens).is_some() {
        return None;
    }
    catch_unwind(AssertUnwindSafe(|| postgres(sql, tokens))).ok()
}

fn nesting(tokens: &[Token<'_>]) -> i64 {
    let mut depth = 0;
    let levels = tokens.iter().map(|t| {
        depth += match t.text {
            "(" | "[" | "{" => 1,
            ")" | "]" | "}" => -1,
            _ => 0,
        };
        depth
    });
    levels.max().unwrap_or_default()
}

fn postgres(sql: &str, tokens: &[Token<'_>]) -> (SyntaxNode, Opinion) {
    let parse = SourceFile::parse(sql);
    let tree = parse.syntax_node();
    let rules = if squawk::has_rules(tokens) { squawk::rules(&parse, sql) } else { Vec::new() };
    let calls = if tokens.iter().any(|t| t.is("(")) { calls(&tree) } else { Vec::new() };
    let opinion = Opinion { calls, error: first_error(&parse), rules };
    (tree, opinion)
}

fn first_error(parse: &Parse<SourceFile>) -> Option<String> {
    parse.errors().first().map(|e| format!("its parser says: {}", e.message()))
}

/// The functions that are called in a part of a tree, by name.
pub(super) fn calls(tree: &SyntaxNode) -> Vec<String> {
    let names = tree.descendants().filter_map(CallExpr::cast).filter_map(|call| match call.expr()? {
        PgExpr::NameRef(name) => Some(name.text().to_string()),
        PgExpr::FieldExpr(field) => Some(field.syntax().to_string()),
        _ => None,
    });
    names.collect()
}

fn other(statement: &Statement<'_>, dialect: Dialect) -> Opinion {
    let mysql = MySqlDialect {};
    let sqlite = SQLiteDialect {};
    let rules: &dyn sqlparser::dialect::Dialect = if dialect.is_mysql() { &mysql } else { &sqlite };
    let statements = match Parser::parse_sql(rules, statement.sql) {
        Ok(statements) => statements,
        Err(error) => return failed(format!("its parser says: {}", message(&error.to_string()))),
    };
    let mut calls = Vec::new();
    let _ = visit_expressions(&statements, |expression: &Expr| {
        if let Expr::Function(function) = expression {
            let parts = function.name.0.iter().filter_map(|part| part.as_ident()).map(|i| i.value.clone());
            calls.push(parts.collect::<Vec<_>>().join("."));
        }
        ControlFlow::<()>::Continue(())
    });
    Opinion { calls, ..Opinion::default() }
}

/// sqlparser's message names the place in its own input and may quote a value.
fn message(error: &str) -> String {
    let error = error.trim_start_matches("sql parser error: ");
    let end = error.find(", found").or_else(|| error.find(" at Line")).unwrap_or(error.len());
    error[..end].to_owned()
}
