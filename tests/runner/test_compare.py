"""The comparison of the tables with the models, as `alembic check` makes it; changes nothing."""

import environments
import pytest
from environments import ENDS, SUPPORTED
from project import models_of

LINE = ["r1", "r2"]
RICH = """
from sqlalchemy import Column, ForeignKey, Index, Integer, MetaData, String, Table, UniqueConstraint
metadata = MetaData()
Table("users", metadata, Column("id", Integer, primary_key=True), Column("mail", String(50), nullable=False), Column("age", Integer),
      UniqueConstraint("mail", name="one_mail"), Index("by_age", "age"))
Table("orders", metadata, Column("id", Integer, primary_key=True), Column("user_id", Integer, ForeignKey("users.id", name="of_user")))
"""
AS_MODELS = ["CREATE TABLE users (id serial PRIMARY KEY, mail varchar(50) NOT NULL CONSTRAINT one_mail UNIQUE, age integer)",
             "CREATE INDEX by_age ON users (age)",
             "CREATE TABLE orders (id serial PRIMARY KEY, user_id integer CONSTRAINT of_user REFERENCES users)"]
CHANGES = [
    ("DROP INDEX by_age", "Missing", "index users.by_age"),
    ("CREATE INDEX others ON users (mail)", "Unexpected", "index users.others"),
    ("ALTER TABLE users DROP COLUMN age", "Missing", "column users.age"),
    ("ALTER TABLE users ADD COLUMN nick text", "Unexpected", "column users.nick"),
    ("ALTER TABLE users ALTER mail DROP NOT NULL", "Modified", "column users.mail (nullable is True, should be False)"),
    ("ALTER TABLE users DROP CONSTRAINT one_mail", "Missing", "constraint users.one_mail"),
    ("ALTER TABLE orders DROP CONSTRAINT of_user", "Missing", "foreign key orders.of_user"),
    ("CREATE TABLE guests (id integer)", "Unexpected", "table guests"),
    ("DROP TABLE orders", "Missing", "table orders"),
]


def found(project):
    drift = project.compare().done().message["drift"]
    objects = [(entry["change"], entry["object"]) for entry in drift["objects"]]
    assert {"Missing": drift["missing"], "Unexpected": drift["unexpected"], "Modified": drift["modified"]} == {
        change: sum(kind == change for kind, _ in objects) for change in ("Missing", "Unexpected", "Modified")}
    return objects


@pytest.mark.parametrize("release", SUPPORTED)
def test_tables_against_models(project, database, release):
    project.tables(*LINE)
    project.env(setup=models_of(*LINE))
    assert found(project) == [("Missing", "table r1"), ("Missing", "table r2")] and not database.tables() - {"alembic_version"}
    project.upgrade([], ["r2"], ["r2"], LINE).done()
    assert found(project) == []
    database.execute("ALTER TABLE r2 ADD COLUMN mail VARCHAR(20)")
    assert found(project) == [("Unexpected", "column r2.mail")]


@pytest.mark.parametrize("release", ENDS)
def test_each_kind_of_change_is_told_by_its_name(pg_project, pg, release):
    pg_project.env(setup=RICH)
    for change, kind, name in CHANGES:
        pg.server.empty_database()
        for statement in AS_MODELS:
            pg.execute(statement)
        assert found(pg_project) == [], change
        pg.execute(change)
        assert (kind, name) in found(pg_project), change


def test_many_differences_fit_the_message(sqlite_project, sqlite):
    for number in range(60):
        sqlite.execute("CREATE TABLE %s%d (id INTEGER)" % ("t" * 200, number))
    sqlite_project.env(setup=models_of())
    drift = sqlite_project.compare().done().message["drift"]
    assert drift["unexpected"] == 60 and len(drift["objects"]) == 10


def test_without_models_there_is_nothing_to_compare(sqlite_project):
    sqlite_project.tables(*LINE)
    sqlite_project.compare().refused("ModelsMissing", "target_metadata")


DIRECTIVES = """
def without_noise(context, revision, directives):
    operations = directives[0].upgrade_ops
    for inner in operations.ops:
        inner.ops = [operation for operation in inner.ops if getattr(getattr(operation, 'column', None), 'name', '') != 'noise']
    operations.ops = [inner for inner in operations.ops if inner.ops]
"""


@pytest.mark.parametrize("release", ENDS)
def test_process_revision_directives(project, release):
    project.tables("r1")
    project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    models = models_of("r1").replace("Column('id', Integer)", "Column('id', Integer), Column('noise', Integer)")
    project.env(setup=models)
    assert found(project) == [("Missing", "column r1.noise")]
    project.env(setup=models + DIRECTIVES, options="process_revision_directives=without_noise")
    assert found(project) == []
    project.env(setup=models + "def none(context, revision, directives): directives[:] = []", options="process_revision_directives=none")
    assert found(project) == []


