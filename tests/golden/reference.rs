//! The pages that are generated from the code: reasons, hazards, the API, the command line; no network.

use super::{generated, markdown::anchor};
use alembic_operator::{
    api::{DurationField, Reason, ReasonKind},
    cli::{self, Cli},
    lint::Code,
};
use clap::{Command, CommandFactory};
use serde_json::Value;

/// The first lines of a generated page.
pub fn page(title: &str, source: &str, introduction: &str) -> String {
    format!(
        "<!-- Generated from {source} by tests/golden. To write it again: make crds -->\n\n# {title}\n\n{introduction}\n"
    )
}

/// One line of a table: a line break or a bar would end the cell.
pub fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|").replace('<', "&lt;")
}

#[test]
fn reasons_have_their_page() {
    let groups = [
        (ReasonKind::Ready, "The database is at its target"),
        (ReasonKind::Working, "The operator works, or it passes by itself"),
        (ReasonKind::Late, "May still come"),
        (ReasonKind::Held, "Held by you"),
        (ReasonKind::Stalled, "Waits for a change"),
    ];
    let introduction = "The STATUS column shows the reason of the Ready condition. The message of the condition has the details:\n\
        `kubectl describe dbmigration NAME`. Each reason has an anchor, its name in lower case.\n";
    let mut text = page("Reasons", "src/api/reasons.rs", introduction);
    for (kind, title) in groups {
        text += &format!("## {title}\n\n");
        let sets = match kind {
            ReasonKind::Ready => "Ready is True.",
            ReasonKind::Working => "Ready is False, Reconciling is True.",
            ReasonKind::Late => {
                "Ready is False. Reconciling is True for the first five minutes, since it may still pass by itself; after that\nStalled is True. The operator checks again by itself, and goes on once it is fixed."
            }
            ReasonKind::Held => "Ready is False. It stays so until you let it go on.",
            ReasonKind::Stalled => {
                "Ready is False, Stalled is True. The operator checks again by itself, and goes on once it is fixed."
            }
        };
        text += &format!("{sets}\n\n");
        for reason in Reason::ALL.iter().filter(|reason| reason.kind() == kind) {
            text += &format!("### {reason}\n\n{}\n\n", reason.advice());
        }
    }
    generated("docs/src/reasons.md", &format!("{}\n", text.trim_end()));
}

#[test]
fn durations_have_their_page() {
    let introduction = "Durations are made of hours, minutes and seconds in this order: `1h30m`, `45s`. The API server refuses one that is out of\n\
        bounds; one that an older CRD let through counts as the nearest that is not.\n";
    let mut text = page("Durations", "src/api/duration.rs", introduction);
    text += "| field | least | most | default |\n|---|---|---|---|\n";
    for field in DurationField::ALL {
        text += &format!("{}\n", field.row());
    }
    generated("docs/src/durations.md", &text);
}

#[test]
fn hazards_have_their_page() {
    let groups = [
        ('D', "loses data"),
        ('B', "blocks"),
        ('C', "breaks clients"),
        ('F', "fails or stops half-way"),
        ('I', "cannot be undone"),
        ('O', "cannot be judged"),
    ];
    let introduction = "A hazard is something in a plan that a person should know before it runs. Its code has an anchor, in lower case.\n\
        What is known of the tables can make it better or worse than the severity here.\n\n\
        | severity | with the default policy |\n|---|---|\n\
        | critical, high | the plan waits for an [approval](plan.md) |\n| medium, low | shown |\n";
    let mut text = page("Hazards", "src/lint/codes.rs", introduction);
    for (letter, title) in groups {
        text += &format!("## {letter}: {title}\n\n| code | severity | what the statement does |\n|---|---|---|\n");
        let codes: Vec<&Code> = Code::ALL.iter().filter(|code| code.as_str().starts_with(letter)).collect();
        for code in &codes {
            let name = code.as_str();
            text += &format!("| [{name}](#{}) | {} | {} |\n", anchor(name), code.severity(), cell(code.title()));
        }
        text += "\n";
        for code in codes {
            text +=
                &format!("### {}\n\n{}: {}.\n\n{}\n\n", code.as_str(), code.severity(), code.title(), code.advice());
        }
    }
    generated("docs/src/hazards.md", &format!("{}\n", text.trim_end()));
}

