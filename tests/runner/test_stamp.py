"""Adoption: a revision is written into an empty version table, after the tables were compared with the models."""

import pytest
from environments import SUPPORTED
from project import models_of

LINE = ["r1", "r2"]


@pytest.mark.parametrize("release", SUPPORTED)
def test_stamps_what_is_there(project, database, release):
    project.tables(*LINE)
    database.execute("CREATE TABLE r1 (id INTEGER)")
    database.execute("CREATE TABLE r2 (id INTEGER)")
    project.env(setup=models_of(*LINE))
    outcome = project.stamp(["r2"], ["r2"], verify_models=True).done()
    assert outcome.rows == database.rows() == {"r2"} and database.tables() == {"alembic_version", "r1", "r2"}


@pytest.mark.parametrize("release", SUPPORTED)
def test_refuses_tables_that_are_not_the_models(project, database, release):
    project.tables(*LINE)
    database.execute("CREATE TABLE r1 (id INTEGER)")
    project.env(setup=models_of(*LINE))
    project.stamp(["r2"], ["r2"], verify_models=True).refused("AdoptionRefused", "Missing table r2")
    assert not database.rows()
    project.stamp(["r1"], ["r1"]).done()
    assert database.rows() == {"r1"}


def test_refuses_to_verify_without_models(sqlite_project, sqlite):
    sqlite_project.tables(*LINE)
    sqlite_project.stamp(["r2"], ["r2"], verify_models=True).refused("AdoptionRefused", "target_metadata")


def test_several_heads(sqlite_project, sqlite):
    sqlite_project.tables("a1")
    sqlite_project.revision("b1", "a1")
    sqlite_project.revision("b2", "a1")
    assert sqlite_project.stamp(["b1", "b2"], ["b1", "b2"]).done().rows == {"b1", "b2"}


def test_never_over_existing_rows(sqlite_project, sqlite):
    sqlite_project.tables(*LINE)
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    sqlite_project.stamp(["r2"], ["r2"]).refused("RowsChanged", "r1")
    assert sqlite.rows() == {"r1"}


@pytest.mark.parametrize("release", SUPPORTED)
def test_rows_of_a_history_that_is_gone(project, database, release):
    """As after a squash: Alembic's own stamp would look for the files of these rows."""
    project.tables("s1")
    database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    database.execute("INSERT INTO alembic_version VALUES ('old1'), ('old2')")
    project.stamp(["s1"], ["s1"], start=["old1"]).refused("RowsChanged", "old2")
    outcome = project.stamp(["s1"], ["s1"], start=["old1", "old2"]).done()
    assert outcome.rows == database.rows() == {"s1"} and database.tables() == {"alembic_version"}
    assert project.stamp(["s1"], ["s1"], start=["s1"]).done().rows == {"s1"}
