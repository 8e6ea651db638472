"""URLs, drivers, configuration files: how the runner finds the project and the database. Touches SQLite files and the private PostgreSQL."""

import pathlib
import shutil

import pytest
from environments import ENDS, NEWEST
from postgres import PASSWORD, USER
from project import ASYNC_ENV, RUNNER

LOGIN = {"ALEMBIC_OPERATOR_DB_USERNAME": USER, "ALEMBIC_OPERATOR_DB_PASSWORD": PASSWORD}
INI_ONLY = "import os; assert 'ALEMBIC_OPERATOR_DB_PASSWORD' not in os.environ; os.environ.clear()"
URL_ONLY = "import os; config.set_main_option('sqlalchemy.url', os.environ['SHOP_DB'].replace('%', '%%'))"


def connection(pg, **changes):
    names = {"username_env": "ALEMBIC_OPERATOR_DB_USERNAME", "password_env": "ALEMBIC_OPERATOR_DB_PASSWORD"}
    return dict({"dialect": "postgresql", "host": "127.0.0.1", "port": pg.server.port, "name": pg.name}, **names, **changes)


@pytest.mark.parametrize("release", ENDS + ["1.13.3"])
def test_special_characters_through_ini_and_variables(pg_project, pg, release):
    pg_project.tables("r1")
    pg_project.env(setup=INI_ONLY)
    assert pg_project.inspect(driver="psycopg2").done().payload["driver"] == "psycopg2"
    pg_project.url = None
    pg_project.environ = LOGIN
    pg_project.inspect(connection=connection(pg)).done()
    pg_project.env(setup=URL_ONLY)
    run = pg_project.upgrade([], ["r1"], ["r1"], ["r1"], connection=connection(pg), url_env=["DATABASE_URL", "SHOP_DB"], driver="psycopg2")
    assert run.done().rows == {"r1"}


@pytest.mark.parametrize("release", ENDS)
def test_a_place_from_a_secret(pg_project, pg, release):
    """As Crossplane writes it; an editor has left a line break."""
    pg_project.tables("r1")
    pg_project.url = None
    place = {"ALEMBIC_OPERATOR_DB_HOST": "127.0.0.1\n", "ALEMBIC_OPERATOR_DB_PORT": str(pg.server.port), "ALEMBIC_OPERATOR_DB_NAME": pg.name}
    pg_project.environ = dict(LOGIN, **place)
    names = {"%s_env" % part: "ALEMBIC_OPERATOR_DB_%s" % part.upper() for part in ("host", "port", "name")}
    pg_project.inspect(connection=connection(pg, host=None, port=None, name=None, **names)).done()


@pytest.mark.parametrize("scheme, driver, expected", [
    ("postgresql", "psycopg", "psycopg"), ("postgres", "psycopg2", "psycopg2"), ("postgresql+psycopg2", "psycopg", "psycopg2"),
    ("postgresql", "asyncpg", "asyncpg"),
])
def test_driver(pg_project, pg, scheme, driver, expected):
    if expected == "asyncpg":
        pg_project.env(ASYNC_ENV)
    pg_project.url = pg.server.url(scheme=scheme)
    pg_project.tables("r1")
    assert pg_project.inspect(driver=driver).done().payload["driver"] == expected
    assert pg_project.upgrade([], ["r1"], ["r1"], ["r1"], driver=driver).done().rows == {"r1"}


@pytest.mark.parametrize("release", ENDS)
def test_wrong_password(pg_project, pg, release):
    wrong = PASSWORD + "'\"\\$&="
    pg_project.secrets += [wrong]
    pg_project.tables("r1")
    pg_project.url = pg.server.url(password=wrong)
    for outcome in (pg_project.inspect(driver="psycopg2"), pg_project.upgrade([], ["r1"], ["r1"], ["r1"], driver="psycopg2")):
        outcome.failed("ConnectFailed", "password authentication failed for user \"shop\"")


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg", "asyncpg"])
def test_wrong_password_and_no_server_with_every_driver(pg_project, pg, driver):
    if driver == "asyncpg":
        pg_project.env(ASYNC_ENV)
    pg_project.url = pg.server.url(password=PASSWORD + "x")
    pg_project.inspect(driver=driver).failed("ConnectFailed", "password authentication failed")
    pg_project.url = pg.url.replace(str(pg.server.port), "1")
    pg_project.inspect(driver=driver).failed("ConnectFailed", "onnect")


def test_password_that_nobody_encoded(pg_project, pg):
    pg_project.url = "postgresql://%s:%s@127.0.0.1:%d/%s" % (USER, PASSWORD, pg.server.port, pg.name)
    outcome = pg_project.inspect()
    assert outcome.state == "failed" and "rd/ü" not in str(outcome.message) + outcome.stderr


def test_env_py_that_shows_its_url(pg_project, pg):
    pg_project.env(setup="raise ValueError(repr(os.environ['DATABASE_URL']) + ' PGPASSWORD=hunter2 ' + %r)" % PASSWORD)
    env = pg_project.folder / "migrations" / "env.py"
    env.write_text("import os\n" + env.read_text())
    outcome = pg_project.inspect().failed("EnvPyFailed", "PGPASSWORD='***'", "ValueError: '***'")
    assert "hunter2" not in outcome.error["message"]


@pytest.mark.parametrize("url, words", [
    ("mysql+pymysql://u:pw@127.0.0.1/shop", ["mysql+pymysql://", "No module named 'pymysql'"]),
    ("oracle+cx_oracle://u:pw@127.0.0.1/shop", ["oracle", "cx_Oracle"]),
    ("cockroachdb://u:pw@127.0.0.1/shop", ["cockroachdb"]),
])
@pytest.mark.parametrize("release", ENDS)
def test_missing_driver(sqlite_project, release, url, words):
    sqlite_project.url = url
    sqlite_project.inspect().failed("DriverMissing", *words)


