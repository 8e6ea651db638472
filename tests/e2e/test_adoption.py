"""Databases that were made without Alembic, and revisions that run one at a time."""
from harness import revision, table

MODELS_ENV = """
import os
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table, create_engine
metadata = MetaData()
Table("one", metadata, Column("id", Integer, primary_key=True))
Table("two", metadata, Column("id", Integer, primary_key=True))
with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
ONE, TWO, THREE = "aaaa1111", "bbbb2222", "cccc3333"
LINE = [revision(ONE, **table("one")), revision(TWO, ONE, **table("two"))]


def test_a_database_made_by_create_all_is_adopted(space, push):
    space.sql(f"SET ROLE {space.database}; CREATE TABLE one (id serial PRIMARY KEY)")
    image = push(*LINE, env=MODELS_ENV)
    migration = space.migration(image)
    migration.wait("DatabaseUnmanaged")
    assert "one" in migration.message() and "spec.adopt.revision" in migration.message()
    assert space.rows() is None and not space.jobs("run")

    # The tables are not what the models at head say: refused, with the difference, and nothing is written.
    migration.patch(adopt={"revision": "head"})
    migration.wait("AdoptionRefused")
    assert "Missing table two" in migration.message()
    assert not space.rows()

    space.sql(f"SET ROLE {space.database}; CREATE TABLE two (id serial PRIMARY KEY)")
    migration.annotate("the second table is there")
    migration.wait_ready()
    assert space.rows() == [TWO] and space.sql("SELECT count(*) FROM one") == "0"
    assert migration.status["lastRun"]["direction"] == "stamp"

    # From here on it is a database like any other.
    next_image = push(*LINE, revision(THREE, TWO, **table("three")), env=MODELS_ENV)
    migration.patch(image=next_image)
    migration.wait_ready()
    assert space.rows() == [THREE]


def test_adoption_without_a_look_and_of_tables_of_others(space, push):
    space.sql(f"SET ROLE {space.database}; CREATE TABLE one (id int)")
    image = push(*LINE)
    migration = space.migration(image, adopt={"revision": ONE, "verify": "None"})
    migration.wait_ready()
    assert space.rows() == [TWO], "adopted at the first revision, and upgraded from there"
    assert [run["direction"] for run in [migration.status["lastRun"], *migration.status["history"]]] == ["upgrade", "stamp"]

    # Never over existing rows: another revision to adopt changes nothing.
    migration.patch(adopt={"revision": TWO, "verify": "None"}, targetRevision=TWO)
    migration.wait_ready()
    assert migration.status["lastRun"]["direction"] == "upgrade"


def test_tables_that_are_none_of_the_projects(space, push):
    space.sql(f"SET ROLE {space.database}; CREATE TABLE somebody_elses (id int)")
    migration = space.migration(push(*LINE), adopt={"revision": "base"})
    migration.wait_ready()
    assert space.rows() == [TWO] and space.has_table("two")


def test_stepwise_is_a_run_for_each_revision(space, push):
    image = push(*LINE, revision(THREE, TWO, **table("three")))
    migration = space.migration(image, strategy="Stepwise", policy={"downgrade": "Allow"}, historyLimit=10)
    migration.wait_ready()
    runs = [migration.status["lastRun"], *migration.status["history"]]
    assert [(run["from"], run["to"]) for run in reversed(runs)] == [([], [ONE]), ([ONE], [TWO]), ([TWO], [THREE])]
    migration.patch(targetRevision=ONE)
    migration.wait_ready()
    assert space.rows() == [ONE]
    assert [run["to"] for run in [migration.status["lastRun"], migration.status["history"][0]]] == [[ONE], [TWO]]
