"""Builds Alembic projects, runs the runner on them as its pod would, and reads what it reports as the operator would. No network of its own."""

import base64
import hashlib
import json
import os
import pathlib
import re
import subprocess
import time
import zlib

RUNNER = pathlib.Path(__file__).resolve().parents[2] / "src" / "runner"

GENERIC_ENV = """
from logging.config import fileConfig
from alembic import context
from sqlalchemy import engine_from_config, pool, text
config = context.config
metadata = None
@SETUP@
def run_migrations_online():
    connectable = engine_from_config(config.get_section(config.config_ini_section), prefix="sqlalchemy.", poolclass=pool.NullPool)
    with connectable.connect() as connection:
        @BEFORE@
        context.configure(connection=connection, target_metadata=metadata@OPTIONS@)
        with context.begin_transaction():
            context.run_migrations()
run_migrations_online()
@AFTER@
"""

ASYNC_ENV = """
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import async_engine_from_config
config = context.config
metadata = None
@SETUP@
def do_run_migrations(connection):
    context.configure(connection=connection, target_metadata=metadata@OPTIONS@)
    with context.begin_transaction():
        context.run_migrations()
async def run_async_migrations():
    connectable = async_engine_from_config(config.get_section(config.config_ini_section, {}), prefix="sqlalchemy.", poolclass=pool.NullPool)
    async with connectable.connect() as connection:
        @BEFORE@
        await connection.run_sync(do_run_migrations)
    await connectable.dispose()
asyncio.run(run_async_migrations())
@AFTER@
"""

INI = """[alembic]
script_location = %(here)s/migrations
prepend_sys_path = .
"""


class Outcome:
    """What one run of the runner left behind."""

    def __init__(self, code, stdout, stderr, raw_message, secrets):
        self.code, self.stdout, self.stderr = code, stdout, stderr
        assert len(raw_message) <= 4000
        self.message = json.loads(raw_message)
        for secret in secrets:
            for text in (raw_message.decode(), stderr):
                assert secret not in text and json.dumps(secret)[1:-1] not in text, "a secret left the runner"
        assert self.message["protocol"] == 1

    @property
    def state(self):
        return self.message["state"]

    @property
    def error(self):
        return self.message["error"] or {}

    @property
    def kind(self):
        return self.error.get("class")

    @property
    def rows(self):
        return None if self.message["rows"] is None else set(self.message["rows"])

    @property
    def payload(self):
        """As the operator does: lines with the marker and the nonce, joined in order, their digest checked."""
        pattern = re.compile(r"^@alembic-operator %s (\d+) (\S+)$" % self.message["nonce"], re.M)
        chunks = {int(number): chunk for number, chunk in pattern.findall(self.stdout)}
        assert sorted(chunks) == list(range(self.message["frames"]))
        content = zlib.decompress(base64.b64decode("".join(chunks[number] for number in sorted(chunks))))
        assert len(content) == self.message["bytes"]
        assert hashlib.sha256(content).hexdigest() == self.message["sha256"]
        return json.loads(content)

    def done(self):
        assert (self.state, self.code) == ("done", 0), (self.message, self.stderr)
        return self

    def failed(self, kind, *words):
        assert (self.state, self.code, self.kind) == ("failed", 1, kind), (self.message, self.stderr)
        return self._says(words)

    def refused(self, kind, *words):
        assert (self.state, self.code, self.kind) == ("refused", 3, kind), (self.message, self.stderr)
        assert not self.message["started"]
        return self._says(words)

    def _says(self, words):
        for word in words:
            assert word in self.error["message"], self.error
        return self


class Running:
    """A runner that has been started and not yet awaited."""

    def __init__(self, process, termination_log, secrets):
        self.process, self.termination_log, self.secrets = process, termination_log, secrets

    def message(self):
        try:
            return json.loads(self.termination_log.read_bytes() or b"null")
        except FileNotFoundError:
            return None

    def wait_for(self, condition, seconds=60):
        deadline = time.monotonic() + seconds
        while True:
            message = self.message()
            if message and condition(message):
                return message
            assert self.process.poll() is None and time.monotonic() < deadline, (message, self.process.poll())
            time.sleep(0.02)

    def outcome(self, timeout=180):
        stdout, stderr = self.process.communicate(timeout=timeout)
        raw = self.termination_log.read_bytes()
        return Outcome(self.process.returncode, stdout.decode("utf-8", "replace"), stderr.decode("utf-8", "replace"), raw, self.secrets)


