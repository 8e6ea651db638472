//! The targets that the sources of a set name, put together; no I/O.

use super::member::Target;
use crate::{
    api::{ListedTarget, Problem, Reason},
    db::fleet::{MOST_OF_A_ROW, MOST_TARGETS},
    text,
};
use std::collections::{BTreeMap, BTreeSet};

/// A target for each schema.
pub fn schemas(server: &str, names: Vec<String>) -> Vec<Target> {
    let target = |name: String| Target {
        name: name.clone(),
        server: server.to_owned(),
        schema: Some(name),
        ..Target::default()
    };
    names.into_iter().map(target).collect()
}

/// A target for each database.
pub fn databases(server: &str, names: Vec<String>) -> Vec<Target> {
    let target = |name: String| Target {
        name: name.clone(),
        server: server.to_owned(),
        database: Some(name),
        ..Target::default()
    };
    names.into_iter().map(target).collect()
}

/// A target for each row of a query.
pub fn queried(server: &str, rows: Vec<Option<BTreeMap<String, String>>>) -> Result<Vec<Target>, Problem> {
    let target = |mut row: BTreeMap<String, String>| {
        let name = row.remove("name")?;
        let (database, schema) = (row.remove("database"), row.remove("schema"));
        let server = row.remove("server").unwrap_or_else(|| server.to_owned());
        Some(Target { name, server, database, schema, labels: row })
    };
    let wrong = |what: String| Problem::new(Reason::InvalidSpec, format!("the query has a row {what}"));
    let long = || wrong(format!("of more than {MOST_OF_A_ROW} bytes; select only the columns that are needed"));
    rows.into_iter()
        .map(|row| target(row.ok_or_else(long)?).ok_or_else(|| wrong("without a name".to_owned())))
        .collect()
}

/// The targets that the spec itself has.
pub fn listed(first_server: &str, list: &[ListedTarget]) -> Vec<Target> {
    let target = |listed: &ListedTarget| Target {
        name: listed.name.clone(),
        server: listed.server.clone().unwrap_or_else(|| first_server.to_owned()),
        database: listed.database.clone(),
        schema: listed.schema.clone(),
        labels: listed.labels.clone(),
    };
    list.iter().map(target).collect()
}

/// Each once, in the order of their keys, and without those that are excluded. Of two that name one place the first counts, with the
/// labels of both. Two places of one name are refused, since one of them would never be migrated. A listing that is cut off would look like targets that are gone, so too many are refused.
pub fn together(found: Vec<Target>, exclude: &[String]) -> Result<Vec<Target>, Problem> {
    let mut by_key: BTreeMap<String, Target> = BTreeMap::new();
    let mut places = BTreeSet::new();
    for target in found {
        if exclude.iter().any(|pattern| matches(pattern, &target.name)) {
            continue;
        }
        let key = target.key();
        let place = (target.server.clone(), target.database.clone(), target.schema.clone());
        if let Some(known) = by_key.get_mut(&key) {
            if (&known.database, &known.schema) != (&target.database, &target.schema) {
                let (name, server) = (text::clean(&target.name, 64), &target.server);
                let message = format!(
                    "spec.targets has two databases or schemas named {name} on server {server}; give them different names"
                );
                return Err(Problem::new(Reason::InvalidSpec, message));
            }
            known.labels.extend(target.labels);
        } else if places.insert(place) {
            by_key.insert(key, target);
        }
    }
    if by_key.len() > MOST_TARGETS {
        let message =
            format!("spec.targets has more than {MOST_TARGETS} databases or schemas; split the set, or exclude some");
        return Err(Problem::new(Reason::InvalidSpec, message));
    }
    Ok(by_key.into_values().collect())
}

/// Whether a name is one of a pattern in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(place) => rest = rest.get(place + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, is) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abde", false),
            ("*", "", true),
            ("ab*ba", "aba", false),
        ] {
            assert_eq!(matches(pattern, name), is, "{pattern} {name}");
        }
    }

    #[test]
    fn each_target_is_there_once() {
        let mut found = schemas("main", vec!["b".into(), "a".into(), "old_1".into()]);
        let labels = BTreeMap::from([("tier".to_owned(), "internal".to_owned())]);
        found.push(Target { labels: labels.clone(), ..schemas("main", vec!["a".into()]).remove(0) });
        found.push(Target { name: "again".into(), ..schemas("main", vec!["b".into()]).remove(0) });
        let targets = together(found, &["old_*".to_owned()]).unwrap();
        let many = (0..=MOST_TARGETS).map(|n| format!("t{n}")).collect();
        assert!(together(schemas("main", many), &[]).unwrap_err().message.contains("10000"));
        assert_eq!(targets.iter().map(Target::key).collect::<Vec<_>>(), ["main/a", "main/b"]);
        assert_eq!(targets[0].labels, labels);
    }

    #[test]
    fn two_places_of_one_name_are_refused() {
        let mut found = schemas("main", vec!["acme".into()]);
        found.extend(databases("main", vec!["acme".into()]));
        let problem = together(found.clone(), &[]).unwrap_err();
        assert_eq!(problem.reason, Reason::InvalidSpec);
        assert!(problem.message.contains("named acme on server main"), "{}", problem.message);
        found[1].server = "other".into();
        assert_eq!(together(found, &[]).unwrap().len(), 2);
    }

    #[test]
    fn other_columns_of_a_query_are_labels() {
        let row =
            |pairs: &[(&str, &str)]| Some(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect());
        let found = queried("main", vec![row(&[("name", "acme"), ("schema", "t1"), ("tier", "internal")])]).unwrap();
        assert_eq!((found[0].schema.as_deref(), found[0].labels["tier"].as_str()), (Some("t1"), "internal"));
        assert!(queried("main", vec![row(&[("schema", "t1")])]).is_err());
        assert!(queried("main", vec![None]).unwrap_err().message.contains("1024 bytes"));
    }
}
