"""Locked tables, long statements and the limits that a run sets on its own connection. Touches SQLite files and the private PostgreSQL."""

import contextlib
import sqlite3
import subprocess
import time

import pytest
from environments import SUPPORTED
from postgres import USER
from project import ASYNC_ENV

FIRST = ([], ["r1"], ["r1"], ["r1"])
SECOND = (["r1"], ["r2"], ["r2"], ["r2"])


def limit(seconds, explicit=False):
    return {"seconds": seconds, "explicit": explicit}


@contextlib.contextmanager
def reader(pg, table):
    """A session that has read a table and does not end its transaction."""
    postgres = pg.server
    command = [postgres.binaries / "psql", "-XAtq", "-h", postgres.folder, "-p", str(postgres.port), "-U", "postgres", "-d", pg.name]
    session = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    session.stdin.write("BEGIN; SELECT 'there' FROM %s UNION SELECT 'there';\n" % table)
    session.stdin.flush()
    assert session.stdout.readline().strip() == "there"
    try:
        yield
    finally:
        session.stdin.close()
        session.wait(10)


def seen(pg):
    """What the revision saw: name and value of the settings."""
    return dict(pg.query("SELECT name, value FROM seen"))


NOTED = "CREATE TABLE IF NOT EXISTS seen AS SELECT name, setting AS value FROM pg_settings WHERE name IN ('lock_timeout', 'statement_timeout')"


@pytest.mark.parametrize("release", SUPPORTED)
@pytest.mark.parametrize("options", ["", "transaction_per_migration=True"])
def test_a_table_that_somebody_uses(pg_project, pg, release, options):
    pg_project.tables("r1")
    pg_project.env(options=options)
    pg_project.upgrade(*FIRST).done()
    pg_project.revision("r2", "r1", ["CREATE TABLE r2 (id INTEGER)", "ALTER TABLE r1 ADD COLUMN name TEXT"])
    with reader(pg, "r1"):
        started = time.monotonic()
        outcome = pg_project.upgrade(*SECOND, lock_timeout=limit(1)).failed("TableLocked", "lock timeout")
        assert time.monotonic() - started < 15 and outcome.error["revision"] == "r2" and outcome.error["changed"]
        assert outcome.rows == {"r1"} and "r2" not in pg.tables()
    pg_project.upgrade(*SECOND, lock_timeout=limit(1)).done()


def test_the_driver_makes_no_difference(pg_project, pg):
    pg_project.tables("r1")
    pg_project.upgrade(*FIRST).done()
    pg_project.revision("r2", "r1", "ALTER TABLE r1 ADD COLUMN name TEXT")
    url = pg_project.url
    with reader(pg, "r1"):
        pg_project.url = url.replace("://", "+psycopg://")
        assert not pg_project.upgrade(*SECOND, lock_timeout=limit(1)).failed("TableLocked").error["changed"]
        pg_project.env(ASYNC_ENV)
        pg_project.url = url.replace("://", "+asyncpg://")
        pg_project.upgrade(*SECOND, lock_timeout=limit(1)).failed("TableLocked")


@pytest.mark.parametrize("options", ["", "transaction_per_migration=True"])
def test_limits_hold_in_every_step_and_in_autocommit_blocks(pg_project, pg, options):
    pg_project.env(options=options)
    block = ["with op.get_context().autocommit_block():", "    op.execute(%r)" % NOTED]
    pg_project.revision("r1", None, "CREATE TABLE r1 (id INTEGER)")
    pg_project.revision("r2", "r1", block)
    pg_project.upgrade([], ["r2"], ["r2"], ["r1", "r2"], lock_timeout=limit(2), statement_timeout=limit(600)).done()
    assert seen(pg) == {"lock_timeout": "2000", "statement_timeout": "600000"}


def test_a_limit_of_the_users_own(pg_project, pg):
    pg.query("ALTER ROLE %s IN DATABASE %s SET lock_timeout = '7s'" % (USER, pg.name))
    pg_project.revision("r1", None, NOTED)
    pg_project.upgrade(*FIRST, lock_timeout=limit(2), statement_timeout=limit(0, explicit=True)).done()
    assert seen(pg) == {"lock_timeout": "7000", "statement_timeout": "0"}
    pg_project.revision("r2", "r1", ["DROP TABLE seen", NOTED])
    pg_project.upgrade(*SECOND, lock_timeout=limit(0, explicit=True), statement_timeout=limit(10 ** 9, explicit=True)).done()
    assert seen(pg) == {"lock_timeout": "1", "statement_timeout": "2147483647"}, "no waiting is not endless waiting"


