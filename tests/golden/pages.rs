//! What the documentation names is there: pages, anchors, make targets, flags, values of the chart; no network.

use super::{
    markdown::{Page, all, beside, book},
    root,
};
use alembic_operator::{cli::Cli, plugin};
use clap::{Command, CommandFactory};
use std::{collections::HashSet, fs};

/// Links out of the repository are not followed.
fn is_elsewhere(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

#[test]
fn every_link_leads_somewhere() {
    // Other tests write the generated pages at the same time.
    if std::env::var_os("UPDATE").is_some() {
        return;
    }
    let mut broken = Vec::new();
    for page in all() {
        for (line, target) in page.links().into_iter().filter(|(_, target)| !is_elsewhere(target)) {
            let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { root(&page.path) } else { beside(&page.path, file) };
            let there = path.exists() && (fragment.is_empty() || has_anchor(&path, fragment));
            if !there {
                broken.push(format!("{}:{line}: {target}", page.path));
            }
        }
    }
    assert!(broken.is_empty(), "these links lead nowhere:\n{}", broken.join("\n"));
}

fn has_anchor(path: &std::path::Path, fragment: &str) -> bool {
    let text = fs::read_to_string(path).unwrap();
    Page { path: path.display().to_string(), text }.anchors().contains(fragment)
}

/// A page that no summary names is not in the book.
#[test]
fn every_page_is_in_the_summary() {
    let summary = Page::read("docs/src/SUMMARY.md");
    let named: HashSet<_> = summary.links().into_iter().map(|(_, target)| format!("docs/src/{target}")).collect();
    let lost: Vec<_> =
        book().into_iter().filter(|page| page != "docs/src/SUMMARY.md" && !named.contains(page)).collect();
    assert!(lost.is_empty(), "docs/src/SUMMARY.md lacks {lost:?}");
}

#[test]
fn the_readme_is_short() {
    let lines = fs::read_to_string(root("README.md")).unwrap().lines().count();
    assert!(lines <= 150, "README.md has {lines} lines; what is longer has a page in docs/src");
}

#[test]
fn every_make_target_exists() {
    let makefile = fs::read_to_string(root("Makefile")).unwrap();
    let targets: HashSet<&str> = makefile
        .lines()
        .filter(|line| !line.starts_with([' ', '\t', '#']))
        .filter_map(|line| Some(line.split_once(':')?.0))
        .collect();
    let mut unknown = Vec::new();
    for page in all() {
        for (line, code) in page.code() {
            let mut words = code.split_whitespace().skip_while(|word| *word == "$");
            if words.next() == Some("make") {
                let target = words.next().unwrap_or("help");
                if !targets.contains(target) {
                    unknown.push(format!("{}:{line}: make {target}", page.path));
                }
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

/// A command line of the operator or the plugin names its subcommands and flags as they are.
#[test]
fn every_flag_exists() {
    let programs = [("alembic-operator ", Cli::command()), ("kubectl dbmigration ", plugin::cli::Cli::command())];
    let mut unknown = Vec::new();
    for page in all() {
        for (line, code) in page.code() {
            let code = code.trim_start_matches(['$', ' ', '-']).trim_start_matches("run: ").to_owned();
            for (name, command) in &programs {
                let said = code.strip_prefix(name).and_then(|rest| rest.split(['|', ';']).next());
                let wrong = said.and_then(|rest| unknown_word(command, rest));
                unknown.extend(wrong.map(|word| format!("{}:{line}: {name}{word}", page.path)));
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
}

/// The first subcommand or flag that a command does not have.
fn unknown_word(command: &Command, said: &str) -> Option<String> {
    let mut words = said.split_whitespace();
    let name = words.next().filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))?;
    let Some(subcommand) = command.find_subcommand(name) else { return Some(name.to_owned()) };
    let has = |flag: &str| {
        let mut known = subcommand.get_arguments().chain(command.get_arguments());
        flag == "help" || known.any(|known| known.get_long() == Some(flag))
    };
    let flags = words.take_while(|word| *word != "--").filter_map(|word| word.strip_prefix("--"));
    let mut flags = flags.map(|flag| flag.split(['=', ',']).next().unwrap_or(flag));
    flags.find(|flag| !has(flag)).map(|flag| format!("{name} --{flag}"))
}

/// What a page tells Helm to set is a value of the chart.
#[test]
fn every_value_of_the_chart_exists() {
    let values: serde_json::Value =
        serde_yaml::from_str(&fs::read_to_string(root("charts/alembic-operator/values.yaml")).unwrap()).unwrap();
    let mut unknown = Vec::new();
    for page in all() {
        for (line, code) in page.code() {
            let set = code.split("--set ").skip(1).filter_map(|rest| rest.split('=').next());
            for key in set.filter(|key| values.pointer(&format!("/{}", key.replace('.', "/"))).is_none()) {
                unknown.push(format!("{}:{line}: {key}", page.path));
            }
        }
    }
    assert!(unknown.is_empty(), "values.yaml lacks\n{}", unknown.join("\n"));
}

/// Words that CONTRIBUTING.md asks not to use; the generated pages say what the code says.
#[test]
fn the_words_are_plain() {
    const AVOIDED: [&str; 9] = [
        "taken back",
        "takes back",
        "way back",
        "asked anew",
        "something else than",
        "begun again",
        "whoever",
        "in vain",
        "if it is meant",
    ];
    let mut found = Vec::new();
    for page in all().iter().filter(|page| page.path != "CONTRIBUTING.md" && !page.text.starts_with("<!-- Generated")) {
        for (line, text) in page.prose() {
            let lower = text.to_lowercase();
            found.extend(
                AVOIDED
                    .iter()
                    .filter(|word| lower.contains(**word))
                    .map(|word| format!("{}:{line}: {word}", page.path)),
            );
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}
