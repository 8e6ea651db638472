"""The gate: an init container that holds an application back until the database has what its image needs. On real databases."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import threading
import time
import zlib

import environments
import pytest
from environments import ENDS, SUPPORTED
from project import ASYNC_ENV

GATE = pathlib.Path(__file__).resolve().parents[2] / "src" / "gate" / "gate.py"


class Gate:
    """gate.py in a folder as the ConfigMap is mounted, started in a project's image."""

    def __init__(self, project, folder):
        self.project, self.folder = project, folder
        folder.mkdir(exist_ok=True)
        shutil.copy(GATE, folder / "gate.py")
        self.lines, self.opened = [], None

    def knows(self, parents, **more):
        packed = zlib.compress(json.dumps(dict({"parents": parents}, **more)).encode())
        part = self.folder / "part"
        part.write_bytes(packed)
        part.rename(self.folder / "graph.z")

    def state(self, reason, message):
        (self.folder / "state.json").write_text(json.dumps({"object": "demo/shop", "reason": reason, "message": message}))

    def start(self, *arguments, python=None):
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "ALEMBIC", "PYTHON", "DATABASE"))}
        environ.update({"DATABASE_URL": self.project.url}, **self.project.environ)
        command = [str(python or self.project.python), str(self.folder / "gate.py"), *arguments]
        self.process = subprocess.Popen(command, cwd=self.project.folder, env=environ, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        threading.Thread(target=self._pump, daemon=True).start()
        return self

    def _pump(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())
            assert not any(secret in line for secret in self.project.secrets), "a secret left the gate"

    def says(self, *words, seconds=30):
        deadline = time.monotonic() + seconds
        while not any(all(word in line for word in words) for line in self.lines):
            assert time.monotonic() < deadline, self.lines
            time.sleep(0.02)
        return self

    def opens(self, seconds=30):
        assert self.process.wait(seconds) == 0, self.lines
        time.sleep(0.05)
        return self

    def waits(self):
        """It is still there a while after its first word."""
        self.says("waits:")
        time.sleep(1.5)
        assert self.process.poll() is None, self.lines
        return self

    def end(self):
        self.process.kill()
        self.process.wait()


@pytest.fixture
def gates(tmp_path):
    made = []

    def make(project):
        gate = Gate(project, tmp_path / ("gate-%d" % len(made)))
        made.append(gate)
        return gate

    yield make
    for gate in made:
        if hasattr(gate, "process"):
            gate.end()


WAYS = [[], ["--url-env", "DATABASE_URL"]]


def through_env_py(project):
    """env.py takes the URL from the environment, as applications do."""
    project.env(setup="import os\nconfig.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'].replace('%', '%%'))")
    return project


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("release", SUPPORTED)
def test_it_opens_within_two_seconds_of_the_run(make_project, database, gates, release, way):
    project = through_env_py(make_project(database))
    project.tables("a1", "a2")
    gate = gates(project)
    gate.state("AwaitingApproval", "plan 1234 waits for approval")
    gate.start(*way)
    if database.dialect == "sqlite" and way:
        gate.says("does not exist yet", "AwaitingApproval")
        assert not database.path.exists(), "a look made a database"
    else:
        gate.says("is at base, this image needs a2", "demo/shop was last AwaitingApproval: plan 1234 waits")
    assert "alembic_version" not in (database.tables() if database.dialect != "sqlite" or database.path.exists() else set())
    project.upgrade([], ["a1"], ["a1"], ["a1"]).done()
    gate.says("is at a1, this image needs a2")
    project.upgrade(["a1"], ["a2"], ["a2"], ["a2"]).done()
    ended = time.monotonic()
    gate.opens()
    assert time.monotonic() - ended < 2.5
    gate.says("open: the database is at a2")


@pytest.mark.parametrize("way", WAYS)
def test_mariadb(mariadb_project, mariadb, gates, way):
    project = through_env_py(mariadb_project)
    project.tables("a1", "a2")
    gate = gates(project).start(*way)
    gate.says("this image needs a2")
    project.upgrade([], ["a2"], ["a2"], ["a1", "a2"]).done()
    gate.opens().says("open: the database is at a2")


@pytest.mark.parametrize("way", WAYS)
def test_an_older_application_starts_on_a_newer_database_that_somebody_knows(pg_project, pg, gates, way):
    project = through_env_py(pg_project)
    project.tables("a1", "a2", "b1", "b2")
    project.upgrade([], ["b2"], ["b2"], ["a1", "a2", "b1", "b2"]).done()
    for revision in ("b1", "b2"):
        project.files[revision].unlink()
    shutil.rmtree(project.versions / "__pycache__", ignore_errors=True)
    gate = gates(project).start(*way)
    gate.waits().says("is at b2, this image needs a2; neither this image nor the operator knows b2")
    gate.knows({"b2": ["b1"], "b1": ["a2"], "a2": ["a1"], "a1": []})
    gate.opens().says("open: the database is at b2, 2 revisions ahead of this image")


@pytest.mark.parametrize("way", WAYS)
def test_branches_merges_and_dependencies(pg_project, pg, gates, way):
    project = through_env_py(pg_project)
    project.revision("a1")
    project.revision("b1", "a1")
    project.revision("c1", "a1")
    project.revision("d1", None, depends_on="b1")
    pg.execute("CREATE TABLE alembic_version (version_num VARCHAR(32)); INSERT INTO alembic_version VALUES ('d1')")
    gate = gates(project).start(*way)
    gate.waits().says("is at d1, this image needs c1")
    pg.execute("INSERT INTO alembic_version VALUES ('c1')")
    gate.opens()
    gates(project).start("--revision", "b1", *way).opens()


def test_a_pinned_minimum(pg_project, pg, gates):
    project = through_env_py(pg_project)
    project.tables("a1", "a2", "a3")
    project.upgrade([], ["a2"], ["a2"], ["a1", "a2"]).done()
    gates(project).start("--revision", "a2").opens()
    gates(project).start("--revision", "a1", "--url-env", "DATABASE_URL").opens()
    gates(project).start("--revision", "base").opens()
    gate = gates(project).start("--revision", "a3", "--timeout", "10")
    assert gate.process.wait(30) == 1
    gate.says("gave up: waits: the database is at a2, this image needs a3")
    later = gates(project).start("--revision", "z9")
    later.waits().says("this image needs z9")
    later.knows({"a2": ["z9"]})
    assert later.process.poll() is None


def test_a_database_that_comes_later(pg_project, pg, gates):
    project = through_env_py(pg_project)
    project.tables("a1")
    right = project.url
    for way in WAYS:
        project.url = right.replace(":%d/" % pg.server.port, ":1/")
        gate = gates(project).start(*way)
        gate.waits().says("the database cannot be read")
        gate.end()
    project.url = right
    project.upgrade([], ["a1"], ["a1"], ["a1"]).done()
    gates(project).start().opens()


def test_the_version_table_that_the_operator_found(pg_project, pg, gates):
    pg_project.tables("a1")
    pg.execute("CREATE SCHEMA app; CREATE TABLE app.versions (version_num VARCHAR(32)); INSERT INTO app.versions VALUES ('a1')")
    gate = gates(pg_project)
    gate.knows({}, versionTable="versions", versionTableSchema="app")
    gate.start("--url-env", "DATABASE_URL").opens()
    gates(pg_project).start("--url-env", "DATABASE_URL", "--version-table", "versions", "--version-table-schema", "app").opens()


@pytest.mark.parametrize("way", WAYS)
def test_asynchronous_drivers(pg_project, pg, gates, way):
    project = pg_project
    project.tables("a1")
    project.upgrade([], ["a1"], ["a1"], ["a1"]).done()
    project.env(ASYNC_ENV, setup="import os\nconfig.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'].replace('%', '%%'))")
    project.url = project.url.replace("postgresql:", "postgresql+asyncpg:")
    gates(project).start(*way).opens()


@pytest.mark.parametrize("release", ENDS)
def test_what_no_waiting_helps_with_ends_it(make_project, sqlite, gates, release):
    project = through_env_py(make_project(sqlite))
    for arguments, words in (([], "no revision files"), (["--config", "other.ini"], "configuration cannot be read"),
                             (["--url-env", "NOT_SET"], "NOT_SET of --url-env is not set")):
        gate = gates(project).start(*arguments)
        assert gate.process.wait(30) == 1
        gate.says("cannot be checked", words)
    gate = gates(project).start(python=environments.python_of(environments.WITHOUT_ALEMBIC))
    assert gate.process.wait(30) == 1
    gate.says("Alembic cannot be imported", "alembic-operator wait")


def test_it_ends_at_once_when_its_pod_is_deleted(pg_project, pg, gates):
    project = through_env_py(pg_project)
    project.tables("a1")
    gate = gates(project).start().waits()
    gate.process.send_signal(signal.SIGTERM)
    assert gate.process.wait(2) == 128 + signal.SIGTERM


def test_an_env_py_that_hangs_or_ends_the_process(pg_project, pg, gates):
    project = through_env_py(pg_project)
    project.tables("a1")
    project.upgrade([], ["a1"], ["a1"], ["a1"]).done()
    env = project.folder / "migrations/env.py"
    good = env.read_text()
    for bad, word in (("import os; os._exit(7)\n", "exit code 7"), ("import sys; sys.exit('not today')\n", "not today"),
                      ("import time; time.sleep(1000)\n", "has not answered for 3 seconds")):
        env.write_text(bad + good)
        gate = gates(project)
        program = gate.folder / "gate.py"
        program.write_text(program.read_text().replace("PATIENCE = 60.0", "PATIENCE = 3.0"))
        gate.start().says(word)
        assert gate.process.poll() is None
        env.write_text(good)
        gate.opens()
