//! Hazards that somebody allowed, with a reason: in the spec, the command line, SQL or a revision file; no I/O.

use super::Code;
use std::str::FromStr;

/// A hazard that is intended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    pub code: Code,
    /// In this revision only.
    pub revision: Option<String>,
    pub reason: String,
}

impl Allow {
    /// Whether it is about a hazard of this kind in this revision. A prefix of an id is enough, as for a target.
    pub fn allows(&self, code: Code, revision: Option<&str>) -> bool {
        let meant = |wanted: &String| revision.is_some_and(|id| !wanted.is_empty() && id.starts_with(wanted.as_str()));
        self.code == code && self.revision.as_ref().is_none_or(meant)
    }
}

/// An allowance that allowed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    pub allow: Allow,
    /// Where it stands, when it is a comment in the SQL.
    pub line: Option<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AllowError {
    #[error("{0} is not a code; the codes are D01 to O04, see docs/src/hazards.md")]
    Code(String),
    #[error("there is no reason: write CODE[:REVISION]=REASON")]
    Reason,
}

impl FromStr for Code {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        let known = Self::ALL.iter().find(|code| code.as_str().eq_ignore_ascii_case(text.trim()));
        known.copied().ok_or_else(|| AllowError::Code(text.to_owned()))
    }
}

impl FromStr for Allow {
    type Err = AllowError;

    /// `CODE[:REVISION]=REASON`
    fn from_str(text: &str) -> Result<Self, AllowError> {
        let (what, reason) = text.split_once('=').ok_or(AllowError::Reason)?;
        let (code, revision) = what.split_once(':').map_or((what, None), |(code, id)| (code, Some(id)));
        let reason = reason.trim();
        if reason.is_empty() {
            return Err(AllowError::Reason);
        }
        Ok(Self { code: code.parse()?, revision: revision.map(|id| id.trim().to_owned()), reason: reason.to_owned() })
    }
}

/// What a comment allows: `op: allow D02 "reason"`, several codes with commas. Without a reason it allows nothing.
pub(super) fn of_comment(comment: &str) -> Vec<(Code, String)> {
    let Some((_, after)) = comment.split_once("op: allow ") else { return Vec::new() };
    let mut parts = after.splitn(3, '"');
    let (Some(codes), Some(reason), Some(_)) = (parts.next(), parts.next(), parts.next()) else { return Vec::new() };
    if reason.trim().is_empty() {
        return Vec::new();
    }
    let codes = codes.split([',', ' ']).filter(|code| !code.is_empty()).map(str::parse);
    codes.filter_map(Result::ok).map(|code| (code, reason.trim().to_owned())).collect()
}

/// What comments of a revision file, such as `# op: allow D02 "reason"`, allow in that revision.
pub fn allows_of_revision<'a>(revision: &str, comments: impl IntoIterator<Item = &'a str>) -> Vec<Allow> {
    let found = comments.into_iter().flat_map(of_comment);
    found.map(|(code, reason)| Allow { code, revision: Some(revision.to_owned()), reason }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_file_allows_with_a_reason() {
        let comments =
            ["op: allow D02, b06 \"unused since 1.4\"", "op: allow D01", "op: allow D01 \"\"", "op: allow X9 \"x\""];
        let found = allows_of_revision("a1", comments);
        assert_eq!(found.iter().map(|a| a.code).collect::<Vec<_>>(), [Code::D02, Code::B06]);
        assert!(found.iter().all(|a| a.revision.as_deref() == Some("a1") && a.reason == "unused since 1.4"));
    }

    #[test]
    fn the_command_line_allows_with_a_reason() {
        let allow = Allow { code: Code::D02, revision: Some("a1".into()), reason: "x=y".into() };
        assert_eq!("d02:a1=x=y".parse(), Ok(allow));
        assert_eq!("D02".parse::<Allow>(), Err(AllowError::Reason));
        assert_eq!("D02= ".parse::<Allow>(), Err(AllowError::Reason));
        assert!(matches!("D99=x".parse::<Allow>(), Err(AllowError::Code(_))));
    }
}
