"""What the engines have in common: the questions that each answers in its own way. No I/O."""

import re
from contextlib import contextmanager
from typing import Any, Optional

from ..connect import execute, is_autocommit, unpooled
from ..observe import Observer
from ..texts import plain


class Engine:
    """One engine; a new one is a file beside this one and a line in __init__.py."""

    lock: Any = None  # the class of its lock
    observer: Any = Observer  # of a rehearsal
    scratch_mark: Optional[str] = None  # the query whose answer is what the operator called a scratch server

    def database(self, context):
        """The name of the database that the migration's connection is in; None where the engine does not tell."""

    def identity(self, connection):
        """The database's name, and then what tells its server from every other one; None where it does not tell."""

    def place(self, context):
        """Where the migration works, for the inspection's report."""
        url = context.connection.engine.url
        return {"dialect": context.dialect.name, "host": url.host, "port": url.port, "name": self.database(context) or url.database,
                "schema": context.version_table_schema, "role": None, "search_path": None}

    def version_schema(self, context, _url):
        """The schema of the version table, where env.py chooses it, by whatever means."""
        return context.version_table_schema

    def check_session(self, context):
        """Refuses a connection on which locks and limits would not hold."""

    def check_writable(self, connection):
        """Refuses a server that takes no writes."""

    def adopt(self, connection, context):
        """Sets on a new connection, for its one transaction, what env.py has set on the migration's."""

    @contextmanager
    def beside(self, context):
        """A connection like the migration's, for reading: with its database, role and search path, whatever the pool of env.py's engine holds."""
        connection = unpooled(context.connection.engine).connect()
        try:
            if is_autocommit(connection):
                connection = connection.execution_options(isolation_level="READ COMMITTED")
            self.adopt(connection, context)
            yield connection
        finally:
            connection.close()

    def in_transaction(self, connection):
        """Whether what was last done on this connection still waits for a commit, by the driver's or the server's word; None: unknown."""

    def commits_before_failing(self, error):
        """Whether a statement that failed with this may have committed what was done before it."""
        return False

    def after_failure(self, connection):
        """Makes what in_transaction says true again after a statement that failed."""

    def doubt(self, connection, statement):
        """Something to know again by whether a statement that reads by its word has written, as a function may that it calls; None where it
        calls none. Asked before it runs."""

    def has_written(self, connection, doubt):
        """Whether it has. Asked after it ended well."""
        return True

    def mark(self, connection):
        """The server's name for the running transaction; None where there is none, or no use for one."""

    def outcome(self, connection, mark):
        """What became of a marked transaction: committed, aborted, in progress; None: unknown."""

    def limit(self, connection, what, seconds, explicit):
        """Bounds the wait for a lock, or the time of a statement, on this connection."""

    def rolls_back(self, context):
        """Whether a failed run leaves nothing behind on this connection; what env.py says of it is believed only where it can be so."""
        return bool(context.impl.transactional_ddl and type(context.impl).transactional_ddl) and not is_autocommit(context.connection)

    def commits_by_itself(self, connection):
        """Whether a statement on this connection may stand as soon as it has ended; by Alembic's word on the dialect."""
        from alembic.ddl.impl import DefaultImpl

        return is_autocommit(connection) or not DefaultImpl.get_by_dialect(connection.dialect).transactional_ddl

    def stands(self, connection):
        """Whether the statement that has just ended stands, whatever follows."""
        within = self.in_transaction(connection)
        return self.commits_by_itself(connection) if within is None else not within

    def lift_limits(self, connection):
        """Lets the next statement take the time that it needs; returns what sets the limits back, if there are any."""

    def damage(self, connection, statements):
        """What the statements of a run left broken, by name."""
        return []

    def server(self, dialect):
        """The name of the server among the operator's queries of the schema."""
        return dialect.name

    def version(self, dialect):
        """As much of the server's version as changes how it spells a definition."""
        return ".".join(str(part) for part in (dialect.server_version_info or ())[:2])

    def read_objects(self, context, queries, connection):
        """The rows of the operator's query: kind, name and definition of each object of the schema."""
        return rows_as_text(connection, queries[self.server(context.dialect)], version_table=context.version_table)


WORD = re.compile(r"[^\W\d]\w*")
MOST_WORDS = 500


def words_of(statement):
    """The words of a statement as a list of literals, as they are written and as a server folds them; None where they are too many."""
    words = set(WORD.findall(statement))
    words |= {word.lower() for word in words}
    return ", ".join("'%s'" % word for word in sorted(words)) if 0 < len(words) <= MOST_WORDS else None


def rows_as_text(connection, query, **parameters):
    return [[plain(value) for value in row] for row in execute(connection, query, **parameters)]
