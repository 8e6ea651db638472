//! Reading of what the runner reports: the termination message and the frames in the pod's log. Everything in it is
//! untrusted, since the application's code runs in the same process. No I/O.

use super::Ended;
use crate::{
    api::{DriftedObject, Problem, Reason},
    text::{clean, clean_end},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::read::ZlibDecoder;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{collections::BTreeMap, io::Read};

/// An inspected graph of 50,000 revisions is about 15 MiB of JSON.
const MAX_PAYLOAD: u64 = 32 * 1024 * 1024;
const MARKER: &str = "@alembic-operator ";
/// Longest error text that a report may bring into the status.
const MAX_MESSAGE: usize = 900;
/// Objects that a report of differences names.
const MAX_DIFFERENCES: usize = 10;
/// Longest part of a traceback, from its end.
const MAX_DETAIL: usize = 500;

/// The runner's termination message.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Report {
    /// Where the runner was when it wrote this.
    pub state: RunState,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<Failure>,
    /// Steps that were completed.
    #[serde(default)]
    pub steps_done: u32,
    /// The step that was being run.
    #[serde(default)]
    pub running: Option<String>,
    /// Whether a step may have begun to change anything.
    #[serde(default)]
    pub started: bool,
    /// Probe only: what was read.
    #[serde(default)]
    pub look: Option<Look>,
    /// Comparison with the models only: how the database differs.
    #[serde(default)]
    pub drift: Option<Differences>,
    /// How to find and check the payload in the log, where there is one.
    #[serde(flatten)]
    pub frames: Option<Frames>,
}

/// What a probe by Job read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Look {
    pub dialect: String,
    pub version: String,
    /// Whether the version table is there.
    pub table: bool,
    pub rows: Vec<String>,
    /// Some other tables, where there are no rows.
    pub tables: Vec<String>,
    /// How many characters a row can have, where the column says so.
    #[serde(default)]
    pub column: Option<u32>,
    /// Why the schema could not be read, where that was asked for.
    #[serde(default)]
    pub catalog_error: Option<String>,
}

/// The schema as a Job read it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct CatalogReport {
    pub engine: String,
    pub rows: Vec<String>,
    /// Kind, name and definition of each object.
    pub objects: Vec<(String, String, String)>,
}

/// How a database differs from what it should be, by the number of objects and the first of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Differences {
    pub missing: u32,
    pub unexpected: u32,
    pub modified: u32,
    pub objects: Vec<DriftedObject>,
}

/// Where the runner was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    Starting,
    Waiting,
    Running,
    Done,
    Refused,
    Failed,
}

/// An error as the runner classifies it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Failure {
    /// The runner's class; the reason of the same name.
    pub class: String,
    /// One or two sentences.
    pub message: String,
    /// The revision whose step failed.
    #[serde(default)]
    pub revision: Option<String>,
    /// Last lines of the traceback.
    #[serde(default)]
    pub detail: Option<String>,
    /// Whether the step may have changed something before it failed.
    #[serde(default = "yes")]
    pub changed: bool,
    /// Whether something of a failed run stays in the database without its version row, as the runner saw it; `None`
    /// where it did not come so far, or could not tell.
    #[serde(default)]
    pub committed: Option<bool>,
    /// Address of the session that holds a lock, where the server knows no better name for it.
    #[serde(default)]
    pub holder: Option<String>,
}

fn yes() -> bool {
    true
}

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

/// Why a report can't be used.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ReportError {
    #[error("the container ended without a report")]
    Empty,
    #[error("the container's termination message is not the runner's: {0}")]
    Malformed(String),
    #[error("the runner's result is missing or incomplete in the pod's log ({found} of {expected} parts)")]
    Incomplete { found: usize, expected: u32 },
    #[error("the runner's result in the pod's log is damaged")]
    Damaged,
    #[error("the runner's result is larger than {MAX_PAYLOAD} bytes")]
    TooLarge,
}

