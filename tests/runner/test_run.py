"""Runs that succeed, and steps that fail: up, down, branches, and what is left behind. Touches SQLite files and the private PostgreSQL."""

import pytest
from environments import ENDS, SUPPORTED

LINE = ["r1", "r2", "r3"]


@pytest.mark.parametrize("release", SUPPORTED)
def test_up_down_and_to_base(project, database, release):
    project.tables(*LINE)
    outcome = project.upgrade([], ["r2"], ["r2"], ["r1", "r2"]).done()
    assert outcome.rows == database.rows() == {"r2"} and database.tables() == {"alembic_version", "r1", "r2"}
    message = outcome.message
    assert (message["steps_done"], message["last_done"], message["running"], message["started"]) == (2, "r2", None, True)
    assert message["transactional"] is database.transactional and message["action"] == "run"
    assert "alembic-operator: upgrade step 2/2 r2 create r2\n" in outcome.stderr
    assert project.upgrade(["r2"], ["r3"], ["r3"], ["r3"]).done().rows == {"r3"}
    assert project.downgrade(["r3"], ["r1"], ["r1"], ["r2", "r3"]).done().rows == {"r1"}
    assert database.tables() == {"alembic_version", "r1"}
    outcome = project.downgrade(["r1"], [], [], ["r1"]).done()
    assert outcome.rows == database.rows() == set() and database.tables() == {"alembic_version"}


def forest(project):
    """Two branches with a merge, and one of its own that depends on the middle of it."""
    project.revision("a1", None, "CREATE TABLE a1 (id INTEGER)", "DROP TABLE a1", branch_labels="core")
    project.revision("b1", "a1", "CREATE TABLE b1 (id INTEGER)", "DROP TABLE b1")
    project.revision("b2", "a1", "CREATE TABLE b2 (id INTEGER)", "DROP TABLE b2")
    project.revision("m1", ("b1", "b2"))
    project.revision("x1", None, "CREATE TABLE x1 (id INTEGER)", "DROP TABLE x1", branch_labels="extra", depends_on="b1")
    project.revision("x2", "x1", "CREATE TABLE x2 (id INTEGER)", "DROP TABLE x2")


@pytest.mark.parametrize("release", SUPPORTED)
def test_branches_merges_and_several_targets(sqlite_project, sqlite, release):
    forest(sqlite_project)
    assert sqlite_project.upgrade([], ["b2", "x1"], ["b2", "x1"], ["a1", "b1", "b2", "x1"]).done().rows == {"b2", "x1"}
    assert sqlite_project.upgrade(["b2", "x1"], ["m1", "x2"], ["m1", "x2"], ["m1", "x2"]).done().rows == {"m1", "x2"}
    assert sqlite_project.downgrade(["m1", "x2"], ["b1", "b2", "x1"], ["b2", "x1"], ["m1", "x2"]).done().rows == {"b2", "x1"}
    assert sqlite.tables() == {"alembic_version", "a1", "b1", "b2", "x1"}
    assert sqlite_project.downgrade(["b2", "x1"], ["a1"], ["a1"], ["b1", "b2", "x1"]).done().rows == {"a1"}
    assert sqlite_project.downgrade(["a1"], [], [], ["a1"]).done().rows == set()


@pytest.mark.parametrize("release", ENDS)
def test_down_on_one_branch(sqlite_project, sqlite, release):
    sqlite_project.tables("a1")
    for label in ("left", "right"):
        sqlite_project.revision(label + "1", "a1", branch_labels=label)
        sqlite_project.revision(label + "2", label + "1")
    sqlite_project.revision("z1", branch_labels="alone")
    sqlite_project.upgrade([], ["left2", "right2", "z1"], ["left2", "right2", "z1"], sqlite_project.files).done()
    start, end = ["left2", "right2", "z1"], ["right2", "z1"]
    assert sqlite_project.downgrade(start, ["a1"], end, ["left1", "left2"], branch="left").done().rows == set(end)
    assert sqlite_project.downgrade(end, [], ["right2"], ["z1"], branch="alone").done().rows == sqlite.rows() == {"right2"}


@pytest.mark.parametrize("release", SUPPORTED)
def test_a_failing_step(project, database, release):
    project.tables(*LINE)
    project.revision("r2", "r1", ["CREATE TABLE r2 (id INTEGER)", "BROKEN STATEMENT"])
    outcome = project.upgrade([], ["r3"], ["r3"], LINE).failed("MigrationFailed", "BROKEN")
    assert outcome.error["revision"] == "r2" and "syntax error" in outcome.error["message"]
    message = outcome.message
    assert (message["steps_done"], message["last_done"], message["running"], message["started"]) == (1, "r1", "r2", True)
    assert "r2_.py" in outcome.error["detail"], outcome.error["detail"]
    if database.transactional:
        assert database.tables() == outcome.rows == set(), "nothing is left"
    else:
        assert outcome.rows == database.rows() == {"r1"} and "r2" in database.tables()


