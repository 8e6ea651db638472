//! What Alembic answers in place of a result, by its own classes; no I/O.

use crate::text::list;

/// Alembic's refusal of a command, or the way in which it falls over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AlembicError {
    #[error("no revision, branch label or unique prefix is called {argument}")]
    NotFound { argument: String },
    #[error("{argument} could be any of {}", list(candidates, 10))]
    Ambiguous { argument: String, candidates: Vec<String> },
    #[error("revision {revision} is not on branch {branch}")]
    NotOnBranch { revision: String, branch: String },
    #[error(
        "{} heads: {}; merge them, or name the ones you want (heads, branch@head, a comma-separated list)",
        heads.len(), list(heads, 10)
    )]
    MultipleHeads { heads: Vec<String> },
    #[error("the target is neither applied nor below what is applied")]
    NotAnAncestor,
    #[error("revision {revision} overlaps with {}, its ancestor", list(others, 5))]
    Overlap { revision: String, others: Vec<String> },
    #[error("{0}")]
    Revision(&'static str),
    #[error("{0}")]
    Command(&'static str),
    /// Alembic itself falls over with this Python exception.
    #[error("Alembic fails with {0}")]
    Traceback(&'static str),
}

impl AlembicError {
    /// The class of alembic.script.revision behind a CommandError, "CommandError" for one of its own, or the Python
    /// exception of a traceback.
    pub fn class(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::Ambiguous { .. } | Self::NotOnBranch { .. } => "ResolutionError",
            Self::MultipleHeads { .. } => "MultipleHeads",
            Self::NotAnAncestor => "RangeNotAncestorError",
            Self::Overlap { .. } | Self::Revision(_) => "RevisionError",
            Self::Command(_) => "CommandError",
            Self::Traceback(exception) => exception,
        }
    }
}

pub(super) const ASSERTION: AlembicError = AlembicError::Traceback("AssertionError");
pub(super) const AMBIGUOUS_WALK: AlembicError = AlembicError::Revision("Ambiguous walk");
pub(super) const TOO_FAR: AlembicError = AlembicError::Revision("Walked too far");
pub(super) const TOO_FEW: AlembicError =
    AlembicError::Revision("the relative revision didn't produce as many migrations");
