"""The work happens in the object's own database, by whatever name env.py reaches it. Touches SQLite files and the private servers."""

import postgres as postgresql
import pytest
from environments import ENDS, OLDEST_SQLALCHEMY
from postgres import PASSWORD, USER
from project import ASYNC_ENV, models_of
from test_rehearsal import catalog

FIRST = ([], ["r1"], ["r1"], ["r1"])


def elsewhere(url):
    return "config.set_main_option('sqlalchemy.url', %r)" % url.replace("%", "%%")


def at_elsewhere(database):
    return database.url.rpartition("/")[0] + "/elsewhere"


@pytest.fixture
def other_database(pg):
    pg.server.sql("DROP DATABASE IF EXISTS elsewhere")
    pg.server.sql("CREATE DATABASE elsewhere OWNER %s" % USER)
    yield at_elsewhere(pg)
    pg.server.sql("DROP DATABASE elsewhere WITH (FORCE)")


def is_refused(project, *words):
    project.inspect().refused("OtherDatabase", *words)
    outcome = project.upgrade(*FIRST).refused("OtherDatabase", *words)
    project.probe().refused("OtherDatabase", *words)
    assert outcome.rows is None


@pytest.mark.parametrize("release", [OLDEST_SQLALCHEMY, *ENDS])
def test_another_database_is_refused_before_anything_runs(pg_project, pg, other_database, release):
    pg_project.tables("r1")
    pg_project.env(setup=elsewhere(other_database))
    is_refused(pg_project, "/elsewhere", "/shop", "DATABASE_URL")
    assert pg.server.sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'", "elsewhere") == [] and pg.tables() == set()


def test_another_server_with_a_database_of_the_same_name(pg_project):
    pg_project.tables("r1")
    with postgresql.server() as other:
        pg_project.env(setup=elsewhere(other.url()))
        is_refused(pg_project, str(other.port))


@pytest.mark.parametrize("how", ["creator", "do_connect"])
def test_what_the_engine_s_url_does_not_say(pg_project, pg, other_database, how):
    pg_project.tables("r1")
    connect = {"creator": "connectable = create_engine(os.environ['DATABASE_URL'], creator=lambda: psycopg2.connect(%r))" % other_database,
               "do_connect": "connectable = create_engine(os.environ['DATABASE_URL'])\n"
                             "@event.listens_for(connectable, 'do_connect')\ndef connect(dialect, record, arguments, options): options['dbname'] = 'elsewhere'"}
    env = "import os, psycopg2\nfrom alembic import context\nfrom sqlalchemy import create_engine, event\n" + connect[how] + """
with connectable.connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""
    pg_project.env(env)
    pg_project.url = pg.url.replace("postgresql:", "postgresql+psycopg2:")
    is_refused(pg_project, "/elsewhere")


def test_another_kind_of_database(pg_project, tmp_path):
    pg_project.tables("r1")
    pg_project.env(setup=elsewhere("sqlite:///%s/dev.db" % tmp_path))
    is_refused(pg_project, "sqlite", "postgresql")


@pytest.mark.parametrize("release", [OLDEST_SQLALCHEMY, *ENDS])
@pytest.mark.parametrize("name", ["localhost", "socket", "query"])
def test_another_name_of_the_same_server_is_no_other_database(pg_project, pg, release, name):
    pg_project.tables("r1")
    server = pg.server
    urls = {"localhost": pg.url.replace("127.0.0.1", "localhost"),
            "socket": "postgresql://postgres@/%s?host=%s&port=%d" % (pg.name, server.folder, server.port),
            "query": "postgresql://%s@/%s?host=127.0.0.1&port=%d" % (pg.url.partition("//")[2].partition("@")[0], pg.name, server.port)}
    pg_project.env(setup=elsewhere(urls[name]))
    place = pg_project.inspect().done().payload["place"]
    assert (place["name"], place["schema"], place["dialect"]) == ("shop", "public", "postgresql")
    assert pg_project.upgrade(*FIRST).done().rows == {"r1"}


def test_a_login_of_env_py_where_the_url_s_own_is_refused(pg_project, pg):
    """Such as a token in place of a password."""
    pg_project.tables("r1")
    pg_project.env(setup=elsewhere(pg.url))
    pg_project.url = pg.url.replace(pg.url.partition("//")[2].partition("@")[0], USER)
    pg_project.inspect().done()
    assert pg_project.upgrade(*FIRST).done().rows == {"r1"}
    pg_project.url = pg_project.url.replace("127.0.0.1", "localhost")
    assert pg_project.downgrade(["r1"], [], [], ["r1"]).done().rows == set()
    pg_project.url = pg_project.url.rpartition("/")[0] + "/elsewhere"
    pg_project.inspect().refused("OtherDatabase", "cannot be asked")


def test_asynchronous_drivers(pg_project, pg, other_database):
    pg_project.tables("r1")
    pg_project.env(ASYNC_ENV, setup=elsewhere(other_database.replace("postgresql:", "postgresql+asyncpg:")))
    is_refused(pg_project, "/elsewhere")
    pg_project.env(ASYNC_ENV, setup=elsewhere(pg.url.replace("postgresql:", "postgresql+asyncpg:").replace("127.0.0.1", "localhost")))
    assert pg_project.upgrade(*FIRST).done().rows == {"r1"}


def test_databases_of_mariadb(mariadb_project, mariadb):
    mariadb.server.sql("CREATE DATABASE IF NOT EXISTS elsewhere; GRANT ALL ON elsewhere.* TO 'shop'@'%'")
    mariadb_project.tables("r1")
    mariadb_project.env(before="connection.execute(text('USE elsewhere')); connection.commit()")
    is_refused(mariadb_project, "/elsewhere", "/shop")
    mariadb_project.env(setup=elsewhere(at_elsewhere(mariadb)))
    is_refused(mariadb_project, "/elsewhere")
    back = "connection.execute(text('USE shop')); connection.commit(); connection.dialect.default_schema_name = 'shop'"
    mariadb_project.env(setup=elsewhere(at_elsewhere(mariadb)), before=back)
    assert mariadb_project.upgrade(*FIRST).done().rows == {"r1"}
    mariadb_project.downgrade(["r1"], [], [], ["r1"]).done()
    mariadb_project.env(setup=elsewhere(mariadb.url.replace("127.0.0.1", "localhost")))
    mariadb_project.inspect().done()
    assert mariadb_project.upgrade(*FIRST).done().rows == {"r1"}


def test_files_of_sqlite(sqlite_project, sqlite, tmp_path):
    sqlite_project.tables("r1")
    sqlite_project.env(setup=elsewhere("sqlite:///%s/dev.db" % tmp_path))
    is_refused(sqlite_project, "dev.db", "shop.db")
    (tmp_path / "link.db").symlink_to(sqlite.path)
    sqlite_project.env(setup=elsewhere("sqlite:///%s/link.db" % tmp_path))
    assert sqlite_project.upgrade(*FIRST).done().rows == {"r1"}


TENANTS = """
from logging.config import fileConfig
from alembic import context
from sqlalchemy import engine_from_config, pool, text
config = context.config
target_metadata = None
@SETUP@
def run_migrations_online():
    connectable = engine_from_config(config.get_section(config.config_ini_section), prefix="sqlalchemy.", poolclass=pool.NullPool)
    current_tenant = context.get_x_argument(as_dictionary=True).get("tenant")
    with connectable.connect() as connection:
        # set search path on the connection, which ensures that PostgreSQL will emit all CREATE / ALTER / DROP statements in terms of this schema by default
        connection.execute(text('set search_path to "%s"' % current_tenant))
        # in SQLAlchemy v2+ the search path change needs to be committed
        connection.commit()
        # make use of non-supported SQLAlchemy attribute to ensure the dialect reflects tables in terms of the current tenant name
        connection.dialect.default_schema_name = current_tenant
        context.configure(connection=connection, target_metadata=target_metadata)
        with context.begin_transaction():
            context.run_migrations()
