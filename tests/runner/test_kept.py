"""What a run leaves behind, and what it says of it: invalid indexes, transactions that are none. Touches the private servers."""

import contextlib
import subprocess

import pytest
from environments import ENDS
from project import ASYNC_ENV

LIMITS = {"lock_timeout": {"seconds": 1, "explicit": False}}
INDEX = "with op.get_context().autocommit_block(): op.create_index('by_id', 'r1', ['id'], postgresql_concurrently=True%s)"
UNLESS_THERE = ", if_not_exists=True"
AUTOCOMMIT = "connectable = connectable.execution_options(isolation_level='AUTOCOMMIT')"


def invalid(pg):
    return [name for name, in pg.query("SELECT indexrelid::regclass FROM pg_index WHERE NOT indisvalid")]


@contextlib.contextmanager
def held(pg, statement):
    """A transaction of somebody else that lasts; what is yielded ends it."""
    postgres = pg.server
    command = [postgres.binaries / "psql", "-XAtq", "-h", postgres.folder, "-p", str(postgres.port), "-U", "postgres", "-d", pg.name]
    session = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    session.stdin.write("BEGIN; %s; SELECT 'there';\n" % statement)
    session.stdin.flush()
    while session.stdout.readline().strip() != "there":
        pass
    try:
        yield session.stdin.close
    finally:
        session.stdin.close()
        session.wait(10)


