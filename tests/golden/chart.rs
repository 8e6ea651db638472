//! The chart's README, and the page of its values, are generated from values.yaml; its schema knows the same values; no
//! network.

use super::{
    generated,
    reference::{cell, page},
    root,
};
use alembic_operator::metrics::Metrics;
use serde_json::Value;
use std::{collections::BTreeMap, fs};

const CHART: &str = "charts/alembic-operator";

/// A value of the chart.
struct Row {
    key: String,
    default: String,
    meaning: String,
}

#[test]
fn the_values_have_their_page_and_the_chart_its_readme() {
    let rows = rows();
    let mut table = String::from("| value | default | meaning |\n|---|---|---|\n");
    for Row { key, default, meaning } in &rows {
        table += &format!("| `{key}` | `{}` | {} |\n", cell(default), cell(meaning));
    }
    let introduction = "What `helm install --set` and `--values` take.\n";
    let source = "charts/alembic-operator/values.yaml";
    generated("docs/src/values.md", &(page("Values of the chart", source, introduction) + &table));
    let chart: Value = serde_yaml::from_str(&read("Chart.yaml")).unwrap();
    let introduction = format!(
        "{}. Documentation: [docs/src](../../docs/src/introduction.md).\n\n\
        Kubernetes {}. The pod fits the restricted Pod Security Standard. With `watchNamespaces` the operator has a Role in those\n\
        namespaces and no right elsewhere:\n\n\
        ```\nhelm install alembic-operator charts/alembic-operator --namespace alembic-operator --create-namespace \\\n  \
        --set image.repository=registry.example.com/alembic-operator \\\n  --set watchNamespaces='{{shop,billing}}'\n```\n\n\
        Uninstalling leaves the objects and the CRD. No database is touched.\n\n## Values\n",
        chart["description"].as_str().unwrap(),
        chart["kubeVersion"].as_str().unwrap().trim_end_matches("-0").trim_start_matches(">=").to_owned() + " or newer",
    );
    generated(&format!("{CHART}/README.md"), &(page("alembic-operator", source, &introduction) + &table));
}

/// An alert over a metric that nobody serves never fires.
#[test]
fn alerts_and_the_page_on_metrics_name_what_is_served() {
    let metrics = Metrics::default();
    metrics.passed(std::time::Duration::from_millis(3));
    metrics.failed(alembic_operator::error::Class::Transient);
    metrics.ran(&alembic_operator::api::RunStatus::default());
    metrics.notified("sent");
    let served = metrics.encode().unwrap();
    let page = fs::read_to_string(root("docs/src/metrics.md")).unwrap();
    let table: String =
        page.lines().filter(|line| line.starts_with("| `alembic_operator_")).map(|line| format!("{line}\n")).collect();
    for name in names(&read("templates/alerts.yaml")).chain(names(&table)) {
        // Without an object there is no sample of one.
        let told = served.contains(&format!("\n{name}")) || served.contains(&format!("\n# TYPE {name} "));
        assert!(told, "{name} is no metric:\n{served}");
    }
    for line in served.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let name = line.split(' ').next().unwrap();
        assert!(table.contains(name), "docs/src/metrics.md lacks {name}");
    }
}

fn names(text: &str) -> impl Iterator<Item = String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("alembic_operator_")).map(str::to_owned)
}

/// A value that the schema does not know can't be set, and one that the values lack is never found.
#[test]
fn the_schema_knows_each_value() {
    let values: Value = serde_yaml::from_str(&read("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut problems = Vec::new();
    compare(&values, &schema, "", &mut problems);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn compare(values: &Value, schema: &Value, path: &str, problems: &mut Vec<String>) {
    let (Some(values), Some(known)) = (values.as_object(), schema["properties"].as_object()) else { return };
    if schema["additionalProperties"] != false {
        problems.push(format!("the schema lets anything into {path}"));
    }
    let named = |key: &str| format!("{path}.{key}");
    problems.extend(
        values.keys().filter(|key| !known.contains_key(*key)).map(|key| format!("the schema lacks {}", named(key))),
    );
    let optional = ["global", "strategy", "dnsConfig"];
    let lacking = known.keys().filter(|key| !values.contains_key(*key) && !optional.contains(&key.as_str()));
    if !optional.iter().any(|field| path.ends_with(field)) {
        problems.extend(lacking.map(|key| format!("values.yaml lacks {}", named(key))));
    }
    for (key, value) in values {
        compare(value, known.get(key).unwrap_or(&Value::Null), &named(key), problems);
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(root(CHART).join(file)).unwrap()
}

/// The values in their order. Each has a comment above it, or is a group whose values have.
fn rows() -> Vec<Row> {
    let text = read("values.yaml");
    let values: serde_yaml::Mapping = serde_yaml::from_str(&text).unwrap();
    let mut rows = Vec::new();
    collect(&values, "", &comments(&text), &mut rows);
    rows
}

fn collect(values: &serde_yaml::Mapping, above: &str, comments: &BTreeMap<String, String>, rows: &mut Vec<Row>) {
    for (key, value) in values {
        let key = format!("{above}{}", key.as_str().unwrap());
        match (comments.get(&key), value) {
            (Some(meaning), value) => {
                let default = serde_json::to_string(value).unwrap();
                rows.push(Row { key, default, meaning: meaning.clone() });
            }
            (None, serde_yaml::Value::Mapping(inner)) => collect(inner, &format!("{key}."), comments, rows),
            (None, _) => panic!("values.yaml: {key} has no comment"),
        }
    }
}

/// The comment above each key, by the key's path.
fn comments(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut path: Vec<(usize, String)> = Vec::new();
    let mut comment = String::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        match (line.trim_start().strip_prefix('#'), line.trim_start().split_once(':')) {
            (Some(part), _) => comment += &format!("{} ", part.trim()),
            (None, Some((key, _))) => {
                path.retain(|(depth, _)| *depth < indent);
                path.push((indent, key.to_owned()));
                let whole = path.iter().map(|(_, key)| key.as_str()).collect::<Vec<_>>().join(".");
                if !comment.is_empty() {
                    found.insert(whole, std::mem::take(&mut comment).trim().to_owned());
                }
            }
            (None, None) => comment.clear(),
        }
    }
    found
}
