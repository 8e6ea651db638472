//! `why`: what a reason or a hazard's code means and what to do about it, without a cluster; no I/O.

use super::text::{Line, Tone};
use crate::{
    api::{Reason, ReasonKind},
    lint::Code,
};

/// What a word means, if it is a reason or a code.
pub fn page(word: &str, width: Option<usize>) -> Option<Vec<Line>> {
    let reason = Reason::ALL.iter().find(|reason| reason.as_str().eq_ignore_ascii_case(word));
    let code = Code::ALL.iter().find(|code| code.as_str().eq_ignore_ascii_case(word));
    match (reason, code) {
        (Some(reason), _) => Some(of_reason(*reason, width)),
        (None, Some(code)) => Some(of_code(*code, width)),
        (None, None) => None,
    }
}

fn of_reason(reason: Reason, width: Option<usize>) -> Vec<Line> {
    let (tone, kind) = kind(reason.kind());
    let mut lines = vec![Line::of(tone, reason.as_str()).text(format!("   {kind}"))];
    lines.extend(Line::new().text("  ").wrapped(Tone::Plain, reason.advice(), width));
    lines
}

fn of_code(code: Code, width: Option<usize>) -> Vec<Line> {
    let severity = code.severity().as_str();
    let mut lines = vec![
        Line::of(super::view::severity_tone(severity), code.as_str()).text(format!("   {severity}: {}", code.title())),
    ];
    lines.extend(Line::new().text("  instead: ").wrapped(Tone::Plain, code.advice(), width));
    lines
}

fn kind(kind: ReasonKind) -> (Tone, &'static str) {
    match kind {
        ReasonKind::Ready => (Tone::Good, "the database is where it should be"),
        ReasonKind::Working => (Tone::Busy, "the operator is at work, or waits for something that clears by itself"),
        ReasonKind::Held => (Tone::Busy, "held by you"),
        ReasonKind::Late => {
            (Tone::Busy, "something is missing that may still come; stalled if it does not within a while")
        }
        ReasonKind::Stalled => (Tone::Bad, "nothing happens until somebody changes something"),
    }
}

/// Every word that there is.
pub fn words(width: Option<usize>) -> Vec<Line> {
    let mut lines = Vec::new();
    for group in [ReasonKind::Ready, ReasonKind::Working, ReasonKind::Held, ReasonKind::Late, ReasonKind::Stalled] {
        let words: Vec<&str> = Reason::ALL.iter().filter(|reason| reason.kind() == group).map(|r| r.as_str()).collect();
        let (tone, words_for) = kind(group);
        lines.push(Line::of(tone, words_for));
        lines.extend(Line::new().text("  ").wrapped(Tone::Plain, &words.join("  "), width.or(Some(100))));
    }
    let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    lines.push(Line::of(Tone::Bold, "hazards of a plan"));
    lines.extend(Line::new().text("  ").wrapped(Tone::Plain, &codes.join("  "), width.or(Some(100))));
    lines
}

/// The word that somebody may have meant.
pub fn nearest(word: &str) -> Option<&'static str> {
    let word = word.to_ascii_lowercase();
    let distance = |other: &&str| levenshtein(&word, &other.to_ascii_lowercase());
    let words = Reason::ALL.iter().map(|reason| reason.as_str());
    words.min_by_key(distance).filter(|near| distance(near) <= 4)
}

fn levenshtein(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let changed = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::text::plain;

    #[test]
    fn reasons_and_codes_are_explained() {
        let text = plain(&page("multipleheads", Some(60)).unwrap());
        assert_eq!(
            text,
            "MultipleHeads   nothing happens until somebody changes something\n  Merge the heads (`alembic merge heads`), or set\n  `targetRevision: heads`.\n"
        );
        assert!(plain(&page("D02", None).unwrap()).starts_with("D02   critical: drops a column\n"));
        assert_eq!(
            (page("Nonsense", None), nearest("MultipelHeads"), nearest("qqqqqqqqqq")),
            (None, Some("MultipleHeads"), None)
        );
    }
}
