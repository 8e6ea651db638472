"""The SQL that an inspection reports for each revision, and that nothing of it is run. On SQLite, PostgreSQL and MariaDB."""

import hashlib
import os
import pathlib
import re
import signal
import subprocess
import textwrap

import pytest
from alembic_operator_runner.render.output import digest_of
from environments import ENDS as ALEMBIC_ENDS
from environments import OLDEST_SQLALCHEMY
from environments import SUPPORTED as ALEMBIC_SUPPORTED
from project import RUNNER

ENDS = [OLDEST_SQLALCHEMY, *ALEMBIC_ENDS]
SUPPORTED = [OLDEST_SQLALCHEMY, *ALEMBIC_SUPPORTED]

OFFLINE_ENV = """
from alembic import context
context.configure(url=context.config.get_main_option("sqlalchemy.url"), literal_binds=True, dialect_opts={"paramstyle": "named"})
with context.begin_transaction():
    context.run_migrations()
"""

HEAD = "import os, sys\nimport sqlalchemy as sa\nfrom alembic import context, op\n"


def write(project, revision, upgrade, downgrade="pass", down=None, top=""):
    """A revision file with bodies of several lines."""
    text = HEAD + "revision, down_revision = %r, %r\n%s\n" % (revision, down, top)
    for name, body in (("upgrade", upgrade), ("downgrade", downgrade)):
        text += "def %s():\n%s\n" % (name, textwrap.indent(textwrap.dedent(body).strip(), "    "))
    path = project.write("migrations/versions/%s_.py" % revision, text)
    project.files[revision] = path
    return path


def scripts_of(project):
    return {one["id"]: one["sql"] for one in project.inspect().done().payload["revisions"]}


def upgrades(project, *bodies, top=""):
    """What each body gives as an upgrade: a history of one revision for each."""
    for number, body in enumerate(bodies):
        write(project, "r%02d" % number, body, down="r%02d" % (number - 1) if number else None, top=top)
    scripts = scripts_of(project)
    return [scripts["r%02d" % number]["upgrade"] for number in range(len(bodies))]


def limited(project, **constants):
    """Runs the runner with other limits."""
    program = """
import os, sys
sys.path.insert(0, %r)
sys.dont_write_bytecode = True
from alembic_operator_runner import drive, frames
del sys.path[0]
for name, value in %r.items():
    for module in [module for title, module in sys.modules.items() if title.startswith("alembic_operator_runner.") and hasattr(module, name)]:
        setattr(module, name, value)
status = drive.main()
frames.flush_standard_streams()
os._exit(status)
"""
    project.runner = ["-c", program % (str(RUNNER), constants)]


def is_whole(script, text=None):
    assert script["opaque"] == [] and script["text"] is not None, script
    assert script["sha256"] == digest_of(script["text"])
    if text is not None:
        assert script["text"] == text
    return True


def said(script):
    """What Alembic's operations say beside the SQL, and the SQL."""
    return re.findall(r"^-- Alembic says: (.*)$", script["text"], flags=re.M), re.sub(r"^-- Alembic says: .*\n\n", "", script["text"], flags=re.M)


def is_opaque(script, *words, rendered=False):
    assert (script["text"] is not None) is rendered and (script["sha256"] is not None) is rendered, script
    for word in words:
        assert any(word in reason for reason in script["opaque"]), (word, script)
    assert 0 < len(script["opaque"]) <= 5 and all(len(reason) <= 200 for reason in script["opaque"])
    return True


# ---------------------------------------------------------------- the text


RICH = {
    "a1": ("""
        op.create_table("t", sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20), nullable=False, server_default="it's"))
        op.bulk_insert(sa.table("t", sa.column("id", sa.Integer), sa.column("name", sa.String)), [{"id": 1, "name": "O'Hara 100%"}, {"id": 2, "name": "b"}])
        op.execute(sa.text("UPDATE t SET name = :name WHERE name LIKE 'a%'").bindparams(name="x'y"))
        """, "op.drop_table('t')"),
    "b1": ("op.add_column('t', sa.Column('extra', sa.String(5)))\nop.create_index('i', 't', ['name'], unique=True)", "op.drop_index('i', table_name='t')"),
    "b2": ("op.execute(sa.table('t', sa.column('name', sa.String)).update().values(name=op.inline_literal('q\"%s')))", "pass"),
    "c1": ("pass", "pass"),
}
RICH_SERVER = {
    "d1": ("""
        with op.batch_alter_table("t") as batch:
            batch.alter_column("name", existing_type=sa.String(20), type_=sa.Text(), nullable=True)
            batch.drop_column("extra")
        """, "op.alter_column('t', 'name', new_column_name='title', existing_type=sa.Text(), existing_nullable=True)"),
}
RICH_PG = {
    "e1": ("""
        sa.Enum("happy", "sad", name="mood").create(op.get_bind())
        op.create_table("u", sa.Column("kind", sa.Enum("a", "b", name="kind")))
        with op.get_context().autocommit_block():
            op.create_index("j", "t", ["title"], postgresql_concurrently=True)
            op.execute("ALTER TYPE mood ADD VALUE 'calm'")
        """, "op.drop_table('u')\nsa.Enum(name='mood').drop(op.get_bind(), checkfirst=True)"),
}


