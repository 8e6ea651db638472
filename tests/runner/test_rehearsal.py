"""A plan that is tried on a scratch database: up, down and up again, with what each step locked. Touches SQLite files and the private servers."""

import pytest
from environments import ENDS
from project import ASYNC_ENV
from test_catalog import SQL, queries

BLOCK = "with op.get_context().autocommit_block(): op.execute(%r)"
GOODS = ["CREATE TABLE goods (id INTEGER PRIMARY KEY, name VARCHAR(20), price INTEGER)", "CREATE TABLE other (id INTEGER)"]
# As `db::mysql::catalog_query` fills it for MariaDB.
MARIADB_CATALOG = {"expression": "''", "visible": "IF(MAX(s.ignored) = 'YES', 'ignored', NULL)", "check_table": "k.table_name",
                   "check_join": "JOIN own AS t ON t.table_name = k.table_name", "enforced": "NULL", "algorithm": ", v.algorithm"}


def catalog(dialect):
    if dialect != "mysql":
        return queries(dialect)
    text = queries("mysql")["mysql"].replace("{version_table}", ":version_table")
    for name, written in MARIADB_CATALOG.items():
        text = text.replace("{%s}" % name, written)
    return {"mysql": text, "mariadb": text, "sequence": (SQL / "mariadb_sequence.sql").read_text()}


def rehearse(project, dialect, start, end, steps, direction="upgrade", history=(), **changes):
    plan = {"direction": direction, "from": list(start), "targets": list(end), "end": list(end), "steps": len(steps), "steps_digest": project.digest(steps)}
    before = {"targets": list(start), "steps": len(history), "steps_digest": project.digest(history)} if history else None
    task = dict(plan, **{"lock_wait_seconds": 20, "catalog": catalog(dialect), "history": before, "lock_timeout": {"seconds": 3, "explicit": False}})
    return project.start(**dict(dict(task, action="rehearse"), **changes)).outcome()


def shop(project):
    """A history with two tables, and its first revision."""
    project.revision("r1", None, GOODS, ["DROP TABLE goods", "DROP TABLE other"])


def of_steps(payload, what, phase=0):
    return {step["revision"]: step[what] for step in payload["phases"][phase]["steps"]}


def modes(payload, phase=0):
    return {revision: [(lock["table"], lock["mode"]) for lock in locks] for revision, locks in of_steps(payload, "locks", phase).items()}


def names(payload):
    return [phase["name"] for phase in payload["phases"]]


def leaves(phase):
    return [(entry["change"], entry["object"]) for entry in phase["leaves"]]


LINE = ["r1", "r2", "r3", "r4", "r5"]


def altered(project):
    """Steps of each kind of lock on a table that was there before."""
    shop(project)
    project.revision("r2", "r1", "ALTER TABLE goods ADD COLUMN maker INTEGER", "ALTER TABLE goods DROP COLUMN maker")
    project.revision("r3", "r2", "CREATE INDEX by_name ON goods (name)", "DROP INDEX by_name")
    project.revision("r4", "r3", "ALTER TABLE goods ALTER COLUMN price TYPE BIGINT", "ALTER TABLE goods ALTER COLUMN price TYPE INTEGER")
    project.revision("r5", "r4", ["CREATE TABLE fresh (id INTEGER)", "INSERT INTO other VALUES (1)"], ["DROP TABLE fresh", "DELETE FROM other"])


