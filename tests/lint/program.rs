//! `alembic-operator lint` as a person runs it: exit codes, encodings, and what other programs read.

use crate::section;
use alembic_operator::lint::{
    Code, Dialect, Fact, Input, Severity, lint,
    output::{self, Places},
};
use serde_json::Value;
use std::{
    io::Write as _,
    process::{Command, Stdio},
};

/// Runs the program on standard input: its exit code, and what it prints.
fn program(args: &[&str], sql: &str) -> (i32, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_alembic-operator"))
        .args(["lint"].iter().chain(args))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A program that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(sql.as_bytes());
    let out = child.wait_with_output().unwrap();
    (out.status.code().unwrap(), String::from_utf8(out.stdout).unwrap())
}

#[test]
fn the_exit_code_says_what_was_found() {
    let code = |more: &[&str], sql: &str| program(&[&["-", "--dialect", "postgresql"], more].concat(), sql).0;
    assert_eq!(code(&[], "SELECT 1"), 0);
    assert_eq!(code(&[], "DROP TABLE x"), 1);
    assert_eq!(code(&[], "SELECT x()"), 0);
    assert_eq!(code(&["--fail-on", "medium"], "SELECT x()"), 1);
    assert_eq!(code(&[], "CALL x()"), 1);
    assert_eq!(code(&["--fail-on", "never"], "DROP TABLE x"), 0);
    assert_eq!(code(&["--allow", "D01=archived"], "DROP TABLE x"), 0);
    assert_eq!(code(&["--version-table", "x"], "DELETE FROM x WHERE version_num = 'a'"), 0);
    assert_eq!(code(&["--allow", "D01"], ""), 2);
    assert_eq!(program(&["-"], "").0, 2);
    assert_eq!(program(&["-", "--dialect", "oracle"], "").0, 2);
    assert_eq!(program(&["/nowhere/x.sql", "--dialect", "sqlite"], "").0, 2);
    assert_eq!(program(&["-", "--dialect", "postgres"], "DROP TABLE x").0, 1);
}

/// What can't be used says what to write instead.
#[test]
fn a_wrong_command_line_is_told_what_is_wrong() {
    let project = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
    let refused = |args: &[&str]| {
        let command = &mut Command::new(env!("CARGO_BIN_EXE_alembic-operator"));
        let out = command.arg("lint").args(args).stdin(Stdio::null()).env_remove("NOTHING").output().unwrap();
        assert_eq!(out.status.code(), Some(2), "{args:?}");
        String::from_utf8(out.stderr).unwrap()
    };
    for (args, told) in [
        (&["-", "--dialect", "postgres", "--url-env", "NOTHING"][..], "the variable NOTHING is not set"),
        (&["--project", "/nowhere"], "/nowhere is no folder"),
        (&["--project", project, "--range", "base"], "--range is FROM:TO"),
        (&["--project", project, "--python", "/nowhere/python3"], "--python names another"),
        (&["--project", project, "--python", "/bin/false"], "the runner left no report"),
    ] {
        let said = refused(args);
        assert!(said.contains(told) && said.trim_end().lines().count() == 1, "{args:?}: {said}");
    }
}

#[test]
fn a_file_in_another_encoding_is_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let code = |bytes: &[u8]| {
        let file = folder.path().join("x.sql");
        std::fs::write(&file, bytes).unwrap();
        program(&[file.to_str().unwrap(), "--dialect", "postgresql"], "").0
    };
    let sql = "-- Größe\r\nDROP TABLE x;\r\n";
    let little: Vec<u8> = sql.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let big: Vec<u8> = sql.encode_utf16().flat_map(u16::to_be_bytes).collect();
    assert_eq!(code(&[&[0xff, 0xfe], &little[..]].concat()), 1);
    assert_eq!(code(&[&[0xfe, 0xff], &big[..]].concat()), 1);
    assert_eq!(code(&[&[0xef, 0xbb, 0xbf], sql.as_bytes()].concat()), 1);
    assert_eq!(code(b"-- Gr\xf6\xdfe\nDROP TABLE x"), 1);
    assert_eq!((code(&little), code(&big)), (2, 2));
}

#[test]
fn json_and_sarif_have_what_programs_read() {
    let sql = "SELECT 1;\nDROP TABLE `a b`;\nALTER TABLE t DROP INDEX i";
    let printed = |format: &str| -> Value {
        serde_json::from_str(&program(&["-", "--dialect", "mysql", "--format", format], sql).1).unwrap()
    };
    let json = printed("json");
    let keys = ["code", "severity", "line", "statement", "table", "message"];
    assert!(json.as_array().unwrap().iter().all(|f| keys.iter().all(|key| !f[key].is_null())), "{json:#}");
    let first = &json[0];
    assert_eq!((&first["code"], &first["severity"], &first["line"]), (&"D01".into(), &"critical".into(), &2.into()));
    assert_eq!(first["table"], "a b");
    let sarif = printed("sarif");
    let run = &sarif["runs"][0];
    assert_eq!(sarif["version"], "2.1.0");
    let result = &run["results"][0];
    let rule = &run["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
    assert_eq!((&rule["id"], &result["ruleId"], &result["level"]), (&"D01".into(), &"D01".into(), &"error".into()));
    assert_eq!(result["locations"][0]["physicalLocation"]["region"]["startLine"], 2);
}

#[test]
fn a_finding_of_a_project_is_in_the_file_of_its_revision() {
    let fact = |id: &str| Fact {
        code: Code::O04,
        severity: Severity::Low,
        revision: id.into(),
        message: "merges".into(),
        table: None,
        statement: String::new(),
    };
    let sections = vec![section("a1", "\nDROP TABLE t")];
    let input = Input { sections, facts: vec![fact("b2")], ..Input::file(Dialect::PostgreSql, "") };
    let report = lint(&input).unwrap();
    let file = |id: &str| (id.to_owned(), format!("db/versions/{id}.py"));
    let places = Places { name: "db".into(), revisions: ["a1", "b2"].map(file).into() };
    let text = output::text(&report, &places);
    assert!(text.starts_with("db/versions/a1.py: critical D01 in revision a1"), "{text}");
    assert!(text.contains("db/versions/b2.py: low O04 in revision b2: joins branches\n    why: merges"), "{text}");
    assert_eq!(output::json(&report, &places)[1]["file"], "db/versions/b2.py");
    let found = &output::sarif(&report, &places)["runs"][0]["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(
        (&found["artifactLocation"]["uri"], &found["region"]["startLine"]),
        (&"db/versions/a1.py".into(), &1.into())
    );
    // A line counts from 1, also of what is about the whole file.
    let sarif = output::sarif(&report, &Places::file("f")).to_string();
    assert!(!sarif.contains("\"startLine\":0"), "{sarif}");
}
