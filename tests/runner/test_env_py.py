"""The runner next to env.py files that do everything env.py files do. Touches SQLite files and the private PostgreSQL."""

import contextlib
import sqlite3
import subprocess

import pytest
from environments import ENDS
from project import ASYNC_ENV

RUDE = [
    "print('no newline', end='')",
    "import sys; sys.stdout.write('x' * 3000000)",
    "import sys; sys.stdout.close(); sys.stderr.close()",
    "import os; os.close(1); os.close(2)",
    "import sys; sys.stdout = sys.stderr = None",
    "import sys, io; sys.stdout = io.StringIO(); print('swallowed')",
    "import os; os.set_blocking(1, False)",
    "import logging.config; logging.config.dictConfig({'version': 1, 'disable_existing_loggers': True})",
    "fileConfig(config.config_file_name)",
    "import os; os.chdir('/tmp'); os.environ.clear()",
    "import threading, time; threading.Thread(target=time.sleep, args=(600,)).start()",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_DFL)",
    "import sys; sys.setrecursionlimit(300)",
    "config.attributes['connection'] = None; config.attributes['x'] = object()",
    "import warnings; warnings.simplefilter('error')",
    "import gc; gc.disable(); import locale; locale.setlocale(locale.LC_ALL, 'C')",
]
LOGGING = """
[loggers]
keys = root
[handlers]
keys = console
[formatters]
keys = plain
[logger_root]
level = INFO
handlers = console
[handler_console]
class = StreamHandler
args = (sys.stdout,)
[formatter_plain]
format = %(message)s
"""


@pytest.mark.parametrize("setup", RUDE)
def test_rude_but_working(sqlite_project, setup):
    ini = sqlite_project.folder / "alembic.ini"
    ini.write_text(ini.read_text() + LOGGING)
    sqlite_project.env(setup=setup, after=setup)
    sqlite_project.tables("r1")
    assert len(sqlite_project.inspect().done().payload["revisions"]) == 1
    assert sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done().rows == {"r1"}


@pytest.mark.parametrize("setup, words", [
    ("import sys; sys.exit(7)", "sys.exit(7)"),
    ("import sys; sys.exit()", "sys.exit(None)"),
    ("raise SystemExit('DATABASE_URL is missing')", "DATABASE_URL is missing"),
    ("raise ValueError('bad settings: ' + 'é' * 5000)", "ValueError: bad settings"),
    ("raise BaseException('odd')", "BaseException: odd"),
    ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ("import shop.models", "No module named 'shop'"),
    ("class E(Exception):\n    def __str__(self): raise RuntimeError\nraise E", "E"),
    ("def f(): f()\nf()", "RecursionError"),
])
def test_failing_env_py(sqlite_project, setup, words):
    sqlite_project.env(setup=setup)
    sqlite_project.tables("r1")
    outcome = sqlite_project.inspect().failed("EnvPyFailed", words)
    assert outcome.message["started"] is False and "env.py" in outcome.error["detail"]


def test_env_py_that_fails_in_a_run(sqlite_project):
    sqlite_project.env(setup="raise SystemExit(3)")
    sqlite_project.tables("r1")
    outcome = sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("EnvPyFailed", "sys.exit(3)")
    assert outcome.message["started"] is False


def test_exit_after_the_work_is_no_error_but_a_failure_is(sqlite_project):
    sqlite_project.tables("r1", "r2")
    sqlite_project.env(after="raise SystemExit(0)")
    sqlite_project.inspect().done()
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    sqlite_project.env(after="raise ValueError('could not tell the chat')")
    outcome = sqlite_project.upgrade(["r1"], ["r2"], ["r2"], ["r2"]).failed("MigrationFailed", "after the last step", "the chat")
    assert outcome.rows == {"r2"}, "the operator sees what was reached"


@pytest.mark.parametrize("action", ["inspect", "upgrade"])
def test_env_py_that_does_not_run(sqlite_project, action):
    sqlite_project.tables("r1")
    sqlite_project.write("migrations/env.py", "print('nothing to do')\n")
    outcome = sqlite_project.inspect() if action == "inspect" else sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"])
    outcome.failed("EnvPyDidNotRun", "context.run_migrations()")


def test_several_databases(sqlite_project):
    sqlite_project.tables("r1")
    sqlite_project.env(after="run_migrations_online()")
    sqlite_project.inspect().failed("MultipleDatabases", "more than once")
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("MultipleDatabases", "more than once")


HIDING = """
import os
from alembic import context
from sqlalchemy import create_engine, pool
for attempt in range(3):
    try:
        with create_engine(os.environ["DATABASE_URL"], poolclass=pool.NullPool).connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
        break
    except Exception as error:
        print("trying again")
    except BaseException:
        break
"""


def test_errors_that_env_py_hides(sqlite_project, sqlite):
    sqlite_project.env(HIDING)
    sqlite_project.tables("r1")
    sqlite_project.upgrade(["r9"], ["r1"], ["r1"], ["r1"]).refused("RowsChanged")
    sqlite_project.revision("r1", None, "raise ValueError('no')")
    outcome = sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"])
    assert outcome.failed("MigrationFailed", "ValueError: no").rows == set()
    env = sqlite_project.folder / "migrations" / "env.py"
    env.write_text(HIDING.replace("range(3)", "[1]"))  # of another size, or Python takes the byte code of before
    outcome = sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("MigrationFailed", "ValueError: no")
    assert outcome.error["revision"] == "r1"


