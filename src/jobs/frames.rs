//! The payload that a runner leaves in its pod's log, put together as the log comes. The log is untrusted, and as long as the
//! application likes; what is held of it is the payload itself. No I/O.

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::write::ZlibDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// Bytes of the largest payload. A revision with its SQL takes a bit less than a kilobyte, so this is a history of 10,000. Read, it takes
/// about twice that, and all that are read at a time have this much together (`Payloads`).
pub const MAX_PAYLOAD: u64 = 8 * 1024 * 1024;
const MARKER: &[u8] = b"@alembic-operator ";
/// The runner's own lines are shorter: a write of that length is never torn.
const MAX_LINE: usize = 4096;

/// How to find and check a payload in a log.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Frames {
    nonce: String,
    #[serde(rename = "frames")]
    count: u32,
    #[serde(rename = "bytes")]
    size: u64,
    sha256: String,
}

impl Frames {
    /// How many lines from a log's end hold the payload, with room for what may be printed after it.
    pub fn tail_lines(&self) -> i64 {
        // Each frame is preceded by an empty line.
        i64::from(self.count) * 2 + 200
    }

    /// Bytes that the payload takes: what is longer is refused.
    pub fn size(&self) -> u64 {
        self.size
    }
}

/// Why a payload can't be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("the runner's result is missing or incomplete in the pod's log ({found} of {expected} parts)")]
    Incomplete { found: u32, expected: u32 },
    #[error("the runner's result in the pod's log is damaged")]
    Damaged,
    #[error("the runner's result is larger than {MAX_PAYLOAD} bytes")]
    TooLarge,
}

/// A payload in the making. It takes the log in pieces of any length, and holds one line of it at the most.
pub struct Joiner {
    /// What a line of the payload begins with.
    prefix: Vec<u8>,
    count: u32,
    sha256: String,
    line: Vec<u8>,
    /// Whether the line is too long to be one of the payload's.
    skips: bool,
    next: u32,
    /// Digits of base64 that wait for more.
    digits: Vec<u8>,
    unpacked: ZlibDecoder<Unpacked>,
    damaged: bool,
}

impl Joiner {
    pub fn new(frames: &Frames) -> Result<Self, FrameError> {
        if frames.size > MAX_PAYLOAD {
            return Err(FrameError::TooLarge);
        }
        let size = usize::try_from(frames.size).unwrap_or(usize::MAX);
        let unpacked = Unpacked { bytes: Vec::with_capacity(size), most: size, full: false };
        Ok(Self {
            prefix: [MARKER, frames.nonce.as_bytes(), b" "].concat(),
            count: frames.count,
            sha256: frames.sha256.clone(),
            line: Vec::new(),
            skips: false,
            next: 0,
            digits: Vec::new(),
            unpacked: ZlibDecoder::new(unpacked),
            damaged: false,
        })
    }

    /// Takes the next piece of the log.
    pub fn feed(&mut self, piece: &[u8]) {
        let mut parts = piece.split(|byte| *byte == b'\n');
        self.extend(parts.next().unwrap_or_default());
        for part in parts {
            self.end_line();
            self.extend(part);
        }
    }

    fn extend(&mut self, part: &[u8]) {
        if self.skips || self.line.len() + part.len() > MAX_LINE {
            self.skips = true;
            self.line.clear();
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !std::mem::take(&mut self.skips) {
            self.take(&line);
        }
        self.line = line;
        self.line.clear();
    }

    /// Takes the next part if a line is it; parts come in their order.
    fn take(&mut self, line: &[u8]) {
        let Some(rest) = line.strip_prefix(self.prefix.as_slice()) else { return };
        let Some((number, chunk)) = std::str::from_utf8(rest).ok().and_then(|rest| rest.split_once(' ')) else {
            return;
        };
        if self.next >= self.count || number.parse() != Ok(self.next) {
            return;
        }
        self.next += 1;
        self.digits.extend_from_slice(chunk.trim_end().as_bytes());
        let whole = self.digits.len() / 4 * 4;
        let packed = STANDARD.decode(&self.digits[..whole]);
        self.digits.drain(..whole);
        let written = packed.map_err(io::Error::other).and_then(|packed| self.unpacked.write_all(&packed));
        self.damaged |= written.is_err();
    }

    /// The payload, once the log has ended and all of it is there.
    pub fn finish(mut self) -> Result<Vec<u8>, FrameError> {
        self.end_line();
        if self.unpacked.get_ref().full {
            return Err(FrameError::TooLarge);
        }
        if self.next < self.count && !self.damaged {
            return Err(FrameError::Incomplete { found: self.next, expected: self.count });
        }
        let complete = !self.damaged && self.digits.is_empty();
        let Some(unpacked) = complete.then(|| self.unpacked.finish().ok()).flatten() else {
            return Err(FrameError::Damaged);
        };
        let digest = hex(&Sha256::digest(&unpacked.bytes));
        if digest == self.sha256 { Ok(unpacked.bytes) } else { Err(FrameError::Damaged) }
    }
}

/// Bytes up to a limit.
struct Unpacked {
    bytes: Vec<u8>,
    most: usize,
    full: bool,
}

impl Write for Unpacked {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + piece.len() > self.most {
            self.full = true;
            return Err(io::Error::other("larger than it says"));
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lower-case hexadecimal digits of some bytes.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::ZlibEncoder};