@pytest.mark.parametrize("release", ENDS)
@pytest.mark.parametrize("each", [True, False])
def test_there_and_back_and_there_again(pg_project, pg, release, each):
    pg_project.env(options="transaction_per_migration=%s" % each)
    altered(pg_project)
    outcome = rehearse(pg_project, "postgresql", ["r1"], ["r5"], LINE[1:], history=["r1"]).done()
    payload = outcome.payload
    assert names(payload) == ["upgrade", "downgrade", "upgrade again"] and outcome.rows == pg.rows() == {"r5"} == set(payload["rows"])
    exclusive = [("public.goods", "AccessExclusiveLock")]
    found = modes(payload)
    assert found["r2"] == exclusive and found["r5"] == [("public.other", "RowExclusiveLock")]
    # In one transaction the lock of r2 is still held, and those of r3 and r4 on the same table are no more than it.
    assert (found["r3"], found["r4"]) == (([("public.goods", "ShareLock")], exclusive) if each else ([], []))
    assert of_steps(payload, "rewritten") == {"r2": [], "r3": [], "r4": ["public.goods"], "r5": []}
    assert of_steps(payload, "rewritten", 1) == {"r2": [], "r3": [], "r4": ["public.goods"], "r5": []}
    assert not any(of_steps(payload, "sampled").values())
    for phase in payload["phases"]:
        assert all(0 <= step["seconds"] < 5 for step in phase["steps"]) and phase["omitted"] == 0
    assert [phase["leaves"] for phase in payload["phases"]] == [None, [], []]
    assert (payload["reversible"], payload["irreversible"], payload["failed"], payload["locks_unknown"]) == (True, [], None, None)
    assert ("public.fresh", "AccessExclusiveLock") in modes(payload, 1)["r5"], "the table of the plan is an old one on the way back"


def test_from_base_and_a_plan_that_goes_down(pg_project, pg):
    altered(pg_project)
    assert rehearse(pg_project, "postgresql", [], ["r2"], ["r1", "r2"]).done().rows == {"r2"}
    pg.server.empty_database()
    payload = rehearse(pg_project, "postgresql", ["r5"], ["r2"], ["r3", "r4", "r5"], "downgrade", history=LINE).done().payload
    assert names(payload) == ["downgrade", "upgrade", "downgrade again"] and payload["rows"] == ["r2"] == sorted(pg.rows())
    assert [step["revision"] for step in payload["phases"][1]["steps"]] == ["r3", "r4", "r5"]
    assert modes(payload)["r5"][0] == ("public.fresh", "AccessExclusiveLock")


@pytest.mark.parametrize("body, why", [(None, "missing"), ("pass", "empty"), ("raise NotImplementedError('no')", "raises")])
@pytest.mark.parametrize("release", ENDS)
def test_a_step_without_a_way_back(pg_project, pg, release, body, why):
    altered(pg_project)
    pg_project.revision("r4", "r3", "ALTER TABLE goods ALTER COLUMN price TYPE BIGINT", body)
    payload = rehearse(pg_project, "postgresql", ["r1"], ["r5"], LINE[1:], history=["r1"]).done().payload
    assert (payload["reversible"], payload["irreversible"]) == (False, [{"revision": "r4", "why": why}])
    assert [[step["revision"] for step in phase["steps"]] for phase in payload["phases"]] == [LINE[1:], ["r5"], ["r5"]]
    assert payload["phases"][1]["leaves"] is None and payload["phases"][2]["leaves"] == [] and pg.rows() == {"r5"}


def test_the_last_step_without_a_way_back(sqlite_project):
    sqlite_project.tables("r1", "r2")
    sqlite_project.revision("r3", "r2", "CREATE TABLE r3 (id INTEGER)", None)
    payload = rehearse(sqlite_project, "sqlite", [], ["r3"], ["r1", "r2", "r3"]).done().payload
    assert names(payload) == ["upgrade"] and not payload["reversible"]


