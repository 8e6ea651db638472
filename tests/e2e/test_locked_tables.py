"""A table that somebody uses: the run steps back in seconds, nobody queues behind it, and it goes through once the table is free."""
import contextlib
import subprocess
import time

import pytest

from harness import CLUSTER, WITH_PYMYSQL, Space, eventually, revision, space_name, table

ALTER = "op.add_column('goods', sa.Column('name', sa.Text))"
SLEEP = {"postgres": "SELECT pg_sleep(600)", "mariadb": "SELECT SLEEP(600)"}
SLEEPERS = {
    "postgres": "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'SELECT pg_sleep(600)%' AND state = 'active'",
    "mariadb": "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'SELECT SLEEP(600)%'",
}
END = {"postgres": "SELECT pg_terminate_backend({})", "mariadb": "KILL {}"}


@contextlib.contextmanager
def reader(space):
    """A session that has read the table `goods` and does not end its transaction."""
    command = [CLUSTER / "sql", space.engine, space.database, space.server]
    session = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
    session.stdin.write(f"BEGIN; SELECT count(*) FROM goods; {SLEEP[space.engine]};\n")
    session.stdin.close()
    sleeper = eventually("the reader has read", lambda: space.sql(SLEEPERS[space.engine]), 20)
    try:
        yield
    finally:
        space.sql(END[space.engine].format(sleeper))
        session.wait(30)


@pytest.fixture(params=["postgres", "mariadb"])
def goods(request, push):
    """A database with the table, its object, and the image that is to change the table."""
    space = Space(space_name(request), engine=request.param)
    options = {"requirements": WITH_PYMYSQL} if request.param == "mariadb" else {}
    first = revision("aaaa1111", **table("goods"))
    migration = space.migration(push(first, **options))
    migration.wait_ready(90)
    second = push(first, revision("bbbb2222", "aaaa1111", up=ALTER, dn="op.drop_column('goods', 'name')"), **options)
    return space, migration, second


def test_a_table_that_is_in_use(goods):
    space, migration, second = goods
    with reader(space):
        migration.patch(image=second)
        slowest = 0
        deadline = time.monotonic() + 60
        while not migration.is_at("TableLocked"):
            begun = time.monotonic()
            space.sql("SELECT count(*) FROM goods")
            slowest = max(slowest, time.monotonic() - begun)
            assert time.monotonic() < deadline, migration.condition()
        assert slowest < 10, "other readers wait for the lock timeout at most"
        assert space.rows() == ["aaaa1111"]
        assert migration.condition("Reconciling")["status"] == "True" and "bbbb2222" in migration.message()
    migration.wait_ready(120)
    assert space.rows() == ["bbbb2222"] and migration.status["lastRun"]["attempts"] > 1


def test_giving_up(goods):
    space, migration, second = goods
    with reader(space):
        migration.patch(image=second, retry={"limit": 1})
        done = migration.wait("MigrationFailed", 60)
        assert "given up after 1 attempts" in migration.message() and done["lastRun"]["reason"] == "TableLocked"
    migration.annotate("again")
    migration.wait_ready(60)


def test_a_step_that_was_half_done(request, push):
    """On MariaDB what came before the statement that waited stays: nothing is tried again by itself."""
    space = Space(space_name(request), engine="mariadb")
    options = {"requirements": WITH_PYMYSQL}
    first = revision("aaaa1111", **table("goods"))
    migration = space.migration(push(first, **options), timeouts={"lock": "1s"})
    migration.wait_ready(90)
    with reader(space):
        body = f"op.create_table('prices', sa.Column('id', sa.Integer))\n{ALTER}"
        migration.patch(image=push(first, revision("bbbb2222", "aaaa1111", up=body), **options))
        migration.wait("PartiallyApplied", 60)
    assert space.rows() == ["aaaa1111"] and space.has_table("prices") and "bbbb2222" in migration.message()
