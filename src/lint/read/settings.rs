//! Transactions and settings, and calls of functions; no I/O.

use super::{Effect, Kind, Reading, Subject};
use crate::lint::{
    Dialect, Severity,
    cursor::{Cursor, Name},
    functions::is_harmless,
    operation::Operation,
    tokens::Token,
};

/// Settings that change nothing about what later statements mean.
const SETTINGS: &str = "
    application_name autocommit character character_set_client character_set_connection character_set_results
    charset check_function_bodies client_encoding client_min_messages collation_connection constraints datestyle
    deadlock_timeout default_storage_engine default_table_access_method default_tablespace default_with_oids foreign_key_checks
    group_concat_max_len idle_in_transaction_session_timeout innodb_lock_wait_timeout innodb_strict_mode
    interactive_timeout intervalstyle jit local lock_timeout lock_wait_timeout maintenance_work_mem
    max_execution_time max_parallel_maintenance_workers max_statement_time names net_read_timeout net_write_timeout
    old_alter_table row_security sql_notes sql_safe_updates statement_timeout synchronous_commit temp_buffers time_zone timezone
    transaction transaction_timeout unique_checks vacuum_cost_delay wait_timeout work_mem xmloption
";

const PRAGMAS: &str = "
    analysis_limit busy_timeout cache_size case_sensitive_like database_list defer_foreign_keys encoding
    foreign_key_check foreign_key_list foreign_keys index_info index_list index_xinfo integrity_check journal_mode
    legacy_alter_table optimize page_size quick_check recursive_triggers synchronous table_info table_list
    table_xinfo temp_store user_version wal_checkpoint
";

/// A word is one of a list.
fn holds(list: &str, word: &str) -> bool {
    list.split_whitespace().any(|listed| listed == word)
}

pub(super) fn read(mut at: Cursor<'_>) -> Reading {
    let mut reading = Reading::of(Kind::Session);
    let whole = at.clone();
    if at.at("BEGIN") || at.at("START") {
        if at.eat("START") && !at.at("TRANSACTION") {
            reading.unclear(format!("START {} is not known to be harmless", at.shown()));
        }
        reading.effects.push(Effect::Begin);
    } else if at.at_any(&["COMMIT", "END", "ROLLBACK", "ABORT"]) {
        let mut rest = at.clone();
        rest.skip();
        let _ = rest.eat_any(&["WORK", "TRANSACTION"]);
        if rest.eat("TO") {
            let _ = rest.eat("SAVEPOINT");
            reading.effects.extend(rest.part().map(Effect::RollbackTo));
            return reading;
        }
        if rest.at("PREPARED") {
            reading.unclear("a prepared transaction holds what this file does not show");
            return reading;
        }
        reading.effects.push(if at.at_any(&["ROLLBACK", "ABORT"]) { Effect::Rollback } else { Effect::Commit });
        if at.closes("AND CHAIN") {
            reading.effects.push(Effect::Begin);
        }
    } else if at.eat("SAVEPOINT") {
        reading.effects.extend(at.part().map(Effect::Savepoint));
    } else if at.eat("USE") {
        reading.effects.extend(at.part().map(Effect::Schema));
    } else if at.eat("PRAGMA") {
        pragma(at, &mut reading);
    } else if at.dialect == Dialect::MariaDb && at.at("SET STATEMENT") {
        // Settings for one statement.
        let run = at.clauses(&["FOR"]).get("FOR");
        return run.map_or(reading, super::read_one);
    } else if at.eat("SET") {
        // In PostgreSQL a comma parts values, elsewhere settings.
        for item in if super::is_postgres(&at) { vec![at] } else { at.list() } {
            set(item, &mut reading);
        }
    } else if at.eat("RESET") {
        let name = at.part().unwrap_or_default().to_lowercase();
        if !holds(SETTINGS, &name) {
            reading.unclear(format!("{} changes how later statements are read", whole.shown()));
        } else if LOCK_LIMITS.contains(&name.as_str()) {
            waits_for_ever(&name, at.dialect, &mut reading);
        }
    }
    reading
}

