"""Each database and driver in a real run; passwords have characters that every URL must quote."""
import pytest

from harness import revision, table

ASYNC_ENV = """
import asyncio, os
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine

def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    engine = create_async_engine(os.environ["DATABASE_URL"])
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()

asyncio.run(main())
"""
LINE = [revision("aaaa1111", **table("one")), revision("bbbb2222", "aaaa1111", **table("two"))]
ALEMBIC = "alembic==1.20.1\n"


def parts(space, driver):
    """The database by its parts, with user and password from the Secret."""
    key = lambda name: {"secretKeyRef": {"name": "app-db", "key": name}}
    dialect, port = ("mysql", 3306) if space.engine == "mariadb" else ("postgresql", 5432)
    connection = {"dialect": dialect, "host": f"{space.engine}.{space.server}", "port": port, "name": space.database,
                  "usernameFrom": key("username"), "passwordFrom": key("password")}
    return {"connection": connection, "driver": driver, "probe": {"interval": "5s"}}


def up_and_down(space, image, database):
    migration = space.migration(image, database=database, policy={"downgrade": "Allow"})
    migration.wait_ready()
    assert space.rows() == ["bbbb2222"] and space.has_table("two")
    migration.patch(targetRevision="aaaa1111")
    migration.wait_ready()
    assert space.rows() == ["aaaa1111"] and not space.has_table("two")
    assert migration.status["database"]["dialect"] == {"postgres": "postgresql", "mariadb": "mysql"}[space.engine]


@pytest.mark.parametrize("driver, package, env", [
    ("psycopg", "psycopg[binary]", None),
    ("asyncpg", "asyncpg", ASYNC_ENV),
])
def test_postgresql_drivers(space, push, driver, package, env):
    options = {"env": env} if env else {}
    image = push(*LINE, requirements=f"{ALEMBIC}sqlalchemy[asyncio]\n{package}\n", **options)
    up_and_down(space, image, parts(space, driver))


def test_mariadb(mariadb_space, push):
    image = push(*LINE, requirements=f"{ALEMBIC}pymysql\ncryptography\n")
    up_and_down(mariadb_space, image, parts(mariadb_space, "pymysql"))


def test_mariadb_that_is_half_migrated_is_left_alone(mariadb_space, push):
    """DDL can't be taken back there: what was done before the error stays, and a retry would only fail on it."""
    space = mariadb_space
    up = "op.create_table('two', sa.Column('id', sa.Integer))\nop.execute('SELECT * FROM no_such_table')"
    image = push(LINE[0], revision("bbbb2222", "aaaa1111", up=up), requirements=f"{ALEMBIC}pymysql\n")
    migration = space.migration(image)
    migration.wait("PartiallyApplied")
    assert space.rows() == ["aaaa1111"] and space.has_table("two")
    message = migration.message()
    assert "bbbb2222" in message and "no_such_table" in message
    runs = len(space.jobs("run"))
    # The person looks, takes back what is there, and asks for a retry with a corrected image.
    space.sql("DROP TABLE two")
    mended = push(*LINE, requirements=f"{ALEMBIC}pymysql\n")
    assert len(space.jobs("run")) == runs, "nothing was retried by itself"
    migration.patch(image=mended)
    migration.wait_ready()
    assert space.rows() == ["bbbb2222"]


def test_what_is_wrong_with_a_mariadb_server_is_told(mariadb_space, push):
    space = mariadb_space
    image = push(*LINE, requirements=f"{ALEMBIC}pymysql\n")
    migration = space.migration(image, target="aaaa1111")
    migration.wait_ready()
    space.sql(f"ALTER USER {space.database} IDENTIFIED BY 'another'")
    migration.wait("AuthFailed")
    assert space.database not in migration.message().replace(f"/{space.database}", ""), "no user's name is shown"
