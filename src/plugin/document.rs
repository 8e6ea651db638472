//! A plan as its ConfigMap stores it: steps, hazards, SQL and what the rehearsal measured; no I/O.

use crate::{
    api::{DatabaseMigration, HazardStatus, PlanStep, RehearsalStep},
    lint::{Dialect, Input, lint},
    plugin::view,
    text::clean,
};
use k8s_openapi::api::core::v1::ConfigMap;
use serde::Deserialize;

/// Everything that is known of a plan.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PlanDocument {
    pub hash: String,
    pub direction: String,
    pub from: Vec<String>,
    pub to: Vec<String>,
    pub image: String,
    /// SQLAlchemy's name of the database's dialect.
    pub dialect: String,
    pub steps: Vec<PlanStep>,
    pub hazards: Vec<HazardStatus>,
    pub allowances: Vec<String>,
    /// What would run.
    #[serde(skip)]
    pub sql: String,
    /// What undoes it.
    #[serde(skip)]
    pub undo: String,
    #[serde(skip)]
    pub rehearsal: Option<RehearsalDocument>,
    /// What is lost when the plan is undone, or by a plan that itself goes down.
    #[serde(skip)]
    pub losses: Vec<String>,
    /// plan.json as it is stored.
    #[serde(skip)]
    pub json: String,
}

/// What the rehearsal of a plan measured.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RehearsalDocument {
    pub source: String,
    pub reversible: bool,
    pub irreversible: Vec<String>,
    pub locks_unknown: Option<String>,
    pub phases: Vec<PhaseDocument>,
}

/// One way of a rehearsal: up, down, or up again.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct PhaseDocument {
    pub name: String,
    pub milliseconds: i64,
    pub steps: Vec<RehearsalStep>,
    pub leaves: Vec<String>,
}

/// Why there is no plan to show.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPlan {
    #[error("there is no plan: {0}")]
    None(String),
    #[error(
        "the ConfigMap of the plan is another one's: it shows plan {shown}, and the object has plan {wanted}; try again in a moment"
    )]
    Another { shown: String, wanted: String },
    #[error("the ConfigMap of the plan can't be read: {0}; is the plugin older than the operator?")]
    Malformed(String),
}

impl PlanDocument {
    /// Reads the ConfigMap of an object's plan; without one, only what the status shows.
    pub fn read(object: &DatabaseMigration, map: Option<&ConfigMap>) -> Result<Self, NoPlan> {
        let state = super::view::State::of(object);
        let Some(plan) = object.status.as_ref().and_then(|status| status.plan.as_ref()) else {
            return Err(NoPlan::None(format!("{}: {}", state.word, state.message)));
        };
        let Some(data) = map.and_then(|map| map.data.as_ref()) else {
            return Ok(Self {
                hash: plan.hash.clone(),
                direction: plan.direction.clone(),
                from: plan.from.clone(),
                to: plan.to.clone(),
                image: object.spec.image.clone(),
                steps: plan.steps.clone(),
                hazards: plan.hazards.clone(),
                allowances: plan.allowances.clone(),
                ..Self::default()
            });
        };
        let text = |key: &str| data.get(key).cloned().unwrap_or_default();
        let rehearsal = data.get("rehearsal.json").and_then(|json| serde_json::from_str(json).ok());
        let database = object.status.as_ref().and_then(|status| status.database.clone()).unwrap_or_default();
        let texts = [text("plan.sql"), text("undo.sql"), text("plan.json")];
        let document = Self::of_texts(&plan.hash, texts, |_| Dialect::of(&database.dialect, &database.version))?;
        Ok(Self { rehearsal, ..document })
    }

    /// Reads what is stored of a plan: what runs, what undoes it, and the JSON.
    pub fn of_texts(
        hash: &str,
        texts: [String; 3],
        dialect: impl FnOnce(&str) -> Option<Dialect>,
    ) -> Result<Self, NoPlan> {
        let [sql, undo, json] = texts;
        let document: Self = serde_json::from_str(&json).map_err(|error| NoPlan::Malformed(error.to_string()))?;
        if document.hash != hash {
            return Err(NoPlan::Another { shown: document.hash, wanted: hash.to_owned() });
        }
        let dialect = dialect(&document.dialect);
        let document = Self { sql, undo, json, ..document };
        Ok(Self { losses: document.losses(dialect), ..document })
    }

    /// Whether it is more than what a status shows.
    pub fn is_stored(&self) -> bool {
        !self.json.is_empty()
    }

    /// By the linter, over the SQL that goes down.
    fn losses(&self, dialect: Option<Dialect>) -> Vec<String> {
        let loses = |code: &str| matches!(code, "D01" | "D02" | "D03" | "D04" | "D07");
        if self.direction == "downgrade" {
            let lost = self.hazards.iter().filter(|hazard| loses(&hazard.code));
            return lost
                .map(|hazard| clean(&view::with_table(hazard.table.as_deref(), &hazard.message), 120))
                .collect();
        }
        let report =
            dialect.and_then(|dialect| lint(&Input::file(dialect, self.undo.clone())).ok()).unwrap_or_default();
        let lost = report.findings.iter().filter(|finding| loses(finding.code.as_str()));
        let mut lost: Vec<String> =
            lost.map(|finding| clean(&view::with_table(finding.table.as_deref(), &finding.message), 120)).collect();
        lost.dedup();
        lost
    }

    /// The SQL of each step, in their order; a step that has none there has an empty one.
    pub fn scripts(&self) -> Vec<&str> {
        let way = if self.direction == "downgrade" { "downgrade" } else { "upgrade" };
        let mut rest = self.sql.as_str();
        let mut scripts = Vec::new();
        for (number, step) in self.steps.iter().enumerate() {
            let head = |step: &PlanStep| format!("-- {way} of {} (", step.revision);
            let Some(begin) = begins(rest, &head(step)) else {
                scripts.push("");
                continue;
            };
            let body = rest[begin..].split_once('\n').map_or("", |(_, body)| body);
            let end = self.steps.get(number + 1).and_then(|next| begins(body, &head(next))).unwrap_or(body.len());
            scripts.push(body[..end].trim_end());
            rest = &body[end..];
        }
        scripts
    }

    /// What the rehearsal measured of a step on its first way.
    pub fn rehearsed(&self, revision: &str) -> Option<&RehearsalStep> {
        let first = self.rehearsal.as_ref()?.phases.first()?;
        first.steps.iter().find(|step| step.revision == revision)
    }

    /// The hazards of a step, the worst first.
    pub fn hazards_of<'a>(&'a self, revision: &'a str) -> impl Iterator<Item = &'a HazardStatus> {
        self.hazards.iter().filter(move |hazard| hazard.revision.as_deref() == Some(revision))
    }
}

/// Where a line begins with these words.
fn begins(text: &str, words: &str) -> Option<usize> {
    if text.starts_with(words) {
        return Some(0);
    }
    text.find(&format!("\n{words}")).map(|at| at + 1)
}
