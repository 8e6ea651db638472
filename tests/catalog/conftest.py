"""The private servers of the runner's tests, and the operator's command on them."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "runner"), str(ROOT / "src" / "runner")]

import mariadb as mariadb_server  # noqa: E402
import postgres as postgresql  # noqa: E402

BINARY = os.environ.get("ALEMBIC_OPERATOR_BINARY", ROOT / "target" / "release" / "alembic-operator")


class Database:
    """A database and what the command says of it."""

    def __init__(self, server, folder):
        self.server, self.folder = server, folder
        self.url = server.url()

    def sql(self, statement, **options):
        return self.server.sql(statement, postgresql.DATABASE, **options)

    def command(self, *options, url=None, name="fingerprint", memory=None):
        """The operator's command, with no more MiB of memory than that."""
        environ = dict(os.environ, DATABASE=url or self.url, RUST_BACKTRACE="0")
        limit = ["prlimit", "--data=%d" % (memory * 1024 * 1024)] if memory else []
        return subprocess.run([*limit, str(BINARY), name, "--url-env", "DATABASE", *options], env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def probe(self, **options):
        return self.command(name="probe", **options)

    def fingerprint(self, *options):
        done = self.command("--format", "json", *options)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def baseline(self):
        file = self.folder / "fingerprint.json"
        file.write_text(json.dumps(self.fingerprint()))
        return file

    def differences(self, baseline, *options):
        """Change and object of each difference, by the command's own comparison."""
        done = self.command("--compare", baseline, "--format", "json", *options)
        assert done.returncode in (0, 3), done.stderr
        found = {(entry["change"], entry["object"]) for entry in json.loads(done.stdout)}
        assert (done.returncode == 3) == bool(found)
        return found


@pytest.fixture(scope="session")
def postgres():
    with postgresql.server() as server:
        yield server


@pytest.fixture(scope="session")
def mariadb():
    with mariadb_server.server() as server:
        yield server
