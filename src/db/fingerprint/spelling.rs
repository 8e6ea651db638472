//! Texts that a server makes from what it has read, spelled so that a dump and restore leaves them the same; no I/O.

/// Whether the server makes the definition's text from a parse tree.
pub(super) fn is_spelled_anew(kind: &str) -> bool {
    matches!(
        kind,
        "column" | "constraint" | "index" | "policy" | "view" | "materialized view" | "domain" | "statistics" | "rule"
    )
}

/// Arrays within arrays that are looked through.
const DEEPEST: usize = 16;

/// A definition with single blanks, and with a cast in the one place where a restore moves it: PostgreSQL reads
/// `(ARRAY[a, b])::text[]` as `ARRAY[(a)::text, (b)::text]`. It is put behind the array, which makes the text no longer.
/// Every other cast stays as it is: `(price)::integer` is another column than `price`.
pub(super) fn steady(definition: &str) -> String {
    let words = words(definition);
    let mut kept: Vec<&str> = Vec::with_capacity(words.len());
    // Where the brackets that are open begin an ARRAY[…].
    let mut open: Vec<Option<usize>> = Vec::new();
    for word in words {
        kept.push(word);
        match word {
            "[" => {
                let array = open.len() < DEEPEST && kept.len() > 1 && kept[kept.len() - 2] == "ARRAY";
                open.push(array.then(|| kept.len() - 2));
            }
            "]" => {
                if let Some(start) = open.pop().flatten() {
                    let array = kept.split_off(start);
                    kept.extend(with_cast_behind(array));
                }
            }
            _ => {}
        }
    }
    joined(&kept)
}

/// The words in their places.
pub(super) fn with_single_blanks(text: &str) -> String {
    joined(&words(text))
}

/// `ARRAY[(a)::text, (b)::text]` as `(ARRAY[a, b])::text[]`, as often as all its elements have the same cast.
fn with_cast_behind(mut array: Vec<&str>) -> Vec<&str> {
    let mut casts: Vec<Vec<&str>> = Vec::new();
    while casts.len() < DEEPEST {
        let Some((bare, cast)) = without_cast(&array) else { break };
        array = bare;
        casts.push(cast);
    }
    for cast in casts.into_iter().rev() {
        array.insert(0, "(");
        array.extend([")", "::"]);
        array.extend(cast);
    }
    array
}

/// An array and the type that all its elements are cast to, as the type of the whole.
fn without_cast<'a>(array: &[&'a str]) -> Option<(Vec<&'a str>, Vec<&'a str>)> {
    let inside = array.get(2..array.len().checked_sub(1)?)?;
    let elements = parted(inside).into_iter().map(cast_of).collect::<Option<Vec<_>>>()?;
    let (first, cast) = *elements.first()?;
    if elements.iter().any(|(_, other)| *other != cast) {
        return None;
    }
    let mut bare = vec!["ARRAY", "["];
    for (number, (element, _)) in elements.iter().enumerate() {
        bare.extend((number > 0).then_some(","));
        bare.extend(*element);
    }
    bare.push("]");
    let mut cast = cast.to_vec();
    // An array of arrays has the same type as these.
    if first.first() != Some(&"ARRAY") {
        cast.extend(["[", "]"]);
    }
    Some((bare, cast))
}