def test_sqlite_file_that_cannot_be_opened(sqlite_project):
    sqlite_project.url = "sqlite:////nowhere/shop.db"
    sqlite_project.inspect().failed("ConnectFailed", "unable to open database file")


@pytest.mark.parametrize("release", ENDS)
def test_configuration_that_is_missing(sqlite_project, release):
    sqlite_project.inspect(config="other.ini").failed("ConfigNotFound", "other.ini")
    sqlite_project.inspect(section="other").failed("ConfigNotFound", "[other]")
    ini = sqlite_project.folder / "alembic.ini"
    for text, words in (("[alembic]\n", "script_location"), ("[alembic]\nscript_location = gone\n", "Path doesn't exist"),
                        ("[alembic]\nscript_location = %(gone)s\n", "gone"), ("no ini", "ini"), ("[alembic]\nscript_location = no.pkg:x\n", "no")):
        ini.write_text(text)
        sqlite_project.inspect().failed("ConfigNotFound", words)
    ini.unlink()
    sqlite_project.inspect().failed("ConfigNotFound", "no alembic.ini in")
    ini.write_text("[alembic]\nscript_location = migrations\n")
    (sqlite_project.folder / "migrations" / "env.py").unlink()
    sqlite_project.inspect().failed("ConfigNotFound", "migrations/env.py does not exist")


@pytest.mark.parametrize("release", ENDS)
def test_section_config_and_environment(sqlite_project, release):
    sqlite_project.tables("r1")
    (sqlite_project.folder / "alembic.ini").rename(sqlite_project.folder / "db.ini")
    ini = sqlite_project.folder / "db.ini"
    ini.write_text(ini.read_text().replace("[alembic]", "[DEFAULT]\nfolder = migrations\n[shop]").replace("%(here)s/migrations", "%(folder)s"))
    assert sqlite_project.inspect(config="db.ini", section="shop").done().payload["revisions"]
    sqlite_project.environ = {"ALEMBIC_CONFIG": "db.ini"}
    assert sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"], section="shop").done().rows == {"r1"}


@pytest.mark.parametrize("release", ["1.18.5", NEWEST])
@pytest.mark.parametrize("config", [None, "pyproject.toml"])
def test_pyproject_without_ini(sqlite_project, release, config):
    sqlite_project.tables("r1")
    (sqlite_project.folder / "alembic.ini").unlink()
    toml = sqlite_project.write("pyproject.toml", "[tool.other]\n")
    sqlite_project.inspect(config=config).failed("ConfigNotFound", "pyproject.toml has no [tool.alembic]")
    toml.write_text('[tool.alembic]\nscript_location = "%(here)s/migrations"\n')
    assert sqlite_project.inspect(config=config).done().payload["revisions"]
    assert sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"], config=config).done().rows == {"r1"}
    toml.write_text("[tool.alembic\n")
    sqlite_project.inspect(config=config).failed("ConfigNotFound", "TOML")


def test_no_variable_at_all(sqlite_project, sqlite):
    """The project knows its database by itself."""
    sqlite_project.tables("r1")
    ini = sqlite_project.folder / "alembic.ini"
    ini.write_text(ini.read_text() + "sqlalchemy.url = %s\n" % sqlite.url)
    sqlite_project.url = None
    assert sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"], url_env=[]).done().rows == {"r1"}


@pytest.mark.parametrize("name", ["runner", "lock", "task", "steps", "run", "engines", "source"])
def test_a_module_of_the_project_with_the_name_of_one_of_ours(sqlite_project, name):
    sqlite_project.write("%s.py" % name, "NAME = 'of the project'\n")
    sqlite_project.env(setup="import %s as module; assert module.NAME" % name)
    sqlite_project.inspect().done()


def test_no_name_of_ours_can_be_imported(sqlite_project):
    """Nor does the folder of the program stay on the path, also where another command than python3 runs it."""
    check = "import importlib.util; assert not [n for n in ('drive', 'steps', 'alembic_operator_runner.other') if importlib.util.find_spec(n)]"
    sqlite_project.env(setup=check)
    sqlite_project.inspect().done()
    sqlite_project.runner = ["-c", "import runpy, sys; runpy.run_path(%r, run_name='__main__')" % str(RUNNER)]
    sqlite_project.inspect().done()
    outcome = sqlite_project.inspect(protocol=0)
    assert (outcome.code, outcome.kind) == (2, "TaskUnusable")


def test_mounted_as_a_config_map(sqlite_project, tmp_path):
    """The kubelet puts symbolic links where the files are: of the first part of each path into a folder with a name of its own."""
    mount = tmp_path / "alembic-operator"
    shutil.copytree(RUNNER, mount / "..2026_11_26", ignore=shutil.ignore_patterns("__pycache__"))
    (mount / "..data").symlink_to("..2026_11_26")
    for entry in (mount / "..data").iterdir():
        (mount / entry.name).symlink_to(pathlib.Path("..data") / entry.name)
    sqlite_project.runner = [str(mount)]
    sqlite_project.env(setup="import sys; assert not [entry for entry in sys.path if entry.startswith(%r)], sys.path" % str(mount))
    sqlite_project.tables("r1")
    sqlite_project.inspect().done()
    assert sqlite_project.upgrade([], ["r1"], ["r1"], ["r1"]).done().rows == {"r1"}
