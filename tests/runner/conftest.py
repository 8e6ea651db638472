"""Fixtures of the runner's tests: environments, databases, projects. The only place that decides which release a test runs on."""

import sqlite3
import sys
from urllib.parse import quote

import environments
import mariadb as mariadb_server
import postgres as postgresql
import project as projects
import pytest

sys.path.insert(0, str(projects.RUNNER))
sys.dont_write_bytecode = True  # no __pycache__ beside the embedded files


@pytest.fixture(scope="session")
def postgres():
    with postgresql.server() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb_process():
    with mariadb_server.server() as server:
        yield server


@pytest.fixture
def release():
    """The Alembic release of the image; tests that matter on every release parametrize it."""
    return environments.NEWEST


class Database:
    def rows(self):
        return {row[0] for row in self.query("SELECT version_num FROM alembic_version")} if "alembic_version" in self.tables() else set()


class ServerDatabase(Database):
    def __init__(self, server):
        self.server = server
        self.name = postgresql.DATABASE
        self.url = server.url()
        server.empty_database()

    def query(self, statement):
        return self.server.sql(statement, self.name)


class SqliteDatabase(Database):
    dialect = "sqlite"
    transactional = False

    def __init__(self, path):
        self.path = path
        self.url = "sqlite:///%s" % path

    def query(self, statement):
        with sqlite3.connect(self.path) as connection:
            return connection.execute(statement).fetchall()

    def tables(self):
        return {name for name, in self.query("SELECT name FROM sqlite_master WHERE type = 'table'")}

    def execute(self, statement):
        self.query(statement)


class PostgresDatabase(ServerDatabase):
    dialect = "postgresql"
    transactional = True

    def tables(self, schema="public"):
        return {row[0] for row in self.query("SELECT tablename FROM pg_tables WHERE schemaname = '%s'" % schema)}

    def execute(self, statement):
        self.query("SET ROLE %s; %s" % (postgresql.USER, statement))


class MariadbDatabase(ServerDatabase):
    dialect = "mysql"
    transactional = False

    def tables(self):
        return {row[0] for row in self.query("SHOW TABLES")}

    def execute(self, statement):
        self.query(statement)


@pytest.fixture
def sqlite(tmp_path):
    (tmp_path / "data").mkdir()
    return SqliteDatabase(tmp_path / "data" / "shop.db")


@pytest.fixture
def pg(postgres):
    return PostgresDatabase(postgres)


@pytest.fixture
def mariadb(mariadb_process):
    return MariadbDatabase(mariadb_process)


@pytest.fixture(params=["sqlite", "pg"])
def database(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def make_project(tmp_path, release):
    """Makes a project on a database; its secrets are looked for in everything that leaves the runner."""

    def make(database, name="project", **options):
        secrets = {"postgresql": [postgresql.PASSWORD, quote(postgresql.PASSWORD, safe="")], "mysql": [mariadb_server.PASSWORD]}.get(database.dialect, [])
        options.setdefault("url", database.url)
        environment = environments.WITH_PYMYSQL if database.dialect == "mysql" else release
        return projects.Project(tmp_path / name, environments.python_of(environment), secrets=secrets, **options)

    return make


@pytest.fixture
def project(make_project, database):
    """On each kind of database."""
    return make_project(database)


@pytest.fixture
def sqlite_project(make_project, sqlite):
    return make_project(sqlite)


@pytest.fixture
def pg_project(make_project, pg):
    return make_project(pg)


@pytest.fixture
def mariadb_project(make_project, mariadb):
    return make_project(mariadb)