impl Report {
    /// Reads a termination message; texts in it are cut to a length and cleared of control characters.
    pub fn parse(message: &str) -> Result<Self, ReportError> {
        if message.trim().is_empty() {
            return Err(ReportError::Empty);
        }
        let mut report: Self =
            serde_json::from_str(message).map_err(|e| ReportError::Malformed(clean(&e.to_string(), 200)))?;
        if let Some(failure) = &mut report.error {
            failure.class = clean(&failure.class, 64);
            failure.message = clean(failure.message.trim(), MAX_MESSAGE);
            failure.revision = failure.revision.as_deref().map(|r| clean(r, 128));
            failure.detail = failure.detail.as_deref().map(|d| clean_end(d, MAX_DETAIL));
        }
        if let Some(drift) = &mut report.drift {
            drift.objects.truncate(MAX_DIFFERENCES);
            drift.objects.iter_mut().for_each(|difference| difference.object = clean(&difference.object, 200));
        }
        report.running = report.running.as_deref().map(|r| clean(r, 128));
        Ok(report)
    }
}

impl Frames {
    /// How many lines from a log's end hold the payload, with room for what may be printed after it.
    pub fn tail_lines(&self) -> i64 {
        // Each frame is preceded by an empty line.
        i64::from(self.count) * 2 + 200
    }
}

/// Puts a payload together from a log's lines and checks it against the report's digest.
pub fn join_frames(log: &str, frames: &Frames) -> Result<Vec<u8>, ReportError> {
    if frames.size > MAX_PAYLOAD {
        return Err(ReportError::TooLarge);
    }
    let mut parts = BTreeMap::new();
    for line in log.lines() {
        if let Some((seq, chunk)) = frame(line, &frames.nonce) {
            parts.insert(seq, chunk);
        }
    }
    let complete = (0..frames.count).all(|seq| parts.contains_key(&seq));
    if !complete {
        return Err(ReportError::Incomplete { found: parts.len(), expected: frames.count });
    }
    let text: String = parts.range(..frames.count).map(|(_, chunk)| *chunk).collect();
    let packed = STANDARD.decode(text).map_err(|_| ReportError::Damaged)?;
    let mut payload = Vec::new();
    // One byte past the limit tells a payload that is too large from one that just fits.
    ZlibDecoder::new(packed.as_slice())
        .take(MAX_PAYLOAD + 1)
        .read_to_end(&mut payload)
        .map_err(|_| ReportError::Damaged)?;
    if payload.len() as u64 > MAX_PAYLOAD {
        return Err(ReportError::TooLarge);
    }
    let digest = hex(&Sha256::digest(&payload));
    if digest == frames.sha256 { Ok(payload) } else { Err(ReportError::Damaged) }
}

fn frame<'a>(line: &'a str, nonce: &str) -> Option<(u32, &'a str)> {
    let rest = line.strip_prefix(MARKER)?.strip_prefix(nonce)?.strip_prefix(' ')?;
    let (seq, chunk) = rest.split_once(' ')?;
    Some((seq.parse().ok()?, chunk.trim_end()))
}

/// What a Job reported, or why it reported nothing.
pub fn reported(ended: &Ended) -> Result<Report, Problem> {
    let report = ended.report().map_err(|error| {
        let why = ended.reason.clone().unwrap_or_default();
        let code = ended.exit_code.unwrap_or_default();
        Problem::new(Reason::PodFailed, pod_failed(ended.ran, code, &why, &error, ended.message.as_deref()))
    })?;
    match report.error {
        Some(failure) => Err(Problem::new(reason_of_class(&failure.class), failure.message)),
        None if report.state == RunState::Done => Ok(report),
        None => Err(Problem::new(Reason::PodFailed, "the Job ended before it had read anything")),
    }
}

/// The reason that stands for an error class of the runner.
pub fn reason_of_class(class: &str) -> Reason {
    match class {
        "RowsChanged" => Reason::PlanOutdated,
        "StepsChanged" => Reason::ImageChanged,
        "LockTimeout" => Reason::DatabaseLocked,
        other => Reason::parse(other).unwrap_or(Reason::PodFailed),
    }
}

