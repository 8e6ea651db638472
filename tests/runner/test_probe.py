"""The look at the version rows from inside the image; changes nothing."""

import pytest
from environments import SUPPORTED


@pytest.mark.parametrize("release", SUPPORTED)
def test_sees_the_table_its_rows_and_others(project, database, release):
    project.tables("r1", "r2")
    look = project.probe().done().message["look"]
    assert (look["table"], look["rows"], look["tables"]) == (False, [], []) and database.tables() == set()
    database.execute("CREATE TABLE stranger (id INTEGER)")
    assert project.probe().done().message["look"]["tables"] == ["stranger"]
    project.upgrade([], ["r2"], ["r2"], ["r1", "r2"]).done()
    look = project.probe().done().message["look"]
    assert (look["table"], look["rows"], look["tables"]) == (True, ["r2"], [])
    assert look["dialect"] == database.dialect and look["version"][0].isdigit()


def test_an_empty_table_is_not_no_table(sqlite_project, sqlite):
    sqlite_project.tables("r1")
    sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    sqlite_project.downgrade(["r1"], [], [], ["r1"]).done()
    look = sqlite_project.probe().done().message["look"]
    assert (look["table"], look["rows"]) == (True, [])


def test_what_is_wrong_is_told(sqlite_project):
    sqlite_project.tables("r1")
    sqlite_project.probe(version_table="another").failed("VersionTableMismatch", "another")
    sqlite_project.env(before="raise RuntimeError('no settings')")
    sqlite_project.probe().failed("EnvPyFailed", "no settings")


def test_rows_that_have_no_room_in_a_report(sqlite_project, sqlite):
    sqlite_project.tables("r1")
    sqlite.execute("CREATE TABLE alembic_version (version_num TEXT)")
    sqlite.execute("INSERT INTO alembic_version VALUES " + ", ".join("('%s%d')" % ("x" * 253, number) for number in range(12)))
    sqlite_project.probe().failed("VersionTableMismatch", "too long for the report of a Job")