def test_a_merge_has_nothing_to_undo(sqlite_project):
    sqlite_project.tables("a1")
    sqlite_project.revision("b1", "a1", "CREATE TABLE b1 (id INTEGER)", "DROP TABLE b1")
    sqlite_project.revision("b2", "a1", "CREATE TABLE b2 (id INTEGER)", "DROP TABLE b2")
    sqlite_project.revision("m1", ("b1", "b2"))
    sqlite_project.revision("x1", None, "CREATE TABLE x1 (id INTEGER)", "DROP TABLE x1", depends_on="b1")
    steps = ["b1", "b2", "m1", "x1"]
    payload = rehearse(sqlite_project, "sqlite", ["a1"], ["m1", "x1"], steps, history=["a1"]).done().payload
    assert payload["reversible"] and names(payload)[-1] == "upgrade again" and payload["rows"] == ["m1", "x1"]
    assert [phase["leaves"] for phase in payload["phases"]] == [None, [], []]
    assert payload["locks_unknown"] and payload["phases"][0]["steps"][0]["locks"] is None


def test_a_partial_way_back_over_branches(sqlite_project):
    sqlite_project.tables("a1")
    sqlite_project.revision("b1", "a1", "CREATE TABLE b1 (id INTEGER)", "DROP TABLE b1")
    sqlite_project.revision("b2", "a1", "CREATE TABLE b2 (id INTEGER)", None)
    sqlite_project.revision("m1", ("b1", "b2"))
    sqlite_project.revision("x1", None, "CREATE TABLE x1 (id INTEGER)", "DROP TABLE x1", depends_on="b1")
    payload = rehearse(sqlite_project, "sqlite", ["a1"], ["m1", "x1"], ["b1", "b2", "m1", "x1"], history=["a1"]).done().payload
    assert payload["irreversible"] == [{"revision": "b2", "why": "missing"}] and payload["rows"] == ["m1", "x1"]


@pytest.mark.parametrize("release", ENDS)
def test_a_downgrade_that_leaves_something(project, database, release):
    space = "public." if database.dialect == "postgresql" else ""
    project.revision("r1", None, GOODS)
    project.revision("r2", "r1", ["CREATE TABLE r2 (id INTEGER)", "CREATE INDEX IF NOT EXISTS by_name ON goods (name)"], "DROP TABLE r2")
    project.revision("r3", "r2", "CREATE INDEX by_price ON goods (price)", ["DROP INDEX by_price", "DROP TABLE other"])
    payload = rehearse(project, database.dialect, ["r1"], ["r3"], ["r2", "r3"], history=["r1"]).done().payload
    _, down, again = payload["phases"]
    assert ("Unexpected", "index %sby_name" % space) in leaves(down) and ("Missing", "table %sother" % space) in leaves(down)
    assert down["differences"] == len(down["leaves"]) and ("Missing", "table %sother" % space) in leaves(again)
    assert payload["reversible"]


@pytest.mark.parametrize("release", ENDS)
def test_failures_say_where(project, database, release):
    project.tables("r1", "r2")
    project.revision("r3", "r2", ["CREATE TABLE r3 (id INTEGER)", "BROKEN STATEMENT"])
    outcome = rehearse(project, database.dialect, ["r1"], ["r3"], ["r2", "r3"], history=["r1"]).failed("RehearsalFailed", "upgrade: ", "BROKEN")
    payload = outcome.payload
    assert outcome.error["revision"] == "r3" and payload["failed"] == {"phase": "upgrade", "revision": "r3"}
    assert [step["revision"] for step in payload["phases"][0]["steps"]] == ["r2"]


def test_a_downgrade_that_fails(project, database):
    project.tables("r1", "r2")
    project.revision("r3", "r2", "CREATE TABLE r3 (id INTEGER)", "DROP TABLE nowhere")
    outcome = rehearse(project, database.dialect, ["r1"], ["r3"], ["r2", "r3"], history=["r1"]).failed("RehearsalFailed", "downgrade: ", "nowhere")
    assert outcome.error["revision"] == "r3" and outcome.payload["failed"]["phase"] == "downgrade" and names(outcome.payload) == ["upgrade", "downgrade"]


