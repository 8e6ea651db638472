//! What calling a function can do: compute, or anything. The lists beside this file come from the servers' own
//! catalogs (`functions/generate.sh`); no I/O.

use super::Dialect;
use std::{collections::HashSet, sync::LazyLock};

/// No overload of them is volatile: they change nothing, and give every row of a statement the same value.
static POSTGRESQL: LazyLock<HashSet<&str>> = LazyLock::new(|| words(include_str!("functions/postgresql.txt")));
static MARIADB: LazyLock<HashSet<&str>> = LazyLock::new(|| words(include_str!("functions/mariadb.txt")));
static SQLITE: LazyLock<HashSet<&str>> = LazyLock::new(|| words(include_str!("functions/sqlite.txt")));

/// Syntax that looks like a call; no catalog has it.
static SYNTAX: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    words(
        "array cast char coalesce collation convert current_date current_time current_timestamp current_user exists
        extract greatest grouping if insert interval json json_array json_arrayagg json_exists json_object
        json_objectagg json_query json_scalar json_serialize json_table json_value least left localtime localtimestamp
        mod normalize nullif overlay position repeat replace right row session_user substring treat trim truncate user
        values xmlconcat xmlelement xmlforest xmlparse xmlpi xmlroot xmlserialize",
    )
});

/// PostgreSQL calls these volatile: they read a clock, a sequence, a size, or draw a number, and change no row. An
/// advisory lock is for those who ask for it.
static HARMLESS_BUT_VOLATILE: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    words(
        "pg_notify clock_timestamp currval gen_random_bytes gen_random_uuid gen_salt lastval nextval pg_advisory_lock
        pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all pg_advisory_unlock_shared
        pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_backend_pid pg_database_size pg_indexes_size
        pg_relation_size pg_table_size pg_total_relation_size pg_try_advisory_lock pg_try_advisory_lock_shared
        pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared random random_normal setseed timeofday
        uuid_generate_v1 uuid_generate_v1mc uuid_generate_v4 uuidv4 uuidv7",
    )
});

/// Newer than the server that made the list, or of one that has no list: MySQL 8, PostgreSQL 16 to 18.
static NEWER: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    words(
        "any_value array_reverse array_sample array_shuffle array_sort bin_to_uuid day grouping hour inet6_aton
        inet6_ntoa is_uuid json_array_insert json_array_intersect json_error_position json_object_agg_strict
        json_object_agg_unique json_schema_valid json_schema_validation_report json_storage_free json_storage_size
        jsonb_object_agg_strict jsonb_object_agg_unique member minute month now regexp_like second sequence
        statement_digest sysdate time timestamp timestampadd timestampdiff unixepoch utc_date utc_time utc_timestamp
        uuid_to_bin year date weight_string json_pretty json_tree json_agg_strict jsonb_agg_strict",
    )
});

/// PostGIS and MySQL's geometry: functions of a user may begin so too.
static GEOMETRY: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    words(
        "area asbinary asewkb asewkt asgeojson astext aswkb aswkt azimuth boundary buffer centroid collect contains
        convexhull coveredby covers crosses difference dimension disjoint distance distance_sphere distancesphere
        dwithin endpoint envelope equals exteriorring force2d force3d forcerhr geogfromtext geohash geometryn
        geometrytype geomfromewkb geomfromewkt geomfromgeojson geomfromtext geomfromwkb geometryfromtext
        interiorringn intersection intersects isclosed isempty issimple isvalid isvalidreason latfromgeohash latitude
        length linefromtext linestringfromtext longfromgeohash longitude makeenvelope makeline makepoint makepolygon
        makevalid mpointfromtext multi npoints numgeometries numinteriorrings numpoints overlaps perimeter point
        pointfromgeohash pointfromtext pointn pointonsurface polyfromtext polygon polygonfromtext segmentize setsrid
        simplify simplifypreservetopology snaptogrid srid startpoint swapxy symdifference touches transform translate
        union within x xmax xmin y ymax ymin z",
    )
});

fn words(list: &str) -> HashSet<&str> {
    list.split_whitespace().collect()
}

/// The name in lower case, without the schema of what every server has.
fn plain(name: &str) -> Option<String> {
    let name = name.to_lowercase();
    let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
    (!name.contains('.')).then(|| name.to_owned())
}

/// It only computes, or gives out the next number of a sequence.
pub(super) fn is_harmless(name: &str, dialect: Dialect) -> bool {
    let Some(name) = plain(name) else { return false };
    let name = name.as_str();
    let listed = match dialect {
        Dialect::PostgreSql => POSTGRESQL.contains(name) || HARMLESS_BUT_VOLATILE.contains(name),
        Dialect::MySql | Dialect::MariaDb => MARIADB.contains(name) || ["nextval", "lastval", "value"].contains(&name),
        Dialect::Sqlite => SQLITE.contains(name),
    };
    listed
        || SYNTAX.contains(name)
        || NEWER.contains(name)
        || name.strip_prefix("st_").is_some_and(|rest| GEOMETRY.contains(rest))
}

/// PostgreSQL computes it once for a statement, so that no row has to be written to get it.
pub(super) fn is_same_for_every_row(name: &str) -> bool {
    plain(name).is_some_and(|name| POSTGRESQL.contains(name.as_str()) || SYNTAX.contains(name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_function_does_is_the_catalogs_word() {
        for name in ["now", "pg_catalog.now", "TIMEZONE", "make_interval", "current_setting", "coalesce", "md5"] {
            assert!(is_same_for_every_row(name), "{name}");
        }
        for name in ["random", "clock_timestamp", "gen_random_uuid", "nextval", "own.now", "somebodys"] {
            assert!(!is_same_for_every_row(name), "{name}");
        }
        for name in ["setval", "pg_read_file", "dblink_exec", "lo_unlink", "pg_terminate_backend", "set_config", "f"] {
            assert!(!is_harmless(name, Dialect::PostgreSql), "{name}");
        }
        for name in ["load_file", "sleep", "get_lock", "benchmark"] {
            assert!(!is_harmless(name, Dialect::MariaDb), "{name}");
        }
        for name in ["load_extension", "writefile", "fts3_tokenizer"] {
            assert!(!is_harmless(name, Dialect::Sqlite), "{name}");
        }
        assert!(is_harmless("UUID", Dialect::MySql) && is_harmless("st_makepoint", Dialect::PostgreSql));
    }
}
