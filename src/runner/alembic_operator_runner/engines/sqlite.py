"""SQLite: a lock file beside the database, and what it can be asked. Touches the database's folder."""

import os
import re
import time
from contextlib import contextmanager
from typing import List

from ..connect import driver_connection, execute, unpooled
from ..lock import Lock
from ..problems import refused
from .base import Engine


def file_of(connection):
    """The file of the database; None for one in memory."""
    files = [row[2] for row in execute(connection, "PRAGMA database_list") if row[1] == "main"]
    return os.path.realpath(files[0]) if files and files[0] else None


TOKEN = re.compile(r"""\s+|--[^\n]*|/\*.*?\*/|'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]|\w+|.""", re.S)
SIMPLE = re.compile(r"[A-Za-z_]\w*$")
OF_THE_TABLE = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")


def steady(definition):
    """What SQLite keeps is the text of the statement. Batch mode writes it anew: with quotes around the name, and with the table's constraints
    in another order each time."""
    words = [bare_name(word) for word in TOKEN.findall(definition) if not re.match(r"\s|--|/\*", word)]
    if [word.upper() for word in words[:2]] != ["CREATE", "TABLE"] or "(" not in words:
        return " ".join(words)
    entries: List[List[str]] = [[]]
    start, depth, end = words.index("("), 0, len(words)
    for place in range(start, len(words)):
        word = words[place]
        depth += {"(": 1, ")": -1}.get(word, 0)
        if depth == 0:
            end = place
            break
        if word == "," and depth == 1:
            entries.append([])
        elif place > start:
            entries[-1].append(word)
    columns = [" ".join(entry) for entry in entries if not is_of_the_table(entry)]
    constraints = sorted(" ".join(entry) for entry in entries if is_of_the_table(entry))
    return " ".join(words[:start] + ["(", " , ".join(columns + constraints)] + words[end:])


def is_of_the_table(entry):
    return bool(entry) and entry[0].upper() in OF_THE_TABLE


def bare_name(word):
    inside = word[1:-1] if word[0] in '"`[' and len(word) > 2 else ""
    return inside if SIMPLE.match(inside) and inside.upper() not in OF_THE_TABLE else word


class SqliteLock(Lock):
    """A lock file beside the database: SQLite has no sessions, and its own lock goes with each commit."""

    def __init__(self, context, name):
        self.context = context
        self.name = name
        self.engine = unpooled(context.connection.engine)
        file = file_of(context.connection)
        self.path = file + ".alembic-operator.lock" if file else None
        self.file = None
        self.rows_in_memory = ()

    def open(self):
        return self.engine.connect()

    def attempt(self):
        import fcntl

        if self.path is None:
            return True  # a database in memory: nobody else can see it
        try:
            self.file = self.file or open(self.path, "a+")
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise refused("UnsupportedDialect", "the file %s cannot be locked: %s" % (self.path, error))
        self.file.truncate(0)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.file.write("%s on host %s, process %d, since %s" % (self.name, os.uname().nodename, os.getpid(), now))
        self.file.flush()
        return True

    def holder(self):
        self.file.seek(0)
        return self.file.read(200) or "an unknown process"

    def rows(self):
        """On the migration's connection: env.py may begin each transaction as the only writer."""
        return self.rows_on(self.context.connection)

    def last_look(self):
        if self.path is None:
            self.rows_in_memory = self.context.get_current_heads()

    def rows_afterwards(self):
        return super().rows_afterwards() if self.path else self.rows_in_memory


class Sqlite(Engine):
    lock = SqliteLock

    def limit(self, connection, what, seconds, explicit):
        if what == "lock" and explicit:  # Python's own default is 5 s
            execute(connection, "PRAGMA busy_timeout = %d" % (seconds * 1000))

    def database(self, context):
        return file_of(context.connection)

    @contextmanager
    def beside(self, context):
        """The migration's own: env.py may begin each transaction as the only writer, and a database in memory has no second connection."""
        yield context.connection

    def commits_by_itself(self, connection):
        return True

    def in_transaction(self, connection):
        raw = driver_connection(connection)
        known = getattr(raw, "in_transaction", getattr(getattr(raw, "_connection", None), "in_transaction", None))
        return known if isinstance(known, bool) else None

    def read_objects(self, context, queries, connection):
        objects = super().read_objects(context, queries, connection)
        return [[kind, name, definition if kind == "column" else steady(definition)] for kind, name, definition in objects]

    def version(self, dialect):
        return ""
