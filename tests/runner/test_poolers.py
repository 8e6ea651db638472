"""The runner behind a real PgBouncer. Touches the private PostgreSQL and a pooler before it."""

import threading

import pytest
from environments import ENDS, OLDEST_SQLALCHEMY
from pgbouncer import pooler
from project import ASYNC_ENV

FIRST = ([], ["r1"], ["r1"], ["r1"])
LEFT = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
SETTINGS = "SELECT current_setting('lock_timeout'), current_setting('statement_timeout'), current_setting('search_path')"
LIMITS = {"lock_timeout": {"seconds": 3, "explicit": False}, "statement_timeout": {"seconds": 60, "explicit": False}}


def refused(outcome):
    return outcome.refused("PoolerInTransactionMode", "spec.database.migrationUrlFrom")


@pytest.mark.parametrize("release", [OLDEST_SQLALCHEMY, *ENDS])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_a_pooler_in_transaction_mode_is_noticed(pg_project, pg, release, size):
    pg_project.tables("r1")
    with pooler(pg.server, size=size) as bouncer:
        pg_project.url = bouncer.url()
        before = bouncer.sql(SETTINGS)
        refused(pg_project.inspect())
        refused(pg_project.upgrade(*FIRST, **LIMITS))
        assert [bouncer.sql(SETTINGS) for _ in range(6)] == [before] * 6, "no setting of ours reaches the application"
        assert pg.query(LEFT) == [["0"]] and pg.tables() == set()


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "asyncpg"])
def test_every_driver_notices_it(pg_project, pg, driver):
    pg_project.tables("r1")
    if driver == "asyncpg":
        pg_project.env(ASYNC_ENV)
    with pooler(pg.server) as bouncer:
        pg_project.url = bouncer.url(query="?prepared_statement_cache_size=0" if driver == "asyncpg" else "")
        refused(pg_project.inspect(driver=driver))
        refused(pg_project.upgrade(*FIRST, driver=driver))


def test_beside_an_application_and_with_an_open_transaction(pg_project, pg):
    pg.execute("CREATE TABLE hits (id INTEGER)")
    pg_project.tables("r1")
    pg_project.env(before="connection.execute(text('SELECT 1'))")
    over = threading.Event()
    with pooler(pg.server) as bouncer:
        def traffic():
            while not over.is_set():
                bouncer.sql("BEGIN; INSERT INTO hits VALUES (1); SELECT pg_sleep(0.01); COMMIT")

        application = [threading.Thread(target=traffic) for _ in range(2)]
        for thread in application:
            thread.start()
        pg_project.url = bouncer.url()
        try:
            for _ in range(3):
                refused(pg_project.upgrade(*FIRST))
        finally:
            over.set()
            for thread in application:
                thread.join()
    assert pg.query(LEFT) == [["0"]]


def test_a_pooler_in_session_mode_and_an_alias_of_the_database_are_no_hindrance(pg_project, pg):
    pg_project.tables("r1", "r2")
    with pooler(pg.server, mode="session") as bouncer:
        pg_project.url = bouncer.url("alias")
        pg_project.inspect().done()
        assert pg_project.upgrade(*FIRST).done().rows == {"r1"}
        pg_project.env(setup="config.set_main_option('sqlalchemy.url', %r)" % pg.url.replace("%", "%%"))
        assert pg_project.upgrade(["r1"], ["r2"], ["r2"], ["r2"]).done().rows == {"r2"}


def test_a_look_through_a_pooler_leaves_no_setting(pg_project, pg):
    from test_rehearsal import catalog

    pg_project.tables("r1")
    pg_project.upgrade(*FIRST).done()
    with pooler(pg.server, size=2) as bouncer:
        pg_project.url = bouncer.url()
        before = bouncer.sql(SETTINGS)
        look = pg_project.probe(catalog=catalog("postgresql")).done().message["look"]
        assert look["rows"] == ["r1"] and bouncer.sql(SETTINGS) == before