def test_a_second_upgrade_that_fails(project, database):
    project.tables("r1")
    project.revision("r2", "r1", "CREATE TABLE r2 (id INTEGER)", "import os; op.execute('SELECT 1')")
    outcome = rehearse(project, database.dialect, ["r1"], ["r2"], ["r2"], history=["r1"]).failed("RehearsalFailed", "upgrade again: ", "already exists")
    assert outcome.payload["failed"] == {"phase": "upgrade again", "revision": "r2"} and outcome.payload["phases"][1]["differences"] > 0


def test_a_history_that_fails_is_told_apart(sqlite_project):
    sqlite_project.revision("r1", None, "INSERT INTO nowhere VALUES (1)")
    sqlite_project.revision("r2", "r1", "CREATE TABLE r2 (id INTEGER)")
    outcome = rehearse(sqlite_project, "sqlite", ["r1"], ["r2"], ["r2"], history=["r1"]).failed("HistoryFailed", "history: ", "nowhere")
    assert outcome.payload["phases"] == []


def test_a_step_that_needs_data(pg_project, pg):
    shop(pg_project)
    pg_project.revision("r2", "r1", ["import sqlalchemy", "row = op.get_bind().execute(sqlalchemy.text('SELECT id FROM goods')).first()",
                                     "if row is None: raise LookupError('no goods')"])
    outcome = rehearse(pg_project, "postgresql", ["r1"], ["r2"], ["r2"], history=["r1"]).failed("RehearsalFailed", "upgrade: ", "LookupError: no goods")
    assert outcome.error["revision"] == "r2"


CONCURRENT = [
    ("CREATE INDEX CONCURRENTLY by_name ON goods (name)", "DROP INDEX CONCURRENTLY by_name", "ShareUpdateExclusiveLock"),
    ("ALTER TABLE goods ADD COLUMN maker INTEGER", "ALTER TABLE goods DROP COLUMN maker", "AccessExclusiveLock"),
    ("CREATE INDEX by_name ON goods (name)", "DROP INDEX by_name", "ShareLock"),
]


@pytest.mark.parametrize("release", ENDS)
@pytest.mark.parametrize("forth, back, mode", CONCURRENT)
def test_outside_a_transaction(pg_project, pg, release, forth, back, mode):
    shop(pg_project)
    pg_project.revision("r2", "r1", BLOCK % forth, BLOCK % back)
    payload = rehearse(pg_project, "postgresql", ["r1"], ["r2"], ["r2"], history=["r1"]).done().payload
    assert ("public.goods", mode) in modes(payload)["r2"] and of_steps(payload, "sampled") == {"r2": True}
    assert [phase["leaves"] for phase in payload["phases"]] == [None, [], []]


def test_what_a_step_held_before_it_committed(pg_project, pg):
    shop(pg_project)
    pg_project.revision("r2", "r1", ["CREATE INDEX by_name ON goods (name)", "ALTER TABLE other ADD COLUMN x INTEGER", BLOCK % "VACUUM goods"],
                        ["DROP INDEX by_name", "ALTER TABLE other DROP COLUMN x"])
    payload = rehearse(pg_project, "postgresql", ["r1"], ["r2"], ["r2"], history=["r1"]).done().payload
    assert modes(payload)["r2"] == [("public.other", "AccessExclusiveLock"), ("public.goods", "ShareLock")]


def test_how_long_a_lock_was_held(pg_project):
    shop(pg_project)
    pg_project.revision("r2", "r1", ["SELECT pg_sleep(0.3)", "ALTER TABLE goods ADD COLUMN x INTEGER", "SELECT pg_sleep(0.4)"], "ALTER TABLE goods DROP COLUMN x")
    payload = rehearse(pg_project, "postgresql", ["r1"], ["r2"], ["r2"], history=["r1"]).done().payload
    (lock,), seconds = of_steps(payload, "locks")["r2"], of_steps(payload, "seconds")["r2"]
    assert 390 <= lock["ms"] < 550 and 0.7 <= seconds < 1


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_other_drivers(pg_project, pg, driver):
    pg_project.env(ASYNC_ENV)
    pg_project.url = pg_project.url.replace("://", "+%s://" % driver)
    altered(pg_project)
    pg_project.revision("r5", "r4", BLOCK % CONCURRENT[1][0].replace("maker", "x"), BLOCK % CONCURRENT[1][1].replace("maker", "x"))
    payload = rehearse(pg_project, "postgresql", ["r1"], ["r5"], LINE[1:], history=["r1"]).done().payload
    found = modes(payload)
    assert found["r2"] == found["r5"] == [("public.goods", "AccessExclusiveLock")] and of_steps(payload, "rewritten")["r4"] == ["public.goods"]


