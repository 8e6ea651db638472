//! A plan in the status, with its steps and hazards. The doc comments are what `kubectl explain` prints. No I/O.

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// A plan, as far as the status shows it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlanStatus {
    /// Changes when the direction, the rows, the target, a step, a revision file or its SQL changes, and when the plan comes
    /// up again after it has run: what an approval names.
    pub hash: String,
    /// The hash of the plan that was shown before this one: an approval of it is out of date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// `upgrade` or `downgrade`.
    pub direction: String,
    /// The version rows that it starts from.
    #[serde(default)]
    pub from: Vec<String>,
    /// The version rows that it must end with.
    #[serde(default)]
    pub to: Vec<String>,
    /// Number of steps.
    #[serde(default)]
    pub step_count: i32,
    /// The first ten of them, in the order in which they run.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "steps_or_none")]
    pub steps: Vec<PlanStep>,
    /// How many hazards it has that nobody allowed, the worst first, such as `1C 2H`: critical, high, medium, low.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hazard_summary: Option<String>,
    /// The worst ten of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hazards: Vec<HazardStatus>,
    /// Hazards that the spec or a revision file allows, and allowances that allow nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowances: Vec<String>,
    /// The ConfigMap with all of it: plan.sql is what would run, undo.sql undoes it, plan.json the steps and hazards.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map: Option<String>,
}

/// An earlier version had their number here; an object with such a status must still be read.
fn steps_or_none<'de, D: Deserializer<'de>>(value: D) -> Result<Vec<PlanStep>, D::Error> {
    let value = serde_json::Value::deserialize(value)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
}

/// A step of a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PlanStep {
    /// The revision that it applies or undoes.
    pub revision: String,
    /// The revision's message: the first line of its docstring.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// What its author wrote below that.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Whether it can be undone.
    pub reversible: Reversible,
    /// Why its SQL does not show everything that it does, or is not there at all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub opaque: Vec<String>,
}

/// Whether a step can be undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Reversible {
    /// Nothing is lost when it is undone.
    Clean,
    /// Undoing it drops what holds data.
    LosesData,
    /// It can't be undone.
    Irreversible,
    /// Nobody can tell, since the SQL of its downgrade is not known.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A hazard in a plan.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HazardStatus {
    /// Its code, such as D02.
    pub code: String,
    /// `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// The revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The statement in one line, cut, its values masked.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub statement: String,
    /// Why it is one.
    pub message: String,
    /// What to write instead.
    pub advice: String,
    /// What else comes of the same cause, each with its code: to see to the one is to see to the other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_of_an_earlier_version_is_read() {
        let plan: PlanStatus =
            serde_json::from_str(r#"{"hash": "0123", "direction": "upgrade", "from": [], "to": ["a"], "steps": 4}"#)
                .unwrap();
        assert_eq!((plan.hash.as_str(), plan.steps.len()), ("0123", 0));
    }
}
