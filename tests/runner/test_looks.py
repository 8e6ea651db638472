"""A look changes nothing and hides nothing: what revisions do beside the SQL that they show. Touches the private PostgreSQL."""

import textwrap
from hashlib import sha256

import pytest
from environments import ENDS, OLDEST_SQLALCHEMY

OWN_CONNECTION = """
import os, %s
connect = %s
kept = [connect(os.environ["DATABASE_URL"])]
def write(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE written_by_an_inspection (id int)")
    connection.commit()
def afresh():
    write(connect(URL))
def kept_open():
    write(kept[0])
def from_the_environment():
    write(connect(os.environ["DATABASE_URL"]))
def by_a_program():
    import ctypes
    ctypes.CDLL(None).system(("psql %%s -c 'CREATE TABLE written_by_an_inspection (id int)'" %% URL).encode())
def swallowed():
    try: afresh()
    except BaseException: pass
URL = os.environ["DATABASE_URL"]
"""


def inspected(project, body, top=""):
    path = project.revision("r1")
    path.write_text("from alembic import op\nrevision, down_revision = 'r1', None\n%s\ndef upgrade():\n%s\ndef downgrade():\n    pass\n"
                    % (top, textwrap.indent(body, "    ")))
    revision, = project.inspect().done().payload["revisions"]
    return revision


def is_opaque_without_sql(script):
    assert not script["text"] and script["opaque"], script


@pytest.mark.parametrize("release", [OLDEST_SQLALCHEMY, *ENDS])
@pytest.mark.parametrize("way", ["afresh", "kept_open", "from_the_environment", "by_a_program", "swallowed"])
def test_a_connection_of_a_helper(pg_project, pg, way):
    pg_project.write("helper.py", OWN_CONNECTION % ("psycopg2", "psycopg2.connect"))
    revision = inspected(pg_project, "helper.%s()" % way, "import helper")
    is_opaque_without_sql(revision["sql"]["upgrade"])
    assert pg.tables() == set()


@pytest.mark.parametrize("way", ["afresh", "kept_open", "swallowed"])
def test_a_connection_of_another_driver(pg_project, pg, way):
    pg_project.write("helper.py", OWN_CONNECTION % ("psycopg", "psycopg.connect"))
    is_opaque_without_sql(inspected(pg_project, "helper.%s()" % way, "import helper")["sql"]["upgrade"])
    assert pg.tables() == set()


def test_a_socket_that_is_open_already(sqlite_project):
    """As a kept connection of a cache or a queue; the parent's end would see what the child sends."""
    sqlite_project.write("helper.py", "import socket\nours, theirs = socket.socketpair()\ntheirs.setblocking(False)\n")
    sqlite_project.env(after="import helper\ntry: received = helper.theirs.recv(10)\nexcept BlockingIOError: received = b''\nassert not received")
    is_opaque_without_sql(inspected(sqlite_project, "import helper\nhelper.ours.sendall(b'x')")["sql"]["upgrade"])


@pytest.mark.parametrize("body, words", [
    ("import os\nos._exit(0)", "ended its process"), ("import ctypes\nctypes.CDLL(None).sleep(60)", "runs code beside"), ("import helper\nhelper.hang()", "takes more than")])
def test_a_function_that_ends_or_hangs(sqlite_project, body, words):
    sqlite_project.write("helper.py", "import ctypes\ndef hang(): ctypes.CDLL(None).sleep(60)\ndef leave():\n    import os\n    os._exit(0)\n")
    body = "import helper\nhelper.leave()" if "_exit" in body else body
    script = inspected(sqlite_project, body)["sql"]["upgrade"]
    assert script["text"] is None and words in " ".join(script["opaque"]), script


DECORATOR = "def sql(statement):\n    def around(function):\n        def run(): op.execute(statement)\n        return run\n    return around\n"


