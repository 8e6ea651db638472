//! What a rehearsal found, as its Job reports it; no I/O. The report is untrusted, since the application's code runs in the
//! same process.

use super::Implementation;
use crate::{api::DriftedObject, text::clean};
use serde::Deserialize;

/// There, back and there again.
const MAX_PHASES: usize = 3;
const MAX_STEPS: usize = 500;
const MAX_IRREVERSIBLE: usize = 500;
const MAX_ROWS: usize = 80;
/// Of a step.
const MAX_LOCKS: usize = 20;
const MAX_STATEMENTS: usize = 20_000;
/// Of a phase.
const MAX_LEAVES: usize = 20;
const MAX_NAME: usize = 200;
const MAX_REVISION: usize = 128;
const MAX_MODE: usize = 40;
/// A longer payload than the limits allow for.
const MAX_PAYLOAD: usize = 8 * 1024 * 1024;

/// What a rehearsal found, as far as it came.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rehearsal {
    pub source: String,
    pub phases: Vec<RehearsedPhase>,
    /// Whether every step can be undone.
    pub reversible: bool,
    /// Those that have none; the phases after the first went no further than to the last of the plan's.
    pub irreversible: Vec<NoWayBack>,
    pub failed: Option<FailedPhase>,
    /// Why no locks are told, where there are none to be seen.
    pub locks_unknown: Option<String>,
    /// The version rows at the end.
    pub rows: Option<Vec<String>>,
}

/// One way.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RehearsedPhase {
    /// `upgrade`, `downgrade`, or one of them with ` again`.
    pub name: String,
    pub seconds: f64,
    /// In the order in which they ran.
    pub steps: Vec<RehearsedStep>,
    /// Further steps that are not told.
    pub omitted: u32,
    /// What is not as it was before the way there, or as after the first one; none where there is nothing to compare.
    pub leaves: Option<Vec<DriftedObject>>,
    /// How many objects these are, told or not.
    pub differences: Option<u32>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RehearsedStep {
    pub revision: String,
    pub seconds: f64,
    /// On tables that were there before the plan, the strongest first; none where the server does not tell.
    pub locks: Option<Vec<LockTaken>>,
    /// Tables of which every row was written again, or thrown away at once.
    pub rewritten: Option<Vec<String>>,
    /// Whether statements committed by themselves, so that a lock may have been missed.
    pub sampled: bool,
    /// What it executed, without the values of parameters; none where not all of it was heard. Only of the plan's own way.
    #[serde(default)]
    pub executed: Option<Vec<String>>,
    /// Why not all of it was heard.
    #[serde(default)]
    pub unseen: Option<String>,
    /// It looked at rows of tables, or at what a statement on them gave back.
    #[serde(default)]
    pub reads: bool,
}

/// The strongest lock that a step took on a table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LockTaken {
    pub table: String,
    /// As the server calls it.
    pub mode: String,
    /// For how long within the step, roughly.
    pub ms: u64,
}

/// A step that can't be undone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoWayBack {
    pub revision: String,
    pub why: Implementation,
}

/// Where it failed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FailedPhase {
    /// As in [`RehearsedPhase::name`], or `history`.
    pub phase: String,
    pub revision: Option<String>,
}