/// What to say of a container that ended without a report.
pub fn pod_failed(ran: bool, code: i32, why: &str, error: &ReportError, message: Option<&str>) -> String {
    let detail = message.map(|m| clean(m, 400)).filter(|m| !m.is_empty());
    match (ran, detail) {
        (false, Some(detail)) => {
            format!("the container could not be started: {detail}; check spec.alembic.command and workingDir")
        }
        (false, None) => {
            format!("the container could not be started ({why}); check spec.alembic.command and workingDir")
        }
        (true, _) => format!("the container ended with exit code {code} ({why}): {error}; see the Job's log"),
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
    use std::io::Write;

    fn framed(payload: &[u8], nonce: &str) -> (Frames, String) {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(payload).unwrap();
        let text = STANDARD.encode(encoder.finish().unwrap());
        let chunks: Vec<_> = text.as_bytes().chunks(8).map(|c| String::from_utf8_lossy(c).into_owned()).collect();
        let log = chunks.iter().enumerate().map(|(i, c)| format!("\n@alembic-operator {nonce} {i} {c}\n")).collect();
        let frames = Frames {
            nonce: nonce.into(),
            count: chunks.len() as u32,
            size: payload.len() as u64,
            sha256: hex(&Sha256::digest(payload)),
        };
        (frames, log)
    }

    #[test]
    fn a_payload_survives_noise_around_it() {
        let (frames, log) = framed(b"{\"revisions\":[]}", "ab12");
        let noisy = format!("INFO  [alembic]\n@alembic-operator other 0 AAAA\n{log}bye");
        assert_eq!(join_frames(&noisy, &frames).unwrap(), b"{\"revisions\":[]}");
    }

    #[test]
    fn a_missing_or_forged_part_is_noticed() {
        let (frames, log) = framed(b"{\"revisions\":[]}", "ab12");
        let cut: String = log.lines().filter(|l| !l.contains(" 1 ")).map(|l| format!("{l}\n")).collect();
        assert!(matches!(join_frames(&cut, &frames), Err(ReportError::Incomplete { .. })));
        let forged = format!("{log}\n@alembic-operator ab12 1 AAAAAAAA\n");
        assert_eq!(join_frames(&forged, &frames), Err(ReportError::Damaged));
    }

    #[test]
    fn a_bomb_is_refused() {
        let (mut frames, log) = framed(&vec![b'x'; MAX_PAYLOAD as usize + 10], "ab12");
        assert_eq!(join_frames(&log, &frames), Err(ReportError::TooLarge));
        frames.size = 10;
        assert_eq!(join_frames(&log, &frames), Err(ReportError::TooLarge));
    }

    #[test]
    fn a_report_of_a_killed_runner_says_which_step_ran() {
        let report = Report::parse(
            r#"{"protocol":1,"action":"run","nonce":"ab","state":"running","error":null,"steps_done":1,"last_done":"a","running":"b","started":true,"transactional":true,"rows":null}"#,
        )
        .unwrap();
        assert_eq!((report.state, report.running.as_deref(), report.started), (RunState::Running, Some("b"), true));
        assert_eq!(report.frames, None);
    }

    #[test]
    fn texts_are_cleaned() {
        let report = Report::parse(
            r#"{"state":"failed","error":{"class":"EnvPyFailed","message":"a\u001b[31mb\u0000","detail":null}}"#,
        )
        .unwrap();
        assert_eq!(report.error.unwrap().message, "a[31mb");
    }

    #[test]
    fn anything_else_is_an_error() {
        assert_eq!(Report::parse(" \n"), Err(ReportError::Empty));
        assert!(matches!(Report::parse("Traceback…"), Err(ReportError::Malformed(_))));
        assert!(matches!(Report::parse("[]"), Err(ReportError::Malformed(_))));
    }
}
