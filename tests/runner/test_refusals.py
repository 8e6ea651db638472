"""Runs that must not begin: the database or the files are not those of the plan. Touches SQLite files and the private PostgreSQL."""

import json
import pathlib
import subprocess
import sys

import environments
import pytest
from environments import ENDS, NEWEST
from project import RUNNER
from test_env_py import LOGGING


@pytest.mark.parametrize("release", ENDS + ["1.13.3"])
def test_rows_changed(project, database, release):
    project.tables("r1", "r2")
    project.upgrade(["r1"], ["r2"], ["r2"], ["r2"]).refused("RowsChanged", "the database is at base", "{r1}")
    assert database.tables() == set(), "not even the version table"
    project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    outcome = project.upgrade([], ["r2"], ["r2"], ["r1", "r2"]).refused("RowsChanged", "{r1}", "starts from base")
    assert outcome.rows == {"r1"} and database.tables() == {"alembic_version", "r1"}


@pytest.mark.parametrize("release", ENDS)
def test_steps_changed(project, database, release):
    project.tables("r1", "r2")
    digest = project.digest(["r1", "r2"])
    project.files["r1"].write_text(project.files["r1"].read_text() + "\n# edited")
    project.upgrade([], ["r2"], ["r2"], ["r1", "r2"], steps_digest=digest).refused("StepsChanged", "not those that were planned")
    project.upgrade([], ["r2"], ["r2"], ["r2"]).refused("StepsChanged", "the plan has 1 steps", "give 2: {r1, r2}")
    project.upgrade([], ["gone"], ["gone"], ["r1"]).refused("StepsChanged", "Can't locate revision identified by 'gone'")
    assert database.tables() == set()


@pytest.mark.parametrize("rows, words", [(["r1", "r1"], "has the row r1 more than once"), (["r1", " "], "has a row without a revision")])
def test_version_rows_that_alembic_would_fail_on(project, database, rows, words):
    """As where a table has no primary key; Alembic notices after the step, which some databases can't roll back."""
    project.tables("r1", "r2")
    database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32))")
    for row in rows:
        database.execute("INSERT INTO alembic_version VALUES ('%s')" % row)
    project.upgrade(["r1"], ["r2"], ["r2"], ["r2"]).refused("InvalidVersionRows", "alembic_version", words)
    project.probe().refused("InvalidVersionRows", words)
    assert "r2" not in database.tables()


def test_only_the_files_of_the_steps_count(sqlite_project):
    sqlite_project.tables("r1", "r2", "r3")
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    digest = sqlite_project.digest(["r2"])
    for other in ("r1", "r3"):
        sqlite_project.files[other].write_text(sqlite_project.files[other].read_text() + "\n# edited")
    sqlite_project.upgrade(["r1"], ["r2"], ["r2"], ["r2"], steps_digest=digest).done()


SELECT_BEFORE = "connection.execute(text('SELECT 1'))"
FUTURE = ["1.13.3", "1.18.5", NEWEST]  # on SQLAlchemy 2, where a statement begins a transaction by itself


@pytest.mark.parametrize("release", FUTURE)
def test_external_transaction(project, database, release):
    project.env(before=SELECT_BEFORE)
    project.tables("r1")
    payload = project.inspect().done().payload
    assert payload["external_transaction"] is True and payload["env_commits"] is False
    outcome = project.upgrade([], ["r1"], ["r1"], ["r1"])
    if database.transactional:  # nothing is lost by a try, and the rows tell
        assert outcome.failed("RolledBack", "before context.configure()", "connection.commit()").rows == set()
    else:
        assert outcome.refused("ExternalTransaction", "before context.configure()").message["rows"] is None
    assert database.tables() == set()


@pytest.mark.parametrize("release", FUTURE[::2])
def test_a_transaction_that_env_py_ended_itself(project, release):
    project.env(before=SELECT_BEFORE + "\nconnection.commit()")
    project.tables("r1")
    assert project.inspect().done().payload["external_transaction"] is False
    project.upgrade([], ["r1"], ["r1"], ["r1"]).done()


@pytest.mark.parametrize("release", ["1.6.5", "1.9.4"])
def test_statement_before_configure_on_sqlalchemy_1(project, release):
    """There it is harmless, and an explicit begin() comes with its commit()."""
    project.env(before=SELECT_BEFORE)
    project.tables("r1", "r2")
    assert project.inspect().done().payload["external_transaction"] is False
    project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    project.env(before="transaction = connection.begin()")
    env = project.folder / "migrations" / "env.py"
    env.write_text(env.read_text().replace("context.run_migrations()\n", "context.run_migrations()\n        transaction.commit()\n"))
    assert project.upgrade(["r1"], ["r2"], ["r2"], ["r2"]).done().rows == {"r2"}


@pytest.mark.parametrize("release", ENDS + ["1.13.3"])
def test_engine_begin(project, release):
    env = project.folder / "migrations" / "env.py"
    env.write_text(env.read_text().replace("connectable.connect()", "connectable.begin()"))
    project.tables("r1")
    assert project.inspect().done().payload["external_transaction"] is False
    assert project.upgrade([], ["r1"], ["r1"], ["r1"]).done().rows == {"r1"}


COMMITTED = ["connection.commit()", "trans.commit()"]