#[test]
fn the_api_has_its_page() {
    let crd: Value = serde_yaml::from_str(&cli::crd().unwrap()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"];
    let introduction = "`DatabaseMigration`, group `alembic-operator.dev`, version `v1alpha1`, namespaced. Short names: `dbmigrations`,\n\
        `dbmigration`, `dbm`. The same is printed by `kubectl explain dbmigration.spec --recursive`.\n\n\
        A field marked * is required. Durations are written as `1h30m` or `45s`.\n";
    let mut text = page("API", "the CRD", introduction);
    object(&schema["spec"], "spec", &mut text);
    object(&schema["status"], "status", &mut text);
    generated("docs/src/api.md", &format!("{}\n", text.trim_end()));
}

/// A section for an object, and one for each object in it.
fn object(schema: &Value, path: &str, text: &mut String) {
    let level = if path.contains('.') { "###" } else { "##" };
    *text += &format!("{level} {path}\n\n{}\n\n", cell(schema["description"].as_str().unwrap_or_default()));
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        if let Some(message) = rule["message"].as_str() {
            *text += &format!("- Rule: {}\n", cell(message));
        }
    }
    *text += "\n| field | type | meaning |\n|---|---|---|\n";
    let properties = schema["properties"].as_object();
    for (name, field) in properties.into_iter().flatten() {
        let required = schema["required"].as_array().is_some_and(|fields| fields.iter().any(|field| field == name));
        let star = if required { " *" } else { "" };
        let shown = match part(field) {
            Some(_) => format!("[`{name}`](#{})", anchor(&inner_path(path, name, field))),
            None => format!("`{name}`"),
        };
        *text += &format!(
            "| {shown}{star} | {} | {} |\n",
            kind(field),
            cell(field["description"].as_str().unwrap_or_default())
        );
    }
    *text += "\n";
    for (name, field) in properties.into_iter().flatten() {
        if let Some(part) = part(field) {
            object(part, &inner_path(path, name, field), text);
        }
    }
}

fn inner_path(path: &str, name: &str, field: &Value) -> String {
    format!("{path}.{name}{}", if field["type"] == "array" { "[]" } else { "" })
}

/// The object in a field, or in its items.
fn part(field: &Value) -> Option<&Value> {
    [field, &field["items"]].into_iter().find(|schema| schema.get("properties").is_some())
}

fn kind(field: &Value) -> String {
    if let Some(words) = field["enum"].as_array() {
        let words: Vec<_> = words.iter().filter_map(Value::as_str).collect();
        return cell(&if words.len() > 8 { "a code".to_owned() } else { words.join(", ") });
    }
    match field["type"].as_str() {
        Some("array") => format!("list of {}", kind(&field["items"])),
        Some("object") if field.get("additionalProperties").is_some() => "map".to_owned(),
        Some("string") if field["format"] == "date-time" => "time".to_owned(),
        Some("string") if field["pattern"].as_str().is_some_and(|p| p.contains("h)?([0-9]+m")) => "duration".to_owned(),
        other => other.unwrap_or("any").to_owned(),
    }
}

#[test]
fn the_command_line_has_its_page() {
    let command = Cli::command();
    let introduction = "`alembic-operator` is one binary: the operator, and commands that need no cluster.\n";
    let mut text = page("Command line", "src/cli", introduction);
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        arguments(subcommand, &mut text);
    }
    generated("docs/src/cli.md", &format!("{}\n", text.trim_end()));
}

