"""One plan for many databases in one process group: schemas and databases, failures, fresh processes, and a coordinator that is killed. Touches the private PostgreSQL."""

import os
import pathlib
import random
import signal
import subprocess
from contextlib import contextmanager, suppress

import pytest
from environments import ENDS

TENANT = """schema = context.get_x_argument(as_dictionary=True)["schema"]
connection.execute(text('SET search_path TO "%s"' % schema))
getattr(connection, "commit", lambda: None)()
connection.dialect.default_schema_name = schema"""
AUDIT = "INSERT INTO public.audit SELECT current_schema()"
LINE = ["r1", "r2"]


@pytest.fixture
def tenants(pg_project, pg):
    """Makes schemas, and a history that writes down in which of them it ran."""

    def make(count, **env):
        pg_project.env(before=env.pop("before", TENANT), **env)
        pg_project.revision("r1", None, ["CREATE TABLE r1 (id INTEGER)", AUDIT])
        pg_project.revision("r2", "r1", ["CREATE TABLE r2 (id INTEGER PRIMARY KEY)", "INSERT INTO r2 SELECT id FROM r1"])
        names = ["tenant_%02d" % number for number in range(count)]
        pg.execute("CREATE TABLE audit (name TEXT); " + "".join('CREATE SCHEMA "%s"; ' % name for name in names))
        return names

    return make


def start(project, members, workers=4, failures_left=0, **task):
    run = {"direction": "upgrade", "from": [], "targets": ["r2"], "end": ["r2"], "steps": 2, "steps_digest": project.digest(LINE), "lock_wait_seconds": 20}
    return project.start(action="batch", members=members, workers=workers, failures_left=failures_left, **dict(run, **task))


def schemas(names):
    return [{"name": name, "schema": name} for name in names]


def batch(project, names, **task):
    return start(project, schemas(names), **dict({"x_of_each": ["schema=$(schema)"]}, **task))


def audit(pg):
    return sorted(row[0] for row in pg.query("SELECT name FROM audit"))


def poison(pg, name):
    """The second revision meets a row twice here."""
    pg.execute("CREATE TABLE \"%s\".r1 (id INTEGER)" % name)


@pytest.mark.parametrize("release", ENDS)
def test_fifty_schemas(tenants, pg_project, pg, release):
    names = tenants(50)
    outcome = batch(pg_project, names).outcome().done()
    assert outcome.message["batch"] == {"states": "d" * 50, "alone": "", "stopped": "", "failures": []}
    assert audit(pg) == names and outcome.payload["failures"] == []
    assert all(pg.tables(name) == {"alembic_version", "r1", "r2"} for name in names)
    assert "[tenant_07] upgrade step 2/2 r2" in outcome.stderr
    assert pg.query("SELECT count(*) FROM pg_stat_activity WHERE datname = 'shop' AND pid <> pg_backend_pid()") == [["0"]]


def test_a_poisoned_schema_stops_what_has_not_begun(tenants, pg_project, pg):
    names = tenants(8)
    poison(pg, names[2])
    outcome = batch(pg_project, names, workers=1).outcome().done()
    found = outcome.message["batch"]
    assert found["states"] == "ddf....." and found["stopped"] == "more than 0 failed"
    failure, = found["failures"]
    assert (failure["member"], failure["class"], failure["revision"]) == (2, "MigrationFailed", "r1")
    assert "already exists" in failure["message"] and audit(pg) == names[:2]
    assert pg.tables(names[2]) == {"r1"}, "the rest is rolled back"
    # Those that are done refuse: nothing is done twice.
    outcome = batch(pg_project, names, workers=2, failures_left=1).outcome().done()
    assert outcome.message["batch"]["states"] == "llfddddd" and audit(pg) == names[:2] + names[3:]
    assert [failure["class"] for failure in outcome.payload["failures"]].count("RowsChanged") == 2


def test_a_killed_coordinator_repeats_nothing(tenants, pg_project, pg):
    names = tenants(30)
    running = batch(pg_project, names, workers=3)
    running.wait_for(lambda message: (message.get("batch") or {}).get("states", "").count("d") >= 5)
    running.process.kill()
    running.process.communicate()
    told = running.message()["batch"]["states"]
    while pg.query("SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'alembic-operator%'"):
        pass
    there = {name: pg.tables(name) for name in names}
    assert all(tables in (set(), {"alembic_version", "r1", "r2"}) for tables in there.values()), there
    assert all(there[names[number]] for number, state in enumerate(told) if state == "d")
    rest = [name for name in names if not there[name]]
    assert rest
    assert batch(pg_project, rest).outcome().done().message["batch"]["states"] == "d" * len(rest)
    assert audit(pg) == names


