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
    width: Option<usize>,
}

impl Out {
    /// Standard output. NO_COLOR, CLICOLOR and TERM are obeyed unless the flag says otherwise.
    pub fn standard(color: Color) -> Self {
        let stdout = io::stdout();
        let terminal = stdout.is_terminal();
        let choice = match color {
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
            Color::Auto => AutoStream::choice(&stdout),
        };
        let width = terminal_size::terminal_size().map(|(width, _)| usize::from(width.0));
        Self { stream: Box::new(AutoStream::new(stdout, choice)), width: width.filter(|width| terminal && *width > 0) }
    }

    /// Another place, without colours.
    pub fn to(stream: impl Write + Send + 'static, width: Option<usize>) -> Self {
        Self { stream: Box::new(anstream::StripStream::new(Box::new(stream) as Box<dyn Write + Send>)), width }
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