    fn framed(payload: &[u8], nonce: &str, length: usize) -> (Frames, String) {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(payload).unwrap();
        let text = STANDARD.encode(encoder.finish().unwrap());
        let chunks: Vec<_> = text.as_bytes().chunks(length).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
        let log = chunks.iter().enumerate().map(|(i, c)| format!("\n@alembic-operator {nonce} {i} {c}\n")).collect();
        let frames = Frames {
            nonce: nonce.into(),
            count: chunks.len() as u32,
            size: payload.len() as u64,
            sha256: hex(&Sha256::digest(payload)),
        };
        (frames, log)
    }

    fn joined(log: &str, frames: &Frames, piece: usize) -> Result<Vec<u8>, FrameError> {
        let mut joiner = Joiner::new(frames)?;
        log.as_bytes().chunks(piece).for_each(|piece| joiner.feed(piece));
        joiner.finish()
    }

    #[test]
    fn a_payload_survives_noise_around_it_however_it_comes() {
        for length in [1, 7, 8, 3000] {
            let (frames, log) = framed(b"{\"revisions\":[]}", "ab12", length);
            let noisy = format!("INFO  [alembic]\n@alembic-operator other 0 AAAA\n{}\n{log}bye", "x".repeat(100_000));
            for piece in [1, 3, 4096, 1_000_000] {
                assert_eq!(joined(&noisy, &frames, piece).unwrap(), b"{\"revisions\":[]}", "{length} {piece}");
            }
            // A log need not end with a line break.
            assert!(joined(log.trim_end(), &frames, 5).is_ok());
        }
    }

    #[test]
    fn a_missing_or_forged_part_is_noticed() {
        let (frames, log) = framed(b"{\"revisions\":[]}", "ab12", 8);
        let cut: String = log.lines().filter(|l| !l.contains(" 1 ")).map(|l| format!("{l}\n")).collect();
        let expected = frames.count;
        assert_eq!(joined(&cut, &frames, 64), Err(FrameError::Incomplete { found: 1, expected }));
        // What comes twice counts once; what is written before it is not what was announced.
        let again = format!("{log}\n@alembic-operator ab12 1 AAAAAAAA\n");
        assert!(joined(&again, &frames, 64).is_ok());
        let forged = format!("@alembic-operator ab12 0 AAAAAAAA\n{log}");
        assert_eq!(joined(&forged, &frames, 64), Err(FrameError::Damaged));
    }

    #[test]
    fn a_bomb_is_refused_before_it_is_unpacked() {
        let (mut frames, log) = framed(&vec![b'x'; MAX_PAYLOAD as usize + 10], "ab12", 3000);
        assert_eq!(joined(&log, &frames, 4096), Err(FrameError::TooLarge));
        frames.size = 10;
        assert_eq!(joined(&log, &frames, 4096), Err(FrameError::TooLarge));
    }

    #[test]
    fn no_more_than_a_line_of_a_log_is_held() {
        let (frames, _) = framed(b"{}", "ab12", 8);
        let mut joiner = Joiner::new(&frames).unwrap();
        for _ in 0..10_000 {
            joiner.feed(&[b'x'; 1000]);
            assert!(joiner.line.capacity() <= 2 * MAX_LINE);
        }
    }
}