def test_include_object(project, database):
    project.tables("r1")
    project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    database.execute("CREATE TABLE theirs (id INTEGER)")
    project.env(setup=models_of("r1"))
    assert found(project) == [("Unexpected", "table theirs")]
    project.env(setup=models_of("r1"), options="include_object=lambda thing, name, kind, reflected, other: name != 'theirs'")
    assert found(project) == []


def test_models_that_revisions_import(sqlite_project):
    """As MLflow's do; `alembic check` loads the revisions first."""
    sqlite_project.write("base.py", "from sqlalchemy import MetaData\nmetadata = MetaData()\n")
    sqlite_project.write("models.py", "from base import metadata\nfrom sqlalchemy import Column, Integer, Table\nTable('r1', metadata, Column('id', Integer))\n")
    sqlite_project.env(setup="from base import metadata")
    sqlite_project.revision("r1", None, ["import models", "CREATE TABLE r1 (id INTEGER)"])
    sqlite_project.files["r1"].write_text("import models\n" + sqlite_project.files["r1"].read_text())
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    assert found(sqlite_project) == []


EXTENSIONS = """
import enum
import alembic_postgresql_enum
from alembic_utils.pg_view import PGView
from alembic_utils.replaceable_entity import register_entities
from sqlalchemy import Column, Enum, Integer, MetaData, Table
metadata = MetaData()
class Mood(enum.Enum): calm = 1; wild = 2; odd = 3
class Size(enum.Enum): small = 1
Table("pets", metadata, Column("id", Integer), Column("mood", Enum(Mood)), Column("size", Enum(Size)))
register_entities([PGView(schema="public", signature="calm_pets", definition="SELECT id FROM pets")], entity_types=[PGView])
"""


def test_operations_of_extensions_by_their_names(pg_project, pg):
    pg_project.python = environments.python_of(environments.WITH_EXTENSIONS)
    pg_project.env(setup=EXTENSIONS)
    pg.execute("CREATE TYPE mood AS ENUM ('calm', 'wild'); CREATE TYPE gone AS ENUM ('x'); CREATE TABLE pets (id integer, mood mood)")
    pg.execute("CREATE VIEW public.old_pets AS SELECT id FROM pets")
    objects = set(found(pg_project))
    assert {("Missing", "column pets.size"), ("Missing", "enum public.size"), ("Unexpected", "enum public.gone"), ("Missing", "enum value public.mood"),
            ("Missing", "view public.calm_pets"), ("Unexpected", "view public.old_pets")} <= objects, objects


def test_begin_immediate_of_sqlite(sqlite_project, sqlite):
    """SQLAlchemy's recipe for transactions that see no change of others': a second connection would wait for the first."""
    recipe = ("from sqlalchemy import event\nfrom sqlalchemy.engine import Engine\n"
              "@event.listens_for(Engine, 'connect')\ndef connect(raw, record): raw.isolation_level = None\n"
              "@event.listens_for(Engine, 'begin')\ndef begin(connection): connection.exec_driver_sql('BEGIN IMMEDIATE')\n")
    sqlite_project.tables(*LINE)
    sqlite_project.env(setup=recipe + models_of(*LINE))
    sqlite_project.upgrade([], ["r2"], ["r2"], LINE).done()
    assert found(sqlite_project) == []
    from test_rehearsal import catalog

    assert "catalog_error" not in sqlite_project.probe(catalog=catalog("sqlite")).done().message["look"]


ODD = """
from alembic.ddl.sqlite import SQLiteImpl
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
class OddImpl(SQLiteImpl): __dialect__ = "odd"
class Odd(SQLiteDialect_pysqlite):
    name = "odd"
    supports_statement_cache = True
    def get_columns(self, *arguments, **options): raise ValueError("no catalog of columns")
    get_multi_columns = get_columns
import sys
sys.modules["odd_dialect"] = sys.modules[__name__] if __name__ in sys.modules else type(sys)("odd_dialect")
sys.modules["odd_dialect"].Odd = Odd
registry.register("odd", "odd_dialect", "Odd")
"""


@pytest.mark.parametrize("release", ENDS)
def test_a_dialect_that_does_not_read_tables(sqlite_project, sqlite, release):
    """As DuckDB's, which asks a catalog of PostgreSQL's that the engine does not have."""
    sqlite.execute("CREATE TABLE r1 (id INTEGER)")
    sqlite_project.url = sqlite.url.replace("sqlite", "odd")
    sqlite_project.env(setup=ODD + models_of("r1"))
    outcome = sqlite_project.compare()
    outcome.refused("UnsupportedDialect", "the dialect odd does not read tables", "no catalog of columns", "spec.drift.mode: Disabled")


def test_a_hook_of_env_py_that_fails(sqlite_project, sqlite):
    sqlite.execute("CREATE TABLE r1 (id INTEGER)")
    sqlite_project.env(setup=models_of("r1") + "def hook(context, revision, directives): raise ValueError('not today')", options="process_revision_directives=hook")
    sqlite_project.compare().failed("EnvPyFailed", "cannot be compared with the models", "not today")
