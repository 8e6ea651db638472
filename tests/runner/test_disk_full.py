"""The database's disk is full in the middle of a step: the run fails with the database's own words. Mounts a small file system; no network."""

import os
import pathlib
import subprocess
import tempfile

import pytest
from postgres import USER, unprivileged

FIRST = ([], ["r1"], ["r1"], ["r1"])


@pytest.fixture
def small():
    """A folder with room for some megabytes, the server's own. Not below pytest's, which each pytest that starts closes to others."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="alembic-operator-small-"))
    folder.chmod(0o755)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)], check=True)
    try:
        (folder / "space").mkdir()
        os.chown(folder / "space", unprivileged()[1], -1)
        yield folder / "space"
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


def test_postgresql_takes_everything_back(pg_project, pg, small):
    pg.server.sql("CREATE TABLESPACE small LOCATION '%s'" % small)
    pg.server.sql("GRANT CREATE ON TABLESPACE small TO %s" % USER)
    try:
        fill = "INSERT INTO r1 SELECT repeat(md5(n::text), 10) FROM generate_series(1, 100000) n"
        pg_project.revision("r1", None, ["CREATE TABLE r1 (t TEXT) TABLESPACE small", fill])
        outcome = pg_project.upgrade(*FIRST).failed("MigrationFailed", "No space left on device")
        assert outcome.error["revision"] == "r1" and outcome.rows == set() and pg.tables() == set()
    finally:
        pg.server.sql("DROP TABLESPACE small")


def test_mariadb_keeps_what_was_done(mariadb_project, mariadb, small):
    fill = "INSERT INTO r1 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT repeat(md5(a.i * b.i), 10) FROM n a, n b"
    mariadb_project.revision("r1", None, ["CREATE TABLE r1 (t TEXT) DATA DIRECTORY='%s'" % small, "SELECT 1", fill])
    outcome = mariadb_project.upgrade(*FIRST).failed("MigrationFailed", "r1")
    assert "full" in outcome.error["message"] and outcome.error["changed"] and outcome.message["transactional"] is False
    assert mariadb.rows() == set() and "r1" in mariadb.tables()
    mariadb.query("DROP TABLE r1")