@pytest.mark.parametrize("release", ENDS)
def test_a_failing_step_with_a_transaction_for_each(pg_project, pg, release):
    pg_project.env(options="transaction_per_migration=True")
    pg_project.tables(*LINE)
    pg_project.revision("r2", "r1", ["CREATE TABLE r2 (id INTEGER)", "raise ValueError('no')"])
    outcome = pg_project.upgrade([], ["r3"], ["r3"], LINE).failed("MigrationFailed", "ValueError: no")
    assert outcome.rows == {"r1"} and pg.tables() == {"alembic_version", "r1"} and outcome.message["transactional"] is True
    assert pg_project.inspect().done().payload["transaction_per_migration"] is True


@pytest.mark.parametrize("release", ENDS)
def test_autocommit_block(pg_project, pg, release):
    pg_project.tables("r1")
    block = "with op.get_context().autocommit_block(): op.execute('CREATE INDEX CONCURRENTLY i1 ON r1 (id)')"
    pg_project.revision("r2", "r1", block)
    assert pg_project.upgrade([], ["r2"], ["r2"], ["r1", "r2"]).done().rows == {"r2"}
    assert pg.query("SELECT indexname FROM pg_indexes WHERE indexname = 'i1'") == [["i1"]]


def test_failure_at_commit(pg_project, pg):
    pg_project.revision("r1", None, [
        "CREATE TABLE r1 (id INTEGER UNIQUE DEFERRABLE INITIALLY DEFERRED)", "INSERT INTO r1 VALUES (1)", "INSERT INTO r1 VALUES (1)"])
    outcome = pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("MigrationFailed", "after the last step", "duplicate key")
    assert outcome.error["revision"] is None and outcome.rows == set() and outcome.message["steps_done"] == 1


def test_parameters_of_a_failed_statement_stay_inside(sqlite_project):
    sqlite_project.revision("r1", None, [
        "import sqlalchemy", "op.get_bind().execute(sqlalchemy.text('INSERT INTO nowhere VALUES (:card)'), {'card': '4111-1111'})"])
    outcome = sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("MigrationFailed", "no such table: nowhere")
    assert "'4111-1111'}" not in outcome.error["message"] and "[parameters" not in str(outcome.message) + outcome.stderr


def test_missing_function_is_refused_before_the_first_step(project, database):
    project.tables("r1")
    project.revision("r2", "r1", downgrade=None)
    project.upgrade([], ["r2"], ["r2"], ["r1", "r2"]).done()
    project.downgrade(["r2"], [], [], ["r1", "r2"]).refused("StepsChanged", "no attribute 'downgrade'")
    assert database.rows() == {"r2"}


@pytest.mark.parametrize("release", ENDS)
def test_renamed_version_table_in_a_schema(pg_project, pg, release):
    pg.execute("CREATE SCHEMA audit")
    pg_project.env(options="version_table='history', version_table_schema='audit'")
    pg_project.tables("r1")
    payload = pg_project.inspect(version_table="history", version_table_schema="audit").done().payload
    assert (payload["version_table"], payload["version_table_schema"]) == ("history", "audit")
    pg_project.inspect(version_table="alembic_version").failed("VersionTableMismatch", "audit.history", "alembic_version")
    pg_project.upgrade([], ["r1"], ["r1"], ["r1"], version_table_schema="public").failed("VersionTableMismatch", "public.history")
    assert pg.tables("audit") == set()
    assert pg_project.upgrade([], ["r1"], ["r1"], ["r1"], version_table="history").done().rows == {"r1"}
    assert pg.tables("audit") == {"history"} and pg.query("SELECT * FROM audit.history") == [["r1"]]


def test_default_schema_may_be_named(pg_project):
    pg_project.tables("r1")
    pg_project.inspect(version_table="alembic_version", version_table_schema="public").done()


@pytest.mark.parametrize("release", ENDS)
def test_search_path_set_by_env_py(pg_project, pg, release):
    pg.execute("CREATE SCHEMA tenant; CREATE TABLE public.alembic_version (version_num TEXT); INSERT INTO public.alembic_version VALUES ('zzz')")
    pg_project.env(before="connection.execute(text('SET search_path TO tenant'))\nhasattr(connection, 'commit') and connection.commit()\n"
                          "connection.dialect.default_schema_name = 'tenant'")
    pg_project.tables("r1")
    assert pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).done().rows == {"r1"}
    assert pg.tables("tenant") == {"alembic_version", "r1"}


def test_role_set_by_env_py(pg_project, pg):
    pg.query("CREATE SCHEMA private AUTHORIZATION audit")
    pg_project.env(before="connection.execute(text('SET ROLE audit'))\nconnection.commit()", options="version_table_schema='private'")
    pg_project.revision("r1")
    assert pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).done().rows == {"r1"}


def test_version_table_that_may_not_be_made(pg_project, pg):
    """All checks have passed, but Alembic cannot make its table: no fault of env.py, and nothing has begun."""
    pg.query("REVOKE CREATE ON SCHEMA public FROM shop; ALTER SCHEMA public OWNER TO postgres; GRANT USAGE ON SCHEMA public TO shop")
    pg_project.tables("r1")
    outcome = pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).failed("MigrationFailed", "before the first step", "permission denied")
    assert outcome.message["started"] is False and outcome.error["revision"] is None
