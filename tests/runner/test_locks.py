"""Several runners at once, and runners that are stopped or killed in the middle. Touches SQLite files and the private PostgreSQL."""

import signal
import time

import pytest
from environments import ENDS
from project import ASYNC_ENV

SLOW = ["import os, time", "while not os.path.exists('go'): time.sleep(0.02)", "CREATE TABLE r1 (id INTEGER)"]
FIRST = ([], ["r1"], ["r1"], ["r1"])


def is_running(message):
    return message["running"] == "r1"


def go(project):
    """Lets the step of SLOW end."""
    project.write("go", "")


@pytest.mark.parametrize("release", ENDS)
def test_the_second_waits_and_is_refused(project, database, release):
    project.revision("r1", None, SLOW)
    first = project.start_run("upgrade", *FIRST)
    first.wait_for(is_running)
    second = project.start_run("upgrade", *FIRST)
    hasty = project.start_run("upgrade", *FIRST, lock_wait_seconds=0.3)
    holder = "'alembic-operator shop/app'" if database.dialect == "postgresql" else "process %d" % first.process.pid
    hasty.outcome().refused("LockTimeout", holder, "0.3 s")
    second.wait_for(lambda message: message["state"] == "waiting")
    go(project)
    first.outcome().done()
    assert second.outcome().refused("RowsChanged", "{r1}").rows == {"r1"}


def test_async_second_waits_too(pg_project):
    pg_project.env(ASYNC_ENV)
    pg_project.url = pg_project.url.replace("://", "+asyncpg://")
    pg_project.revision("r1", None, SLOW)
    first = pg_project.start_run("upgrade", *FIRST)
    first.wait_for(is_running)
    second = pg_project.start_run("upgrade", *FIRST)
    second.wait_for(lambda message: message["state"] == "waiting")
    go(pg_project)
    second.outcome().refused("RowsChanged")
    first.outcome().done()


def test_all_at_once_on_an_empty_database(project):
    project.tables("r1", "r2")
    runners = [project.start_run("upgrade", [], ["r2"], ["r2"], ["r1", "r2"]) for _ in range(4)]
    outcomes = [runner.outcome() for runner in runners]
    assert sorted(outcome.state for outcome in outcomes) == ["done", "refused", "refused", "refused"]
    assert {outcome.kind for outcome in outcomes} == {None, "RowsChanged"}


@pytest.mark.parametrize("release", ENDS)
def test_killed_in_a_step(project, database, release):
    project.tables("r1", "r2")
    project.revision("r2", "r1", ["import time", "time.sleep(30)"])
    runner = project.start_run("upgrade", [], ["r2"], ["r2"], ["r1", "r2"])
    runner.wait_for(lambda message: message["running"] == "r2")
    runner.process.kill()
    message = runner.outcome().message
    assert (message["state"], message["running"], message["last_done"], message["steps_done"]) == ("running", "r2", "r1", 1)
    assert message["started"] and message["error"] is None and message["transactional"] is database.transactional


@pytest.mark.parametrize("release", ENDS)
def test_the_statement_of_a_killed_runner_is_waited_for(pg_project, pg, release):
    """The database goes on with the statement of a dead client; a new run beside it would be the second migration at a time."""
    pg_project.revision("r1", None, ["SELECT pg_sleep(600)", "CREATE TABLE r1 (id INTEGER)"])
    runner = pg_project.start_run("upgrade", *FIRST)
    runner.wait_for(is_running)
    at_work = "FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()"
    while not pg.query("SELECT 1 " + at_work):
        time.sleep(0.05)
    runner.process.kill()
    runner.outcome()
    pg_project.upgrade(*FIRST, lock_wait_seconds=0).refused("LockTimeout", "pid ")
    pg_project.revision("r1", None, "CREATE TABLE r1 (id INTEGER)")
    second = pg_project.start_run("upgrade", *FIRST)
    second.wait_for(lambda message: message["state"] == "waiting")
    assert pg.query("SELECT pg_terminate_backend(pid) " + at_work) == [["t"]]
    second.outcome().done()


LONG = {"postgresql": "SELECT pg_sleep(30)", "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"}


@pytest.mark.parametrize("release", ENDS)
def test_sigterm_in_a_long_statement(project, database, release):
    project.revision("r1", None, ["CREATE TABLE r1 (id INTEGER)", "op.execute(%r)" % LONG[database.dialect]])
    runner = project.start_run("upgrade", *FIRST)
    runner.wait_for(is_running)
    time.sleep(0.3)
    started = time.monotonic()
    runner.process.send_signal(signal.SIGTERM)
    outcome = runner.outcome().failed("MigrationFailed", "stopped by SIGTERM")
    assert time.monotonic() - started < 15 and outcome.error["revision"] == "r1" and outcome.rows == set()
    if database.transactional:
        assert database.tables() == set()


