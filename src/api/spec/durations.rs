//! What a spec says of its durations; no I/O.

use super::DatabaseMigrationSpec;
use crate::api::duration::{Bounds, DurationField, parse_duration};
use std::time::Duration;

impl DurationField {
    /// What the spec says, if it says anything. What an older CRD let through counts as the nearest that it may be.
    pub fn of(self, spec: &DatabaseMigrationSpec) -> Option<Duration> {
        let Bounds { least, most, zero_is_none } = self.bounds();
        let asked = parse_duration(self.text(spec)?)?;
        Some(if asked.is_zero() && zero_is_none { asked } else { asked.clamp(least, most) })
    }

    /// What the spec says, or else the default.
    pub fn or_default(self, spec: &DatabaseMigrationSpec) -> Duration {
        self.of(spec).or_else(|| self.default()).unwrap_or_else(|| self.bounds().least)
    }

    /// What is wrong with it.
    pub fn problem(self, spec: &DatabaseMigrationSpec) -> Option<String> {
        let text = self.text(spec)?;
        let Bounds { least, most, zero_is_none } = self.bounds();
        let good = |asked: Duration| asked.is_zero() && zero_is_none || (least..=most).contains(&asked);
        match parse_duration(text) {
            Some(asked) if good(asked) => None,
            Some(_) => Some(format!("spec.{}", self.range())),
            None => Some(format!(
                "spec.{} is not a duration: write hours, minutes and seconds, such as 1h30m or 45s",
                self.path()
            )),
        }
    }

    fn text(self, spec: &DatabaseMigrationSpec) -> Option<&str> {
        let text = match self {
            Self::ProbeInterval => &spec.database.probe.interval,
            Self::ProbeTimeout => &spec.database.probe.timeout,
            Self::DriftInterval => &spec.drift.interval,
            Self::DriftTimeout => &spec.drift.timeout,
            Self::Lock => &spec.timeouts.lock,
            Self::Statement => &spec.timeouts.statement,
            Self::Run => &spec.timeouts.run,
            Self::Backup => &spec.stages.backup.timeout,
            Self::Verify => &spec.stages.verify.timeout,
        };
        text.as_deref()
    }
}

/// The first duration that is wrong, in words.
pub fn duration_problem(spec: &DatabaseMigrationSpec) -> Option<String> {
    DurationField::ALL.iter().find_map(|field| field.problem(spec))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::duration::short;
    use serde_json::{Value, json};

    /// A spec with one duration, by its path.
    fn spec(field: DurationField, text: &str) -> DatabaseMigrationSpec {
        let mut value = json!(text);
        for name in field.path().rsplit('.') {
            value = json!({ name: value });
        }
        for stage in ["backup", "verify"] {
            if value[stage].is_object() {
                value[stage]["when"] = json!("Never");
            }
        }
        let mut spec = json!({ "image": "i", "targetRevision": "head", "database": {} });
        merge(&mut spec, value);
        serde_json::from_value(spec).unwrap()
    }

    fn merge(into: &mut Value, from: Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                from.into_iter().for_each(|(key, value)| merge(into.entry(key).or_insert(Value::Null), value));
            }
            (into, from) => *into = from,
        }
    }

    #[test]
    fn every_field_keeps_its_bounds() {
        for field in DurationField::ALL.iter().copied() {
            let Bounds { least, most, zero_is_none } = field.bounds();
            assert!(!least.is_zero() && least < most, "{field:?} is no hot loop");
            for (text, good) in [(short(least), true), (short(most), true), ("0s".into(), zero_is_none)] {
                assert_eq!(field.problem(&spec(field, &text)).is_none(), good, "{field:?} {text}");
            }
            for text in ["99999h", "5", "x", ""] {
                assert!(field.problem(&spec(field, text)).is_some(), "{field:?} {text}");
                assert!(field.of(&spec(field, text)).is_none_or(|value| value == most), "{field:?} {text}");
            }
            let words = field.default_words().starts_with(|c: char| c.is_ascii_digit());
            assert_eq!(field.default().is_some(), words, "{field:?}");
            assert!(field.default().is_none_or(|default| (least..=most).contains(&default)), "{field:?}");
        }
    }

    #[test]
    fn what_an_older_crd_let_through_is_no_hot_loop_and_holds_nobody_up() {
        let of = |field: DurationField, text: &str| field.or_default(&spec(field, text)).as_secs();
        assert_eq!(of(DurationField::DriftInterval, "0s"), 1);
        assert_eq!(of(DurationField::ProbeTimeout, "8000h"), 60);
        assert_eq!(of(DurationField::ProbeInterval, "soon"), 300);
        assert_eq!(of(DurationField::Statement, "0s"), 0);
    }
}
