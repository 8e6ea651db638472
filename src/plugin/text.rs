//! Text for terminals: lines of spans with a tone, wrapped or cut to a width; colours are put in at the end. No I/O.

use anstyle::{AnsiColor, Style};
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// What a piece of text stands for, and so how it looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    #[default]
    Plain,
    Bold,
    /// What is there for completeness.
    Faint,
    /// As it should be.
    Good,
    /// At work, or waiting.
    Busy,
    /// Wrong, or lost.
    Bad,
    /// A name: a revision, a hash.
    Name,
}

impl Tone {
    fn style(self) -> Style {
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        match self {
            Self::Plain => Style::new(),
            Self::Bold => Style::new().bold(),
            Self::Faint => Style::new().dimmed(),
            Self::Good => colour(AnsiColor::Green),
            Self::Busy => colour(AnsiColor::Yellow),
            Self::Bad => colour(AnsiColor::Red).bold(),
            Self::Name => colour(AnsiColor::Cyan),
        }
    }
}

/// A piece of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub text: String,
    pub tone: Tone,
}

impl Span {
    pub fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: text.into(), tone }
    }

    pub fn plain(text: impl Into<String>) -> Self {
        Self::new(Tone::Plain, text)
    }

    /// Columns that it takes.
    pub fn width(&self) -> usize {
        self.text.width()
    }

    /// At most so many columns of it.
    pub fn cut(&self, width: usize) -> Self {
        Self { text: cut(&self.text, width), tone: self.tone }
    }
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(pub Vec<Span>);

impl Line {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn of(tone: Tone, text: impl Into<String>) -> Self {
        Self(vec![Span::new(tone, text)])
    }

    /// This and a piece after it.
    pub fn and(mut self, tone: Tone, text: impl Into<String>) -> Self {
        self.0.push(Span::new(tone, text));
        self
    }

    /// This and plain text after it.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.and(Tone::Plain, text)
    }

    pub fn push(&mut self, span: Span) {
        self.0.push(span);
    }

    /// Columns that it takes.
    pub fn width(&self) -> usize {
        self.0.iter().map(Span::width).sum()
    }

    /// Filled with blanks up to a column.
    pub fn padded(self, column: usize) -> Self {
        let missing = column.saturating_sub(self.width());
        self.text(" ".repeat(missing))
    }

    /// This, and a text with a hanging indent below its own beginning.
    pub fn wrapped(self, tone: Tone, text: &str, width: Option<usize>) -> Vec<Self> {
        let indent = self.width();
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
        let mut lines = Vec::new();
        let mut line = self;
        for (number, part) in words_in(text, room).into_iter().enumerate() {
            if number > 0 {
                lines.push(std::mem::replace(&mut line, Self::new().text(" ".repeat(indent))));
            }
            line.push(Span::new(tone, part));
        }
        lines.push(line);
        lines
    }

    /// This, and pieces with something between them, with a hanging indent below its own beginning.
    pub fn wrapped_spans(self, pieces: Vec<Span>, between: &str, width: Option<usize>) -> Vec<Self> {
        let indent = self.width();
        let mut lines = Vec::new();
        let mut line = self;
        let mut empty = true;
        for piece in pieces {
            let room = width.is_none_or(|width| line.width() + between.width() + piece.width() <= width);
            if !empty && room {
                line = line.and(Tone::Faint, between);
            } else if !empty {
                lines.push(std::mem::replace(&mut line, Self::new().text(" ".repeat(indent))));
            }
            line.push(piece);
            empty = false;
        }
        lines.push(line);
        lines
    }

    /// At most so many columns of it.
    pub fn cut(mut self, width: Option<usize>) -> Self {
        // Blanks at the end are no text that anybody misses.
        while let Some(last) = self.0.last_mut() {
            last.text.truncate(last.text.trim_end().len());
            if !last.text.is_empty() {
                break;
            }
            self.0.pop();
        }
        let Some(width) = width.filter(|width| self.width() > *width) else { return self };
        let mut left = width;
        let mut spans = Vec::new();
        for span in self.0 {
            let wide = span.width();
            if wide > left {
                spans.push(span.cut(left));
                break;
            }
            left -= wide;
            spans.push(span);
        }
        Self(spans)
    }
}

/// The lines of a text of at most so many columns, broken between words.
fn words_in(text: &str, room: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ').filter(|word| !word.is_empty()) {
            if !line.is_empty() && line.width() + 1 + word.width() > room {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines
}

/// At most so many columns of a text; what was cut ends with an ellipsis.
pub fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let fits = |c: &char| {
        let wide = c.width().unwrap_or(0);
        let fits = wide <= room;
        room = room.saturating_sub(if fits { wide } else { room });
        fits
    };
    let mut out: String = text.chars().take_while(fits).collect();
    if width > 0 {
        out.push('…');
    }
    out
}

/// The text without colours.
#[cfg(test)]
pub fn plain(lines: &[Line]) -> String {
    whole(lines, |span| span.text.clone())
}

/// The text with colours; who writes it takes them out again where nobody would see them.
pub fn coloured(lines: &[Line]) -> String {
    whole(lines, |span| match span.tone {
        Tone::Plain => span.text.clone(),
        tone => format!("{}{}{}", tone.style().render(), span.text, tone.style().render_reset()),
    })
}

fn whole(lines: &[Line], shown: impl Fn(&Span) -> String) -> String {
    let mut out = String::new();
    for line in lines {
        let end = line.0.iter().rposition(|span| !span.text.trim_end().is_empty());
        for (at, span) in line.0.iter().enumerate().take(end.map_or(0, |end| end + 1)) {
            match Some(at) == end {
                true => out.push_str(&shown(&Span::new(span.tone, span.text.trim_end()))),
                false => out.push_str(&shown(span)),
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_wrapped_under_their_beginning() {
        let line = Line::of(Tone::Bad, "HIGH  ");
        let lines = line.wrapped(Tone::Plain, "every row of orders changes in one transaction", Some(32));
        assert_eq!(plain(&lines), "HIGH  every row of orders\n      changes in one transaction\n");
    }

    #[test]
    fn what_is_too_wide_ends_with_an_ellipsis() {
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("日本語の表", 5), "日本…");
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abc", 0), "");
        let line = Line::of(Tone::Name, "abc").text("defghi");
        assert_eq!(plain(&[line.cut(Some(6))]), "abcde…\n");
    }

    #[test]
    fn colours_are_put_around_the_text_alone() {
        let lines = [Line::of(Tone::Good, "✓ ").text("   ")];
        assert_eq!(coloured(&lines), "\u{1b}[32m✓\u{1b}[0m\n");
        assert_eq!(plain(&lines), "✓\n");
    }
}
