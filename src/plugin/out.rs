//! Where the plugin's answers go: a terminal with its width, or a pipe; writes to standard output.

use super::{
    cli::Color,
    status::Look,
    text::{Line, coloured},
};
use anstream::{AutoStream, ColorChoice};
use k8s_openapi::jiff::Timestamp;
use std::io::{self, IsTerminal, Write};

/// Where answers go.
pub struct Out {
    stream: Box<dyn Write + Send>,
    /// What is about an answer and no part of it.
    aside: Box<dyn Write + Send>,
    width: Option<usize>,
}

impl Out {
    /// Standard output. NO_COLOR, CLICOLOR and TERM are obeyed unless the flag says otherwise.
    pub fn standard(color: Color) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let stderr = io::stderr();
        let choices = match color {
            Color::Always => [ColorChoice::Always; 2],
            Color::Never => [ColorChoice::Never; 2],
            Color::Auto => [AutoStream::choice(&stdout), AutoStream::choice(&stderr)],
        };
        let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        Self {
            stream: Box::new(AutoStream::new(stdout, choices[0])),
            aside: Box::new(AutoStream::new(stderr, choices[1])),
            width: width.filter(|width| terminal && *width > 0),
        }
    }

    /// Another place, without colours.
    pub fn to(stream: impl Write + Send + 'static, aside: impl Write + Send + 'static, width: Option<usize>) -> Self {
        let plain = |stream: Box<dyn Write + Send>| Box::new(anstream::StripStream::new(stream));
        Self { stream: plain(Box::new(stream)), aside: plain(Box::new(aside)), width }
    }

    /// How answers are to look now.
    pub fn look(&self) -> Look {
        Look { width: self.width, now: Timestamp::now() }
    }

    /// Whether somebody looks at a terminal.
    pub fn is_terminal(&self) -> bool {
        self.width.is_some()
    }

    pub fn lines(&mut self, lines: &[Line]) -> io::Result<()> {
        self.text(&coloured(lines))
    }

    /// Lines beside the answer, on standard error: the answer itself may go into a file.
    pub fn notes(&mut self, lines: &[Line]) -> io::Result<()> {
        self.aside.write_all(coloured(lines).as_bytes())?;
        self.aside.flush()
    }

    /// A text as it is.
    pub fn text(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes())?;
        self.stream.flush()
    }

    /// Clears the terminal before something is drawn again.
    pub fn clear(&mut self) -> io::Result<()> {
        if self.is_terminal() { self.text("\u{1b}[H\u{1b}[2J\u{1b}[3J") } else { Ok(()) }
    }
}