def test_a_pooled_engine(pg_project, pg):
    """Its connections of a phase stay open in the next one."""
    altered(pg_project)
    path = pg_project.folder / "migrations" / "env.py"
    path.write_text(path.read_text().replace(", poolclass=pool.NullPool", ""))
    assert rehearse(pg_project, "postgresql", ["r1"], ["r5"], LINE[1:], history=["r1"]).done().payload["reversible"]


@pytest.mark.parametrize("release", ENDS)
def test_a_restored_database(pg_project, pg, release):
    altered(pg_project)
    outcome = rehearse(pg_project, "postgresql", ["r1"], ["r2"], ["r2"], source="dump").refused("RowsChanged", "base", "{r1}", "not copied")
    assert outcome.payload["phases"] == []
    pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    assert rehearse(pg_project, "postgresql", ["r1"], ["r2"], ["r2"], source="dump").done().payload["rows"] == ["r2"]


@pytest.mark.parametrize("release", ENDS)
@pytest.mark.parametrize("action", ["rehearse", "replay"])
def test_another_database_than_the_scratch_one_is_left_alone(sqlite_project, tmp_path, release, action):
    """Its URL stands somewhere else than the runner puts it, such as in variables of spec.podTemplate."""
    sqlite_project.tables("r1")
    rehearse(sqlite_project, "sqlite", [], ["r1"], ["r1"], scratch="alembic-operator-scratch", action=action).done()
    live = tmp_path / "live.db"
    path = sqlite_project.folder / "migrations" / "env.py"
    path.write_text(path.read_text().replace("config = context.config", "config = context.config\nconfig.set_main_option('sqlalchemy.url', 'sqlite:///%s')" % live))
    outcome = rehearse(sqlite_project, "sqlite", [], ["r1"], ["r1"], scratch="alembic-operator-scratch", action=action)
    outcome.refused("EnvPyFailed", "another database than the scratch database", "DATABASE_URL")
    assert not live.exists() or b"r1" not in live.read_bytes()


@pytest.mark.parametrize("engine", ["pg", "mariadb"])
def test_another_server_at_the_place_of_the_scratch_one_is_left_alone(request, engine):
    project, database = (request.getfixturevalue(name) for name in (engine + "_project", engine))
    project.tables("r1")
    rehearse(project, database.dialect, [], ["r1"], ["r1"], scratch="alembic-operator-scratch").refused("ConnectFailed", "does not call itself")
    assert not database.rows()


def test_an_image_with_other_files_is_refused(sqlite_project):
    sqlite_project.tables("r1", "r2")
    rehearse(sqlite_project, "sqlite", [], ["r2"], ["r1", "r2"], steps_digest="0").refused("StepsChanged")
    for changes in ({}, {"source": "nowhere"}, {"catalog": None}, {"direction": "stamp"}):
        outcome = rehearse(sqlite_project, "sqlite", ["r1"], ["r2"], ["r2"], **changes)
        assert (outcome.code, outcome.kind) == (2, "TaskUnusable") and "a rehearsal" in outcome.error["message"]


