"""What the migration has executed so far, and what of it stands. Asks the user's database where the driver does not tell."""

import re

from .connect import driver_connection
from .engines import engine_of

COMMENTS = re.compile(r"\s*(--[^\n]*(\n|$)|/\*.*?\*/|#[^\n]*(\n|$))*\s*", re.S)
# SELECT INTO makes a table, and EXPLAIN ANALYZE does what it explains. What a function does that is called is asked of the engine.
READING = re.compile(r"(SELECT\b(?!.*\bINTO\b)|EXPLAIN\b(?!.*\bANALY[SZ]E\b)|(SHOW|SET|DESC|DESCRIBE|PRAGMA|VALUES|TABLE)\b)", re.I | re.S)
ROLLBACK = re.compile(r"ROLLBACK\b(?!.*\bTO\b)", re.I)
# Outside a transaction something of these stays when they fail.
KEEPING = re.compile(r"(VACUUM|REINDEX|CLUSTER|CALL|DO|CREATE\s+DATABASE|ALTER\s+SYSTEM)\b"
                     r"|(CREATE|DROP|ALTER|REFRESH)\b.*\bCONCURRENTLY\b", re.I | re.S)


def bare(statement):
    """Without the comments in front of it."""
    return statement[COMMENTS.match(statement).end():]


def is_several(statement):
    return ";" in statement.strip().rstrip(";")


def reads(statement):
    """Whether it is one statement, and begins with a word that reads."""
    return bool(READING.match(statement)) and not is_several(statement)


class Statements:
    """Knows whether a step had changed anything before it failed, and whether anything of it stands without its version row.

    A commit is told by SQLAlchemy, or measured: a statement after which the connection is in no transaction stands. On PostgreSQL a
    statement may also end the transaction by itself, or one and begin another; the server then says what became of the one before it.
    """

    def __init__(self, context, lock, report):
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        self.report = report
        self.changed = False  # by the running step
        self.inside = False  # the function of a step
        self.committed = False  # something without the version row that belongs to it
        self.risked = False  # the running statement stands when it ends, whatever becomes of this process
        self.kept = []  # statements that may leave something behind when they fail
        self.engine = engine_of(context.dialect)
        self.own = driver_connection(context.connection)
        self.lock = lock
        self.restore = None
        self.held = None  # whether a transaction was open before the running statement
        self.mark = None  # the server's name for the running transaction
        self.doubt = None  # what the engine knew before the running statement, which reads by its word and may write
        for name, function in (("before_cursor_execute", self.begun), ("after_cursor_execute", self.ended), ("commit", self.committing),
                               ("rollback", self.rolling_back)):
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

    def step_done(self, connection):
        """The version row is written. Where it stands by itself, so does the step, and nothing is without its row."""
        if self.engine.in_transaction(connection) is False:
            self.committed = False
            self.tell()

    def tell(self):
        """For whoever reads the report of a process that was killed."""
        stands = self.committed or self.risked
        if self.report.fields["committed"] is not stands:
            self.report.update(committed=stands)

    def is_own(self, connection):
        return driver_connection(connection) is self.own

    def begun(self, connection, _cursor, statement, _parameters, _context, _many):
        statement = bare(statement)
        reading, own = reads(statement), self.is_own(connection)
        self.doubt = self.engine.doubt(connection, statement) if reading and self.inside else None
        if own:
            self.held = self.engine.in_transaction(connection)
            if self.mark is None and not reading:
                self.mark = self.engine.mark(connection)
        # Of several in one string the first ones may be done when the last one fails.
        self.changed |= is_several(statement)
        if KEEPING.match(statement) and self.engine.commits_by_itself(connection):
            self.changed = self.committed = True
            self.kept.append(statement[:2000])
            if own:
                self.restore = self.engine.lift_limits(connection)
        writes = not reading or self.doubt is not None
        self.risked = self.inside and writes and self.engine.commits_by_itself(connection)
        self.tell()

    def ended(self, connection, _cursor, statement, _parameters, _context, _many):
        self.note_end(connection, statement)
        self.risked = False
        self.tell()

    def note_end(self, connection, statement):
        self.set_back(connection)
        statement = bare(statement)
        doubt, self.doubt = self.doubt, None
        if reads(statement) and not (doubt is not None and self.engine.has_written(connection, doubt)):
            return
        self.changed = True
        if not self.inside:
            return  # of Alembic's own, such as the version table
        if self.engine.commits_by_itself(connection):
            self.committed |= self.engine.stands(connection) and not ROLLBACK.match(statement)
        elif self.is_own(connection) and (is_several(statement) or self.engine.in_transaction(connection) is False):
            self.committed |= self.ended_as() == "committed"

    def failed(self, failure):
        if failure.connection is not None:
            self.note_failure(failure, failure.connection)
            self.risked = False
            self.tell()

    def note_failure(self, failure, connection):
        self.set_back(connection)
        if not (self.is_own(connection) and self.inside):
            return
        self.engine.after_failure(connection)
        if self.engine.commits_by_itself(connection):
            within = self.engine.in_transaction(connection)
            if self.held and not within and self.engine.commits_before_failing(failure.original_exception):
                self.committed |= self.changed
        elif is_several(failure.statement or ""):
            self.committed |= self.ended_as() != "aborted"

    def ended_as(self):
        """What became of the transaction that was marked, if it has ended."""
        if self.mark is None:
            return None
        outcome = self.engine.outcome(self.lock.connection, self.mark)
        if outcome != "in progress":
            self.mark = None
        return outcome

    def committing(self, connection):
        if self.is_own(connection):
            self.mark = None
            self.committed = self.inside and (self.changed or self.committed)
            self.tell()

    def rolling_back(self, connection):
        if self.is_own(connection):
            self.mark = None

    def set_back(self, connection):
        if self.restore is not None and self.is_own(connection):
            restore, self.restore = self.restore, None
            restore()
