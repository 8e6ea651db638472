"""What the migration has executed so far, and the statements that need no lock timeout. Talks to the user's database around those."""

import re

from .connect import driver_connection
from .engines import engine_of

COMMENTS = re.compile(r"\s*(--[^\n]*(\n|$)|/\*.*?\*/|#[^\n]*(\n|$))*\s*", re.S)
READING = re.compile(r"(SELECT|SHOW|SET|EXPLAIN|DESC|DESCRIBE|PRAGMA|VALUES|TABLE)\b", re.I)
# Of these something stays when they fail, or they may end a transaction by themselves.
KEEPING = re.compile(r"(VACUUM|REINDEX|CLUSTER|CALL|DO|COMMIT|END|CREATE\s+DATABASE|ALTER\s+SYSTEM)\b"
                     r"|(CREATE|DROP|ALTER|REFRESH)\b.*\bCONCURRENTLY\b", re.I | re.S)


def bare(statement):
    """Without the comments in front of it."""
    return statement[COMMENTS.match(statement).end():]


class Statements:
    """Knows whether a step had changed anything before it failed: a statement that failed is not done, but for those that keep what they did."""

    def __init__(self, context):
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        self.changed = False  # by the running step
        self.inside = False  # the function of a step
        self.committed = False  # something without the version row that belongs to it
        self.kept = []  # statements that may leave something behind when they fail
        self.engine = engine_of(context.dialect)
        self.own = driver_connection(context.connection)
        self.restore = None
        for name, function in (("before_cursor_execute", self.begun), ("after_cursor_execute", self.ended), ("commit", self.committing)):
            event.listen(Engine, name, function)
        event.listen(Engine, "handle_error", self.failed)

    def within(self, function):
        """The function of a step, while which a commit parts what it did from its version row."""
        def step(*arguments, **options):
            self.changed, self.inside = False, True
            try:
                function(*arguments, **options)
            finally:
                self.inside = False

        return step

    def is_own(self, connection):
        return driver_connection(connection) is self.own

    def begun(self, connection, _cursor, statement, _parameters, _context, _many):
        statement = bare(statement)
        # Of several in one string the first ones may be done when the last one fails.
        self.changed |= ";" in statement.strip().rstrip(";")
        if KEEPING.match(statement):
            self.changed = self.committed = True
            self.kept.append(statement[:2000])
            if self.is_own(connection):
                self.restore = self.engine.lift_limits(connection)

    def ended(self, connection, _cursor, statement, _parameters, _context, _many):
        self.set_back(connection)
        if READING.match(bare(statement)):
            return
        self.changed = True
        if self.engine.commits_by_itself(connection):
            self.committed = True

    def failed(self, failure):
        if failure.connection is not None:
            self.set_back(failure.connection)

    def committing(self, connection):
        if self.is_own(connection):
            self.committed = self.inside and (self.changed or self.committed)

    def set_back(self, connection):
        if self.restore is not None and self.is_own(connection):
            restore, self.restore = self.restore, None
            restore()
