"""Holds an application's pod back until the database has the revisions that its image needs: an init container in that image.

Reads the version rows of the live database again and again, and ends once every head of the image's own revision files is among
the rows or their ancestors. A database that is ahead of the image is fine as long as somebody knows how: what the image's files
do not have is looked up in graph.z beside this file, which the operator keeps. Whatever is not known keeps the gate shut. Needs no
access to Kubernetes, and changes nothing. Standard library and the image's own Alembic; Python 3.7 and newer.
"""

import argparse
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
import zlib

FOLDER = os.path.dirname(os.path.abspath(__file__))
INTERVAL = 1.0  # seconds between two looks at the database
PATIENCE = 60.0  # seconds after which a look that does not come back is given up, and a new one begun
MAX_GRAPH = 32 * 1024 * 1024
MAX_ROWS = 1000


def arguments(argv):
    parser = argparse.ArgumentParser(prog="gate.py", description="Waits until the database has the revisions that this image needs.")
    parser.add_argument("--url-env", metavar="VARIABLE", help="read the database of this variable's URL, past env.py")
    parser.add_argument("--revision", metavar="ID", action="append", help="wait for this revision, not for the heads of the image")
    parser.add_argument("--timeout", metavar="SECONDS", type=float, default=0, help="fail after so long; by default wait for ever")
    parser.add_argument("--config", help="alembic.ini, as in spec.alembic.config")
    parser.add_argument("--section", default="alembic", help="its section, as in spec.alembic.section")
    parser.add_argument("-x", metavar="NAME=VALUE", action="append", help="arguments of env.py, as in spec.alembic.x")
    parser.add_argument("--version-table", help="name of the version table, with --url-env; by default as the operator found it")
    parser.add_argument("--version-table-schema", help="its schema, with --url-env")
    parser.add_argument("--read", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


# ---- the gate: compares, and says what it waits for


class Graph:
    """Parents of revisions: those of the image's own files first, then those that the operator knows."""

    def __init__(self, own):
        self.own, self.stored = own, None

    def parents(self, revision):
        if revision in self.own:
            return self.own[revision]
        if self.stored is None:
            self.stored = stored().get("parents") or {}
        return self.stored.get(revision)

    def known(self, rows):
        """What the rows stand for, and the rows that nobody knows."""
        self.stored = None  # the operator may have written it since
        reached, todo, unknown = set(), list(rows), set()
        while todo:
            revision = todo.pop()
            if revision in reached:
                continue
            reached.add(revision)
            parents = self.parents(revision)
            if parents is None:
                unknown.add(revision)
            todo.extend(parents or ())
        return reached, unknown & set(rows)


def stored():
    """What the operator keeps beside this file; empty where it keeps nothing that can be read."""
    try:
        with open(os.path.join(FOLDER, "graph.z"), "rb") as file:
            return json.loads(zlib.decompressobj().decompress(file.read(), MAX_GRAPH).decode("utf-8"))
    except (OSError, ValueError, zlib.error):
        return {}


def present():
    """What the operator last said of the DatabaseMigration, as one sentence; it comes a minute late."""
    try:
        with open(os.path.join(FOLDER, "state.json"), encoding="utf-8") as file:
            state = json.load(file)
        return "; %s was last %s: %s" % (state["object"], state["reason"], state["message"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def listed(revisions):
    names = sorted(revisions)
    return ", ".join(names[:5]) + (" and %d more" % (len(names) - 5) if len(names) > 5 else "") if names else "base"


def verdict(graph, wants, rows):
    """Whether the gate opens, and why."""
    reached, unknown = graph.known(rows)
    missing = set(wants) - reached
    if not missing:
        ahead = len(reached - set(graph.own)) if graph.own else 0
        return True, "open: the database is at %s%s" % (listed(rows), ", %d revisions ahead of this image" % ahead if ahead else "")
    why = "waits: the database is at %s, this image needs %s" % (listed(rows), listed(missing))
    if unknown:
        why += "; neither this image nor the operator knows %s" % listed(unknown)
    return False, why + present()


class Gate:
    def __init__(self, argv, timeout):
        self.command = [sys.executable, os.path.abspath(__file__), "--read"] + argv
        self.deadline = time.monotonic() + timeout if timeout > 0 else None
        self.reader, self.lines, self.said = None, None, None
        self.graph, self.wants = Graph({}), None

    def say(self, text):
        if text != self.said:
            self.said = text
            print(time.strftime("%H:%M:%S ") + text, flush=True)

    def start(self):
        self.reader = subprocess.Popen(self.command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.lines = queue.Queue()

        def pump(stream, lines):
            for line in stream:
                lines.put(line)
            lines.put(None)

        threading.Thread(target=pump, args=(self.reader.stdout, self.lines), daemon=True).start()

    def stop(self, *_):
        if self.reader is not None:
            self.reader.kill()

    def interrupted(self, number, _):
        self.stop()
        os._exit(128 + number)  # the first process of a container has to do this by itself

    def line(self):
        """The next thing that the reader says; None where it has ended or says nothing any more."""
        patience = PATIENCE
        if self.deadline is not None:
            patience = min(patience, max(self.deadline - time.monotonic(), 0.01))
        try:
            return self.lines.get(timeout=patience)
        except queue.Empty:
            if not self.late():
                self.say("waits: the database has not answered for %d seconds" % PATIENCE)
            return None

    def late(self):
        return self.deadline is not None and time.monotonic() >= self.deadline

    def wait(self):
        """The exit code: 0 once the database has what the image needs."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.interrupted)
        self.start()
        while True:
            line = self.line()
            told = json.loads(line.decode("utf-8")) if line else {"ended": True}
            code = self.judge(told)
            if code is not None:
                self.stop()
                return code
            if self.late():
                self.stop()
                print("gave up: %s" % (self.said or "nothing could be read"), flush=True)
                return 1

    def judge(self, told):
        if told.get("ended"):
            self.stop()
            code = self.reader.wait()
            if code >= 0:
                self.say("waits: reading ended by itself with exit code %d" % code)
            if not self.late():
                time.sleep(INTERVAL)
                self.start()
            return None
        if "fatal" in told:
            self.say("cannot be checked: %s" % told["fatal"])
            return 1
        if "error" in told:
            self.say("waits: the database cannot be read: %s%s" % (told["error"], present()))
            return None
        if "wants" in told:
            self.graph, self.wants = Graph(told["parents"]), told["wants"]
        if "rows" in told and self.wants is not None:
            is_open, why = verdict(self.graph, self.wants, told["rows"])
            self.say(why)
            return 0 if is_open else None
        return None


# ---- the reader: a process of its own, since a database or an env.py may hang


class Fatal(Exception):
    """What no waiting helps with."""


class Reader:
    def __init__(self, options, channel):
        self.options, self.channel = options, channel
        self.config = self.script = None
        self.told = False

    def say(self, **told):
        self.channel.write(json.dumps(told) + "\n")
        self.channel.flush()

    def run(self):
        if self.options.url_env and not os.environ.get(self.options.url_env):
            raise Fatal("the variable %s of --url-env is not set" % self.options.url_env)
        self.load_project()
        look = self.directly if self.options.url_env else self.through_env_py
        while True:
            try:
                self.say(rows=sorted(look()))
            except (Fatal, BrokenPipeError, KeyboardInterrupt):
                raise
            except BaseException as error:  # env.py may end the process as it likes
                self.say(error=hidden(error))
            time.sleep(INTERVAL)

    def load_project(self):
        try:
            from alembic.config import CommandLine, Config
            from alembic.script import ScriptDirectory
        except ImportError as error:
            if self.options.revision and self.options.url_env:
                self.say(wants=[name for name in self.options.revision if name != "base"], parents={})
                self.told = True
                return
            raise Fatal("Alembic cannot be imported: %s; use the image's interpreter that has it, or `alembic-operator wait`" % error)
        command_line = CommandLine(prog="alembic")
        given = ["--name=%s" % self.options.section] + (["--config=%s" % self.options.config] if self.options.config else [])
        sys.argv[:] = ["alembic"] + given + ["-x%s" % argument for argument in self.options.x or ()] + ["current"]
        parsed = command_line.parser.parse_args(sys.argv[1:])
        try:
            if hasattr(command_line, "_inis_from_config"):  # Alembic 1.16: pyproject.toml
                toml, ini = command_line._inis_from_config(parsed)
                self.config = Config(file_=ini, toml_file=toml, ini_section=parsed.name, cmd_opts=parsed)
            else:
                self.config = Config(file_=parsed.config, ini_section=parsed.name, cmd_opts=parsed)
            self.script = ScriptDirectory.from_config(self.config)
        except Exception as error:
            raise Fatal("the Alembic configuration cannot be read in %s: %s" % (os.getcwd(), hidden(error)))

    def tell_needs(self):
        """The heads of the image's files, and the parents of all its revisions."""
        if self.told:
            return
        try:
            parents = {script.revision: list(script._all_down_revisions) for script in self.script.walk_revisions("base", "heads")}
        except Exception as error:
            raise Fatal("the revision files cannot be loaded: %s" % hidden(error))
        if self.options.revision:
            wants = sorted({revision for name in self.options.revision for revision in self.resolved(name)})
        elif parents:
            wants = self.script.get_heads()
        else:
            raise Fatal("this image has no revision files in %s; `--revision base` waits for none" % self.script.dir)
        self.say(wants=list(wants), parents=parents)
        self.told = True

    def resolved(self, name):
        try:
            return [script.revision for script in self.script.get_revisions(name) if script is not None]
        except Exception:
            return [name]  # a revision of another image: the operator's graph has to know it

    def through_env_py(self):
        """As env.py connects, whatever it does; the rows of each database that it goes through must do."""
        from alembic.runtime.environment import EnvironmentContext
        from alembic.runtime.migration import MigrationContext

        MigrationContext._ensure_version_table = lambda *_, **__: None  # a look creates no table
        found = []

        def rows(heads, _context):
            self.tell_needs()
            found.append({heads} if isinstance(heads, str) else set(heads or ()))
            return []

        with EnvironmentContext(self.config, self.script, fn=rows, as_sql=False, dont_mutate=True, destination_rev="heads"):
            self.script.run_env()
        if len(found) != 1:
            raise Fatal("env.py goes through %d databases; name one with --url-env" % len(found) if found else
                        "env.py did not call context.run_migrations(); name the database with --url-env")
        return found[0]

    def directly(self):
        import sqlalchemy
        from sqlalchemy.pool import NullPool

        self.tell_needs()
        url = sqlalchemy.engine.url.make_url(known_name(os.environ[self.options.url_env]))
        if url.drivername.startswith("sqlite") and url.database and not os.path.exists(url.database):
            raise OSError("%s does not exist yet" % url.database)  # connecting would create it
        if getattr(url.get_dialect(), "is_async", False):
            import asyncio

            from sqlalchemy.ext.asyncio import create_async_engine

            async def read():
                async with create_async_engine(url, poolclass=NullPool).connect() as connection:
                    return await connection.run_sync(self.rows_of)

            return asyncio.run(read())
        with sqlalchemy.create_engine(url, poolclass=NullPool).connect() as connection:
            return self.rows_of(connection)

    def rows_of(self, connection):
        import sqlalchemy

        kept = stored()
        name = self.options.version_table or kept.get("versionTable") or "alembic_version"
        schema = self.options.version_table_schema or kept.get("versionTableSchema")
        inspector = sqlalchemy.inspect(connection)
        there = inspector.has_table(name, schema=schema) if hasattr(inspector, "has_table") else \
            connection.dialect.has_table(connection, name, schema=schema)
        if not there:
            return set()
        column = sqlalchemy.Column("version_num", sqlalchemy.String(32))
        table = sqlalchemy.Table(name, sqlalchemy.MetaData(), column, schema=schema)
        rows = connection.execute(table.select().limit(MAX_ROWS + 1)).fetchall()
        if len(rows) > MAX_ROWS:
            raise ValueError("the table %s is none of Alembic's: it has more than %d rows" % (name, MAX_ROWS))
        return {str(row[0]) for row in rows}


def known_name(url):
    """Without the quotes of a .env file, and without the name that SQLAlchemy dropped in 1.4."""
    url = url.strip()
    url = url[1:-1].strip() if len(url) > 1 and url[0] == url[-1] and url[0] in "\"'" else url
    return re.sub(r"^postgres(?=[+:])", "postgresql", url)


def hidden(error):
    """The first line of what went wrong, without any password of the environment."""
    text = (str(error).strip().splitlines() or [""])[0] or type(error).__name__
    for name, value in os.environ.items():
        secrets = re.findall(r"://[^:/@\s]*:(.+)@", value)
        if re.search(r"PASS|SECRET|TOKEN|KEY", name.upper()):
            secrets.append(value)
        for secret in secrets:
            for form in (secret, unquoted(secret)):
                text = text.replace(form, "***") if len(form) > 3 else text
    return re.sub(r"(://[^:/@\s]*):\S*@", r"\1:***@", text)[:300]


def unquoted(text):
    from urllib.parse import unquote

    return unquote(text)


def read(options):
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # env.py prints at each look; what matters comes by the channel
        os.dup2(nowhere, stream)
    sys.dont_write_bytecode = True
    # What the `alembic` command would have: not this folder, but the working directory, last.
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != FOLDER]
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    reader = Reader(options, channel)
    try:
        reader.run()
    except BrokenPipeError:
        os._exit(0)  # the gate is gone
    except Fatal as error:
        reader.say(fatal=str(error))
    os._exit(1)  # threads that env.py left behind must not keep it alive


if __name__ == "__main__":
    given = arguments(sys.argv[1:])
    if given.read:
        read(given)
    sys.exit(Gate(sys.argv[1:], given.timeout).wait())