/// Why the result can't be used.
#[derive(Debug, thiserror::Error)]
pub enum RehearsalError {
    #[error("the result of the rehearsal is not the runner's: {0}")]
    Malformed(String),
    #[error("the result of the rehearsal has more {0} than the runner gives")]
    TooMany(&'static str),
}

impl Rehearsal {
    /// Reads a payload; texts are cut and cleared, and anything that the runner would not have written is refused.
    pub fn parse(payload: &[u8]) -> Result<Self, RehearsalError> {
        within(payload.len(), MAX_PAYLOAD, "bytes")?;
        let mut found: Self =
            serde_json::from_slice(payload).map_err(|e| RehearsalError::Malformed(clean(&e.to_string(), MAX_NAME)))?;
        within(found.phases.len(), MAX_PHASES, "phases")?;
        within(found.irreversible.len(), MAX_IRREVERSIBLE, "irreversible steps")?;
        within(found.rows.as_ref().map_or(0, Vec::len), MAX_ROWS, "rows")?;
        shorten(&mut found.source, MAX_NAME);
        for phase in &mut found.phases {
            phase.check()?;
        }
        found.irreversible.iter_mut().for_each(|step| shorten(&mut step.revision, MAX_REVISION));
        found.rows.iter_mut().flatten().for_each(|row| shorten(row, MAX_REVISION));
        found.locks_unknown.iter_mut().for_each(|why| shorten(why, MAX_NAME));
        if let Some(failed) = &mut found.failed {
            shorten(&mut failed.phase, MAX_NAME);
            failed.revision.iter_mut().for_each(|revision| shorten(revision, MAX_REVISION));
        }
        Ok(found)
    }
}

impl RehearsedPhase {
    fn check(&mut self) -> Result<(), RehearsalError> {
        within(self.steps.len(), MAX_STEPS, "steps")?;
        within(self.leaves.as_ref().map_or(0, Vec::len), MAX_LEAVES, "differences")?;
        shorten(&mut self.name, MAX_NAME);
        self.seconds = duration(self.seconds)?;
        for object in self.leaves.iter_mut().flatten() {
            shorten(&mut object.object, MAX_NAME);
            // The runner tells no definitions.
            (object.expected, object.actual) = (None, None);
        }
        self.steps.iter_mut().try_for_each(RehearsedStep::check)
    }
}

impl RehearsedStep {
    fn check(&mut self) -> Result<(), RehearsalError> {
        within(self.locks.as_ref().map_or(0, Vec::len), MAX_LOCKS, "locks")?;
        within(self.rewritten.as_ref().map_or(0, Vec::len), MAX_LOCKS, "tables")?;
        within(self.executed.as_ref().map_or(0, Vec::len), MAX_STATEMENTS, "statements")?;
        if let Some(why) = &mut self.unseen {
            shorten(why, MAX_NAME);
        }
        shorten(&mut self.revision, MAX_REVISION);
        self.seconds = duration(self.seconds)?;
        for lock in self.locks.iter_mut().flatten() {
            shorten(&mut lock.table, MAX_NAME);
            shorten(&mut lock.mode, MAX_MODE);
        }
        self.rewritten.iter_mut().flatten().for_each(|table| shorten(table, MAX_NAME));
        Ok(())
    }
}

fn within(found: usize, limit: usize, what: &'static str) -> Result<(), RehearsalError> {
    if found > limit { Err(RehearsalError::TooMany(what)) } else { Ok(()) }
}

fn shorten(text: &mut String, max: usize) {
    // These are names, each shown on a line.
    *text = clean(&text.replace(['\n', '\r', '\t'], " "), max);
}

/// Seconds that can be shown and added.
fn duration(seconds: f64) -> Result<f64, RehearsalError> {
    if (0.0..1e9).contains(&seconds) {
        Ok(seconds)
    } else {
        Err(RehearsalError::Malformed("a duration is out of range".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Change;
    use serde_json::{Value, json};

    fn payload() -> Value {
        json!({
            "source": "history", "reversible": false, "irreversible": [{"revision": "b", "why": "raises"}],
            "failed": {"phase": "upgrade again", "revision": "c"}, "locks_unknown": null, "rows": ["c"],
            "phases": [{"name": "upgrade", "seconds": 0.2, "omitted": 0, "differences": 1,
                        "leaves": [{"change": "Unexpected", "object": "index public.goods_name_idx"}],
                        "steps": [{"revision": "c", "seconds": 0.012, "rewritten": ["public.goods"], "sampled": false,
                                   "executed": ["DROP TABLE goods"], "unseen": null, "reads": true,
                                   "locks": [{"table": "public.goods", "mode": "AccessExclusiveLock", "ms": 11}]}]}],
        })
    }

    fn parse(value: &Value) -> Result<Rehearsal, RehearsalError> {
        Rehearsal::parse(value.to_string().as_bytes())
    }

    #[test]
    fn what_was_found_is_read() {
        let found = parse(&payload()).unwrap();
        assert_eq!(found.irreversible, [NoWayBack { revision: "b".into(), why: Implementation::Raises }]);
        assert_eq!(found.failed.unwrap().phase, "upgrade again");
        let phase = &found.phases[0];
        assert_eq!(phase.leaves.as_ref().unwrap()[0].change, Change::Unexpected);
        let step = &phase.steps[0];
        assert_eq!((step.seconds, step.locks.as_ref().unwrap()[0].ms), (0.012, 11));
        assert_eq!((step.executed.as_deref(), step.reads), (Some(&["DROP TABLE goods".to_owned()][..]), true));
    }

    #[test]
    fn what_no_server_tells_is_none() {
        let mut value = payload();
        value["phases"][0]["steps"][0]["locks"] = Value::Null;
        value["phases"][0]["steps"][0]["rewritten"] = Value::Null;
        value["phases"][0]["leaves"] = Value::Null;
        value["locks_unknown"] = "SQLite locks the whole file".into();
        let found = parse(&value).unwrap();
        assert_eq!((&found.phases[0].leaves, &found.phases[0].steps[0].locks), (&None, &None));
    }

    #[test]
    fn texts_are_cleaned_and_cut() {
        let mut value = payload();
        value["phases"][0]["steps"][0]["locks"][0]["table"] = format!("a\u{1b}[31m\nb{}", "x".repeat(900)).into();
        value["phases"][0]["leaves"][0]["object"] = "y".repeat(900).into();
        let found = parse(&value).unwrap();
        let table = &found.phases[0].steps[0].locks.as_ref().unwrap()[0].table;
        assert!(table.starts_with("a[31m b") && table.chars().count() <= MAX_NAME, "{table}");
        assert!(found.phases[0].leaves.as_ref().unwrap()[0].object.chars().count() <= MAX_NAME);
    }

    #[test]
    fn too_much_is_refused() {
        let repeated = |pointer: &str, times: usize| {
            let mut value = payload();
            let list = value.pointer_mut(pointer).unwrap();
            let first = list[0].clone();
            *list = Value::Array(vec![first; times]);
            parse(&value)
        };
        for (pointer, limit) in [
            ("/phases", MAX_PHASES),
            ("/phases/0/steps", MAX_STEPS),
            ("/phases/0/leaves", MAX_LEAVES),
            ("/phases/0/steps/0/locks", MAX_LOCKS),
            ("/phases/0/steps/0/rewritten", MAX_LOCKS),
            ("/phases/0/steps/0/executed", MAX_STATEMENTS),
            ("/irreversible", MAX_IRREVERSIBLE),
            ("/rows", MAX_ROWS),
        ] {
            assert!(repeated(pointer, limit).is_ok(), "{pointer}");
            assert!(matches!(repeated(pointer, limit + 1), Err(RehearsalError::TooMany(_))), "{pointer}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for (pointer, wrong) in [
            ("/phases/0/seconds", json!(-1)),
            ("/phases/0/steps/0/seconds", json!(1e300)),
            ("/phases/0/steps/0/locks/0/ms", json!(-5)),
            ("/irreversible/0/why", json!("forged")),
            ("/reversible", json!("yes")),
        ] {
            let mut value = payload();
            *value.pointer_mut(pointer).unwrap() = wrong;
            assert!(matches!(parse(&value), Err(RehearsalError::Malformed(_))), "{pointer}");
        }
        let mut value = payload();
        value["more"] = json!(1);
        assert!(parse(&value).is_err());
    }
}