fn set(mut at: Cursor<'_>, reading: &mut Reading) {
    let _ = at.eat_any(&["LOCAL", "SESSION", "@@SESSION .", "@@LOCAL ."]);
    if at.eat("search_path") || at.eat("SCHEMA") {
        at.skip();
        let own = |name: &String| name != "$user";
        let first = at.list().into_iter().filter_map(|mut item| item.part()).find(own);
        reading.effects.push(Effect::Schema(first.unwrap_or_default()));
        return;
    }
    let Some(token) = at.tokens.first() else { return };
    let name = token.text.trim_start_matches("@@").to_lowercase();
    let globally = at.at("GLOBAL") || at.at("PERSIST") || at.at("@@GLOBAL");
    // PostgreSQL's other way to say timezone.
    let zone = at.at("TIME ZONE");
    let standard = name == "standard_conforming_strings" && at.tokens.last().is_some_and(is_on);
    if token.text.starts_with('@') && !token.text.starts_with("@@") {
        // A variable may hold SQL for PREPARE.
        super::execute::gives_text(token.text, &at, reading);
        super::scan::into(reading, &at, 0);
    } else if globally || !(standard || zone || holds(SETTINGS, &name)) {
        reading.unclear(format!("the setting {name} may change what later statements do"));
    } else if LOCK_LIMITS.contains(&name.as_str()) && is_no_limit(&at) {
        waits_for_ever(&name, at.dialect, reading);
    }
}

/// How long a statement may wait for a table.
const LOCK_LIMITS: &[&str] = &["lock_timeout", "lock_wait_timeout"];
/// More seconds are as good as none: MySQL has no word for it, and a year by default.
const MAX_LOCK_WAIT: u64 = 3600;

/// The value is none: PostgreSQL's 0, or the server's own, which is none unless somebody set one.
fn is_no_limit(at: &Cursor<'_>) -> bool {
    let Some(value) = at.tokens.last().map(|token| token.text.trim_matches('\'')) else { return false };
    let number = value.trim_end_matches(|c: char| !c.is_ascii_digit()).parse::<u64>();
    match (value.eq_ignore_ascii_case("DEFAULT"), number, super::is_postgres(at)) {
        (true, ..) | (false, Ok(0), true) => true,
        (false, Ok(seconds), false) => seconds > MAX_LOCK_WAIT,
        _ => false,
    }
}

fn waits_for_ever(name: &str, dialect: Dialect, reading: &mut Reading) {
    reading.does(Subject::Nothing, Operation::LiftLockLimit { setting: name.to_owned() }, dialect);
}

/// A value that switches a setting on, with quotes or without.
fn is_on(value: &Token<'_>) -> bool {
    let value = value.text.trim_matches(['\'', '"']);
    ["on", "1", "true", "yes"].iter().any(|on| value.eq_ignore_ascii_case(on))
}

fn pragma(mut at: Cursor<'_>, reading: &mut Reading) {
    let shown = at.shown();
    let Some(name) = at.name() else { return };
    if name.name == "foreign_keys" && !at.is_done() {
        let value = at.tokens.iter().find(|t| !t.is("=") && !t.is("("));
        reading.effects.push(Effect::ForeignKeys(value.is_some_and(is_on)));
    } else if !holds(PRAGMAS, &name.name) {
        reading.unclear(format!("PRAGMA {shown} is not known to be harmless"));
    }
}

/// What is wrong with calling these functions: of one that this plan defines it is known.
pub(in crate::lint) fn calls_hazards(calls: &[String], dialect: Dialect) -> Reading {
    let mut out = Reading::default();
    let doubt =
        if dialect == Dialect::Sqlite { "is not one of SQLite's harmless functions" } else { "may do anything" };
    for call in calls.iter().take(CALLS).map(|call| call.to_lowercase()) {
        let name = Name::parse(&call);
        if call.trim_start_matches("pg_catalog.") == "setval" {
            let message = "a number of the sequence may come a second time";
            out.doubts(Severity::Low, Subject::Nothing, message);
        } else if !is_harmless(&call, dialect) {
            let message = crate::text::clean(&format!("it calls {call}, which {doubt}"), 200);
            out.doubts(Severity::Medium, super::execute::callable(name.clone()), message);
            out.effects.push(Effect::Calls(name));
        }
    }
    out
}

/// More calls of one statement are not told apart.
const CALLS: usize = 50;
