"""What the engines have in common: the questions that each answers in its own way. No I/O."""

from typing import Any, Optional

from ..connect import execute, is_autocommit
from ..observe import Observer
from ..texts import plain


class Engine:
    """One engine; a new one is a file beside this one and a line in __init__.py."""

    lock: Any = None  # the class of its lock
    observer: Any = Observer  # of a rehearsal
    scratch_mark: Optional[str] = None  # the query whose answer is what the operator called a scratch server

    def limit(self, connection, what, seconds, explicit):
        """Bounds the wait for a lock, or the time of a statement, on this connection."""

    def rolls_back(self, context):
        """Whether a failed run leaves nothing behind on this connection; what env.py says of it is believed only where it can be so."""
        return bool(context.impl.transactional_ddl and type(context.impl).transactional_ddl) and not is_autocommit(context.connection)

    def commits_by_itself(self, connection):
        """Whether a statement on this connection stands as soon as it has ended."""
        return is_autocommit(connection)

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


def rows_as_text(connection, query, **parameters):
    return [[plain(value) for value in row] for row in execute(connection, query, **parameters)]
