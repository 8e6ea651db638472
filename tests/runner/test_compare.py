"""The comparison of the tables with the models, as `alembic check` makes it; changes nothing."""

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