@pytest.mark.parametrize("release", ENDS)
@pytest.mark.parametrize("top, end", [
    (DECORATOR + "@sql('DROP TABLE goods')", ""),
    (DECORATOR + "import functools\n@functools.partial(lambda f: functools.wraps(f)(lambda: op.execute('DROP TABLE goods')))", ""),
    ("", "def other():\n    op.execute('DROP TABLE goods')\nupgrade = other"),
    ("", "def other():\n    op.execute('DROP TABLE goods')\nupgrade.__code__ = other.__code__"),
    ("", "globals()['upgrade'] = lambda: op.execute('DROP TABLE goods')"),
    ("", "class Upgrade:\n    def __call__(self): op.execute('DROP TABLE goods')\nupgrade = Upgrade()"),
    ("", "if True:\n    def upgrade():\n        op.execute('DROP TABLE goods')"),
])
def test_an_upgrade_that_is_not_what_its_text_says(sqlite_project, top, end):
    path = sqlite_project.revision("r1")
    path.write_text("from alembic import op\nrevision, down_revision = 'r1', None\n%s\ndef upgrade():\n    '''Nothing.'''\n%s\n" % (top, end))
    revision, = sqlite_project.inspect().done().payload["revisions"]
    script = revision["sql"]["upgrade"]
    assert revision["upgrade"] == "present" and "DROP TABLE goods" in (script["text"] or "") or script["opaque"], revision


@pytest.mark.parametrize("body", ["if not context.is_offline_mode():\n    op.drop_table('goods')", "try: op.get_bind().execute(sa.text('SELECT 1')).fetchall()\nexcept Exception: pass",
                                  "print('hello')"])
def test_something_without_sql_is_opaque(sqlite_project, body):
    script = inspected(sqlite_project, body, "import sqlalchemy as sa\nfrom alembic import context")["sql"]["upgrade"]
    assert script["opaque"], script


def test_the_environment_has_no_url_while_sql_is_rendered(pg_project):
    script = inspected(pg_project, "import os\nop.execute('SELECT %s' % os.environ['DATABASE_URL'])")["sql"]["upgrade"]
    assert script["text"] == "SELECT postgresql://rendering.invalid/shop;"


READING = """
from pathlib import Path
from alembic import op
revision, down_revision = "r1", None
HERE = Path(__file__).parent
TOP = (HERE / "top.sql").read_text()
def upgrade():
    op.execute(TOP)
    op.execute(open(HERE / "within.sql").read())
def downgrade():
    op.execute("DROP TABLE top")
"""


@pytest.mark.parametrize("release", ENDS)
def test_files_that_a_revision_reads_are_part_of_the_plan(project, database, release):
    project.revision("r1").write_text(READING)
    inner, top = (project.write("migrations/versions/%s.sql" % name, "CREATE TABLE %s (id INTEGER)" % name) for name in ("within", "top"))
    revision, = project.inspect().done().payload["revisions"]
    assert revision["reads"] == [{"path": str(path), "sha256": sha256(path.read_bytes()).hexdigest()} for path in (top, inner)]
    assert "CREATE TABLE within" in revision["sql"]["upgrade"]["text"]
    line = " ".join(["r1", revision["sha256"]] + [part for read in revision["reads"] for part in (read["path"], read["sha256"])]) + "\n"
    plan = {"steps_digest": sha256(line.encode()).hexdigest(), "reads": {"r1": [str(top), str(inner)]}}
    inner.write_text("CREATE TABLE evil (id INTEGER)")
    project.upgrade([], ["r1"], ["r1"], ["r1"], **plan).refused("StepsChanged", "files that they read")
    inner.unlink()
    project.upgrade([], ["r1"], ["r1"], ["r1"], **plan).refused("StepsChanged")
    inner.write_text("CREATE TABLE within (id INTEGER)")
    assert project.upgrade([], ["r1"], ["r1"], ["r1"], **plan).done().rows == {"r1"}


BROKEN = [
    ("op.drop_constraint(None, 'goods', type_='unique')", "it has no name"),
    ("op.drop_tabel('goods')", "drop_tabel"),
    ("undefined", "undefined"),
    ("op.drop_column('goods')", "drop_column"),
]
WORKING = ["op.drop_table('goods')", "op.get_bind().execute(sa.text('SELECT 1')).first().x", "raise ValueError('today')", "import os; os.environ['GONE']"]


def test_a_downgrade_that_cannot_work_on_any_database(pg_project):
    for body, words in BROKEN:
        pg_project.revision("r1", None, "pass", body)
        script = pg_project.inspect().done().payload["revisions"][0]["sql"]["downgrade"]
        assert words in script["broken"] and script["opaque"], (body, script)
    for body in WORKING:
        pg_project.revision("r1", None, "pass", ["import sqlalchemy as sa", body])
        assert "broken" not in pg_project.inspect().done().payload["revisions"][0]["sql"]["downgrade"], body


MIGRATES = """
import os
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine
def create_app():
    if os.environ.get("MIGRATE") == "no":
        return
    config = Config("alembic.ini")
    config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"].replace("%", "%%"))
    command.upgrade(config, "head")
"""


