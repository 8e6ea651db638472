//! Transactions and settings, and which functions do nothing but compute; no I/O.

use super::{Effect, Hazard, Kind, Reading, Subject};
use crate::lint::{Code, Dialect, cursor::Cursor};

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
    if at.eat("BEGIN NOT ATOMIC") {
        reading.kind = Kind::Unknown;
        reading.unclear("a block of procedural code");
    } else if at.at("BEGIN") || at.at("START") {
        if at.eat("START") && !at.at("TRANSACTION") {
            reading.unclear(format!("START {} is not known to be harmless", at.shown()));
        }
        reading.effects.push(Effect::Begin);
    } else if at.at_any(&["COMMIT", "END", "ROLLBACK", "ABORT"]) {
        if at.mentions("TO") || at.mentions("PREPARED") {
            if let Some(mut to) = at.after("TO") {
                let _ = to.eat("SAVEPOINT");
                reading.effects.extend(to.part().map(Effect::RollbackTo));
            }
            if at.mentions("PREPARED") {
                reading.unclear("a prepared transaction holds what this file does not show");
            }
            return reading;
        }
        reading.effects.push(if at.at_any(&["ROLLBACK", "ABORT"]) { Effect::Rollback } else { Effect::Commit });
        if at.has("AND CHAIN") {
            reading.effects.push(Effect::Begin);
        }
    } else if at.eat("SAVEPOINT") {
        reading.effects.extend(at.part().map(Effect::Savepoint));
    } else if at.eat("USE") {
        reading.effects.extend(at.part().map(Effect::Schema));
    } else if at.eat("PRAGMA") {
        pragma(at, &mut reading);
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
            waits_for_ever(&name, &mut reading);
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
    let standard = name == "standard_conforming_strings" && at.mentions("ON");
    if token.text.starts_with('@') && !token.text.starts_with("@@") {
        // A variable may hold SQL for PREPARE.
        super::scan::into(reading, &at, 0);
    } else if globally || !(standard || zone || holds(SETTINGS, &name)) {
        reading.unclear(format!("the setting {name} may change what later statements do"));
    } else if LOCK_LIMITS.contains(&name.as_str()) && is_no_limit(&at) {
        waits_for_ever(&name, reading);
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

fn waits_for_ever(name: &str, reading: &mut Reading) {
    let message = format!(
        "{name} is taken away: a later statement may wait for a table without end, and who comes after it waits too"
    );
    reading.hazards.push(Hazard::new(Code::B09, Subject::Nothing, message));
}

fn pragma(mut at: Cursor<'_>, reading: &mut Reading) {
    let shown = at.shown();
    let Some(name) = at.name() else { return };
    if name.name == "foreign_keys" && !at.is_done() {
        let on = ["ON", "1", "TRUE", "YES"]
            .iter()
            .any(|word| at.mentions(word) || at.tokens.iter().any(|t| t.text == *word));
        reading.effects.push(Effect::ForeignKeys(on));
    } else if !holds(PRAGMAS, &name.name) {
        reading.unclear(format!("PRAGMA {shown} is not known to be harmless"));
    }
}

/// Functions that only compute, or give out the next value of a sequence.
const PURE: &str = "
    abs adddate addtime age any_value ascii avg bin bin_to_uuid inet6_aton inet6_ntoa inet_aton inet_ntoa levenshtein
    phraseto_tsquery plainto_tsquery point pg_current_xact_id sec_to_time setweight time_to_sec timezone
    ts_headline ts_rank ts_rank_cd txid_current uuid_ns_dns uuid_ns_oid uuid_ns_url uuid_ns_x500 websearch_to_tsquery bit_and bit_count bit_length bit_or bit_xor bool_and
    bool_or btrim cardinality cast ceil ceiling changes char char_length character_length chr clock_timestamp
    coalesce col_description concat concat_ws conv convert convert_tz cos count crc32 crypt cume_dist curdate
    current_database current_date current_schema current_schemas current_setting current_time current_timestamp
    current_user currval curtime database date date_add date_bin date_format date_part date_sub date_trunc datediff
    daterange datetime day dayname dayofmonth dayofweek dayofyear decode dense_rank digest elt encode every exists
    exp extract field find_in_set first_value floor format format_type from_base64 from_unixtime gen_random_bytes
    gen_random_uuid gen_salt generate_series generate_subscripts get_byte glob greatest group_concat
    has_schema_privilege has_table_privilege hashtext hex hour hstore if ifnull iif initcap insert instr int4range
    int8range is_uuid isfinite isnull julianday justify_days lag last_day last_insert_id last_insert_rowid
    last_value lastval lcase lead least left length like ln localtime localtimestamp locate log log10 log2 lower
    lpad ltree ltrim make_date make_interval make_time make_timestamp make_timestamptz makedate max md5 mid min
    minute mod month monthname name_const nextval now nth_value ntile nullif num_nonnulls num_nulls numrange nvl
    obj_description octet_length ord overlay percent_rank percentile_cont percentile_disc pg_relation_size
    pg_size_pretty pg_table_is_visible pg_table_size pg_total_relation_size pg_type_is_visible pg_typeof pi position
    pow power printf quarter quote quote_ident quote_literal quote_nullable rand random randomblob rank repeat
    replace reverse right round row row_number row_to_json rpad rtrim schema second sequence session_user set_byte
    sha sha1 sha2 sha224 sha256 sha384 sha512 sign similarity sin space split_part sqlite_version sqrt starts_with
    statement_timestamp stddev str_to_date strcmp strftime string_agg string_to_array strpos subdate substr
    substring substring_index subtime sum sysdate tan time timeofday timestamp timestampadd timestampdiff to_base64
    to_char to_date to_days to_hex to_json to_jsonb to_number to_seconds to_timestamp to_tsquery to_tsvector total
    total_changes transaction_timestamp translate treat trim trunc truncate tsrange tstzrange typeof ucase unaccent
    unhex unicode unix_timestamp unnest upper user utc_date utc_time utc_timestamp uuid uuid_generate_v1
    uuid_generate_v1mc uuid_generate_v4 uuid_generate_v5 uuid_to_bin uuidv4 uuidv7 values variance version week
    weekday width_bucket xmlelement year zeroblob
";

/// The same of families, whose first words functions of the user may share.
const PURE_FAMILIES: &[(&str, &str)] = &[
    (
        "array_",
        "agg append cat dims fill length lower ndims position positions prepend remove replace reverse sample shuffle
        sort to_json to_string to_tsvector upper",
    ),
    (
        "json_",
        "agg agg_strict array array_append array_elements array_elements_text array_insert array_length arrayagg
        array_intersect build_array build_object compact contains contains_path depth detailed each each_text equals
        error_position exists extract extract_path extract_path_text group_array group_object insert keys length loose
        merge merge_patch merge_preserve normalize object object_agg object_agg_strict object_agg_unique
        object_agg_unique_strict object_keys objectagg overlaps patch populate_record populate_recordset pretty query
        quote remove replace scalar schema_valid schema_validation_report search serialize set storage_size
        strip_nulls table to_record to_recordset tree type typeof unquote valid value",
    ),
    (
        "jsonb_",
        "agg agg_strict array array_elements array_elements_text array_length build_array build_object each each_text
        exists extract extract_path extract_path_text group_array group_object insert object object_agg
        object_agg_strict object_agg_unique object_agg_unique_strict object_keys patch path_exists path_exists_tz
        path_match path_match_tz path_query path_query_array path_query_array_tz path_query_first path_query_first_tz
        path_query_tz populate_record populate_recordset pretty remove replace set set_lax strip_nulls to_record
        to_recordset to_tsvector typeof",
    ),
    ("range_", "agg intersect_agg merge"),
    ("regexp_", "count instr like match matches replace split_to_array split_to_table substr"),
    ("to_reg", "class collation namespace oper operator proc procedure role type typemod"),
    (
        "pg_get_",
        "constraintdef expr function_arguments function_identity_arguments function_result functiondef indexdef
        keywords partkeydef ruledef serial_sequence statisticsobjdef triggerdef userbyid viewdef",
    ),
    (
        "st_",
        "area asbinary asewkb asewkt asgeojson astext aswkb aswkt azimuth boundary buffer centroid collect contains
        convexhull coveredby covers crosses difference dimension disjoint distance distance_sphere distancesphere
        dwithin endpoint envelope equals exteriorring force2d force3d forcerhr geogfromtext geohash geometryn
        geometrytype geomfromewkb geomfromewkt geomfromgeojson geomfromtext geomfromwkb geometryfromtext
        interiorringn intersection intersects isclosed isempty issimple isvalid isvalidreason latfromgeohash latitude
        length linefromtext linestringfromtext longfromgeohash longitude makeenvelope makeline makepoint makepolygon
        makevalid mpointfromtext multi npoints numgeometries numinteriorrings numpoints overlaps perimeter point
        pointfromgeohash pointfromtext pointn pointonsurface polyfromtext polygon polygonfromtext segmentize
        setsrid simplify simplifypreservetopology snaptogrid srid startpoint swapxy symdifference touches transform
        translate union within x xmax xmin y ymax ymin z",
    ),
];

/// What is wrong with calling these functions.
pub(in crate::lint) fn calls_hazard(calls: &[String], dialect: Dialect) -> Option<Hazard> {
    let unknown = calls.iter().map(|name| name.to_lowercase()).find(|name| !is_pure(name))?;
    let doubt =
        if dialect == Dialect::Sqlite { "is not one of SQLite's harmless functions" } else { "may do anything" };
    let message = crate::text::clean(&format!("it calls {unknown}, which {doubt}"), 200);
    Some(Hazard::new(Code::O02, Subject::Nothing, message))
}

fn is_pure(name: &str) -> bool {
    let name = name.strip_prefix("pg_catalog.").unwrap_or(name);
    !name.contains('.') && (holds(PURE, name) || is_of_family(name))
}

fn is_of_family(name: &str) -> bool {
    let rest = |family: &str, members: &str| name.strip_prefix(family).is_some_and(|rest| holds(members, rest));
    PURE_FAMILIES.iter().any(|(family, members)| rest(family, members))
}