@pytest.mark.parametrize("release", FUTURE[::2])
@pytest.mark.parametrize("commit", COMMITTED)
def test_an_env_py_that_commits_by_itself(project, database, release, commit):
    """As Onyx, Warehouse and Alembic's own template for several databases do."""
    project.env(before="trans = connection.begin()" if commit.startswith("trans") else SELECT_BEFORE)
    path = project.folder / "migrations" / "env.py"
    path.write_text(path.read_text().replace("context.run_migrations()\n", "context.run_migrations()\n        %s\n" % commit, 1))
    project.tables("r1", "r2")
    payload = project.inspect().done().payload
    assert payload["external_transaction"] is False and payload["env_commits"] is True
    assert project.upgrade([], ["r1"], ["r1"], ["r1"], env_commits=True).done().rows == {"r1"}
    project.revision("r2", "r1", ["CREATE TABLE r2 (id INTEGER)", "BROKEN"])
    outcome = project.upgrade(["r1"], ["r2"], ["r2"], ["r2"], env_commits=True).failed("MigrationFailed", "syntax error")
    assert outcome.error["committed"] is ("r2" in database.tables()) and outcome.rows == database.rows() == {"r1"}


def test_the_commit_of_another_connection_is_none(project, database):
    project.env(before=SELECT_BEFORE, after="with create_engine(config.get_main_option('sqlalchemy.url')).begin() as other: other.execute(text('SELECT 1'))",
                setup="from sqlalchemy import create_engine")
    project.tables("r1")
    assert project.inspect().done().payload["external_transaction"] is True


MULTIDB = pathlib.Path("lib/python%d.%d/site-packages/alembic/templates/multidb/env.py" % sys.version_info[:2])


@pytest.mark.parametrize("release", FUTURE[::2])
def test_alembic_s_own_template_for_several_databases_with_one(project, database, release):
    template = (project.python.parent.parent / MULTIDB).read_text()
    project.write("migrations/env.py", template)
    ini = project.folder / "alembic.ini"
    ini.write_text(ini.read_text() + "databases = engine1\n[engine1]\nsqlalchemy.url = %s\n%s" % (database.url.replace("%", "%%"), LOGGING))
    path = project.revision("r1")
    path.write_text(path.read_text().partition("def upgrade")[0] + "def upgrade(engine_name): op.execute('CREATE TABLE r1 (id INTEGER)')\n"
                    "def downgrade(engine_name): op.execute('DROP TABLE r1')\n")
    payload = project.inspect().done().payload
    assert payload["env_commits"] is True and payload["revisions"][0]["sql"]["upgrade"]["text"] == "CREATE TABLE r1 (id INTEGER);"
    assert project.upgrade([], ["r1"], ["r1"], ["r1"], env_commits=True).done().rows == {"r1"}
    assert project.downgrade(["r1"], [], [], ["r1"], env_commits=True).done().rows == set()


ROLLBACK_ENV = """
import os
from alembic import context
from sqlalchemy import create_engine
with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    with connection.begin() as transaction:
        context.configure(connection=connection)
        context.run_migrations()
        transaction.rollback()
"""


@pytest.mark.parametrize("release", ENDS)
def test_rolled_back_is_noticed(project, database, release):
    project.env(ROLLBACK_ENV)
    project.revision("r1")
    outcome = project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("RolledBack", "at base instead of {r1}")
    assert outcome.message["steps_done"] == 1 and outcome.rows == database.rows() == set()


def test_unsupported_dialect(sqlite_project):
    sqlite_project.tables("r1")
    sqlite_project.env(before="connection.dialect.name = 'oracle'; connection.dialect.driver = 'x'\n"
                              "from alembic.ddl import impl\nclass Oracle(impl.DefaultImpl): __dialect__ = 'oracle'")
    sqlite_project.inspect().refused("UnsupportedDialect", "oracle", "postgresql")
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).refused("UnsupportedDialect", "oracle", "postgresql")


def test_too_old(make_project, sqlite):
    project = make_project(sqlite)
    project.python = environments.python_of(environments.OLDEST_REFUSED)
    project.inspect().failed("AlembicTooOld", "1.5.8", "1.6")


def test_no_alembic(make_project, sqlite):
    project = make_project(sqlite)
    project.python = environments.python_of(environments.WITHOUT_ALEMBIC)
    project.inspect().failed("AlembicMissing", "No module named 'alembic'")
    project.write("alembic/env.py", "")
    project.environ["PYTHONPATH"] = "."
    project.inspect().failed("AlembicMissing", "which is not Alembic")


@pytest.mark.parametrize("task, words", [
    (None, "not set"), ("{", "not JSON"), ("[]", "protocol 1"), ({"protocol": 2, "action": "inspect"}, "protocol 1"),
    ({"protocol": 1, "action": "drop"}, "drop"), ({"protocol": 1, "action": "run", "direction": "upgrade", "from": "x"}, "from, targets"),
    ({"protocol": 1, "action": "inspect", "url_env": ["NOT_SET"]}, "NOT_SET"),
])
def test_unusable_task(tmp_path, task, words):
    log = tmp_path / "log"
    environ = {"ALEMBIC_OPERATOR_TERMINATION_LOG": str(log)}
    if task is not None:
        environ["ALEMBIC_OPERATOR_TASK"] = task if isinstance(task, str) else json.dumps(task)
    assert subprocess.run([sys.executable, RUNNER], env=environ, stderr=subprocess.DEVNULL, timeout=20).returncode == 2
    message = json.loads(log.read_bytes())
    assert (message["state"], message["error"]["class"]) == ("failed", "TaskUnusable") and words in message["error"]["message"]


def test_nowhere_to_report(tmp_path):
    environ = {"ALEMBIC_OPERATOR_TERMINATION_LOG": "/proc/none/log", "ALEMBIC_OPERATOR_TASK": '{"protocol": 1, "action": "inspect"}'}
    result = subprocess.run([sys.executable, RUNNER], env=environ, stderr=subprocess.PIPE, timeout=20)
    assert result.returncode == 2 and b"termination message cannot be written" in result.stderr
