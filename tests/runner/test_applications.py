"""Projects that their application's own command starts: Flask-Migrate, attributes of the Config, worker threads. Touches SQLite and PostgreSQL."""

import re
import subprocess

import environments
import pytest
from project import RUNNER

WSGI = """
import os
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
db = SQLAlchemy()
class Pet(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(20))
def create_app():
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["DATABASE_URL"]
    db.init_app(app)
    Migrate(app, db@FOLDER@)
    return app
"""


def flask(project, *arguments):
    command = [str(project.python), "-m", "flask", "--app", "wsgi", "db", *arguments]
    environ = {"PATH": "/usr/bin:/bin", "DATABASE_URL": project.url}
    subprocess.run(command, cwd=project.folder, env=environ, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def flask_project(project):
    """As `flask db init` and `flask db migrate` leave it."""
    project.python = environments.python_of(environments.WITH_FLASK)
    (project.folder / "alembic.ini").unlink()
    (project.folder / "migrations" / "env.py").unlink()
    project.versions.rmdir()
    project.versions.parent.rmdir()
    return project


@pytest.mark.parametrize("folder", ["migrations", "database/history"])
def test_flask_migrate(flask_project, database, folder):
    project = flask_project
    project.write("wsgi.py", WSGI.replace("@FOLDER@", "" if folder == "migrations" else ", directory=%r" % folder))
    flask(project, "init")
    flask(project, "migrate", "-m", "pets")
    path, = (project.folder / folder / "versions").glob("*.py")
    revision = re.search(r"^revision = '(\w+)'", path.read_text(), re.M).group(1)
    project.files = {revision: path}
    known = {"flask_app": "wsgi:create_app"}
    payload = project.inspect(**known).done().payload
    assert [entry["id"] for entry in payload["revisions"]] == [revision] and "CREATE TABLE pet" in payload["revisions"][0]["sql"]["upgrade"]["text"]
    assert project.upgrade([], [revision], [revision], [revision], **known).done().rows == {revision} and "pet" in database.tables()
    drift = project.compare(**known).done().message["drift"]
    assert drift["missing"] + drift["unexpected"] + drift["modified"] == 0
    assert project.downgrade([revision], [], [], [revision], **known).done().rows == set()


def test_the_messages_name_the_recipe(flask_project):
    project = flask_project
    project.write("wsgi.py", WSGI.replace("@FOLDER@", ""))
    flask(project, "init")
    project.inspect().failed("ConfigNotFound", "migrations/alembic.ini is there", "spec.alembic.flaskApp")
    project.inspect(config="migrations/alembic.ini").failed("EnvPyFailed", "application context", "spec.alembic.flaskApp")
    project.write("migrations/alembic.ini", (project.folder / "migrations" / "alembic.ini").read_text().replace("[alembic]", "[alembic]\nscript_location = ."))
    project.inspect(flask_app="wsgi:create_app").done()  # Flask-Migrate does not ask what the ini says
    project.inspect(flask_app="gone:app").failed("EnvPyFailed", "gone:app (spec.alembic.flaskApp) cannot be loaded")


def test_script_location_by_the_folder_of_the_ini(sqlite_project):
    sqlite_project.tables("r1")
    (sqlite_project.folder / "alembic.ini").unlink()
    sqlite_project.write("migrations/alembic.ini", "[alembic]\n")
    assert sqlite_project.inspect(config="migrations/alembic.ini").done().payload["revisions"]


SHOP = """
from sqlalchemy import create_engine
import os
class Settings:
    url = os.environ["DATABASE_URL"]
CONF = Settings()
engine = create_engine(os.environ["DATABASE_URL"])
def locate(config):
    config.set_main_option("version_locations", "migrations/versions")
"""
ENV = """
from alembic import context
config = context.config
assert config.shop_conf.url and config.attributes["shop_conf"] is config.shop_conf and config.get_main_option("version_locations")
context.configure(connection=config.attributes["connection"])
@WITH@context.run_migrations()
"""


@pytest.mark.parametrize("begun", ["", "with context.begin_transaction(): "])
def test_attributes(project, database, begun):
    project.tables("r1", "r2")
    project.write("shop.py", SHOP)
    project.env(ENV.replace("@WITH@", begun))
    project.inspect().failed("EnvPyFailed", "'Config' object has no attribute 'shop_conf'", "spec.alembic.attributes")
    names = {"attributes": {"shop_conf": "shop:CONF", "connection": "shop:engine.connect()", "located": "shop:locate(config)"}}
    payload = project.inspect(**names).done().payload
    assert payload["external_transaction"] is False
    task = dict(names, env_commits=payload["env_commits"])
    assert project.upgrade([], ["r1"], ["r1"], ["r1"], **task).done().rows == {"r1"}
    project.write("shop.py", SHOP.replace("engine.connect", "engine.begin"))
    assert project.upgrade(["r1"], ["r2"], ["r2"], ["r2"], **task).done().rows == {"r2"}


MAKES = """
import os
from alembic.config import Config
class Command:
    def alembic_config(self):
        config = Config()
        config.set_main_option("script_location", os.path.abspath("migrations"))
        config.set_main_option("version_locations", os.path.abspath("elsewhere"))
        config.attributes["told"] = True
        return config
def command():
    return Command()
"""


@pytest.mark.parametrize("ini", [True, False])
def test_a_config_that_the_application_makes(project, database, release, ini):
    project.tables("r1")
    (project.folder / "elsewhere").mkdir()
    project.files["r1"] = project.files["r1"].rename(project.folder / "elsewhere" / "r1_.py")
    project.revision("r0")  # where the application's own command does not search
    project.write("shop.py", MAKES)
    if not ini:
        (project.folder / "alembic.ini").unlink()
    project.env(setup="""assert config.attributes["told"] and context.get_x_argument() == ["a=b"]
def fileConfig(_): pass
if config.config_file_name is not None:
    fileConfig(config.config_file_name)""")
    names = {"attributes": {"config": "shop:command().alembic_config()"}, "x": ["a=b"]}
    assert [entry["id"] for entry in project.inspect(**names).done().payload["revisions"]] == ["r1"]
    assert project.upgrade([], ["r1"], ["r1"], ["r1"], **names).done().rows == {"r1"}


PARSES = """
import argparse, os, sys
class Settings:
    url = None
    def __call__(self):
        argparse.ArgumentParser().parse_args()  # as oslo.config's does
        self.url = os.environ["DATABASE_URL"]
CONF = Settings()
"""


def test_settings_that_read_a_command_line(project, database):
    project.tables("r1")
    project.write("shop.py", PARSES)
    project.env(setup="import sys, shop; assert shop.CONF.url and sys.argv[1].startswith('--name'), sys.argv")
    project.inspect().failed("EnvPyFailed", "AssertionError")
    project.inspect(attributes={"settings": "shop:CONF()"}).done()


SHARED = """
from alembic import context
connection = context.config.attributes.get("connection")
if connection is None:
    raise Exception("No connection set in alembic config.")
context.configure(connection=connection)
with context.begin_transaction():
    context.run_migrations()
"""


def test_a_connection_that_the_application_hands_over(project, database):
    project.tables("r1", "r2")
    project.env(SHARED)
    project.inspect().failed("EnvPyFailed", "No connection set")
    shared = {"attributes": {"connection": "alembic_operator:connect()"}}
    project.inspect(**shared).done()
    assert project.upgrade([], ["r1"], ["r1"], ["r1"], **shared).done().rows == {"r1"}
    assert project.upgrade(["r1"], ["r2"], ["r2"], ["r2"], **shared).done().rows == {"r2"}
    project.compare(**shared).refused("ModelsMissing")


def test_attributes_that_are_none(sqlite_project):
    sqlite_project.tables("r1")
    sqlite_project.env(setup="config.attributes['connection']")
    sqlite_project.inspect().failed("EnvPyFailed", "KeyError: 'connection'", "spec.alembic.attributes")
    sqlite_project.env(setup="try: config.shop_conf\nexcept AttributeError:\n    print('Use shop-db-manage.')\n    raise SystemExit(1)")
    sqlite_project.inspect().failed("EnvPyFailed", "env.py called sys.exit(1) over AttributeError", "no attribute 'shop_conf'", "spec.alembic.attributes")
    sqlite_project.inspect(attributes={"connection": "shop"}).failed("InvalidSpec", "module:function(config)")
    sqlite_project.inspect(attributes={"connection": "gone:engine"}).failed("EnvPyFailed", "spec.alembic.attributes.connection", "No module named 'gone'")


THREAD = """
import runpy, sys, threading
def work(): runpy.run_path(sys.argv[1], run_name="__main__")
thread = threading.Thread(target=work); thread.start(); thread.join()
"""


def test_off_the_main_thread(project):
    project.tables("r1")
    project.runner = [str(project.write("start.py", THREAD)), str(RUNNER)]
    project.inspect().done()
    assert project.upgrade([], ["r1"], ["r1"], ["r1"]).done().rows == {"r1"}
    project.env(setup="import asyncio; asyncio.get_running_loop()")
    project.inspect().failed("EnvPyFailed", "no running event loop", "spec.alembic.command", "runpy.run_path")


@pytest.mark.parametrize("setup, words", [
    ("config.set_main_option('x', 'a%40b')", ["invalid interpolation syntax", "replace('%', '%%')"]),
    ("open('/proc/1/environ' if __import__('os').getuid() else '/proc/sys/kernel/none', 'w')", ["rror"]),
    ("raise PermissionError(13, 'Permission denied', '/app/logs/alembic.log')", ["/app/logs/alembic.log", "runAsUser", "emptyDir"]),
    ("import pwd; pwd.getpwuid(4000000)", ["uid not found", "/etc/passwd"]),
])
def test_hints(sqlite_project, setup, words):
    sqlite_project.tables("r1")
    sqlite_project.env(setup=setup)
    sqlite_project.inspect().failed("EnvPyFailed", *words)


def test_a_parameter_that_the_driver_does_not_know(pg_project, pg):
    from project import ASYNC_ENV

    pg_project.env(ASYNC_ENV)
    pg_project.tables("r1")
    pg_project.url = pg.url.replace("://", "+asyncpg://") + "?sslmode=disable"
    pg_project.inspect().failed("InvalidUrl", "sslmode", "it calls this one ssl")


def test_a_mariadb_that_takes_no_writes(mariadb_project, mariadb):
    mariadb_project.tables("r1")
    mariadb.server.sql("SET GLOBAL read_only = 1")
    try:
        mariadb_project.upgrade([], ["r1"], ["r1"], ["r1"]).refused("DatabaseReadOnly", "takes no writes")
    finally:
        mariadb.server.sql("SET GLOBAL read_only = 0")
    assert mariadb_project.upgrade([], ["r1"], ["r1"], ["r1"]).done().rows == {"r1"}


def test_a_server_that_takes_no_writes(pg_project, pg):
    pg_project.tables("r1")
    pg.query("ALTER ROLE shop IN DATABASE shop SET default_transaction_read_only = on")
    pg_project.inspect().done()
    outcome = pg_project.upgrade([], ["r1"], ["r1"], ["r1"]).refused("DatabaseReadOnly", "takes no writes")
    assert not outcome.message["started"] and pg.tables() == set()
