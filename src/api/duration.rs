//! Durations as people write them in manifests (`30s`, `5m`, `1h30m`); no I/O.

use std::time::Duration;

/// Reads a duration made of hours, minutes and seconds in that order, such as `1h30m` or `45s`.
/// `None` for anything else, and for more than a year, which no setting here means.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut rest = text;
    for (unit, factor) in [('h', 3600), ('m', 60), ('s', 1)] {
        if let Some((number, after)) = rest.split_once(unit) {
            seconds = seconds.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
            rest = after;
        }
    }
    let complete = rest.is_empty() && !text.is_empty() && seconds <= 366 * 24 * 3600;
    complete.then(|| Duration::from_secs(seconds))
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
        for text in ["", "5", "m", "5s3m", "-5s", "1.5h", "5 m", "1d", "99999999999999999999s", "400000h", "é"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