def test_sigterm_lets_nothing_more_begin(tenants, pg_project, pg):
    names = tenants(6)
    pg_project.revision("r2", "r1", ["CREATE TABLE r2 (id INTEGER)", "SELECT pg_sleep(60) FROM pg_namespace WHERE nspname = current_schema() "
                                     "AND current_schema() <> 'tenant_00'"])
    running = batch(pg_project, names, workers=2)
    running.wait_for(lambda message: "d" in (message.get("batch") or {}).get("states", ""))
    while not pg.query("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active' OFFSET 1"):
        pass
    os.kill(running.process.pid, signal.SIGTERM)
    outcome = running.outcome(timeout=30).done()
    found = outcome.message["batch"]
    assert found["stopped"] == "stopped by SIGTERM" and found["states"] == "dxx...", "a step that is stopped is not at fault, as one that is killed"
    assert {(failure["class"], failure["message"]) for failure in found["failures"]} == {("RunLost", "stopped by SIGTERM during the step")}
    assert pg.tables(names[1]) == set() and pg.tables(names[0]) == {"alembic_version", "r1", "r2"}


@pytest.fixture
def databases(tenants, postgres):
    """Databases beside that of the URL."""
    tenants(0, before="pass")
    names = ["shop_a", "shop_b", "shop_c"]
    for name in names:
        with suppress(Exception):
            postgres.sql("DROP DATABASE IF EXISTS %s" % name)
        postgres.sql("CREATE DATABASE %s OWNER shop" % name)
        postgres.sql("SET ROLE shop; CREATE TABLE audit (name TEXT)", name)
    yield names
    for name in names:
        postgres.sql("DROP DATABASE %s" % name)


OF_MODULE = "from settings import URL\nconfig.set_main_option('sqlalchemy.url', %s.replace('%%', '%%%%'))"


@pytest.mark.parametrize("kept, url, alone", [
    ("os.environ['DATABASE_URL']", "URL", "the module settings keeps what it was told of the first database when it was imported"),
    ("os.environ['DATABASE_URL'].encode()", "URL.decode()", "OtherDatabase")], ids=["text", "bytes"])
def test_a_project_that_takes_its_url_at_import_gets_fresh_processes(databases, pg_project, postgres, kept, url, alone):
    """Forked, each would go on in the database of the first."""
    pg_project.write("settings.py", "import os\nURL = %s\n" % kept)
    pg_project.env(setup=OF_MODULE % url)
    members = [{"name": name, "database": name} for name in databases]
    outcome = start(pg_project, members, workers=2).outcome().done()
    assert outcome.message["batch"]["states"] == "ddd" and alone in outcome.message["batch"]["alone"]
    assert [postgres.sql("SELECT count(*) FROM audit", name) for name in databases] == [[["1"]]] * 3
    pg_project.env()
    outcome = start(pg_project, members, workers=2).outcome().done()
    assert (outcome.message["batch"]["states"], outcome.message["batch"]["alone"]) == ("lll", "")


def test_the_databases_of_the_batch_are_all_that_env_py_is_told_of(databases, pg_project, pg, postgres):
    """The one that the URL names is none of them, and env.py may write where it is led to."""
    pg_project.env(setup="import os\nconfig.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'].replace('%', '%%'))",
                   before="connection.execute(text('CREATE TABLE IF NOT EXISTS made (id INTEGER)'))\ngetattr(connection, 'commit', lambda: None)()")
    outcome = start(pg_project, [{"name": name, "database": name} for name in databases], workers=2, writes_at_start=True).outcome().done()
    assert (outcome.message["batch"]["states"], outcome.message["batch"]["alone"]) == ("ddd", "")
    assert pg.tables() == {"audit"} and all(postgres.sql("SELECT to_regclass('made') IS NOT NULL", name) == [["t"]] for name in databases)


MODELS = """import functools
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table
def table():
    schema = context.get_x_argument(as_dictionary=True)["schema"]
    return Table("r1", MetaData(), Column("id", Integer), schema=schema)
"""


@pytest.mark.parametrize("kept", ["class Goods:\n    table = table()\ngoods = lambda: Goods.table", "goods = functools.lru_cache()(table)\ngoods()"],
                         ids=["class", "cache"])
