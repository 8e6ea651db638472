"""What one look at a real server says, and that it stays small whatever the database holds."""

import json

import pytest
from conftest import Database
from postgres import DATABASE, USER

# MiB that the command may take.
FEW = 16


@pytest.fixture(params=["postgres", "mariadb"])
def shop(request, tmp_path):
    database = Database(request.getfixturevalue(request.param), tmp_path)
    database.kind = request.param
    database.server.empty_database()
    return database


def versions(shop, rows, kind="varchar(32)"):
    shop.sql(f"DROP TABLE IF EXISTS alembic_version; CREATE TABLE alembic_version (version_num {kind})")
    if shop.kind == "postgres":
        shop.sql(f"ALTER TABLE alembic_version OWNER TO {USER}")
    if rows:
        shop.sql(f"INSERT INTO alembic_version {rows}")


def test_what_a_look_says(shop):
    seen = json.loads(shop.probe().stdout)
    assert (seen["rows"], seen["otherTables"], seen["readOnly"]) == (None, [], False)
    assert seen["serverVersion"] in shop.server.sql("SELECT version()")[0][0]
    versions(shop, "VALUES ('b1'), ('a1')")
    seen = json.loads(shop.probe().stdout)
    assert (seen["rows"], seen["columnWidth"]) == (["a1", "b1"], 32)
    if shop.kind == "postgres":
        oid = shop.sql("SELECT oid FROM pg_database WHERE datname = current_database()")[0][0]
        cluster = shop.sql("SELECT system_identifier FROM pg_control_system()")[0][0]
        assert seen["identity"] == f"{cluster}/{oid}"


def test_a_user_who_may_not_ask_for_the_identity(postgres, tmp_path):
    shop = Database(postgres, tmp_path)
    postgres.empty_database()
    postgres.sql("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM public", DATABASE)
    try:
        seen = json.loads(shop.probe().stdout)
        assert (seen["identity"], seen["rows"]) == (None, None)
    finally:
        postgres.sql("GRANT EXECUTE ON FUNCTION pg_control_system() TO public", DATABASE)


def test_a_server_that_takes_no_writes(shop):
    readable = f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = %s" if shop.kind == "postgres" else "SET GLOBAL read_only = %s"
    shop.server.sql(readable % "on")
    try:
        assert json.loads(shop.probe().stdout)["readOnly"] is True
    finally:
        shop.server.sql(readable % "off", *(["postgres"] if shop.kind == "postgres" else []))


ODD_ROWS = [
    ("VALUES ('r1'), ('r1')", "varchar(32)", "has the row r1 more than once"),
    ("VALUES ('r1'), (NULL)", "varchar(32)", "has a row without a revision"),
    ("VALUES ('')", "varchar(32)", "has a row without a revision"),
    ("SELECT repeat('x', 513)", "text", "has a row of more than 512 characters"),
]


@pytest.mark.parametrize("rows, kind, told", ODD_ROWS)
def test_rows_that_alembic_would_fail_on(shop, rows, kind, told):
    versions(shop, rows, kind)
    for done in (shop.probe(), shop.command()):
        assert done.returncode == 1 and f"the version table alembic_version {told}" in done.stderr, done.stderr


def test_a_version_table_of_somebody_else(shop):
    versions(shop, "VALUES " + ", ".join(f"('r{number}')" for number in range(1001)))
    assert "has more than 1000 rows" in shop.probe().stderr
    shop.sql("DELETE FROM alembic_version WHERE version_num = 'r0'")
    assert len(json.loads(shop.probe().stdout)["rows"]) == 1000


def test_large_rows_cost_little(shop):
    size = "repeat('x', 100000000)" if shop.kind == "postgres" else "repeat('x', 10000000)"
    versions(shop, f"SELECT {size}", "text" if shop.kind == "postgres" else "longtext")
    assert "more than 512 characters" in shop.probe(memory=FEW).stderr


def test_a_long_definition_is_compared_by_its_digest(shop):
    if shop.kind == "postgres":
        shop.sql("CREATE TABLE goods (id int)")
        change = lambda last: shop.sql("DO $$BEGIN EXECUTE 'COMMENT ON TABLE goods IS ' || quote_literal(repeat('x', 20000000) || '%s'); END$$" % last)
        told = {("Modified", "table public.goods")}
    else:
        body = "x" * 100_000
        change = lambda last: shop.server.sql(f"CREATE OR REPLACE FUNCTION f() RETURNS INT RETURN LENGTH('{body}{last}')", DATABASE, user=USER)
        told = {("Modified", "body of function f")}
    change("a")
    baseline = shop.baseline()
    assert shop.command(memory=FEW).returncode == 0
    change("a")
    assert shop.differences(baseline) == set()
    change("b")
    assert shop.differences(baseline) == told


def test_many_columns_cost_little(shop):
    columns = ", ".join(f"column_{number} int not null" for number in range(400))
    if shop.kind == "postgres":
        shop.sql(f"DO $$BEGIN FOR number IN 1..60 LOOP EXECUTE 'CREATE TABLE t' || number || ' ({columns})'; END LOOP; END$$")
    else:
        for first in range(1, 61, 10):
            shop.sql("; ".join(f"CREATE TABLE t{number} ({columns}) ENGINE = MyISAM" for number in range(first, first + 10)))
    done = shop.command(memory=FEW)
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 24_000, done.stderr
