//! The spec's durations (`30s`, `5m`, `1h30m`): one table with the least and the most that each may be, and what it is when it
//! is not set. The CRD's rules, the checks and the documentation come from it. No I/O.

use super::DatabaseMigrationSpec;
use k8s_openapi::jiff::SignedDuration;
use schemars::{Schema, SchemaGenerator, json_schema};
use std::time::Duration;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// What a duration field may be.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub least: Duration,
    pub most: Duration,
    /// Whether 0s means that there is no limit.
    pub zero_is_none: bool,
}

macro_rules! duration_fields {
    ($($name:ident, $schema:ident: $path:literal, $least:expr => $most:expr, $zero:expr, $default:literal, |$spec:ident| $value:expr;)*) => {
        /// A duration in the spec.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum DurationField { $($name,)* }

        impl DurationField {
            /// Every one of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Where it stands in the spec.
            pub fn path(self) -> &'static str {
                match self { $(Self::$name => $path,)* }
            }

            /// What it may be.
            pub fn bounds(self) -> Bounds {
                match self {
                    $(Self::$name => Bounds {
                        least: Duration::from_secs($least), most: Duration::from_secs($most), zero_is_none: $zero,
                    },)*
                }
            }

            /// What it is when it is not set, in words: a duration comes first.
            pub fn default_words(self) -> &'static str {
                match self { $(Self::$name => $default,)* }
            }

            fn text(self, spec: &DatabaseMigrationSpec) -> Option<&str> {
                match self { $(Self::$name => { let $spec = spec; $value.as_deref() })* }
            }
        }

        $(pub(in crate::api) fn $schema(_: &mut SchemaGenerator) -> Schema {
            DurationField::$name.schema()
        })*
    };
}

duration_fields! {
    ProbeInterval, probe_interval: "database.probe.interval", 1 => 7 * DAY, false, "5m", |spec| spec.database.probe.interval;
    ProbeTimeout, probe_timeout: "database.probe.timeout", 1 => MINUTE, false, "10s", |spec| spec.database.probe.timeout;
    DriftInterval, drift_interval: "drift.interval", 1 => 7 * DAY, false, "5m; 1h with mode Models", |spec| spec.drift.interval;
    DriftTimeout, drift_timeout: "drift.timeout", 1 => 2 * MINUTE, false, "30s", |spec| spec.drift.timeout;
    Lock, lock: "timeouts.lock", 1 => HOUR, false, "30s for another migration, 3s for a table", |spec| spec.timeouts.lock;
    Statement, statement: "timeouts.statement", 1 => 7 * DAY, true, "30m where a failed run is rolled back as a whole, else none", |spec| spec.timeouts.statement;
    Run, run: "timeouts.run", 1 => 7 * DAY, false, "none", |spec| spec.timeouts.run;
    Backup, backup: "backup.timeout", 1 => DAY, false, "1h", |spec| spec.stages.backup.timeout;
    Verify, verify: "verify.timeout", 1 => DAY, false, "10m", |spec| spec.stages.verify.timeout;
}

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

    /// What it is when it is not set, where that is a duration.
    fn default(self) -> Option<Duration> {
        parse_duration(self.default_words().split([' ', ';']).next()?)
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

    /// What it may be, in a sentence that begins with its place.
    fn range(self) -> String {
        let Bounds { least, most, zero_is_none } = self.bounds();
        let zero = if zero_is_none { ", or 0s for no limit" } else { "" };
        format!("{} must be from {} to {}{zero}", self.path(), short(least), short(most))
    }

    /// The schema of the field: the API server refuses what can't be read and what is out of bounds.
    fn schema(self) -> Schema {
        let Bounds { least, most, zero_is_none } = self.bounds();
        let within =
            format!("duration(self) >= duration('{}') && duration(self) <= duration('{}')", short(least), short(most));
        let rule = if zero_is_none { format!("duration(self) == duration('0s') || {within}") } else { within };
        json_schema!({
            "type": "string",
            "minLength": 2,
            "maxLength": 32,
            "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$",
            "nullable": true,
            "x-kubernetes-validations": [{ "rule": rule, "message": self.range() }],
        })
    }

    /// The row of the documentation's table.
    pub fn row(self) -> String {
        let Bounds { least, most, zero_is_none } = self.bounds();
        let least = if zero_is_none { format!("{} (0s: no limit)", short(least)) } else { short(least) };
        format!("| `spec.{}` | {least} | {} | {} |", self.path(), short(most), self.default_words())
    }
}

/// The first duration that is wrong, in words.
pub fn duration_problem(spec: &DatabaseMigrationSpec) -> Option<String> {
    DurationField::ALL.iter().find_map(|field| field.problem(spec))
}

/// As people write it.
fn short(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds > 0 && seconds % HOUR == 0 => format!("{}h", seconds / HOUR),
        seconds if seconds > 0 && seconds % MINUTE == 0 => format!("{}m", seconds / MINUTE),
        seconds => format!("{seconds}s"),
    }
}

/// Reads a duration made of hours, minutes and seconds in that order, such as `1h30m` or `45s`: those of jiff's friendly
/// format that the CRD's pattern lets through.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || b"hms".contains(&byte)) && !text.contains("ms");
    let parsed: SignedDuration = text.parse().ok().filter(|_| plain)?;
    parsed.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
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
    fn reads_what_people_write() {
        for (text, seconds) in [("30s", 30), ("5m", 300), ("1h30m", 5400), ("1h0m5s", 3605), ("0s", 0)] {
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn refuses_everything_else() {
        let odd =
            ["", "5", "m", "5s3m", "-5s", "1.5h", "5 m", "1d", "99999999999999999999s", "é", "5ms", "PT5M", "1h1h"];
        for text in odd {
            assert_eq!(parse_duration(text), None, "{text}");
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