def test_a_module_that_takes_its_schema_at_import_is_not_forked(tenants, pg_project, pg, kept):
    """Forked, each tenant's rows would go to the first."""
    names = tenants(3, setup="import models")
    pg_project.write("models.py", MODELS + kept)
    pg_project.revision("r2", "r1", ["from models import goods", "op.bulk_insert(goods(), [{'id': 1}])", AUDIT])
    outcome = batch(pg_project, names).outcome().done()
    assert (outcome.message["batch"]["states"], outcome.message["batch"]["alone"]) == (
        "ddd", "the module models keeps what it was told of the first database when it was imported")
    assert [pg.query("SELECT count(*) FROM %s.r1" % name) for name in names] == [[["1"]]] * 3


def test_threads_of_env_py_are_not_forked(tenants, pg_project, pg):
    names = tenants(3, setup="import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()")
    outcome = batch(pg_project, names).outcome().done()
    assert outcome.message["batch"]["states"] == "ddd" and outcome.message["batch"]["alone"] == "env.py leaves 1 threads behind"
    assert audit(pg) == names and "[tenant_01] upgrade step" in outcome.stderr


def test_an_env_py_that_does_not_go_into_the_schema_is_refused(tenants, pg_project, pg):
    names = tenants(2, before="pass")
    outcome = batch(pg_project, names, failures_left=5).outcome().done()
    assert outcome.message["batch"]["states"] == "ff" and audit(pg) == [] and pg.tables() == {"audit"}
    assert {failure["class"] for failure in outcome.payload["failures"]} == {"VersionTableMismatch"}


