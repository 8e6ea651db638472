//! Tables that fit a terminal: columns of little weight are left out first, and names are cut last. No I/O.

use super::text::{Line, Span, Tone};

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    pub title: &'static str,
    /// Numbers stand at the right.
    pub right: bool,
    /// Columns with the highest weight are left out first where there is no room; those with 0 never are.
    pub weight: u8,
}

impl Column {
    pub const fn new(title: &'static str, weight: u8) -> Self {
        Self { title, right: false, weight }
    }

    pub const fn right(title: &'static str, weight: u8) -> Self {
        Self { title, right: true, weight }
    }
}

/// Blanks between two columns.
const GAP: usize = 2;

/// A table with its head, in so many columns of the terminal.
pub fn table(columns: &[Column], rows: &[Vec<Span>], width: Option<usize>) -> Vec<Line> {
    let widest = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(Span::width);
        cells.max().unwrap_or(0).max(columns[at].title.len())
    };
    let widths: Vec<usize> = (0..columns.len()).map(widest).collect();
    // A column without a word says nothing.
    let has_text =
        |at: &usize| rows.is_empty() || rows.iter().any(|row| row.get(*at).is_some_and(|cell| !cell.text.is_empty()));
    let mut shown: Vec<usize> = (0..columns.len()).filter(has_text).collect();
    let taken = |shown: &[usize]| shown.iter().map(|at| widths[*at]).sum::<usize>() + GAP * shown.len().max(1) - GAP;
    while width.is_some_and(|width| taken(&shown) > width) {
        let Some(heaviest) =
            shown.iter().copied().filter(|at| columns[*at].weight > 0).max_by_key(|at| columns[*at].weight)
        else {
            break;
        };
        shown.retain(|at| *at != heaviest);
    }
    let line = |cell: &dyn Fn(usize) -> Span| {
        let mut line = Line::new();
        for at in &shown {
            let span = cell(*at);
            let blanks = " ".repeat(widths[*at].saturating_sub(span.width()));
            match columns[*at].right {
                true => line = line.text(blanks).and(span.tone, span.text),
                false => line = line.and(span.tone, span.text).text(blanks),
            }
            if Some(at) != shown.last() {
                line = line.text(" ".repeat(GAP));
            }
        }
        line.cut(width)
    };
    let head = line(&|at| Span::new(Tone::Faint, columns[at].title));
    let body = rows.iter().map(|row| line(&|at| row.get(at).cloned().unwrap_or_default()));
    std::iter::once(head).chain(body).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::text::plain;

    #[test]
    fn a_narrow_terminal_loses_the_heavy_columns_first() {
        let columns = [Column::new("NAME", 0), Column::right("STEPS", 1), Column::new("DRIFT", 2)];
        let row = |name: &str, steps: &str| vec![Span::plain(name), Span::plain(steps), Span::plain("none")];
        let rows = [row("shop", "+4"), row("ledger", "0")];
        assert_eq!(
            plain(&table(&columns, &rows, None)),
            "NAME    STEPS  DRIFT\nshop       +4  none\nledger      0  none\n"
        );
        assert_eq!(plain(&table(&columns, &rows, Some(14))), "NAME    STEPS\nshop       +4\nledger      0\n");
        assert_eq!(plain(&table(&columns, &rows, Some(5))), "NAME\nshop\nledg…\n");
    }
}