@pytest.mark.parametrize("release", ENDS)
@pytest.mark.parametrize("statement", ["INSERT INTO r1 VALUES (1)", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM pg_class"])
def test_an_index_that_is_built_beside_a_long_transaction(pg_project, pg, statement):
    pg_project.tables("r1")
    pg_project.revision("r2", "r1", INDEX % "")
    pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    with held(pg, statement) as let_go:
        running = pg_project.start_run("upgrade", ["r1"], ["r2"], ["r2"], ["r2"], **LIMITS)
        waiting = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > '2 s'"
        running.wait_for(lambda _message: pg.query(waiting), 40)
        let_go()
        running.outcome().done()
    assert invalid(pg) == [] and pg.query("SELECT 1 FROM pg_indexes WHERE indexname = 'by_id'") == [["1"]]


def test_the_limit_is_back_after_such_a_statement(pg_project, pg):
    pg_project.tables("r1")
    pg_project.revision("r2", "r1", [INDEX % "", "CREATE TABLE seen AS SELECT current_setting('lock_timeout') AS it"])
    pg_project.upgrade([], ["r2"], ["r2"], ["r1", "r2"], **LIMITS).done()
    assert pg.query("SELECT it FROM seen") == [["1s"]]


@pytest.mark.parametrize("env", ["sync", "async"])
def test_an_index_that_is_left_invalid_is_named_at_once_and_the_next_time(pg_project, pg, env):
    if env == "async":
        pg_project.env(ASYNC_ENV)
        pg_project.url = pg_project.url.replace("postgresql:", "postgresql+asyncpg:")
    pg_project.tables("r1")
    pg_project.revision("r2", "r1", INDEX % "")
    pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    limit = {"statement_timeout": {"seconds": 1, "explicit": True}}
    with held(pg, "INSERT INTO r1 VALUES (1)"):
        outcome = pg_project.upgrade(["r1"], ["r2"], ["r2"], ["r2"], **limit).failed("StatementTimeout", "index by_id of table r1 is invalid")
    assert outcome.error["changed"] and outcome.error["committed"] and invalid(pg) == ["by_id"]
    pg_project.revision("r2", "r1", "op.execute('SELECT 1')\n    with op.get_context().autocommit_block(): "
                        "op.execute('CREATE INDEX CONCURRENTLY IF NOT EXISTS by_id ON r1 (id)')")
    pg_project.upgrade(["r1"], ["r2"], ["r2"], ["r2"]).failed("PartiallyApplied", "index by_id of table r1 is invalid")


def test_somebody_elses_invalid_index_is_not_ours(pg_project, pg):
    pg.query("CREATE TABLE other AS SELECT 1 AS id UNION ALL SELECT 1")
    subprocess.run([pg.server.binaries / "psql", "-q", "-h", pg.server.folder, "-p", str(pg.server.port), "-U", "postgres", pg.name,
                    "-c", "CREATE UNIQUE INDEX CONCURRENTLY theirs ON other (id)"], stderr=subprocess.DEVNULL)
    assert invalid(pg) == ["theirs"]
    pg_project.tables("r1")
    pg_project.revision("r2", "r1", INDEX % "")
    pg_project.upgrade([], ["r2"], ["r2"], ["r1", "r2"]).done()


@pytest.mark.parametrize("before, committed", [("pass", False), (AUTOCOMMIT, True)])
def test_what_stays_is_what_the_connection_committed(pg_project, pg, before, committed):
    template = before.replace("connectable = connectable", "connection = connection") if committed else before
    pg_project.env(before=template)
    pg_project.revision("r1", None, ["CREATE TABLE half (id INTEGER)", "BROKEN"])
    outcome = pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("MigrationFailed")
    assert outcome.message["transactional"] is not committed and outcome.error["committed"] is committed
    assert ("half" in pg.tables()) is committed
    assert pg_project.inspect().done().payload["transactional_ddl"] is not committed


@pytest.mark.parametrize("statement, committed", [("SELECT 1 AS id INTO half", True), ("EXPLAIN ANALYZE CREATE TABLE half AS SELECT 1", True),
                                                  ("SELECT 1", False), ("EXPLAIN SELECT 1", False)])
def test_what_writes_under_a_word_that_reads(pg_project, pg, statement, committed):
    pg_project.env(before=AUTOCOMMIT.replace("connectable = connectable", "connection = connection"))
    pg_project.revision("r1", None, ["op.execute(%r)" % statement, "BROKEN"])
    outcome = pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("MigrationFailed")
    assert outcome.error["committed"] is committed is outcome.error["changed"] and ("half" in pg.tables()) is committed


def function(name, does):
    return "CREATE FUNCTION %s() RETURNS int LANGUAGE plpgsql AS 'BEGIN %s; RETURN 1; END'" % (name, does)


@pytest.mark.parametrize("statement, committed", [("SELECT writes()", True), ("SELECT Reads(), random(), now()", False), ("SELECT * FROM seen", True),
                                                  ("VALUES (writes())", True), ("SELECT * FROM goods FOR UPDATE", False)])
@pytest.mark.parametrize("release, within", [(ENDS[0], ""), (ENDS[1], ""), (ENDS[1], "commit")])
def test_a_function_that_writes_is_told_by_what_it_did(pg_project, pg, release, statement, committed, within):
    """On a connection in AUTOCOMMIT, and before a commit of the revision's own."""
    for made in ("CREATE TABLE goods (id INTEGER)", function("writes", "INSERT INTO goods VALUES (7)"), function("reads", "PERFORM 1"),
                 "CREATE VIEW seen AS SELECT writes()"):
        pg.execute(made)
    if not within:
        pg_project.env(before=AUTOCOMMIT.replace("connectable = connectable", "connection = connection"))
    pg_project.revision("r1", None, "pass")
    pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()  # or the transaction would have written the version table
    commit = ["with op.get_context().autocommit_block(): pass"] if within else []
    pg_project.revision("r2", "r1", ["op.execute(%r)" % statement, *commit, "BROKEN"])
    outcome = pg_project.upgrade(["r1"], ["r2"], ["r2"], ["r2"]).failed("MigrationFailed")
    assert outcome.error["committed"] is committed is bool(pg.query("SELECT * FROM goods")), outcome.message


@pytest.mark.parametrize("statement, committed", [("SELECT writes()", True), ("SELECT * FROM seen", True), ("SELECT COUNT(*) FROM goods", False)])
def test_a_function_of_mariadb_counts_as_writing(mariadb_project, mariadb, statement, committed):
    for made in ("CREATE TABLE goods (id INTEGER)", "CREATE VIEW seen AS SELECT 1 AS one",
                 "DELIMITER //\nCREATE FUNCTION writes() RETURNS int DETERMINISTIC BEGIN INSERT INTO goods VALUES (7); RETURN 1; END//"):
        mariadb.execute(made)
    mariadb_project.revision("r1", None, ["op.execute(%r)" % statement, "with op.get_context().autocommit_block(): pass", "BROKEN"])
    outcome = mariadb_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("MigrationFailed")
    assert outcome.error["committed"] is committed, outcome.message


@pytest.mark.parametrize("body, committed", [
    (["CREATE TABLE half (id INTEGER)", "with op.get_context().autocommit_block(): op.execute('CREATE TABLE within (id INTEGER)')", "BROKEN"], True),
    (["from sqlalchemy.orm import Session", "session = Session(op.get_bind())", "session.execute(__import__('sqlalchemy').text('CREATE TABLE half (id INTEGER)'))",
      "session.commit()", "BROKEN"], False),
])
@pytest.mark.parametrize("release", ENDS)
def test_commits_are_seen_on_the_connection(pg_project, pg, body, committed):
    pg_project.revision("r1", None, body)
    outcome = pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("MigrationFailed")
    assert outcome.error["committed"] is committed and ("half" in pg.tables()) is committed


def test_a_commit_in_an_earlier_step_of_the_same_transaction(pg_project, pg):
    """What the first step did after its commit, and its version row, go with the second one's failure."""
    pg_project.revision("r1", None, ["CREATE TABLE half (id INTEGER)", "with op.get_context().autocommit_block(): pass"])
    pg_project.revision("r2", "r1", "BROKEN")
    outcome = pg_project.upgrade([], ["r2"], ["r2"], ["r1", "r2"]).failed("MigrationFailed")
    assert outcome.error["committed"] and "half" in pg.tables() and pg.rows() == set()


def test_transactional_ddl_of_env_py_is_not_believed_of_mariadb(mariadb_project, mariadb):
    mariadb_project.env(options="transactional_ddl=True")
    mariadb_project.revision("r1", None, ["CREATE TABLE half (id INTEGER)", "BROKEN"])
    assert mariadb_project.inspect().done().payload["transactional_ddl"] is False
    outcome = mariadb_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("MigrationFailed")
    assert outcome.message["transactional"] is False and outcome.error["committed"] and "half" in mariadb.tables()


ONE = "INSERT INTO goods VALUES (7)"
BODIES = [  # each ends in an error
    ["CREATE TABLE half (id INTEGER)", "BROKEN"],
    [ONE, "BROKEN"],
    [ONE, "ALTER TABLE goods ADD COLUMN id INTEGER"],
    [ONE, "op.execute('COMMIT')", "BROKEN"],
    [ONE, "op.execute('ROLLBACK')", "BROKEN"],
    [ONE, "CREATE TABLE half (id INTEGER)", "DELETE FROM nowhere"],
]
STRINGS = [
    "%s; BROKEN" % ONE, "%s; COMMIT; BEGIN; BROKEN" % ONE, "%s; COMMIT; BROKEN" % ONE, "%s; ROLLBACK; BROKEN" % ONE,
    "DO $$ BEGIN INSERT INTO goods VALUES (7); PERFORM nothing(); END $$", "%s; SELECT 1; DELETE FROM goods WHERE nowhere = 1" % ONE,
]


def told_as_it_is(project, database, body):
    database.execute("CREATE TABLE goods (id INTEGER)")
    project.revision("r1", None, body)
    outcome = project.upgrade([], ["r1"], ["r1"], ["r1"])
    assert outcome.state == "failed" and outcome.error["revision"] == "r1", outcome.message
    stays = bool(database.query("SELECT * FROM goods")) or "half" in database.tables()
    assert outcome.error["committed"] is stays and outcome.message["committed"] is stays, (body, stays, outcome.message)
    assert database.rows() == set()


ENGINES = [("sqlite", ENDS[0]), ("sqlite", ENDS[1]), ("pg", ENDS[0]), ("pg", ENDS[1]), ("mariadb", ENDS[1])]  # one release has MariaDB's driver


@pytest.mark.parametrize("engine, release", ENGINES)
@pytest.mark.parametrize("body", BODIES, ids=lambda body: " ".join(body)[:60])
def test_what_stays_is_told_as_it_is(request, engine, release, body):
    told_as_it_is(request.getfixturevalue(engine + "_project"), request.getfixturevalue(engine), body)


@pytest.mark.parametrize("release, driver", [(ENDS[0], "psycopg2"), (ENDS[1], "psycopg2"), (ENDS[1], "psycopg")])
@pytest.mark.parametrize("statements", STRINGS, ids=lambda text: text[:60])
def test_several_statements_in_one_string(pg_project, pg, release, driver, statements):
    pg_project.url = pg.url.replace("://", "+%s://" % driver)
    told_as_it_is(pg_project, pg, "op.execute(%r)" % statements)