@contextmanager
def session(command, statement):
    """A session of its own that has run the statement, and stays."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        process.stdin.write("%s; SELECT 'there';\n" % statement)
        process.stdin.flush()
        while "there" not in process.stdout.readline():
            assert process.poll() is None
        yield
        process.stdin.close()


@pytest.mark.parametrize("between, end", [("pass", "l"), ("with op.get_context().autocommit_block(): pass", "f")],
                         ids=["rolled back", "committed"])
def test_what_stays_of_a_step_is_not_tried_again(tenants, pg_project, pg, between, end):
    """A table that somebody uses passes by itself, but not where a part of the step was committed before it."""
    names = tenants(2)
    pg.execute("CREATE TABLE busy (id INTEGER)")
    pg_project.revision("r2", "r1", ["CREATE TABLE half (id INTEGER)", between, "ALTER TABLE public.busy ADD COLUMN name TEXT"])
    command = [pg.server.binaries / "psql", "-XAtq", "-h", pg.server.folder, "-p", str(pg.server.port), "-U", "postgres", "-d", pg.name]
    with session(command, "BEGIN; LOCK TABLE busy"):
        found = batch(pg_project, names, failures_left=5, lock_timeout={"seconds": 1, "explicit": True}).outcome().done().message["batch"]
    assert found["states"] == end * 2
    assert {(failure["class"], failure["committed"]) for failure in found["failures"]} == {("TableLocked", end == "f")}
    assert ("half" in pg.tables(names[0])) is (end == "f")


def test_other_files_than_planned_stop_all(tenants, pg_project, pg):
    outcome = batch(pg_project, tenants(5), workers=1, steps_digest="0" * 64).outcome().done()
    assert outcome.message["batch"]["states"] == "l...." and "StepsChanged" in outcome.message["batch"]["stopped"]
    assert audit(pg) == []


def killed(what, running, pg):
    """Kills what a batch needs; false where it was gone already."""
    children = pathlib.Path("/proc/%d/task/%d/children" % (running.process.pid, running.process.pid))
    if what == "coordinator":
        running.process.kill()
    elif what == "pod":
        with suppress(ProcessLookupError):
            os.kill(running.process.pid, signal.SIGTERM)
    elif what == "child":
        pids = children.read_text().split() if children.exists() else []
        for pid in pids[:1]:
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    else:
        pg.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shop' AND usename = 'shop' LIMIT 2")


def test_whatever_is_killed_nothing_is_lost_and_nothing_repeated(tenants, pg_project, pg):
    """Each revision writes down where it ran. What a killed batch leaves is judged by its rows alone, as the operator does."""
    chance = random.Random(21)
    names = tenants(40, options="transaction_per_migration=True")
    for down, revision in ((None, "r1"), ("r1", "r2")):
        pg_project.revision(revision, down, ["CREATE TABLE %s (id INTEGER)" % revision, "INSERT INTO public.audit SELECT current_schema() || ' %s'" % revision])
    kinds = ["coordinator", "child", "connection", "pod"] * 5

    def cohorts():
        """The tenants by their rows."""
        there = {row[0] for row in pg.query("SELECT schemaname FROM pg_tables WHERE tablename = 'alembic_version'")}
        select = " UNION ALL ".join("SELECT '%s', version_num FROM %s.alembic_version" % (name, name) for name in there)
        rows = dict(pg.query(select) if there else [])
        found = {}
        for name in names:
            found.setdefault((rows[name],) if name in rows else (), []).append(name)
        return {row: found[row] for row in found if row != ("r2",)}

    kills = []
    while True:
        waiting = cohorts()
        if not waiting:
            break
        start_rows, found = waiting.popitem()
        steps = LINE[len(start_rows):]
        running = batch(pg_project, found[:8], workers=3, failures_left=99, steps=len(steps), steps_digest=pg_project.digest(steps), **{"from": list(start_rows)})
        if kinds:
            after = chance.randrange(4)
            with suppress(AssertionError):  # it ended before
                running.wait_for(lambda message: (message.get("batch") or {}).get("states", "").count("d") >= after)
            kills.append(kinds.pop(0))
            killed(kills[-1], running, pg)
        running.process.communicate(timeout=60)
        # A server ends what a dead client asked for a little later; until then its lock is held.
        while pg.query("SELECT 1 FROM pg_stat_activity WHERE datname = 'shop' AND usename = 'shop'"):
            pass
    assert len(kills) >= 6
    assert audit(pg) == sorted("%s %s" % (name, revision) for name in names for revision in LINE)


def test_databases_of_mariadb(mariadb_project, mariadb_process):
    """Nothing is rolled back there: a database that fails in the middle is named with its step, and the others go on."""
    names = ["shop_%d" % number for number in range(6)]
    for name in names:
        mariadb_process.sql("DROP DATABASE IF EXISTS {0}; CREATE DATABASE {0}; GRANT ALL ON {0}.* TO 'shop'@'%'".format(name))
    mariadb_project.tables("r1", "r2")
    mariadb_process.sql("CREATE TABLE r2 (id INTEGER)", names[2])
    outcome = start(mariadb_project, [{"name": name, "database": name} for name in names], workers=2, failures_left=6).outcome().done()
    found = outcome.message["batch"]
    assert (found["states"], found["alone"]) == ("ddfddd", "")
    failure, = found["failures"]
    assert (failure["member"], failure["class"], failure["revision"]) == (2, "MigrationFailed", "r2") and failure["started"], failure
    tables = lambda name: {row[0] for row in mariadb_process.sql("SHOW TABLES", name)}
    assert all(tables(name) == {"alembic_version", "r1", "r2"} for name in names)
    assert mariadb_process.sql("SELECT version_num FROM alembic_version", names[2]) == [["r1"]]
    for name in names:
        mariadb_process.sql("DROP DATABASE %s" % name)


@pytest.mark.parametrize("before, end", [("pass", "l"), ("CREATE TABLE half (id INTEGER)", "f")], ids=["nothing", "a table"])
def test_a_lock_of_mariadb_passes_where_nothing_stays(mariadb_project, mariadb, before, end):
    mariadb.execute("CREATE TABLE busy (id INTEGER)")
    mariadb_project.tables("r1")
    mariadb_project.revision("r2", "r1", [before, "ALTER TABLE busy ADD COLUMN name TEXT"])
    command = ["mariadb", "--no-defaults", "--unbuffered", "-N", "-B", "-u", "root", "--socket", os.path.join(mariadb.server.folder, "socket"), mariadb.name]
    with session(command, "LOCK TABLES busy READ"):
        outcome = start(mariadb_project, [{"name": "shop", "database": mariadb.name}], lock_timeout={"seconds": 1, "explicit": True}).outcome().done()
    found = outcome.message["batch"]
    failure, = found["failures"]
    assert (found["states"], failure["class"], failure["committed"]) == (end, "TableLocked", end == "f")
    assert mariadb.rows() == {"r1"} and ("half" in mariadb.tables()) is (end == "f")


def test_files_of_sqlite(sqlite_project, sqlite):
    sqlite_project.tables("r1", "r2")
    paths = [sqlite.path.with_name("tenant_%d.db" % number) for number in range(5)]
    members = [{"name": path.stem, "database": str(path)} for path in paths]
    outcome = start(sqlite_project, members, workers=2).outcome().done()
    assert (outcome.message["batch"]["states"], outcome.message["batch"]["alone"]) == ("ddddd", "")
    for path in paths:
        assert type(sqlite)(path).tables() == {"alembic_version", "r1", "r2"} and type(sqlite)(path).rows() == {"r2"}
    assert not sqlite.path.exists() or sqlite.tables() == set(), "the file of the URL is nobody's"