@pytest.mark.parametrize("release", [SUPPORTED[0], SUPPORTED[-1]])
def test_a_statement_that_takes_too_long(pg_project, pg, release):
    pg_project.revision("r1", None, ["CREATE TABLE r1 (id INTEGER)", "SELECT pg_sleep(20)"])
    outcome = pg_project.upgrade(*FIRST, statement_timeout=limit(1)).failed("StatementTimeout", "statement timeout")
    assert outcome.rows == set() and pg.tables() == set()


def test_a_statement_that_somebody_cancels(pg_project, pg):
    pg_project.revision("r1", None, "SELECT pg_sleep(20)")
    running = pg_project.start_run("upgrade", *FIRST, statement_timeout=limit(60))
    running.wait_for(lambda message: message["running"] == "r1")
    while pg.query("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'") != [["t"]]:
        time.sleep(0.05)
    running.outcome().failed("MigrationFailed", "user request")


@pytest.mark.parametrize("body, changed", [
    (["INSERT INTO r1 VALUES (1)"], False),
    (["CREATE TABLE r2 (id INTEGER)", "INSERT INTO r1 VALUES (1)"], True),
    (["SELECT 1", "INSERT INTO r1 VALUES (1)"], False),
])
def test_whether_the_step_had_changed_anything(sqlite_project, sqlite, body, changed):
    """As on MySQL and MariaDB, what was done before stays."""
    sqlite_project.tables("r1")
    sqlite_project.upgrade(*FIRST).done()
    wait = ["import os, time", "open('ready', 'w').close()", "while not os.path.exists('go'): time.sleep(0.02)"]
    sqlite_project.revision("r2", "r1", body[:-1] + wait + body[-1:])
    running = sqlite_project.start_run("upgrade", *SECOND, lock_timeout=limit(1, explicit=True))
    while not (sqlite_project.folder / "ready").exists():
        time.sleep(0.02)
    writer = sqlite3.connect(sqlite.path, isolation_level=None, timeout=5)
    try:
        writer.execute("BEGIN IMMEDIATE")
        sqlite_project.write("go", "")
        outcome = running.outcome().failed("TableLocked", "database is locked")
    finally:
        writer.close()
    assert outcome.error["changed"] is changed


def test_limits_on_mariadb(mariadb_project, mariadb):
    noted = "CREATE TABLE %s AS SELECT @@SESSION.lock_wait_timeout AS a, @@SESSION.innodb_lock_wait_timeout AS b, @@SESSION.max_statement_time AS c"
    mariadb_project.revision("r1", None, noted % "seen")
    mariadb_project.upgrade(*FIRST, lock_timeout=limit(2)).done()
    assert [float(value) for value in mariadb.query("SELECT * FROM seen")[0]] == [2, 2, 0]
    # env.py's own limit counts, unless the spec says otherwise.
    mariadb_project.env(before="connection.execute(text('SET SESSION lock_wait_timeout = 77')); connection.commit()")
    mariadb_project.revision("r2", "r1", noted % "own")
    mariadb_project.upgrade(*SECOND, lock_timeout=limit(2)).done()
    assert [float(value) for value in mariadb.query("SELECT * FROM own")[0]] == [77, 2, 0]
    mariadb_project.revision("r3", "r2", "SELECT SLEEP(20)")
    third = (["r2"], ["r3"], ["r3"], ["r3"])
    mariadb_project.upgrade(*third, lock_timeout=limit(2), statement_timeout=limit(1, explicit=True)).failed("StatementTimeout", "max_statement_time")
    mariadb_project.revision("r3", "r2", noted % "all_three")
    mariadb_project.upgrade(*third, lock_timeout=limit(0, explicit=True), statement_timeout=limit(1, explicit=True)).done()
    assert [float(value) for value in mariadb.query("SELECT * FROM all_three")[0]] == [1, 1, 1]
