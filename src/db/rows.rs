//! What the version table may hold, and what its rows are made into; no I/O.

use super::VersionRows;
use std::collections::BTreeSet;

/// More rows than any revision graph has heads; a table with more is not Alembic's.
pub(super) const MAX_ROWS: usize = 1000;
/// Characters of the longest revision id.
pub(super) const MAX_ROW: usize = 512;

/// What is wrong with the version rows themselves: Alembic would fail on them half-way through a run, or they are not its.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowFault {
    #[error("has more than {MAX_ROWS} rows, so it is none of Alembic's")]
    Many,
    #[error("has a row of more than {MAX_ROW} characters, so it is none of Alembic's")]
    Long,
    #[error("has a row without a revision")]
    Blank,
    #[error("has the row {0} more than once")]
    Doubled(String),
}

/// Puts the two limits into a statement that reads rows: one more of each than may be there.
pub(super) fn limited(statement: &str, table: &str) -> String {
    statement
        .replace("{limit}", &(MAX_ROWS + 1).to_string())
        .replace("{length}", &(MAX_ROW + 1).to_string())
        .replace("{table}", table)
}

/// The rows as a set. `None` is NULL.
pub(super) fn version_rows(rows: impl IntoIterator<Item = Option<String>>) -> Result<VersionRows, RowFault> {
    let mut found = BTreeSet::new();
    for (number, row) in rows.into_iter().enumerate() {
        if number >= MAX_ROWS {
            return Err(RowFault::Many);
        }
        let row = row.filter(|row| !row.trim().is_empty()).ok_or(RowFault::Blank)?;
        if row.chars().count() > MAX_ROW {
            return Err(RowFault::Long);
        }
        if let Some(row) = found.replace(row) {
            return Err(RowFault::Doubled(crate::text::clean(&row, 64)));
        }
    }
    Ok(VersionRows::Rows(found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_alembic_would_fail_on_is_named() {
        let read = |rows: &[Option<&str>]| version_rows(rows.iter().map(|row| row.map(str::to_owned)));
        let set = |rows: &[&str]| VersionRows::Rows(rows.iter().map(|row| (*row).to_owned()).collect());
        assert_eq!(read(&[]), Ok(set(&[])));
        assert_eq!(read(&[Some("b"), Some("a")]), Ok(set(&["a", "b"])));
        assert_eq!(read(&[Some("a"), None]), Err(RowFault::Blank));
        assert_eq!(read(&[Some(" ")]), Err(RowFault::Blank));
        assert_eq!(read(&[Some("a"), Some("b"), Some("a")]), Err(RowFault::Doubled("a".into())));
        assert_eq!(read(&[Some(&"é".repeat(512))]), Ok(set(&[&"é".repeat(512)])));
        assert_eq!(read(&[Some(&"x".repeat(513))]), Err(RowFault::Long));
        let many = |count: usize| version_rows((0..count).map(|n| Some(n.to_string())));
        assert!(many(1000).is_ok());
        assert_eq!(many(1001), Err(RowFault::Many));
    }
}