def test_sigterm_in_python_and_in_async_code(pg_project, pg):
    pg_project.revision("r1", None, ["CREATE TABLE r1 (id INTEGER)", "import time", "time.sleep(30)"])
    runner = pg_project.start_run("upgrade", *FIRST)
    runner.wait_for(is_running)
    runner.process.send_signal(signal.SIGTERM)
    runner.outcome().failed("MigrationFailed", "stopped by SIGTERM")
    pg_project.env(ASYNC_ENV)
    pg_project.url = pg_project.url.replace("://", "+asyncpg://")
    pg_project.revision("r1", None, ["CREATE TABLE r1 (id INTEGER)", "op.execute('SELECT pg_sleep(30)')"])
    runner = pg_project.start_run("upgrade", *FIRST)
    runner.wait_for(is_running)
    time.sleep(0.3)
    runner.process.send_signal(signal.SIGTERM)
    runner.outcome().failed("MigrationFailed", "stopped by SIGTERM")
    assert pg.tables() == set()


def test_sigterm_before_the_first_step(sqlite_project):
    sqlite_project.env(setup="import time; print('ready', flush=True); time.sleep(30)")
    sqlite_project.tables("r1")
    for runner in (sqlite_project.start_run("upgrade", *FIRST), sqlite_project.start(action="inspect")):
        assert runner.process.stdout.readline() == b"ready\n"
        runner.process.send_signal(signal.SIGTERM)
        runner.outcome().refused("RunInterrupted", "stopped by SIGTERM before the first step, at ", "migrations/env.py, line ", "time.sleep(30)")


def test_sigterm_while_waiting_for_the_lock(pg_project):
    pg_project.revision("r1", None, SLOW)
    first = pg_project.start_run("upgrade", *FIRST)
    first.wait_for(is_running)
    second = pg_project.start_run("upgrade", *FIRST)
    second.wait_for(lambda message: message["state"] == "waiting")
    second.process.send_signal(signal.SIGTERM)
    second.outcome().refused("RunInterrupted", "stopped by SIGTERM before the first step")
    go(pg_project)
    first.outcome().done()


def test_lock_file_that_cannot_be_made(sqlite_project, sqlite):
    sqlite_project.tables("r1")
    (sqlite.path.parent / "shop.db.alembic-operator.lock").mkdir()
    sqlite_project.upgrade(*FIRST).refused("UnsupportedDialect", "shop.db.alembic-operator.lock", "Is a directory")


def test_the_lock_survives_its_idle_session_timeout(pg_project, pg):
    pg.query("ALTER ROLE shop IN DATABASE %s SET idle_session_timeout = '200ms'" % pg.name)
    pg_project.revision("r1", None, SLOW)
    first = pg_project.start_run("upgrade", *FIRST)
    first.wait_for(is_running)
    time.sleep(0.5)
    assert pg.query("SELECT count(DISTINCT pid) FROM pg_locks WHERE locktype = 'advisory'") == [["2"]], "the lock and its guard"
    go(pg_project)
    first.outcome().done()


# An engine that nobody here knows: SQLite under another name, with or without a way to roll back DDL.
OTHER = """
import pathlib
from alembic.ddl.impl import DefaultImpl
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
class OtherImpl(DefaultImpl):
    __dialect__ = "other"
    transactional_ddl = @DDL@
class Other(SQLiteDialect_pysqlite):
    name = "other"
    supports_statement_cache = True
registry.register("other", __name__, "Other")
"""


@pytest.mark.parametrize("ddl", [True, False])
def test_an_engine_without_a_lock_runs_under_a_lease(sqlite_project, sqlite, ddl):
    project = sqlite_project
    project.write("shop_other.py", OTHER.replace("@DDL@", str(ddl)))
    project.env(setup="import shop_other")
    project.url = sqlite.url.replace("sqlite:", "other:")
    project.tables("r1", "r2")
    project.revision("r3", "r2", ["CREATE TABLE half (id INTEGER)", "BROKEN"])
    project.inspect().refused("UnsupportedDialect", "engine other", "spec.database.lock: Lease")
    leased = {"lock": "lease", "lock_timeout": {"seconds": 3, "explicit": False}}
    payload = project.inspect(**leased).done().payload
    assert payload["transactional_ddl"] is ddl and payload["revisions"][0]["sql"]["upgrade"]["text"]
    project.upgrade([], ["r2"], ["r2"], ["r1", "r2"]).refused("UnsupportedDialect")
    assert project.upgrade([], ["r2"], ["r2"], ["r1", "r2"], **leased).done().rows == {"r2"}
    project.upgrade([], ["r2"], ["r2"], ["r1", "r2"], **leased).refused("RowsChanged")
    outcome = project.upgrade(["r2"], ["r3"], ["r3"], ["r3"], **leased).failed("MigrationFailed")
    assert (outcome.message["transactional"], outcome.message["committed"], outcome.rows) == (ddl, not ddl, {"r2"})
    assert project.probe().done().message["look"]["rows"] == ["r2"]
    assert project.downgrade(["r2"], ["r1"], ["r1"], ["r2"], **leased).done().rows == {"r1"} == sqlite.rows()
