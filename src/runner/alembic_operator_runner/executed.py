"""What a rehearsed step executes, for the operator to judge: its statements, without the values of their parameters. No I/O of its own."""

import re
import sys
import threading
from typing import Any, List, Optional

from .connect import driver_connection, is_autocommit
from .revisions import file_digest
from .source.kinds import parsed
from .source.sight import Names, Sight
from .statements import READING, bare, is_several
from .texts import clean, scrubbed

STEP_LIMIT = 200 * 1000  # bytes of the statements of a step
LIMIT_TOGETHER = 1000 * 1000  # of a rehearsal
OWN = ("sqlalchemy", "alembic_operator_runner")  # who takes the driver's connection for what is seen here anyway

STRINGS = r"'(?:[^']|'')*'"
PLACEHOLDERS = {style: re.compile("(%s)|(?:%s)" % (STRINGS, pattern)) for style, pattern in (
    ("pyformat", r"%\(\w+\)s"), ("format", r"%s"), ("qmark", r"\?"), ("named", r"(?<!:):[A-Za-z_]\w*"), ("numeric", r"(?<!:):\d+"),
    ("numeric_dollar", r"\$\d+"))}
SOURCES = re.compile(r"\b(?:FROM|JOIN)\s+(?:ONLY\s+)?([^\s,()]+)(\s*\()?", re.I)
CATALOGS = re.compile(r"[\"`]?(pg_|information_schema\b|sqlite_|performance_schema\b|mysql\b|dual\b)", re.I)
GIVING_BACK = re.compile(r"(UPDATE|DELETE|MERGE)\b.*\bRETURNING\b", re.I | re.S)
REPEATED = re.compile(r"(INSERT|REPLACE|UPDATE|DELETE|MERGE|WITH)\b", re.I)
PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "pty.spawn")


class Recorder:
    """Hears the statements of one step after the other. A step that also does what is not heard here has no statements, and says why."""

    def __init__(self, context, lock):
        self.transactional = bool(context.impl.transactional_ddl)
        self.lock = lock
        self.left = LIMIT_TOGETHER
        self.statements: List[str] = []
        self.known = set()  # statements on rows that were heard before
        self.size = 0
        self.unseen: Optional[str] = None
        self.reads = False
        self.open = True  # a transaction, where the engine has them for a change of a table
        self.thread: Any = None
        self.listen()
        self.watch_doors()
        if hasattr(sys, "addaudithook"):  # Python 3.8
            sys.addaudithook(self.audit)

    def listen(self):
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        event.listen(Engine, "before_cursor_execute", self.statement)
        event.listen(Engine, "commit", self.committing)

    def watch_doors(self):
        """Whoever takes the driver's connection may execute on it what no event tells."""
        from sqlalchemy.engine import Connection, Engine

        connection: Any = Connection.connection
        raw: Any = Engine.raw_connection
        door: Any = Connection
        door.connection = property(lambda it: self.passed(sys._getframe(1)) or connection.fget(it))
        engine: Any = Engine
        engine.raw_connection = lambda it, *arguments, **options: self.passed(sys._getframe(1)) or raw(it, *arguments, **options)

    def passed(self, frame):
        if self.is_heard() and frame.f_globals.get("__name__", "").partition(".")[0] not in OWN:
            self.lacks("uses the driver's connection")

    def audit(self, event, _arguments):
        if event in PROCESSES and self.is_heard():
            self.lacks("starts a process")

    def is_heard(self):
        """The step's function runs, and this is not a thread of the observer's."""
        return self.thread == threading.get_ident()

    def lacks(self, why):
        self.unseen = self.unseen or why

    def begin(self, script, direction):
        self.statements, self.known, self.size, self.reads, self.open = [], set(), 0, False, True
        self.unseen = self.cannot_be_heard(script, direction)
        self.thread = threading.get_ident()

    def cannot_be_heard(self, script, direction):
        """What the source says of processes, files, the network, and connections of its own."""
        tree = parsed(file_digest(script.path)[0]) if str(script.path).endswith(".py") else None
        if tree is None:
            return "there is no source to look at"
        prevents = [why for why in Sight(Names(tree), direction).prevents if "runs code that isn't in the file" not in why]
        return prevents[0].partition("because it ")[2] if prevents else None

    def end(self):
        """Statements in their order, or none and why not; whether rows that there were could have led to others."""
        self.thread = None
        self.opened()
        self.left -= self.size
        if self.left < 0:
            self.lacks("the rehearsal executed more than %d bytes of SQL" % LIMIT_TOGETHER)
        return {"executed": None if self.unseen else self.statements, "unseen": self.unseen and clean(self.unseen)[:200], "reads": self.reads}

    def statement(self, connection, _cursor, statement, parameters, _context, many):
        if not self.is_heard() or self.lock.connection is not None and driver_connection(connection) is driver_connection(self.lock.connection):
            return
        text = bare(statement)
        if READING.match(text) and not is_several(text):
            self.reads |= reads_rows(text)
            return
        self.reads |= bool(GIVING_BACK.match(text))
        if REPEATED.match(text):
            if text in self.known:
                return
            self.known.add(text)
        if is_autocommit(connection):
            self.committing(connection)
        else:
            self.opened()
        statement = statement.strip().rstrip(";").strip()  # with its comments, which may allow a hazard
        self.add(scrubbed(without_parameters(statement, connection.dialect.paramstyle) if parameters or many else statement))

    def add(self, text):
        self.size += len(text.encode("utf-8", "replace"))
        if self.size > STEP_LIMIT:
            self.lacks("it executed more than %d bytes of SQL" % STEP_LIMIT)
            self.statements = []
        else:
            self.statements.append(text)

    def committing(self, _connection):
        if self.is_heard() and self.transactional and self.open:
            self.open = False
            self.add("COMMIT")

    def opened(self):
        if self.transactional and not self.open:
            self.open = True
            self.add("BEGIN")


def reads_rows(statement):
    """Whether a query looks at more than the catalog."""
    sources = [name for name, called in SOURCES.findall(re.sub(STRINGS, "''", statement)) if not called]
    return any(not CATALOGS.match(name) for name in sources) or bool(re.match(r"TABLE\b", statement, re.I))


def without_parameters(statement, style):
    """Valid SQL with a string in the place of each value."""
    pattern = PLACEHOLDERS.get(style)
    text = pattern.sub(lambda found: found[1] or "'***'", statement) if pattern else statement
    return text.replace("%%", "%") if style in ("pyformat", "format") else text
