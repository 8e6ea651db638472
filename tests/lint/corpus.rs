//! Each case of the corpus has the codes that stand over it; prints precision and recall for each dialect.

use crate::{CORPUS, cases, found};
use alembic_operator::lint::{Code, Input, lint};
use std::{collections::BTreeSet, fmt::Write as _};

#[test]
fn the_corpus_is_judged_as_it_says() {
    let (mut wrong, mut total) = (String::new(), 0);
    for (dialect, name, text) in CORPUS {
        let cases = cases(text);
        let (mut right, mut found_count, mut expected_count, mut known) = (0, 0, 0, 0);
        for case in &cases {
            let found = found(dialect, &case.sql);
            right += found.intersection(&case.codes).count();
            found_count += found.len();
            expected_count += case.codes.len();
            known += case.misjudged.len();
            let differ: BTreeSet<Code> = found.symmetric_difference(&case.codes).copied().collect();
            if differ != case.misjudged {
                let _ = writeln!(wrong, "{name}.sql:{}: {:?}, found {found:?}\n{}", case.line, case.codes, case.sql);
            }
        }
        let harmless = cases.iter().filter(|case| case.codes.is_empty()).count();
        println!(
            "{name}: {} cases ({harmless} harmless), precision {:.3}, recall {:.3}, {known} known to be misjudged",
            cases.len(),
            f64::from(right as u32) / f64::from(found_count as u32),
            f64::from(right as u32) / f64::from(expected_count as u32),
        );
        total += cases.len();
    }
    println!("{total} cases");
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Code, severity, place and table of every finding of the corpus, so that none of them changes unseen.
#[test]
fn every_finding_of_the_corpus_is_as_it_was() {
    let mut told = String::new();
    for (dialect, name, text) in CORPUS {
        for case in cases(text) {
            let first = case.sql.lines().next().unwrap_or_default();
            let _ = writeln!(told, "{name}: {}", first.chars().take(100).collect::<String>());
            for f in lint(&Input::file(dialect, &*case.sql)).unwrap().findings {
                let also: String = f.also.iter().map(|also| format!(" +{}", also.code.as_str())).collect();
                let table = f.table.as_deref().unwrap_or("-");
                let _ = writeln!(told, "    {}{also} {} line {} {table}", f.code.as_str(), f.severity, f.line);
            }
        }
    }
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/lint/findings.txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(file, &told).unwrap();
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    let differ: Vec<_> = kept.lines().zip(told.lines()).filter(|(kept, told)| kept != told).take(20).collect();
    assert!(kept == told, "UPDATE=1 writes what is found: {differ:#?}");
}