def test_names_of_every_kind_and_a_long_plan(pg_project, pg):
    lines = []
    for number in range(40):
        lines.append('CREATE TABLE "t, %d" (id INTEGER)' % number)
    pg_project.revision("r1", None, ["op.execute(%r)" % line for line in lines], ["op.execute('DROP TABLE \"t, %d\"')" % number for number in range(40)])
    alter = ["op.execute('ALTER TABLE \"t, %d\" ADD COLUMN x INTEGER')" % number for number in range(40)]
    drop = ["op.execute('ALTER TABLE \"t, %d\" DROP COLUMN x')" % number for number in range(40)]
    pg_project.revision("r2", "r1", alter, drop)
    pg_project.revision("r3", "r2", BLOCK % 'ALTER TABLE "t, 1" ADD COLUMN y INTEGER', BLOCK % 'ALTER TABLE "t, 1" DROP COLUMN y')
    payload = rehearse(pg_project, "postgresql", ["r1"], ["r3"], ["r2", "r3"], history=["r1"]).done().payload
    assert len(modes(payload)["r2"]) == 20 and modes(payload)["r3"] == [("public.t, 1", "AccessExclusiveLock")]


MARIADB = ["CREATE TABLE goods (id INTEGER PRIMARY KEY, name VARCHAR(20), price INTEGER) ENGINE=InnoDB", "CREATE TABLE other (id INTEGER) ENGINE=InnoDB"]


def test_mariadb(mariadb_project, mariadb):
    mariadb.server.sql("GRANT PROCESS ON *.* TO shop@'%'")
    project = mariadb_project
    project.revision("r1", None, MARIADB, ["DROP TABLE goods", "DROP TABLE other"])
    project.revision("r2", "r1", "ALTER TABLE goods ADD COLUMN maker INTEGER", "ALTER TABLE goods DROP COLUMN maker")
    project.revision("r3", "r2", "CREATE INDEX by_name ON goods (name)", "DROP INDEX by_name ON goods")
    project.revision("r4", "r3", "ALTER TABLE goods MODIFY price BIGINT", "ALTER TABLE goods MODIFY price INTEGER")
    project.revision("r5", "r4", ["CREATE TABLE fresh (id INTEGER)", "INSERT INTO other VALUES (1)"], ["DROP TABLE fresh", "DELETE FROM other"])
    outcome = rehearse(project, "mysql", ["r1"], ["r5"], LINE[1:], history=["r1"]).done()
    payload = outcome.payload
    assert names(payload) == ["upgrade", "downgrade", "upgrade again"] and outcome.rows == mariadb.rows() == {"r5"}
    assert of_steps(payload, "rewritten") == {"r2": [], "r3": [], "r4": ["goods"], "r5": []}
    assert payload["locks_unknown"] and of_steps(payload, "locks")["r2"] is None
    assert [phase["leaves"] for phase in payload["phases"]] == [None, [], []]


def test_mariadb_without_the_right_to_look(mariadb_project, mariadb):
    mariadb.server.sql("REVOKE PROCESS ON *.* FROM shop@'%'")
    mariadb_project.revision("r1", None, MARIADB, ["DROP TABLE goods", "DROP TABLE other"])
    payload = rehearse(mariadb_project, "mysql", [], ["r1"], ["r1"]).done().payload
    assert of_steps(payload, "rewritten") == {"r1": None} and payload["locks_unknown"]


def test_a_mariadb_downgrade_that_fails(mariadb_project, mariadb):
    mariadb_project.tables("r1")
    mariadb_project.revision("r2", "r1", "CREATE TABLE r2 (id INTEGER)", ["DROP TABLE r2", "DROP TABLE nowhere"])
    outcome = rehearse(mariadb_project, "mysql", ["r1"], ["r2"], ["r2"], history=["r1"]).failed("RehearsalFailed", "downgrade: ", "nowhere")
    assert outcome.error["revision"] == "r2"


