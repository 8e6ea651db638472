//! Making text from outside fit to be shown: length, control characters, secrets; no I/O.

use std::collections::BTreeSet;

/// Ends a text that was cut.
const ELLIPSIS: char = '…';

/// A text without control characters but line breaks, cut to `max` characters. For anything that a pod, a database or
/// a user wrote.
pub fn clean(text: &str, max: usize) -> String {
    let mut out: String =
        text.chars().filter(|c| *c == '\n' || (!c.is_control() && !is_format(*c))).take(max + 1).collect();
    if out.chars().count() > max {
        out.pop();
        out.pop();
        out.push(ELLIPSIS);
    }
    out
}

/// As [`clean`], but keeps the end: of a traceback the last lines say most.
pub fn clean_end(text: &str, max: usize) -> String {
    let whole = clean(text, usize::MAX - 1);
    let surplus = whole.chars().count().saturating_sub(max);
    if surplus == 0 {
        return whole;
    }
    std::iter::once(ELLIPSIS).chain(whole.chars().skip(surplus + 1)).collect()
}

/// A text cut to `max` bytes, as far as whole characters go: limits of the API server are in bytes.
pub fn fit(text: &str, max: usize) -> String {
    if text.len() <= max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(max.saturating_sub(ELLIPSIS.len_utf8()));
    format!("{}{ELLIPSIS}", &text[..end])
}

/// Characters that are invisible or turn the direction of text, and so can make a message read as another one.
fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// What stands in place of a secret.
const MASK: &str = "***";

/// A text with the given secrets masked, and with the user info of every URL in it.
pub fn redact(text: &str, secrets: &[&str]) -> String {
    let masked = secrets
        .iter()
        // A password of one or two characters would mask half of any text, and it protects nothing.
        .filter(|secret| secret.chars().count() >= 3)
        .fold(text.to_owned(), |text, secret| text.replace(secret, MASK));
    mask_user_info(&masked)
}

fn mask_user_info(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        out.push_str(before);
        // A password may hold an unescaped '/' or '@': SQLAlchemy cuts at the last '@' of the word.
        let end = after.find(|c: char| c.is_whitespace() || c == '"' || c == '\'').unwrap_or(after.len());
        let word = &after[..end];
        rest = match word.rfind('@') {
            Some(user_end) => {
                out.push_str(MASK);
                &after[user_end..]
            }
            None => after,
        };
    }
    out.push_str(rest);
    out
}

/// For `take_while`: whether a value and those before it take at most `max` bytes as JSON.
pub fn fitting<T: serde::Serialize>(max: usize) -> impl FnMut(&T) -> bool {
    let mut size = 0;
    move |value| {
        size += serde_json::to_string(value).map_or(0, |text| text.len());
        size <= max
    }
}

/// An image as people call it: its last name and tag, and twelve characters of its digest.
pub fn short_image(image: &str) -> String {
    let (name, digest) = image.split_once('@').map_or((image, None), |(name, digest)| (name, Some(digest)));
    let name = clean(name.rsplit('/').next().unwrap_or(name), 128);
    let digest = digest.map(|digest| digest.rsplit(':').next().unwrap_or(digest));
    match digest {
        Some(digest) => format!("{name} ({})", clean(digest, 64).chars().take(12).collect::<String>()),
        None => name,
    }
}

/// Several names in one line, the first `max` of them.
pub fn list(names: &[String], max: usize) -> String {
    let shown = names.iter().take(max).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > max { format!("{shown} and {} more", names.len() - max) } else { shown }
}

/// Version rows in one line.
pub fn rows_in_line(rows: &BTreeSet<String>) -> String {
    if rows.is_empty() {
        return "base".to_owned();
    }
    let names: Vec<String> = rows.iter().map(|r| clean(r, 64)).collect();
    list(&names, 10).replace(", ", ",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_go_and_length_is_bounded() {
        assert_eq!(clean("a\u{1b}[0m\r\nb\u{202e}c\u{0}", 100), "a[0m\nbc");
        assert_eq!(clean("abcdef", 4), "abc…");
        assert_eq!(clean("abcd", 4), "abcd");
        assert_eq!((clean_end("abcdef", 4), clean_end("abcd", 4)), ("…def".to_owned(), "abcd".to_owned()));
    }

    #[test]
    fn images_are_short() {
        let digest = "72faae2eea9b".to_owned() + &"0".repeat(52);
        let long = format!("registry.example.com:5000/team/shop:1.5.0@sha256:{digest}");
        assert_eq!(short_image(&long), "shop:1.5.0 (72faae2eea9b)");
        assert_eq!(
            (short_image("shop").as_str(), short_image("r.example.com:5000/shop:1").as_str()),
            ("shop", "shop:1")
        );
    }

    #[test]
    fn bytes_are_counted_and_characters_kept_whole() {
        assert_eq!((fit("abcd", 4), fit("abcde", 4)), ("abcd".to_owned(), "a…".to_owned()));
        for text in ["соединение закрыто", "接続が拒否されました", "🐘🐘🐘🐘"] {
            for max in 3..text.len() {
                let cut = fit(text, max);
                assert!(cut.len() <= max && cut.ends_with('…') && text.starts_with(cut.trim_end_matches('…')), "{cut}");
            }
        }
    }

    #[test]
    fn urls_lose_their_user() {
        assert_eq!(redact("at postgresql://u:p@ss/w@h:1/d now", &[]), "at postgresql://***@h:1/d now");
        assert_eq!(redact("http://h/a and x://u@h", &[]), "http://h/a and x://***@h");
        assert_eq!(redact("://", &[]), "://");
    }

    #[test]
    fn literal_secrets_go_wherever_they_stand() {
        assert_eq!(redact("bad s3cret! here", &["s3cret!", "x"]), "bad *** here");
    }
}