def rich_history(project, database):
    chosen = dict(RICH, **({} if database.dialect == "sqlite" else RICH_SERVER), **(RICH_PG if database.dialect == "postgresql" else {}))
    downs = {"a1": None, "b1": "a1", "b2": "a1", "c1": ("b1", "b2"), "d1": "c1", "e1": "d1"}
    for name, (upgrade, downgrade) in chosen.items():
        write(project, name, upgrade, downgrade, downs[name])
    return list(chosen)


def alembics_own(project, direction, span, version_table="alembic_version"):
    """The output of `alembic upgrade A:B --sql` for each step: {revision: text}, without the bookkeeping."""
    env = (project.folder / "migrations" / "env.py").read_text()
    project.write("migrations/env.py", OFFLINE_ENV)
    ini = project.folder / "alembic.ini"
    before = ini.read_text()
    ini.write_text(before + "sqlalchemy.url = %s\n" % re.sub(r"//.*@", "//u:p@", project.url))
    command = [str(pathlib.Path(project.python).parent / "alembic"), direction, span, "--sql"]
    result = subprocess.run(command, cwd=project.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 0, result.stderr
    project.write("migrations/env.py", env)
    ini.write_text(before)
    parts = re.split(r"^-- Running \w+ (.*) -> (.*)$\n", result.stdout, flags=re.M)
    texts = {}
    for start, end, text in zip(parts[1::3], parts[2::3], parts[3::3]):
        # The statements of the version table, of its creation and its end, and the outer transaction's end.
        text = re.sub(r"^(INSERT INTO|UPDATE|DELETE FROM|CREATE TABLE|DROP TABLE) %s\b[^;]*;\n\n" % version_table, "", text, flags=re.M)
        text = re.sub(r"COMMIT;\s*\Z", "", text) if project.url.startswith("postgresql") and text is parts[-1] or text.endswith("COMMIT;\n\n") else text
        texts[(end if direction == "upgrade" else start).split(" ")[0]] = text.strip()
    return texts


@pytest.mark.parametrize("release", SUPPORTED)
@pytest.mark.parametrize("kind", ["sqlite", "pg", "mariadb"])
def test_same_as_alembics_own_offline_mode(make_project, request, kind, release):
    if kind == "mariadb" and release not in ENDS[-1:]:
        pytest.skip("MariaDB's driver is in the newest environment only")
    database = request.getfixturevalue(kind)
    project = make_project(database)
    names = rich_history(project, database)
    scripts = scripts_of(project)
    head = names[-1]
    for direction, span in (("upgrade", "base:" + head), ("downgrade", head + ":base")):
        own = alembics_own(project, direction, span)
        assert set(own) >= set(names) - {"c1"}, own
        for name in names:
            assert is_whole(scripts[name][direction]) and said(scripts[name][direction])[1] == own.get(name, ""), (name, direction)
    assert scripts["c1"]["upgrade"] == {"text": "", "sha256": hashlib.sha256(b"").hexdigest(), "opaque": []}
    assert database.tables() == set()


@pytest.mark.parametrize("release", ENDS)
def test_autocommit_block_keeps_its_commit(pg_project, release):
    script, = upgrades(pg_project, """
        op.execute("SELECT 1")
        with op.get_context().autocommit_block():
            op.execute("SELECT 2")
        """)
    assert is_whole(script, "SELECT 1;\n\nCOMMIT;\n\nSELECT 2;\n\nBEGIN;")


@pytest.mark.parametrize("release", ENDS)
def test_missing_and_empty_functions(sqlite_project, release):
    sqlite_project.revision("a1", None, None, None)
    sqlite_project.revision("a2", "a1", "pass", "raise NotImplementedError('one way')")
    scripts = scripts_of(sqlite_project)
    assert all(is_whole(script, "") for script in (scripts["a1"]["upgrade"], scripts["a1"]["downgrade"], scripts["a2"]["upgrade"]))
    assert is_opaque(scripts["a2"]["downgrade"], "could not be rendered: NotImplementedError: one way (line ")


def test_helpers_are_rendered_and_change_the_digest(sqlite_project):
    sqlite_project.write("shop_helpers.py", "from alembic import op\ndef fill():\n    op.execute('UPDATE t SET a = 1')\n")
    before, = upgrades(sqlite_project, "import shop_helpers\nshop_helpers.fill()")
    sqlite_project.write("shop_helpers.py", "from alembic import op\ndef fill():\n    op.execute('UPDATE t SET a = 2 ')\n")
    after = scripts_of(sqlite_project)["r00"]["upgrade"]
    assert is_whole(before, "UPDATE t SET a = 1;") and is_whole(after, "UPDATE t SET a = 2;") and before["sha256"] != after["sha256"]
    assert not list(sqlite_project.folder.glob("__pycache__/shop_helpers*")), "rendering writes no file"


def test_arguments_of_run_migrations_and_names_of_models(sqlite_project):
    sqlite_project.env(setup="from sqlalchemy import MetaData\nmetadata = MetaData(naming_convention={'uq': 'unique_%(table_name)s'})\n")
    env = sqlite_project.folder / "migrations" / "env.py"
    env.write_text(env.read_text().replace("context.run_migrations()", "context.run_migrations(engine_name='main')"))
    path = write(sqlite_project, "a1", "op.create_table('t_' + engine_name, sa.Column('a', sa.Integer, unique=True))")
    path.write_text(path.read_text().replace("upgrade()", "upgrade(engine_name)").replace("downgrade()", "downgrade(engine_name)"))
    script = scripts_of(sqlite_project)["a1"]["upgrade"]
    assert is_whole(script) and "CREATE TABLE t_main" in script["text"] and "CONSTRAINT unique_t_main UNIQUE (a)" in script["text"]


def test_module_is_not_run_again(sqlite_project):
    script, = upgrades(sqlite_project, "op.execute('SELECT %d' % len(sys.shop_loads))", top="sys.shop_loads = getattr(sys, 'shop_loads', []) + [1]")
    assert is_whole(script, "SELECT 1;")


def test_scrubbed_sql_is_still_sql(sqlite_project):
    scripts = upgrades(
        sqlite_project,
        "op.execute(\"UPDATE users SET auth = 'LDAP' WHERE password = 'LDAP'\")\nop.execute('VACUUM')",
        "op.execute(\"UPDATE users SET passwd='it''s', a = 1\")\nop.execute('DROP TABLE t')",
        "op.execute('UPDATE users SET password = old.password')\nop.execute('DROP TABLE t')",
    )
    assert [script["text"] for script in scripts] == [
        "UPDATE users SET auth = 'LDAP' WHERE password = '***';\n\nVACUUM;",
        "UPDATE users SET passwd='***', a = 1;\n\nDROP TABLE t;",
        "UPDATE users SET password = '***';\n\nDROP TABLE t;",
    ]


def test_secrets_are_scrubbed_and_the_digest_is_of_the_whole(sqlite_project):
    sqlite_project.environ = {"SHOP_API_TOKEN": "abcdef-123456"}
    script, = upgrades(sqlite_project, "op.execute(\"INSERT INTO s VALUES ('%s', 'pg://u:pw@h')\" % os.environ['SHOP_API_TOKEN'])")
    assert script["text"] == "INSERT INTO s VALUES ('***', 'pg://***@h');"
    assert script["sha256"] == hashlib.sha256(b"INSERT INTO s VALUES ('abcdef-123456', 'pg://u:pw@h');").hexdigest()


# ---------------------------------------------------------------- the connection's stand-in


BIND = "bind = op.get_bind()\n"


@pytest.mark.parametrize("release", SUPPORTED)
def test_looking_at_the_dialect_only_is_whole(pg_project, release):
    for script in upgrades(
        pg_project,
        BIND + "if bind.dialect.name == 'postgresql': op.execute('SELECT 1')",
        BIND + "if bind.engine.dialect.name == bind.engine.name == 'postgresql' and bind.dialect.server_version_info > (9,): op.execute('SELECT 1')",
        "if op.get_context().dialect.name == context.get_bind().dialect.name: op.execute('SELECT 1')",
        BIND + "bind.execute(sa.text('SELECT 1'))",
        "op.get_context().connection.execute(sa.text('SELECT :x'), {'x': 1})",
        BIND + "bind.execution_options(stream_results=True).execute(sa.text('SELECT :x').bindparams(x=1)).close()",
        "if context.get_context().as_sql == context.get_x_argument(): pass\nop.execute('SELECT 1')".replace(".as_sql", ".purge"),
    ):
        assert is_whole(script, "SELECT 1;")


@pytest.mark.parametrize("release", ENDS)
def test_writing_statements_on_the_connection(pg_project, release):
    table = "t = sa.table('t', sa.column('a', sa.Integer), sa.column('b', sa.String))\n"
    insert, text, update, ddl = upgrades(
        pg_project,
        BIND + table + "bind.execute(t.insert(), [{'a': 1, 'b': \"x'\"}, {'a': 2, 'b': '%'}])",
        BIND + "bind.execute(sa.text('DELETE FROM t WHERE b = :b'), {'b': \"y'\"})",
        BIND + table + "bind.execute(t.update().where(t.c.a == 5).values(b='z'))",
        BIND + "m = sa.MetaData()\nsa.Table('n', m, sa.Column('id', sa.Integer))\nm.create_all(bind)\nm.drop_all(bind=bind)",
    )
    assert is_whole(insert, "INSERT INTO t (a, b) VALUES (1, 'x''');\n\nINSERT INTO t (a, b) VALUES (2, '%');")
    assert is_whole(text, "DELETE FROM t WHERE b = 'y''';")
    assert is_whole(update, "UPDATE t SET b='z' WHERE t.a = 5;")
    assert is_whole(ddl) and re.match(r"CREATE TABLE n \(.*\);\n\nDROP TABLE n;$", ddl["text"], re.S)


READS = [
    BIND + "for row in bind.execute(sa.text('SELECT 1')): pass",
    BIND + "x = bind.execute(sa.text('SELECT 1')).scalar()",
    BIND + "if bind.execute(sa.text('SELECT 1')): pass",
    BIND + "a, b = bind.execute(sa.text('SELECT 1'))",
    BIND + "bind.execute(sa.text('SELECT 1')).rowcount > 0",
    BIND + "bind.scalar(sa.text('SELECT 1'))",
    BIND + "bind.connect()",
    BIND + "bind.begin()",
    BIND + "with bind.begin(): pass",
    BIND + "with bind as b: pass",
    BIND + "bind.in_transaction()",
    BIND + "print(bind.engine.url)",
    BIND + "bind.connection.cursor().execute('SELECT 1')",
    "from sqlalchemy.orm import Session\nSession(bind=op.get_bind()).execute(sa.text('SELECT 1'))",
    "sa.inspect(op.get_bind()).get_table_names()",
    BIND + "bind.dialect.has_table(bind, 't')",
]


@pytest.mark.parametrize("release", ENDS)
def test_reading_the_database_is_opaque(pg_project, release):
    for body, script in zip(READS, upgrades(pg_project, *READS)):
        assert is_opaque(script, "reads the database ("), body
    for body, script in zip(READS, upgrades(pg_project, *["try:\n%s\nexcept Exception: pass\nop.execute('SELECT 1')" % textwrap.indent(body, "    ") for body in READS])):
        assert script["opaque"], body
        assert is_opaque(script, "reads the database (", rendered=True), body


def test_the_place_is_named(sqlite_project):
    script, = upgrades(sqlite_project, "op.execute('SELECT 1')\nop.get_bind().execute(sa.text('SELECT 1')).fetchall()")
    assert is_opaque(script, "reads the database (op.get_bind(), line 8)")


@pytest.mark.parametrize("release", ENDS)
def test_offline_guards(sqlite_project, release):
    for script in upgrades(
        sqlite_project,
        "if not context.is_offline_mode():\n    op.get_bind().execute(sa.text('SELECT 1')).fetchall()\nop.execute('SELECT 1')",
        "if not op.get_context().as_sql:\n    op.get_bind().execute(sa.text('SELECT 1')).fetchall()\nop.execute('SELECT 1')",
    ):
        assert script["text"] == "SELECT 1;" and is_opaque(script, "the part for online mode isn't shown", rendered=True)


@pytest.mark.parametrize("release", ENDS)
def test_sqlite_batch_mode(sqlite_project, release):
    script, added, copied = upgrades(
        sqlite_project,
        "with op.batch_alter_table('t') as batch:\n    batch.drop_column('a')",
        "with op.batch_alter_table('t') as batch:\n    batch.add_column(sa.Column('a', sa.Integer))",
        "table = sa.Table('t', sa.MetaData(), sa.Column('a', sa.Integer), sa.Column('b', sa.Integer))\n"
        "with op.batch_alter_table('t', copy_from=table) as batch:\n    batch.drop_column('a')",
    )
    assert is_opaque(script, "copies table t in SQLite's batch mode: judged by Alembic's operations", rendered=True)
    assert script["text"] == "-- Alembic does: ALTER TABLE t DROP COLUMN a"
    assert is_whole(added, "ALTER TABLE t ADD COLUMN a INTEGER;") and is_whole(copied) and "_alembic_tmp_t" in copied["text"]


@pytest.mark.parametrize("release", ENDS)
def test_sqlites_batch_mode_tells_its_operations(sqlite_project, release):
    script, odd = upgrades(sqlite_project, """
        op.execute("SELECT 1")
        with op.batch_alter_table("t") as batch:
            batch.alter_column("a", existing_type=sa.Text(), type_=sa.Integer(), nullable=False, existing_nullable=True)
            batch.alter_column("b", new_column_name="the b", server_default=None)
            batch.add_column(sa.Column("c", sa.String(5), nullable=False, server_default="x"))
            batch.create_unique_constraint("u", ["a", "c"])
            batch.create_foreign_key("f", "other", ["a"], ["id"])
            batch.create_check_constraint("k", "a > 0")
            batch.drop_constraint("old", type_="unique")
            batch.create_index("i", ["c"])
        op.execute("SELECT 2")
        """, """
        with op.batch_alter_table("t", recreate="always") as batch:
            batch.create_table_comment("x")
        """)
    assert is_opaque(script, "judged by Alembic's operations", rendered=True)
    changes = ["ALTER COLUMN a TYPE INTEGER", "ALTER COLUMN a SET NOT NULL", "ALTER COLUMN b DROP DEFAULT", 'RENAME COLUMN b TO "the b"',
               "ADD COLUMN c VARCHAR(5) DEFAULT 0 NOT NULL", "ADD CONSTRAINT u UNIQUE (a, c)", "ADD CONSTRAINT f FOREIGN KEY (a) REFERENCES other (id)",
               "ADD CONSTRAINT k CHECK (a > 0)", "DROP CONSTRAINT old"]
    assert script["text"] == "SELECT 1;\n\n-- Alembic says: column t.a TEXT NULL\n\n-- Alembic does: ALTER TABLE t %s\n\nSELECT 2;" % ", ".join(changes)
    assert is_opaque(odd, "SQLite batch mode can't be rendered without the table (line ")


@pytest.mark.parametrize("release", ENDS)
def test_operations_say_what_the_sql_does_not(pg_project, release):
    typed, tightened, dropped, unsaid = upgrades(
        pg_project,
        "op.alter_column('t', 'a', schema='s', existing_type=sa.String(20), type_=sa.String(50), existing_nullable=False)",
        "op.alter_column('t', 'A b', existing_nullable=True, nullable=False)",
        "op.drop_index('i', table_name='t')",
        "op.alter_column('t', 'a', nullable=False)\nop.drop_index('i')",
    )
    assert said(typed) == (["column s.t.a VARCHAR(20) NOT NULL"], "ALTER TABLE s.t ALTER COLUMN a TYPE VARCHAR(50);")
    assert said(tightened)[0] == ['column t."A b" NULL'] and said(dropped) == (["index i of t"], "DROP INDEX i;") and said(unsaid)[0] == []


# ---------------------------------------------------------------- nothing is run


APP = """
import sqlalchemy as sa
engine = sa.create_engine({url!r})
with engine.connect() as connection:  # one stays in the pool
    connection.execute(sa.text("SELECT 1"))
kept = engine.connect()
def write(connection):
    connection.execute(sa.text("CREATE TABLE evil (id INTEGER)"))
"""

EVIL = [
    "with shop_app.engine.begin() as connection: shop_app.write(connection)",
    "shop_app.write(shop_app.kept)",
    "shop_app.kept.begin()",
    "shop_app.engine.raw_connection().cursor().execute('CREATE TABLE evil (id INTEGER)')",
    "sa.MetaData().create_all(shop_app.engine)",
    "shop_app.write(context.config.attributes['connection'])",
    "shop_app.again().connect()",
    "shop_app.kept.connection.cursor().execute('CREATE TABLE evil (id INTEGER)')",
]


@pytest.mark.parametrize("release", SUPPORTED)
@pytest.mark.parametrize("swallowed", [False, True])
def test_engines_of_the_application_are_refused(project, database, release, swallowed):
    project.write("shop_app.py", APP.format(url=database.url) + "def again():\n    return sa.create_engine(%r)\n" % database.url)
    project.env(before="config.attributes['connection'] = connection")
    body = "try:\n    %s\nexcept BaseException: pass\nop.execute('SELECT 1')" if swallowed else "%s"
    for evil, script in zip(EVIL, upgrades(project, *[body % evil for evil in EVIL], top="import shop_app")):
        assert is_opaque(script, "reads the database (", rendered=swallowed), evil
    assert database.tables() == set()


@pytest.mark.parametrize("release", ENDS)
def test_no_statement_more_than_without_revisions(project, database, release):
    count = "import sqlalchemy\nlog = open('statements', 'a', buffering=1)\n"
    count += "@sqlalchemy.event.listens_for(sqlalchemy.engine.Engine, 'after_cursor_execute')\ndef count(_c, _cursor, statement, *_more): print(repr(statement), file=log)\n"
    project.env(setup=count)
    project.inspect().done()
    before = (project.folder / "statements").read_text()
    (project.folder / "statements").unlink()
    upgrades(project, *READS, *["try:\n%s\nexcept Exception: pass" % textwrap.indent(body, "    ") for body in READS], "op.create_table('t')")
    assert (project.folder / "statements").read_text() == before != ""


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
def test_drivers_in_c_are_refused(pg_project, pg, driver):
    pg_project.write("shop_app.py", "import %s as driver\nfrom %s import connect\ndef write(url):\n    with connect(url) as c: c.cursor().execute('CREATE TABLE evil (id INTEGER)')\n"
                     % (driver, driver))
    for script in upgrades(pg_project, "shop_app.write(%r)" % pg.url, "shop_app.driver.connect(%r)" % pg.url, top="import shop_app"):
        assert is_opaque(script, "reads the database (a new connection, line ")
    assert pg.tables() == set()


def test_a_dialect_that_cannot_be_rendered_offline(sqlite_project):
    sqlite_project.env(setup="from alembic.ddl.sqlite import SQLiteImpl\nimport alembic.migration as m\n"
                             "class Broken(m.MigrationContext):\n    def _stdout_connection(self, connection): raise RuntimeError('no mock')\nm.MigrationContext = Broken\n")
    script, = upgrades(sqlite_project, "op.execute('SELECT 1')")
    assert is_opaque(script, "could not be rendered: RuntimeError: no mock")


NEVER = {
    "create_engine": "sa.create_engine('sqlite:///evil.db').connect()",
    "subprocess.run": "import subprocess\nsubprocess.run(['touch', 'evil'])",
    "os.system": "os.system('touch evil')",
    "touch": "import pathlib\npathlib.Path('evil').touch()",
    "open": "open('evil', 'w')",
    "urllib.request.urlopen": "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:1')",
    "web.get()": "import requests as web\nweb.get('http://127.0.0.1:1')",
    "get_it": "from httpx import get as get_it\nget_it('http://127.0.0.1:1')",
    "run_async": "async def f(connection): pass\nop.run_async(f)",
    "exec": "exec('open(\"evil\", \"w\")')",
    "subprocess.call": "helper()",
    "sqlite3.connect": "import sqlite3\nsqlite3.connect('evil')",
    "os._exit": "os._exit(0)",
    "make_engine": "engine.connect()",
}


@pytest.mark.parametrize("release", ENDS)
def test_what_is_never_called(sqlite_project, release):
    top = "import subprocess\nfrom sqlalchemy import create_engine as make_engine\nengine = make_engine('sqlite://')\ndef helper():\n    Inner().do()\n"
    top += "class Inner:\n    def do(self):\n        subprocess.call(['touch', 'evil'])\n"
    for (name, body), script in zip(NEVER.items(), upgrades(sqlite_project, *["op.execute('SELECT 1')\n" + body for body in NEVER.values()], top=top)):
        assert is_opaque(script, "not rendered, because it ", name), body
    assert not list(sqlite_project.folder.glob("evil*"))


def test_what_helpers_do_is_refused(sqlite_project):
    helpers = {
        "process": "import subprocess; subprocess.run(['touch', 'evil'])", "system": "import os; os.system('touch evil')",
        "file": "open('evil', 'w')", "remove": "import os; os.remove('alembic.ini')", "folder": "import os; os.mkdir('evil')",
        "network": "import socket; socket.create_connection(('127.0.0.1', 9), 1)", "sqlite": "import sqlite3; sqlite3.connect('evil')",
    }
    sqlite_project.write("shop_helpers.py", "".join("def %s():\n    %s\n" % item for item in helpers.items()))
    body = "import shop_helpers\ntry: shop_helpers.%s()\nexcept Exception: pass"
    for name, script in zip(helpers, upgrades(sqlite_project, *[body % name for name in helpers])):
        assert is_opaque(script, "line 8)", rendered=True), name
    assert not list(sqlite_project.folder.glob("evil*")) and (sqlite_project.folder / "alembic.ini").exists()


def test_reading_a_file_is_rendered(sqlite_project):
    sqlite_project.write("seed.sql", "INSERT INTO t VALUES (1)")
    for script in upgrades(sqlite_project, "op.execute(open('seed.sql').read())", "import pathlib\nop.execute(pathlib.Path('seed.sql').read_text())"):
        assert script["text"] == "INSERT INTO t VALUES (1);" and is_opaque(script, "reads a file", rendered=True)


def test_values_that_are_made_anew(sqlite_project):
    clock, column = upgrades(
        sqlite_project, "import uuid\nop.execute(\"INSERT INTO t VALUES ('%s')\" % uuid.uuid4())",
        "import datetime\nop.create_table('t', sa.Column('a', sa.DateTime, default=datetime.datetime.utcnow, server_default=sa.func.now()))")
    assert is_opaque(clock, "made anew each time (uuid.uuid4()", rendered=True) and is_whole(column)


INDEXED = """
metadata = sa.MetaData()
shop = sa.Table("goods", metadata, *[sa.Column(name, sa.Integer, index=True) for name in ("maker", "price", "shelf", "weight")])
"""


def test_the_digest_is_the_same_at_each_inspection(sqlite_project):
    """SQLAlchemy keeps indexes in a set, and a helper may ask the clock where nobody sees it."""
    sqlite_project.write("shop_clock.py", "import datetime, uuid\ndef now(): return datetime.datetime.now()\ndef number(): return uuid.uuid4()\n")
    bodies = ["metadata.create_all(op.get_bind(), checkfirst=False)",
              "op.create_table('t', *[sa.Column(name, sa.Integer, index=True, unique=True) for name in 'abcd'])",
              "import shop_clock\nop.execute(\"INSERT INTO t VALUES ('%s', '%s', 1)\" % (shop_clock.now(), shop_clock.number()))"]
    told = [upgrades(sqlite_project, *bodies, top=INDEXED) for _ in range(4)]
    for number, _ in enumerate(bodies):
        assert len({each[number]["sha256"] for each in told}) == 1 and None not in {each[number]["sha256"] for each in told}
    assert len({each[0]["text"] for each in told}) == len({each[1]["text"] for each in told}) == 1
    other, = upgrades(sqlite_project, bodies[1].replace("abcd", "abce"))
    assert other["sha256"] != told[0][1]["sha256"]


@pytest.mark.parametrize("env", ["sqlite", "async"])
def test_what_follows_finds_everything_as_before(sqlite_project, env):
    """env.py goes on after the rendering: its connection, its context and its output are the ones it had."""
    from project import ASYNC_ENV, GENERIC_ENV
    if env == "async":
        sqlite_project.url = sqlite_project.url.replace("sqlite:", "sqlite+aiosqlite:")
    sqlite_project.env(GENERIC_ENV if env == "sqlite" else ASYNC_ENV)
    path = sqlite_project.folder / "migrations" / "env.py"
    path.write_text(path.read_text().replace("context.run_migrations()", textwrap.dedent("""
        import sys, signal
        before = sys.stdout, sys.dont_write_bytecode, signal.getsignal(signal.SIGALRM), context.get_context(), connection.dialect.paramstyle
        context.run_migrations()
        assert before == (sys.stdout, sys.dont_write_bytecode, signal.getsignal(signal.SIGALRM), context.get_context(), connection.dialect.paramstyle)
        assert not context.is_offline_mode() and context.get_bind() is connection and connection.execute(sqlalchemy.text("SELECT 7")).scalar() == 7
        open("marker", "w").close()
        print("env.py goes on")
        """).strip().replace("\n", "\n" + (" " * 12 if env == "sqlite" else " " * 8))).replace("from alembic", "import sqlalchemy\nfrom alembic", 1))
    upgrades(sqlite_project, "print('of the revision')\nop.execute('SELECT 1')")
    outcome = sqlite_project.inspect().done()
    assert "env.py goes on" in outcome.stdout and "of the revision" not in outcome.stdout
    assert (sqlite_project.folder / "marker").exists() and is_whole(outcome.payload["revisions"][0]["sql"]["upgrade"], "SELECT 1;")


# ---------------------------------------------------------------- errors, signals, limits


@pytest.mark.parametrize("release", ENDS)
def test_an_error_concerns_one_script(sqlite_project, release):
    bodies = {"sys.exit(3)": "SystemExit: 3", "raise KeyboardInterrupt": "KeyboardInterrupt", "1 / 0": "ZeroDivisionError: division by zero (line 7)",
              "raise BaseException('x' * 1000)": "BaseException: xxx", "op.rename_table()": "could not be rendered: TypeError",
              "context.run_migrations()": "runs Alembic itself", "raise ValueError('\\n\\u2028' + 'y' * 300)": "ValueError"}
    *scripts, last = upgrades(sqlite_project, *bodies, "op.execute('SELECT 1')")
    for (body, words), script in zip(bodies.items(), scripts):
        assert is_opaque(script, words), body
    assert is_whole(last, "SELECT 1;")


def test_asynchronous_functions(sqlite_project):
    path = write(sqlite_project, "a1", "pass")
    path.write_text(path.read_text().replace("def upgrade():\n    pass", "async def upgrade():\n    op.execute('SELECT 1')"))
    assert is_opaque(scripts_of(sqlite_project)["a1"]["upgrade"], "asynchronous")


def test_a_slow_function_is_ended(sqlite_project):
    limited(sqlite_project, SQL_SECONDS=0.3)
    slow, swallowing, fast = upgrades(
        sqlite_project, "while True: pass", "import time\nwhile True:\n    try: time.sleep(9)\n    except BaseException: break\nop.execute('SELECT 2')", "op.execute('SELECT 1')")
    assert is_opaque(slow, "takes more than 0.3 s") and is_whole(fast, "SELECT 1;")
    assert is_opaque(swallowing, "takes more than 0.3 s")


def test_time_for_all_together(sqlite_project):
    limited(sqlite_project, SQL_SECONDS_TOGETHER=0.5)
    old, slow = upgrades(sqlite_project, "op.execute('SELECT 1')", "import time\ntime.sleep(3)")
    assert is_opaque(old, "not rendered: ", "0.5 s") and is_opaque(slow, "takes more than")


def test_sizes(sqlite_project):
    limited(sqlite_project, SQL_LIMIT=1000, SQL_LIMIT_TOGETHER=1500, SQL_LIMIT_HARD=5000)
    bodies = ["op.execute('SELECT 1')", "op.execute('S' * 800)", "op.execute('S' * 800)", "op.execute('S' * 1200)", "while True: op.execute('SELECT 1')"]
    smallest, older, newer, long, endless = upgrades(sqlite_project, *bodies)
    assert is_whole(newer) and is_whole(smallest), "what is older and fits is shown"
    assert is_opaque(older, "801 bytes of SQL") and is_opaque(long, "1201 bytes of SQL, more than 1000") and is_opaque(endless, "more than 5000 bytes")


def test_newest_first_in_any_order_of_files(sqlite_project):
    limited(sqlite_project, SQL_LIMIT=1000, SQL_LIMIT_TOGETHER=1700)
    downs = {"z1": None, "b2": "z1", "y2": "z1", "a3": ("b2", "y2")}
    for name, down in downs.items():
        write(sqlite_project, name, "op.execute('S' * 800)" if name != "a3" else "pass", down=down)
    scripts = scripts_of(sqlite_project)
    assert [name for name in downs if scripts[name]["upgrade"]["text"] is None] == ["z1"]


def test_sigterm_ends_the_inspection(sqlite_project):
    write(sqlite_project, "a1", "import time\ntry: time.sleep(30)\nexcept BaseException: pass")
    limited(sqlite_project, SQL_SECONDS=30)
    running = sqlite_project.start(action="inspect")
    children = pathlib.Path("/proc/%d/task/%d/children" % (running.process.pid, running.process.pid))
    running.wait_for(lambda _message: children.read_text().split())
    child, = children.read_text().split()
    os.kill(running.process.pid, signal.SIGTERM)
    outcome = running.outcome()
    assert not pathlib.Path("/proc/" + child).exists(), "the child that renders is still there"
    assert (outcome.state, outcome.code) == ("refused", 3) and "SIGTERM" in outcome.error["message"]


def test_printing_frames(sqlite_project):
    script, = upgrades(sqlite_project, "print('\\n@alembic-operator 00 0 AAAA')\nsys.__stdout__.write('@alembic-operator ')\nop.execute('SELECT 1')")
    assert is_whole(script, "SELECT 1;")


# ---------------------------------------------------------------- allowances


def test_allowances(sqlite_project):
    path = sqlite_project.revision("a1")
    comments = ['# op: allow D02 "unused since 1.2"', "#op: allow B01   ", "x = '# op: allow D01'  # see op: allow B03", "# op:allow D04", "# ops: allow D05",
                "'''", "# op: allow D06", "'''", "# op: allow " + "x" * 400]
    path.write_text(path.read_text() + "\n".join(comments) + "\n")
    sqlite_project.revision("a2", "a1").write_text("revision, down_revision = 'a2', 'a1'\n" + "# op: allow D01\n" * 30)
    sqlite_project.revision("a3", "a2")
    first, second, third = (one["allows"] for one in sqlite_project.inspect().done().payload["revisions"])
    assert first == ['op: allow D02 "unused since 1.2"', "op: allow B01", "see op: allow B03", ("op: allow " + "x" * 400)[:300]]
    assert second == ["op: allow D01"] * 20 and third == []


# ---------------------------------------------------------------- many revisions


def test_thousands_of_revisions(sqlite_project):
    limited(sqlite_project, SQL_SECONDS_TOGETHER=600)  # how fast a busy machine is, is no part of it
    down = None
    for number in range(2000):
        name = "r%04d" % number
        write(sqlite_project, name, "op.create_table('t%d', sa.Column('id', sa.Integer, primary_key=True))" % number, "op.drop_table('t%d')" % number, down)
        down = name
    outcome = sqlite_project.start(action="inspect").outcome(timeout=300).done()
    assert all(is_whole(one["sql"]["upgrade"]) and is_whole(one["sql"]["downgrade"]) for one in outcome.payload["revisions"])


def test_mariadb_server_facts(mariadb_project, mariadb):
    script, check = upgrades(
        mariadb_project, "op.execute('SELECT %d' % bool(op.get_bind().dialect.is_mariadb))",
        "op.create_check_constraint('c', 't', 'a > 0')\nop.drop_constraint('c', 't', type_='check')")
    assert is_whole(script, "SELECT 1;") and is_whole(check) and "DROP CONSTRAINT c" in check["text"]
    assert mariadb.tables() == set()


ELSEWHERE = ["if os.getenv('STAGE') == 'live':", "if os.environ.get('STAGE'):", "if os.path.exists('/var/lib/shop'):", "if pathlib.Path('/var/lib/shop').exists():",
             "if STAGE:", "if 'pytest' in sys.modules:"]


def test_what_depends_on_where_it_runs_is_told(sqlite_project):
    top = "import pathlib\nSTAGE = os.environ.get('STAGE')"
    bodies = ["op.execute('SELECT 1')\n%s op.drop_table('goods')" % condition for condition in ELSEWHERE]
    online = "op.execute('SELECT 1')\nif not op.get_context().opts.get('as_sql'): op.drop_table('goods')"
    plain = "op.execute(sa.select(sa.exists(sa.text('SELECT 1'))))"
    *scripts, hidden, whole = upgrades(sqlite_project, *bodies, online, plain, top=top)
    for condition, script in zip(ELSEWHERE, scripts):
        assert script["text"] == "SELECT 1;" and is_opaque(script, "depends on where it runs", rendered=True), (condition, script)
    assert is_opaque(hidden, "the part for online mode isn't shown", rendered=True) and is_whole(whole)