APART = {
    "a class on the application's base": ("from base import Base\nfrom sqlalchemy import Column, Integer\n"
                                          "class Order(Base):\n    __tablename__ = 'orders'\n    id = Column(Integer, primary_key=True)\n", ""),
    "a counter that env.py registers": ("", "import base\nbase.register()"),
}


@pytest.mark.parametrize("what", APART)
def test_each_phase_is_a_process_of_its_own(project, database, what):
    """As with a command for each way, nothing that one leaves in the interpreter is in the next."""
    top, setup = APART[what]
    base = "from sqlalchemy.orm import declarative_base\n" "Base = declarative_base()\nknown = []\ndef register():\n    assert not known\n    known.append(1)\n"
    project.write("base.py", base)
    project.env(setup=setup)
    project.tables("r1", "r2")
    path = project.files["r2"]
    path.write_text(top + path.read_text())
    payload = rehearse(project, database.dialect, ["r1"], ["r2"], ["r2"], history=["r1"]).done().payload
    assert names(payload) == ["upgrade", "downgrade", "upgrade again"] and [phase["leaves"] for phase in payload["phases"]] == [None, [], []]


def test_version_locations_that_env_py_sets(sqlite_project):
    """As Prefect's does; they are known inside it alone."""
    sqlite_project.versions.rename(sqlite_project.folder / "history")
    sqlite_project.versions = sqlite_project.folder / "history"
    sqlite_project.env(setup="context.script.version_locations = ['history']")
    for revision, down in (("r1", None), ("r2", "r1")):
        path = sqlite_project.revision(revision, down, "CREATE TABLE %s (id INTEGER)" % revision, "DROP TABLE %s" % revision)
        sqlite_project.files[revision] = path.rename(sqlite_project.versions / path.name)
    assert rehearse(sqlite_project, "sqlite", [], ["r2"], ["r1", "r2"]).done().payload["reversible"]


def test_a_phase_that_ends_its_process(sqlite_project):
    sqlite_project.tables("r1")
    sqlite_project.revision("r2", "r1", "import os; os._exit(0)")
    rehearse(sqlite_project, "sqlite", ["r1"], ["r2"], ["r2"], history=["r1"]).failed("RunnerFailed", "without a word")


def test_a_rehearsal_that_is_stopped(sqlite_project):
    sqlite_project.tables("r1")
    sqlite_project.revision("r2", "r1", ["import time", "time.sleep(60)"])
    plan = {"direction": "upgrade", "from": ["r1"], "targets": ["r2"], "end": ["r2"], "steps": 1, "steps_digest": sqlite_project.digest(["r2"])}
    history = {"targets": ["r1"], "steps": 1, "steps_digest": sqlite_project.digest(["r1"])}
    running = sqlite_project.start(action="rehearse", catalog=catalog("sqlite"), history=history, **plan)
    running.wait_for(lambda message: message["running"] == "r2")
    running.process.terminate()
    outcome = running.outcome(timeout=20)
    assert outcome.error["revision"] == "r2" and "stopped by SIGTERM" in outcome.error["message"]


def test_sqlites_batch_mode_leaves_nothing(sqlite_project):
    """It writes the whole table anew, with its name in quotes and its constraints in the order of a set."""
    project = sqlite_project
    project.revision("r1", None, ["CREATE TABLE makers (id INTEGER NOT NULL, PRIMARY KEY (id))",
                                  "CREATE TABLE goods (id INTEGER NOT NULL, maker INTEGER, name VARCHAR(9) DEFAULT 'a, (b', PRIMARY KEY (id), "
                                  "FOREIGN KEY(maker) REFERENCES makers (id), UNIQUE (maker, name))"], ["DROP TABLE goods", "DROP TABLE makers"])
    body = "import sqlalchemy as sa\n    with op.batch_alter_table('goods') as batch: batch.alter_column('name', type_=sa.String(%d))"
    project.revision("r2", "r1", body % 99, body % 9)
    project.upgrade([], ["r1"], ["r1"], ["r1"]).done()
    payload = rehearse(project, "sqlite", ["r1"], ["r2"], ["r2"], source="dump").done().payload
    assert names(payload) == ["upgrade", "downgrade", "upgrade again"]
    assert [phase["leaves"] for phase in payload["phases"]] == [None, [], []], payload["phases"]


