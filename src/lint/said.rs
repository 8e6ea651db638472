//! What Alembic's operations say beside their SQL, as the runner writes it into comments: what a column was, whose an index
//! is, and what SQLite's batch mode does; no I/O. It may resolve a doubt, and takes nothing away from what the SQL proves.

use super::{
    Dialect,
    catalog::Column,
    cursor::{Cursor, Name},
    read,
    reading::Reading,
    tokens::lex,
    types::Type,
};
use crate::text;

/// What an operation says of the database before it.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Said {
    Column { table: Name, column: Column },
    Index { index: Name, table: Name },
}

/// What a comment tells.
pub(super) enum Told {
    Said(Said),
    /// A table is copied in SQLite's batch mode, to be changed so.
    Copies {
        reading: Box<Reading>,
        shown: String,
    },
}

const SAYS: &str = "-- Alembic says: ";
const DOES: &str = "-- Alembic does: ";

/// How long a statement in a finding may be.
const SHOWN: usize = 200;

pub(super) fn of_comment(comment: &str, dialect: Dialect) -> Option<Told> {
    if let Some(text) = comment.strip_prefix(SAYS) {
        let lexed = lex(text, dialect);
        return said(Cursor::new(&lexed.tokens, dialect)).map(Told::Said);
    }
    let text = comment.strip_prefix(DOES).filter(|_| dialect == Dialect::Sqlite)?;
    let lexed = lex(text, dialect);
    let reading = read::copies(Cursor::new(&lexed.tokens, dialect))?;
    Some(Told::Copies { reading: Box::new(reading), shown: text::clean(text.trim(), SHOWN) })
}

/// `column t.a VARCHAR(50) NOT NULL`, `index i of t`
fn said(mut at: Cursor<'_>) -> Option<Said> {
    if at.eat("INDEX") {
        let index = at.name()?;
        return at.eat("OF").then(|| at.name()).flatten().map(|table| Said::Index { index, table });
    }
    if !at.eat("COLUMN") {
        return None;
    }
    let mut parts = vec![at.part()?];
    while at.eat(".") {
        parts.push(at.part()?);
    }
    let name = parts.pop()?;
    let table = Name { name: parts.pop()?, schema: parts.pop() };
    let ty = Some(Type::read(&mut at).full).filter(|ty| !ty.is_empty());
    let nullable = if at.eat("NOT NULL") { Some(false) } else { at.eat("NULL").then_some(true) };
    Some(Said::Column { table, column: Column { name, ty, nullable, default: None } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_column_was_is_read() {
        let told = |text: &str| match of_comment(text, Dialect::PostgreSql) {
            Some(Told::Said(said)) => Some(said),
            _ => None,
        };
        let name = |schema: Option<&str>, name: &str| Name { schema: schema.map(str::to_owned), name: name.to_owned() };
        let column = |name: &str, ty: Option<&str>, nullable| Column {
            name: name.to_owned(),
            ty: ty.map(str::to_owned),
            nullable,
            default: None,
        };
        for (text, table, expected) in [
            ("column t.a VARCHAR(50) NOT NULL", name(None, "t"), column("a", Some("varchar(50)"), Some(false))),
            ("column s.\"T\".a NULL", name(Some("s"), "T"), column("a", None, Some(true))),
            ("column t.a DOUBLE PRECISION", name(None, "t"), column("a", Some("double precision"), None)),
        ] {
            let said = told(&format!("{SAYS}{text}"));
            assert_eq!(said, Some(Said::Column { table, column: expected }), "{text}");
        }
        let index = Some(Said::Index { index: name(None, "i"), table: name(None, "t") });
        assert_eq!(told("-- Alembic says: index i of t"), index);
        assert!(told("-- column t.a INTEGER").is_none() && told("-- Alembic says: column t").is_none());
    }
}
