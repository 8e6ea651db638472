#!/usr/bin/env bash
# Writes the lists of functions beside this file from servers that are there; run it again for newer ones.
#   PSQL="psql -h … -At" MARIADB="mariadb -S … -N" SQLITE="sqlite3" ./generate.sh
# PostgreSQL 15 with its contrib extensions, MariaDB 10.11 and SQLite 3.40 made those that are committed.
set -euo pipefail
cd "$(dirname "$0")"
export LC_ALL=C

# What no overload calls volatile changes nothing, and gives every row of a statement the same value.
createdb_name=alembic_operator_functions
$PSQL -qc "CREATE DATABASE $createdb_name"
trap '$PSQL -qc "DROP DATABASE $createdb_name"' EXIT
$PSQL -d "$createdb_name" -q <<'SQL' | LC_ALL=C sort > postgresql.txt
SET client_min_messages = error;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT e.name FROM pg_available_extensions e LOOP
        EXECUTE format('CREATE EXTENSION IF NOT EXISTS %I CASCADE', name);
    END LOOP;
END $$;
SELECT proname FROM pg_proc WHERE proname ~ '^[a-z0-9_]+$' GROUP BY proname HAVING bool_and(provolatile <> 'v');
SQL

# The server does not say what a function does: these lock, wait, read files or know other servers.
$MARIADB -e "SELECT lower(function) FROM information_schema.sql_functions WHERE function NOT REGEXP
    '^(BENCHMARK|.*_LOCK|RELEASE_ALL_LOCKS|LOAD_FILE|SLEEP|MASTER_.*|WSREP_.*|BINLOG_.*|SETVAL)$'" | sort > mariadb.txt

# 0x200000 is SQLITE_INNOCUOUS, 0x100800 what the JSON functions have.
$SQLITE :memory: "SELECT DISTINCT name FROM pragma_function_list
    WHERE name GLOB '[a-z]*' AND (flags & 0x200000 OR name GLOB 'json*')" | sort > sqlite.txt