class Project:
    """An Alembic project in a folder, the interpreter of its image, and the URL of its database."""

    def __init__(self, folder, python, url, env=GENERIC_ENV, secrets=()):
        self.folder, self.python, self.url, self.secrets = folder, python, url, list(secrets)
        self.versions = folder / "migrations" / "versions"
        self.versions.mkdir(parents=True)
        self.write("alembic.ini", INI)
        self.env(env)
        self.files = {}
        self.runs = 0
        self.environ = {}
        self.runner = [str(RUNNER)]

    def write(self, path, text):
        path = self.folder / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def env(self, template=GENERIC_ENV, before="pass", options="", setup="", after=""):
        text = template.replace("@BEFORE@", before.replace("\n", "\n        ")).replace("@OPTIONS@", options and ", " + options)
        self.write("migrations/env.py", text.replace("@SETUP@", setup).replace("@AFTER@", after))

    def revision(self, revision, down=None, upgrade="pass", downgrade="pass", message=None, **variables):
        """A revision file; statements that start with SQL words are executed as SQL."""
        head = '"""%s\n\nRevision ID: %s\n"""\nfrom alembic import op\nrevision = %r\ndown_revision = %r\n'
        text = head % (message or "create " + revision, revision, revision, down)
        text += "".join("%s = %r\n" % item for item in variables.items())
        for name, body in (("upgrade", upgrade), ("downgrade", downgrade)):
            if body is not None:
                lines = [body] if isinstance(body, str) else body
                text += "def %s():\n%s" % (name, "".join("    %s\n" % statement(line) for line in lines))
        self.files[revision] = self.write("migrations/versions/%s_.py" % revision, text)
        return self.files[revision]

    def tables(self, *revisions, **first):
        """A linear history in which each revision creates, and drops, the table of its name."""
        down = None
        for revision in revisions:
            self.revision(revision, down, "CREATE TABLE %s (id INTEGER)" % revision, "DROP TABLE %s" % revision, **(first if down is None else {}))
            down = revision

    def digest(self, revisions):
        lines = ["%s %s\n" % (name, hashlib.sha256(self.files[name].read_bytes()).hexdigest()) for name in sorted(revisions)]
        return hashlib.sha256("".join(lines).encode()).hexdigest()

    def inspect(self, **task):
        return self.start(action="inspect", **task).outcome()

    def probe(self, **task):
        return self.start(action="probe", **task).outcome()

    def compare(self, **task):
        return self.start(action="compare", **task).outcome()

    def upgrade(self, start, targets, end, steps, **task):
        return self.start_run("upgrade", start, targets, end, steps, **task).outcome()

    def downgrade(self, start, targets, end, steps, **task):
        return self.start_run("downgrade", start, targets, end, steps, **task).outcome()

    def stamp(self, targets, end, start=(), **task):
        return self.start_run("stamp", start, targets, end, [], **task).outcome()

    def start_run(self, direction, start, targets, end, steps, **task):
        plan = {"direction": direction, "from": list(start), "targets": list(targets), "end": list(end), "steps": len(steps)}
        task = dict({"lock_wait_seconds": 20, "steps_digest": self.digest(steps)}, **task)
        return self.start(action="run", **plan, **task)

    def start(self, **task):
        self.runs += 1
        defaults = {"protocol": 1, "object": "shop/app", "config": None, "section": "alembic", "x": [], "url_env": ["DATABASE_URL"], "driver": None,
                    "connection": None, "version_table": None, "version_table_schema": None}
        termination_log = self.folder.parent / ("%s-termination-%d" % (self.folder.name, self.runs))
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "ALEMBIC", "PYTHON", "DATABASE"))}
        environ.update(ALEMBIC_OPERATOR_TASK=json.dumps(dict(defaults, **task)), ALEMBIC_OPERATOR_TERMINATION_LOG=str(termination_log))
        environ.update({"DATABASE_URL": self.url} if self.url else {}, **self.environ)
        process = subprocess.Popen([str(self.python), *self.runner], cwd=self.folder, env=environ, stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return Running(process, termination_log, self.secrets)


def statement(line):
    sql = re.match(r"(CREATE|DROP|INSERT|UPDATE|DELETE|ALTER|SELECT|BROKEN)\b", line)
    return "op.execute(%r)" % line if sql else line


def models_of(*tables):
    """For env.py: models of tables that have a column `id` and no other."""
    return "".join(["from sqlalchemy import Column, Integer, MetaData, Table\nmetadata = MetaData()\n"]
                   + ["Table(%r, metadata, Column('id', Integer))\n" % name for name in tables])