run_migrations_online()
"""


@pytest.mark.parametrize("release", ["1.13.3", ENDS[-1]])
def test_the_cookbook_s_schema_level_multi_tenancy(pg_project, pg, release):
    """Unmodified: adopted, compared, probed and run, each in the tenant's schema."""
    tenant = {"x": ["tenant=blue"]}
    pg.execute("CREATE SCHEMA blue; CREATE TABLE public.noise (id INTEGER)")
    pg_project.tables("r1", "r2")
    pg_project.env(TENANTS, setup=models_of("r1", "r2").replace("metadata = ", "target_metadata = metadata = "))
    payload = pg_project.inspect(**tenant).done().payload
    assert payload["version_table_schema"] == payload["place"]["schema"] == "blue" and payload["place"]["search_path"] == "blue"
    pg.execute("CREATE TABLE blue.r1 (id INTEGER); CREATE TABLE blue.r2 (id INTEGER)")
    assert pg_project.stamp(["r2"], ["r2"], verify_models=True, **tenant).done().rows == {"r2"}
    drift = pg_project.compare(**tenant).done().message["drift"]
    assert drift["missing"] + drift["unexpected"] + drift["modified"] == 0
    look = pg_project.probe(catalog=catalog("postgresql"), version_table_schema="blue", **tenant).done().message["look"]
    assert look["rows"] == ["r2"] and "catalog_error" not in look
    pg_project.revision("r3", "r2", "CREATE TABLE r3 (id INTEGER)", "DROP TABLE r3")
    assert pg_project.upgrade(["r2"], ["r3"], ["r3"], ["r3"], **tenant).done().rows == {"r3"}
    assert pg.tables("blue") == {"alembic_version", "r1", "r2", "r3"} and pg.tables() == {"noise"}


@pytest.mark.parametrize("settings, schema", [
    ("connect_args={'options': '-c search_path=blue'}", "blue"), ("pool_pre_ping=True", None),
])
def test_a_search_path_in_the_connect_arguments(pg_project, pg, settings, schema):
    pg.execute("CREATE SCHEMA blue")
    pg_project.tables("r1")
    path = pg_project.folder / "migrations" / "env.py"
    path.write_text(path.read_text().replace("poolclass=pool.NullPool", "poolclass=pool.NullPool, " + settings))
    assert pg_project.inspect().done().payload["version_table_schema"] == schema


def test_a_search_path_of_the_url_is_everybody_s(pg_project, pg):
    pg.execute("CREATE SCHEMA blue")
    pg_project.tables("r1")
    pg_project.url += "?options=-csearch_path%3Dblue"
    payload = pg_project.inspect().done().payload
    assert payload["version_table_schema"] is None and payload["place"]["schema"] == "blue"


def test_the_password_is_in_no_message(pg_project, pg, other_database):
    pg_project.tables("r1")
    pg_project.env(setup=elsewhere(other_database))
    assert PASSWORD not in pg_project.inspect().refused("OtherDatabase").stderr