/// `(a)::text` in its two parts.
fn cast_of<'w, 'a>(element: &'w [&'a str]) -> Option<(&'w [&'a str], &'w [&'a str])> {
    if element.first() != Some(&"(") {
        return None;
    }
    let mut depth = 0_usize;
    let close = element.iter().position(|word| {
        match *word {
            "(" => depth += 1,
            ")" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0
    })?;
    let cast =
        element.get(close + 2..).filter(|cast| !cast.is_empty() && cast.iter().all(|word| is_of_a_type(word)))?;
    (element[close + 1] == "::").then_some((&element[1..close], cast))
}

fn is_of_a_type(word: &str) -> bool {
    matches!(word, "(" | ")" | "," | "[" | "]") || word.starts_with(|c: char| is_of_a_word(c) || c == '"')
}

/// The elements of a list.
fn parted<'w, 'a>(list: &'w [&'a str]) -> Vec<&'w [&'a str]> {
    let mut depth = 0_usize;
    list.split(|word| {
        match *word {
            "(" | "[" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && *word == ","
    })
    .collect()
}

/// Words with blanks where people put them.
fn joined(words: &[&str]) -> String {
    let mut text = String::new();
    let mut before = "";
    for word in words {
        let closes = matches!(*word, ")" | "]" | "," | ";" | "::") || matches!(before, "(" | "[" | "" | "::");
        let calls = matches!(*word, "(" | "[") && before.ends_with(|c: char| is_of_a_word(c) || c == '"');
        let calls = calls && !is_keyword(before);
        if !closes && !calls {
            text.push(' ');
        }
        text.push_str(word);
        before = word;
    }
    text
}

/// `CHECK` and the like stand before a parenthesis and call nothing; an array's brackets follow its word.
fn is_keyword(word: &str) -> bool {
    word != "ARRAY" && (word.chars().all(|c| c.is_ascii_uppercase()) || matches!(word, "default" | "as"))
}

/// Quoted texts and names, numbers and words, `::`, and other characters one by one.
fn words(text: &str) -> Vec<&str> {
    let mut words: Vec<&str> = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '\'' | '"' => quoted(rest, first),
            ':' if rest.starts_with("::") => 2,
            c if is_of_a_word(c) => rest.find(|c| !is_of_a_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        words.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    words
}

fn is_of_a_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '.' || c == '$'
}

/// How many bytes a quoted text takes; a doubled quote stands for one.
fn quoted(text: &str, quote: char) -> usize {
    let mut end = 1;
    loop {
        match text[end..].find(quote) {
            None => return text.len(),
            Some(at) if text[end + at + 1..].starts_with(quote) => end += at + 2,
            Some(at) => return end + at + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As PostgreSQL 12, 15 and 18 tell them, before and after a restore.
    const MOVED: [(&str, &str); 5] = [
        (
            "((v)::text = ANY ((ARRAY['a'::character varying, 'b b'::character varying])::text[]))",
            "((v)::text = ANY (ARRAY[('a'::character varying)::text, ('b b'::character varying)::text]))",
        ),
        ("(n = ANY ((ARRAY[1, 2])::numeric(10,2)[]))", "(n = ANY (ARRAY[(1)::numeric(10,2), (2)::numeric(10,2)]))"),
        ("(t = ANY ((ARRAY[v, w])::text[]))", "(t = ANY (ARRAY[(v)::text, (w)::text]))"),
        (
            "(ia = (ARRAY[(1)::bigint, (2)::bigint])::integer[])",
            "(ia = ARRAY[((1)::bigint)::integer, ((2)::bigint)::integer])",
        ),
        (
            "(t = ANY ((ARRAY[ARRAY['a'::character varying], ARRAY[NULL::character varying]])::text[]))",
            "(t = ANY (ARRAY[ARRAY[('a'::character varying)::text], ARRAY[(NULL::character varying)::text]]))",
        ),
    ];

    #[test]
    fn what_postgresql_spells_anew_after_a_restore_is_the_same() {
        for (before, after) in MOVED {
            assert_eq!(steady(before), steady(after));
        }
    }

    #[test]
    fn what_is_another_thing_is_spelled_in_another_way() {
        for (one, other) in [
            ("((a)::integer)", "a"),
            ("CHECK (((price)::integer = price))", "CHECK ((price = price))"),
            ("(price > 10)", "(price > 11)"),
            ("(a OR b) AND c", "a OR (b AND c)"),
            ("lower(a)", "lower a"),
            ("ARRAY[(a)::text, (b)::text]", "ARRAY[a, b]"),
            ("ARRAY[(a)::text, (b)::text]", "ARRAY[(a)::text, b]"),
            ("ARRAY[(a)::text || 'x', (b)::text || 'x']", "ARRAY[a, b]"),
            ("'a'::text", "'a'::bytea"),
        ] {
            assert_ne!(steady(one), steady(other));
        }
        assert_eq!(steady("DEFAULT  'it''s (x)::text'::text"), "DEFAULT 'it''s (x)::text'::text");
    }

    #[test]
    fn a_long_text_takes_no_longer_than_it_is() {
        for part in ["((", "(a)", "::x (", "ARRAY[", "(ARRAY[", "''", "a::b", "ARRAY[(", "(a)::b,", "]"] {
            steady(&part.repeat(100_000));
            steady(&("ARRAY[".to_owned() + &part.repeat(100_000) + "]"));
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_too_odd(text in "(['\"\\[\\](): a.,]|ARRAY\\[|::|é){0,60}") {
            let once = steady(&text);
            proptest::prop_assert!(once.len() <= text.len() * 2 + 20);
        }
    }
}