/// The page of the kubectl plugin: what it shows, as its own tests keep it, and what it takes.
#[test]
fn the_page_of_the_plugin_is_generated_from_its_arguments() {
    let introduction = "`kubectl dbmigration` is a second binary, `kubectl-dbmigration` on the PATH. It reads with your own rights: the role `view` \
        is enough. `approve`, `reject`, `promote`, `retry`, `suspend`, `resume` and `accept-drift` patch an annotation of the object. `revision`, \
        `merge` and `drift -o revision` create a Job and delete it again ([rights](rbac.md#for-people)).\n\n\
        Flags as kubectl's: `-n`, `-A`, `-l`, `--context`, `--kubeconfig`. Colours end where a pipe begins, and with `NO_COLOR`. Exit codes of `status`, \
        `wait` and `approve`: 0 ready, 1 stalled, 3 waits for somebody, 4 at work; 2 where the question could not be asked.\n\n\
        A name is that of a DatabaseMigration, or else of a [set](sets.md); `set/NAME` is the set where both are there. `status`, `plan`, `approve`, `reject`, \
        `logs`, `retry`, `suspend`, `resume` and `wait` take both.\n\n\
        ## What it shows\n\n";
    let mut text = page("The kubectl plugin", "src/plugin", introduction);
    for (command, file) in [
        ("status -A", "status-all.txt"),
        ("status shop", "status-awaiting.txt"),
        ("plan shop", "plan.txt"),
        ("graph shop", "graph.txt"),
        ("history contacts", "history.txt"),
        ("drift ledger", "drift.txt"),
        ("target shop -- -2", "target.txt"),
        ("revision shop -m orders", "revision.txt"),
        ("status set/tenants", "set-failed.txt"),
    ] {
        text += &format!(
            "```text\n$ kubectl dbmigration {command}\n{{{{#include ../../src/plugin/snapshots/{file}}}}}\n```\n\n"
        );
    }
    text += "## The next revision, written for you\n\n`revision`, `merge` and `drift -o revision` have Alembic itself write the file, in the object's image (or `--image`) \
        and with the project's own env.py: `include_object`, `process_revision_directives`, `file_template`, `version_locations` and the template count as they do \
        for `alembic revision --autogenerate`. A Job does it, in a pod as that of every other Job of the object; it reads the database and changes nothing, and is \
        deleted at the end. The file goes to standard output or into the folder of `--out`, what to check to standard error. `post_write_hooks` are not run.\n\n\
        | command | writes |\n|---|---|\n\
        | `revision NAME -m TEXT` | what the models have and the database has not; the database has to be at the image's head |\n\
        | `drift NAME -o revision --keep` | what was changed by hand, so that every database gets it; change the models as well |\n\
        | `drift NAME -o revision --roll-back` | what undoes it |\n\
        | `merge NAME` | the revision that joins the image's heads; it needs no connection |\n\n\
        Each statement of a `drift` revision is told to do nothing where it is done already (`if_not_exists`, `if_exists`), as far as the image's Alembic and the \
        server know that; the others are in the review list.\n\n";
    text += "## The page\n\n`kubectl dbmigration ui` serves a page on 127.0.0.1 until it is stopped. Its address has a token that is made anew at each start; it only \
        reads, runs no JavaScript and loads nothing from elsewhere.\n\n![All objects](pictures/all.png)\n\n![One object](pictures/shop.png)\n\n";
    for subcommand in alembic_operator::plugin::cli::Cli::command().get_subcommands() {
        if subcommand.get_name() != "help" && !subcommand.is_hide_set() {
            arguments(subcommand, &mut text);
        }
    }
    generated("docs/src/plugin.md", &format!("{}\n", text.trim_end()));
}

fn arguments(command: &Command, text: &mut String) {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    *text += &format!("## {}\n\n{about}\n\n", command.get_name());
    let known: Vec<_> =
        command.get_arguments().filter(|argument| !matches!(argument.get_id().as_str(), "help" | "version")).collect();
    if known.is_empty() {
        return;
    }
    *text += "| argument | default | meaning |\n|---|---|---|\n";
    for argument in known {
        let name = match argument.get_long() {
            Some(long) => format!("`--{long}`"),
            None => format!("`{}`", argument.get_id().as_str().to_uppercase()),
        };
        let default: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        let default = if default.is_empty() { String::new() } else { format!("`{}`", default.join(",")) };
        let words: Vec<_> = argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
        let is_switch = words == ["true", "false"];
        let words =
            if words.is_empty() || is_switch { String::new() } else { format!(" One of {}.", words.join(", ")) };
        let variable =
            argument.get_env().map(|name| format!(" Variable `{}`.", name.to_string_lossy())).unwrap_or_default();
        let help = argument.get_long_help().or(argument.get_help()).map(ToString::to_string).unwrap_or_default();
        let stop = if help.ends_with('.') { "" } else { "." };
        let default = if is_switch { String::new() } else { default };
        *text += &format!("| {name} | {default} | {}{stop}{words}{variable} |\n", cell(&help));
    }
    *text += "\n";
}
