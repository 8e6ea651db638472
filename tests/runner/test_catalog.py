"""The schema as the runner reads it by the operator's queries, beside the version rows. Touches SQLite files and the private PostgreSQL."""

import pathlib

import pytest
from environments import SUPPORTED
from project import ASYNC_ENV

SQL = pathlib.Path(__file__).resolve().parents[2] / "src" / "db" / "sql"


def queries(dialect):
    """As `db::catalog_queries` gives them."""
    lines = (SQL / f"{dialect.replace('postgresql', 'postgres')}_catalog.sql").read_text().splitlines(keepends=True)
    text = "".join(line for line in lines if not line.startswith("--"))
    return {dialect: text.replace("$1", ":version_table").replace("$2", ":version_schema")}


def objects(project, dialect):
    outcome = project.probe(catalog=queries(dialect)).done()
    assert "catalog_error" not in outcome.message["look"], outcome.message["look"]["catalog_error"]
    assert outcome.message["look"]["rows"] == outcome.payload["rows"] and outcome.payload["engine"].split()[0] == dialect
    return {f"{kind} {name}": definition for kind, name, definition in outcome.payload["objects"]}


@pytest.mark.parametrize("release", SUPPORTED)
def test_each_object_by_its_name(project, database, release):
    project.tables("r1")
    project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    space = "public." if database.dialect == "postgresql" else ""
    before = objects(project, database.dialect)
    assert f"column {space}r1.id" in before and not any("alembic_version" in name for name in before)
    database.execute("CREATE VIEW seen AS SELECT id FROM r1")
    database.execute("CREATE INDEX by_hand ON r1 (id)")
    after = objects(project, database.dialect)
    assert set(after) - set(before) == {f"view {space}seen", f"index {space}by_hand"}
    assert {name for name in before if before[name] != after[name]} == set()


def test_every_driver_of_postgresql(pg_project, pg):
    pg_project.tables("r1")
    pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    expected = objects(pg_project, "postgresql")
    url = pg_project.url
    pg_project.url = url.replace("://", "+psycopg://")
    assert objects(pg_project, "postgresql") == expected
    pg_project.env(ASYNC_ENV)
    pg_project.url = url.replace("://", "+asyncpg://")
    assert objects(pg_project, "postgresql") == expected


def test_a_query_that_fails_does_not_take_the_rows_with_it(sqlite_project):
    sqlite_project.tables("r1")
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    look = sqlite_project.probe(catalog={"sqlite": "SELECT nothing"}).done().message["look"]
    assert look["rows"] == ["r1"] and "nothing" in look["catalog_error"]


SQLITE = """
CREATE TABLE goods (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'x', amount INTEGER CHECK (amount > 0), maker REFERENCES makers (id));
CREATE TABLE makers (id INTEGER PRIMARY KEY);
CREATE INDEX by_name ON goods (name);
CREATE VIEW names AS SELECT name FROM goods;
CREATE TRIGGER tidy AFTER INSERT ON goods BEGIN DELETE FROM makers WHERE 0; END;
"""
CHANGES = [
    ("CREATE TABLE extra (id)", "DROP TABLE extra", "table extra"),
    ("ALTER TABLE goods ADD COLUMN extra TEXT", "ALTER TABLE goods DROP COLUMN extra", "column goods.extra"),
    ("ALTER TABLE goods RENAME COLUMN amount TO number", "ALTER TABLE goods RENAME COLUMN number TO amount", "column goods.amount"),
    ("DROP INDEX by_name", "CREATE INDEX by_name ON goods (name)", "index by_name"),
    ("DROP INDEX by_name; CREATE UNIQUE INDEX by_name ON goods (name)", "DROP INDEX by_name; CREATE INDEX by_name ON goods (name)", "index by_name"),
    ("DROP VIEW names", "CREATE VIEW names AS SELECT name FROM goods", "view names"),
    ("DROP TRIGGER tidy", "CREATE TRIGGER tidy AFTER INSERT ON goods BEGIN DELETE FROM makers WHERE 0; END", "trigger tidy"),
]


def test_every_kind_of_object_of_sqlite(sqlite_project, sqlite):
    sqlite_project.tables("r1")
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    run = lambda text: [sqlite.execute(statement) for statement in ([text] if "TRIGGER" in text and "BEGIN" in text else filter(str.strip, text.split(";")))]
    head, trigger = SQLITE.strip().split("CREATE TRIGGER")
    run(head)
    run("CREATE TRIGGER" + trigger)
    before = objects(sqlite_project, "sqlite")
    for change, back, told in CHANGES:
        run(change)
        after = objects(sqlite_project, "sqlite")
        assert before.get(told) != after.get(told), change
        run(back)
        assert objects(sqlite_project, "sqlite") == before, back
    for harmless in ("VACUUM", "ANALYZE", "REINDEX", "INSERT INTO makers VALUES (1)", "CREATE TABLE _alembic_tmp_goods (id)"):
        run(harmless)
        assert objects(sqlite_project, "sqlite") == before, harmless