@pytest.mark.parametrize("release", ENDS)
def test_a_retry_loop_keeps_the_first_error(project, database, release):
    """A locked table is one, whatever is tried after it: the operator tries again by itself."""
    project.env(HIDING)
    project.tables("r1")
    project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    project.revision("r2", "r1", "ALTER TABLE r1 ADD COLUMN x INTEGER")
    with locked(database, "r1"):
        outcome = project.upgrade(["r1"], ["r2"], ["r2"], ["r2"], lock_timeout={"seconds": 1, "explicit": True})
    outcome.failed("TableLocked", "lock")
    assert (outcome.error["revision"], outcome.error["committed"], outcome.error["changed"]) == ("r2", False, False) and database.rows() == {"r1"}


@contextlib.contextmanager
def locked(database, table):
    """Somebody uses the table meanwhile."""
    if database.dialect == "sqlite":
        connection = sqlite3.connect(database.path, isolation_level=None)
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.close()
    else:
        command = [database.server.binaries / "psql", "-q", "-h", database.server.folder, "-p", str(database.server.port), "-U", "postgres", database.name]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            holder.stdin.write("BEGIN; LOCK TABLE %s; SELECT 'locked';\n" % table)
            holder.stdin.flush()
            while "locked" not in holder.stdout.readline():
                pass
            yield
            holder.stdin.close()


ASYNC_DRIVERS = {"sqlite": "aiosqlite", "postgresql": "asyncpg"}


def test_async(project, database):
    project.env(ASYNC_ENV)
    project.url = project.url.replace("://", "+%s://" % ASYNC_DRIVERS[database.dialect])
    project.tables("r1", "r2", "r3")
    payload = project.inspect().done().payload
    assert payload["driver"] == ASYNC_DRIVERS[database.dialect] and payload["external_transaction"] is False
    assert project.upgrade([], ["r2"], ["r2"], ["r1", "r2"]).done().rows == {"r2"}
    project.upgrade([], ["r2"], ["r2"], ["r1", "r2"]).refused("RowsChanged")
    project.revision("r3", "r2", "BROKEN STATEMENT")
    outcome = project.upgrade(["r2"], ["r3"], ["r3"], ["r3"]).failed("MigrationFailed", "syntax error")
    assert outcome.error["revision"] == "r3" and outcome.rows == {"r2"}
    assert project.downgrade(["r2"], [], [], ["r1", "r2"]).done().rows == set()


def test_async_transactions(project, database):
    project.env(ASYNC_ENV, before="from sqlalchemy import text; await connection.execute(text('SELECT 1'))")
    project.url = project.url.replace("://", "+%s://" % ASYNC_DRIVERS[database.dialect])
    project.tables("r1")
    outcome = project.upgrade([], ["r1"], ["r1"], ["r1"])
    assert outcome.kind == ("RolledBack" if database.transactional else "ExternalTransaction") and not database.rows()
    project.env(ASYNC_ENV.replace("connectable.connect()", "connectable.begin()"))
    assert project.upgrade([], ["r1"], ["r1"], ["r1"]).done().rows == {"r1"}


def test_asyncio_in_a_thread_and_psycopg(pg_project):
    """As applications do whose settings need a running event loop."""
    template = ASYNC_ENV.replace("asyncio.run(run_async_migrations())", "import concurrent.futures\n"
                                 "concurrent.futures.ThreadPoolExecutor().submit(asyncio.run, run_async_migrations()).result()")
    pg_project.env(template)
    pg_project.tables("r1")
    assert pg_project.upgrade([], ["r1"], ["r1"], ["r1"], driver="psycopg").done().rows == {"r1"}


@pytest.mark.parametrize("pool", ["StaticPool", "QueuePool, pool_size=1, max_overflow=0, pool_timeout=1", "SingletonThreadPool", "AssertionPool"])
def test_pools_with_a_single_connection(project, pool):
    project.env()
    env = project.folder / "migrations" / "env.py"
    env.write_text(env.read_text().replace("pool.NullPool", "pool." + pool))
    project.tables("r1")
    assert project.upgrade([], ["r1"], ["r1"], ["r1"]).done().rows == {"r1"}


@pytest.mark.parametrize("release", ENDS)
def test_what_env_py_asks_the_context_for(sqlite_project, release):
    sqlite_project.env(setup="""
import os, sys
assert "ALEMBIC_OPERATOR_TASK" not in os.environ and os.environ["PGAPPNAME"] == "alembic-operator shop/app"
assert context.get_x_argument(as_dictionary=True) == {"tenant": "blue", "empty": ""}, context.get_x_argument()
assert config.cmd_opts.name == "alembic" and config.get_main_option("sqlalchemy.url") == os.environ["DATABASE_URL"]
assert not context.is_offline_mode() and context.get_tag_argument() is None
asked = context.get_revision_argument()
assert sys.argv[0] == "alembic" and sys.argv[-1] in ("current", "r2", "heads", "base")
assert asked == {"r2": "r2", "base": None}.get(sys.argv[-1], asked), asked
""")
    sqlite_project.tables("r1", "r2")
    sqlite_project.revision("s1")
    x = ["tenant=blue", "empty="]
    sqlite_project.inspect(x=x).done()
    sqlite_project.upgrade([], ["r2"], ["r2"], ["r1", "r2"], x=x).done()
    sqlite_project.downgrade(["r2"], [], [], ["r1", "r2"], x=x).done()
    assert sqlite_project.upgrade([], ["r1", "s1"], ["r1", "s1"], ["r1", "s1"], x=x).done().rows == {"r1", "s1"}


def test_in_memory_database(sqlite_project):
    sqlite_project.url = "sqlite://"
    sqlite_project.tables("r1")
    assert sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done().rows == {"r1"}


def test_revision_that_prints_frames_in_a_run(sqlite_project):
    sqlite_project.revision("r1", None, "print('@alembic-operator %s 0 AAAA' % ('0' * 32), end='', flush=True)")
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
