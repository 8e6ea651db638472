"""The connection to the database breaks at any byte of a run: nothing is half-applied unnoticed, and the next run goes on from what is there."""

import pytest
from proxy import proxy

LINE = ["r1", "r2"]
POINTS = 8


def behind(project, pg, tcp):
    """The project as if its database were where the proxy listens."""
    project.url = pg.url.replace(":%d/" % pg.server.port, ":%d/" % tcp.port)


def whole(pg):
    """What the rows say and what is there are the same; returns the rows."""
    rows, tables = pg.rows(), pg.tables() - {"alembic_version"}
    assert (rows, tables) in [(set(), set()), ({"r1"}, {"r1"}), ({"r2"}, {"r1", "r2"})], "half applied"
    return sorted(rows)


def goes_on(project, pg):
    """A run over the direct way, from what the last one left."""
    project.url = pg.url
    rows = whole(pg)
    if rows != ["r2"]:
        project.upgrade(rows, ["r2"], ["r2"], LINE[len(rows):]).done()
    assert whole(pg) == ["r2"]


@pytest.fixture(scope="module")
def traffic():
    """Bytes of an undisturbed run, by direction."""
    return {}


def undisturbed(project, pg, traffic):
    if not traffic:
        with proxy(pg.server.port) as tcp:
            behind(project, pg, tcp)
            project.upgrade([], ["r2"], ["r2"], LINE).done()
            traffic.update(tcp.passed)
        pg.server.empty_database()
    return traffic


@pytest.mark.parametrize("each", [False, True], ids=["one transaction", "a transaction for each"])
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("mode", ["reset", "close"])
def test_a_connection_that_breaks(pg_project, pg, traffic, mode, direction, each):
    pg_project.tables(*LINE)
    pg_project.env(options="transaction_per_migration=True" if each else "")
    bytes_ = undisturbed(pg_project, pg, traffic)[direction]
    states = set()
    for point in range(POINTS):
        pg.server.empty_database()
        with proxy(pg.server.port, mode, direction, bytes_ * point // POINTS) as tcp:
            behind(pg_project, pg, tcp)
            outcome = pg_project.upgrade([], ["r2"], ["r2"], LINE)
        states.add(outcome.state)
        rows = whole(pg)
        # Only rows that were read back make a success, and what the message says of them is so.
        assert outcome.state != "done" or rows == ["r2"], outcome.message
        assert outcome.rows is None or sorted(outcome.rows) == rows, outcome.message
        assert outcome.state != "refused" or not rows, outcome.message
        goes_on(pg_project, pg)
    assert states >= {"failed"}, states


@pytest.fixture(scope="module")
def mariadb_traffic():
    return {}


@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("mode", ["reset", "close"])
def test_a_connection_that_breaks_where_ddl_stays(mariadb_project, mariadb, mariadb_traffic, mode, direction):
    """What a step did before the connection broke is there without its version row: then the run has failed, and says so."""
    mariadb_project.tables(*LINE)
    bytes_ = undisturbed(mariadb_project, mariadb, mariadb_traffic)[direction]
    halves = 0
    for point in range(POINTS * 2):
        mariadb.server.empty_database()
        with proxy(mariadb.server.port, mode, direction, bytes_ * point // (POINTS * 2)) as tcp:
            behind(mariadb_project, mariadb, tcp)
            outcome = mariadb_project.upgrade([], ["r2"], ["r2"], LINE)
        rows, tables = mariadb.rows(), mariadb.tables() - {"alembic_version"}
        assert outcome.state != "done" or rows == {"r2"}, outcome.message
        assert outcome.rows is None or outcome.rows == rows, outcome.message
        assert outcome.state != "refused" or not tables, outcome.message
        half = tables - {None: set(), "r1": {"r1"}, "r2": {"r1", "r2"}}[next(iter(rows), None)]
        if half:
            halves += 1
            assert outcome.state == "failed" and outcome.message["transactional"] is False, outcome.message
            assert outcome.error["revision"] in half | {None} and outcome.error["changed"], outcome.message
        mariadb_project.url = mariadb.url
        for table in half:  # as a person does who was told
            mariadb.query("DROP TABLE %s" % table)
        if rows != {"r2"}:
            mariadb_project.upgrade(rows, ["r2"], ["r2"], LINE[len(rows):]).done()
        assert mariadb.rows() == {"r2"} and mariadb.tables() >= {"r1", "r2"}
    assert halves, "no point was in the middle of a step"


@pytest.mark.parametrize("part", [0.3, 0.6, 0.8, 0.95])
def test_a_connection_that_stands_still(pg_project, pg, traffic, part):
    """The runner is killed at last; the database does not know, and the next run waits until it does."""
    pg_project.tables(*LINE)
    bytes_ = undisturbed(pg_project, pg, traffic)["up"]
    pg.server.empty_database()
    with proxy(pg.server.port, "stall", "up", int(bytes_ * part)) as tcp:
        behind(pg_project, pg, tcp)
        running = pg_project.start_run("upgrade", [], ["r2"], ["r2"], LINE)
        assert tcp.struck.wait(20)
        running.process.terminate()
        try:
            running.process.wait(2)
        except Exception:
            running.process.kill()
        running.process.communicate()
        pg_project.url = pg.url
        if pg.query("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted LIMIT 1"):
            pg_project.upgrade([], ["r2"], ["r2"], LINE, lock_wait_seconds=0.5).refused("LockTimeout")
    goes_on(pg_project, pg)