@pytest.mark.parametrize("release", [OLDEST_SQLALCHEMY, *ENDS])
def test_an_application_that_migrates_as_it_starts(project, database, release):
    project.tables("r1")
    project.write("shop.py", MIGRATES)
    task = {"attributes": {"shop": "shop:create_app()"}}
    for action in ("inspect", "probe"):
        outcome = project.start(action=action, **task).outcome()
        outcome.failed("EnvPyFailed", "spec.alembic.attributes.shop", "CREATE TABLE", "in a look nothing is changed", "spec.env")
        assert "r1'" not in outcome.error["message"] and database.tables() == set()
    if release == ENDS[1]:
        project.inspect(**task, writes_at_start=True).done()
        database.execute("DROP TABLE r1")
        database.execute("DROP TABLE alembic_version")
    project.environ["MIGRATE"] = "no"
    project.inspect(**task).done()
    assert project.upgrade([], ["r1"], ["r1"], ["r1"], **task).done().rows == {"r1"}


BY_ITSELF = {
    "a schema": ("connection.execute(text('CREATE SCHEMA IF NOT EXISTS tenant')); connection.execute(text('SET search_path TO tenant')); connection.commit()", ""),
    "tables that it misses": ("from sqlalchemy import Column, Integer, MetaData, Table; m = MetaData(); Table('made', m, Column('id', Integer)); "
                              "m.create_all(connection); connection.commit()", ""),
    "rows afterwards": ("pass", "with engine_from_config(config.get_section('alembic'), prefix='sqlalchemy.').begin() as c: "
                                "c.execute(text('CREATE TABLE IF NOT EXISTS seeds (id INTEGER)')); c.execute(text('INSERT INTO seeds VALUES (1)'))"),
}


@pytest.mark.parametrize("what", BY_ITSELF)
def test_what_env_py_makes_by_itself_is_left_out_of_a_look(pg_project, pg, what):
    pg_project.tables("r1")
    before, after = BY_ITSELF[what]
    pg_project.env(before=before, after=after)
    everything = "SELECT nspname FROM pg_namespace UNION ALL SELECT relname FROM pg_class"
    there = sorted(pg.query(everything))
    facts = pg_project.inspect().done().payload
    assert pg_project.probe().done().message["look"]["rows"] == [] and sorted(pg.query(everything)) == there
    assert pg_project.upgrade([], ["r1"], ["r1"], ["r1"], env_commits=facts["env_commits"]).done().rows == {"r1"}
    assert len(sorted(pg.query(everything))) > len(there) + 1


def test_rows_that_env_py_writes_before_the_migrations(pg_project, pg):
    pg_project.tables("r1")
    pg.execute("CREATE TABLE log (who TEXT)")
    pg_project.env(before="connection.execute(text(\"WITH x AS (SELECT 1) INSERT INTO log VALUES ('s3cret')\"))")
    outcome = pg_project.inspect().failed("EnvPyFailed", "in a look nothing is changed")
    assert "s3cret" not in str(outcome.message) + outcome.stderr and pg.query("SELECT * FROM log") == []


@pytest.mark.parametrize("statement, told", [
    ("INSERT INTO users (name) VALUES ('x')", "INSERT INTO users"), ("\n  -- y\nCREATE TABLE  a.b (id int)", "CREATE TABLE a.b"), ("/* z */ UPDATE \"t\" SET a = 's3'", "UPDATE \"t\""),
    ("CREATE SCHEMA IF NOT EXISTS app", "CREATE SCHEMA IF NOT EXISTS app"), ("DO $$ BEGIN END $$", "DO"), ("DELETE FROM t", "DELETE FROM t"), ("COPY t FROM STDIN", "COPY t FROM STDIN")])
def test_a_statement_is_named_without_its_values(statement, told):
    from alembic_operator_runner.look_only import OBJECTS, ROWS, named

    assert named(statement) == told and bool(OBJECTS.match(statement)) != bool(ROWS.match(statement))


@pytest.mark.parametrize("statement", ["SELECT 1", "SET search_path TO x", "CREATE TEMPORARY TABLE t (id int)", "PRAGMA journal_mode=WAL", "BEGIN IMMEDIATE", "COPY t TO STDOUT",
                                       "WITH x AS (SELECT updated FROM y) SELECT * FROM x", "SHOW TABLES", "SELECT pg_advisory_lock(1)"])
def test_a_statement_that_only_reads(statement):
    from alembic_operator_runner.look_only import OBJECTS, ROWS

    assert not OBJECTS.match(statement) and not ROWS.match(statement)
