//! The spec's durations (`30s`, `5m`, `1h30m`): one table with the least and the most that each may be, and what it is when it
//! is not set. The CRD's rules, the checks and the documentation come from it. `spec/durations.rs` reads them. No I/O.

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
    ($($name:ident, $schema:ident: $path:literal, $least:expr => $most:expr, $zero:expr, $default:literal;)*) => {
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
        }

        $(pub(in crate::api) fn $schema(_: &mut SchemaGenerator) -> Schema {
            DurationField::$name.schema()
        })*
    };
}

duration_fields! {
    ProbeInterval, probe_interval: "database.probe.interval", 1 => 7 * DAY, false, "5m";
    ProbeTimeout, probe_timeout: "database.probe.timeout", 1 => MINUTE, false, "10s";
    DriftInterval, drift_interval: "drift.interval", 1 => 7 * DAY, false, "5m; 1h with mode Models";
    DriftTimeout, drift_timeout: "drift.timeout", 1 => 2 * MINUTE, false, "30s";
    Lock, lock: "timeouts.lock", 1 => HOUR, false, "30s for another migration, 3s for a table";
    Statement, statement: "timeouts.statement", 1 => 7 * DAY, true, "30m where a failed run is rolled back as a whole, else none";
    Run, run: "timeouts.run", 1 => 7 * DAY, false, "none";
    Backup, backup: "backup.timeout", 1 => DAY, false, "1h";
    Verify, verify: "verify.timeout", 1 => DAY, false, "10m";
}

impl DurationField {
    /// What it is when it is not set, where that is a duration.
    pub(super) fn default(self) -> Option<Duration> {
        parse_duration(self.default_words().split([' ', ';']).next()?)
    }

    /// What it may be, in a sentence that begins with its place.
    pub(super) fn range(self) -> String {
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

/// As people write it.
pub(super) fn short(duration: Duration) -> String {
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
}