def executed(payload, revision):
    step, = (step for step in payload["phases"][0]["steps"] if step["revision"] == revision)
    return step["executed"], step["unseen"], step["reads"]


@pytest.mark.parametrize("release", ENDS)
def test_what_a_step_executed(pg_project, pg, release):
    """Its statements, with COMMIT and BEGIN where they stood, and without what it only read or wrote as a value."""
    shop(pg_project)
    looks = ["names = sa.inspect(op.get_bind()).get_table_names()", "if 'goods' in names: op.execute('ALTER TABLE goods ADD COLUMN note TEXT')"]
    pg_project.revision("r2", "r1", ["import sqlalchemy as sa"] + looks, "ALTER TABLE goods DROP COLUMN note")
    each = "for row in op.get_bind().execute(sa.text('SELECT id FROM goods')): op.execute('DROP TABLE other')"
    given = """[op.get_bind().execute(sa.text("UPDATE goods SET name = :name, price = 3 WHERE name = 'a ? %'"), dict(name=name)) for name in 'ab']"""
    pg_project.revision("r3", "r2", ["import sqlalchemy as sa", each, given])
    pg_project.revision("r4", "r3", "op.get_bind().connection.cursor().execute('DROP TABLE other')", GOODS[1])
    pg_project.revision("r5", "r4", BLOCK % "CREATE INDEX CONCURRENTLY by_name ON goods (name)", "DROP INDEX by_name")
    payload = rehearse(pg_project, "postgresql", ["r1"], ["r5"], LINE[1:], history=["r1"]).done().payload
    assert executed(payload, "r2") == (["ALTER TABLE goods ADD COLUMN note TEXT"], None, False)
    assert executed(payload, "r3") == (["UPDATE goods SET name = '***', price = 3 WHERE name = 'a ? %'"], None, True)
    assert executed(payload, "r4") == (None, "uses the driver's connection", False)
    assert executed(payload, "r5") == (["COMMIT", "CREATE INDEX CONCURRENTLY by_name ON goods (name)", "BEGIN"], None, False)
    assert not any("executed" in step for phase in payload["phases"][1:] for step in phase["steps"])


@pytest.mark.parametrize("body, why", [
    ("import subprocess; subprocess.call(['true'])", "starts or ends a process (subprocess.call()"),
    ("import os; getattr(os, 'sys' + 'tem')('true')", "starts a process"),
    ("[op.execute('CREATE TABLE t%d (a%s INTEGER)' % (number, 'x' * 9000)) for number in range(30)]", "it executed more than 200000 bytes of SQL"),
])
def test_a_step_that_can_not_be_heard(sqlite_project, body, why):
    sqlite_project.tables("r1")
    sqlite_project.revision("r2", "r1", body, None)
    found = executed(rehearse(sqlite_project, "sqlite", [], ["r2"], ["r1", "r2"]).done().payload, "r2")
    assert found[0] is None and found[1].startswith(why), found


def test_the_batch_mode_of_sqlite_is_heard(sqlite_project):
    sqlite_project.tables("r1")
    sqlite_project.revision("r2", "r1", ["import sqlalchemy as sa", "with op.batch_alter_table('r1', recreate='always') as batch: batch.add_column(sa.Column('b', sa.Integer))"], None)
    statements, unseen, reads = executed(rehearse(sqlite_project, "sqlite", [], ["r2"], ["r1", "r2"]).done().payload, "r2")
    verbs = [statement.split()[0] for statement in statements]
    assert verbs == ["CREATE", "INSERT", "DROP", "ALTER"] and (unseen, reads) == (None, False), statements
