"""The lock of a migration; one subclass for each engine. Talks to the user's database."""

import time
from typing import Any, Optional

from .connect import unpooled
from .problems import refused

POLL_SECONDS = 0.2
WAITING_AFTER_SECONDS = 1.0


class Lock:
    """Keeps other migrations of the same version table away until this process ends, and reads the rows apart from the migration.

    Two locks: one on a connection of its own, and the guard on the migration's connection. When this process is killed the first
    goes at once, while the guard stays for as long as the database goes on with the statement of its dead client.
    """

    key: Any = None  # of the connection of its own
    guard: Any = None  # of the migration's connection
    connection: Any = None  # of its own, where the engine has sessions
    address: Optional[str] = None  # of the holder, where the server knows no better name for it

    def __init__(self, context, name):
        self.context = context
        self.name = name
        self.engine = unpooled(context.connection.engine)
        self.identify()
        self.connection = self.open()
        self.wanted = [(self.connection, self.key), (context.connection, self.guard)]

    def identify(self):
        """Sets the keys."""

    def try_lock(self, connection, key):
        """Whether the lock of this key is held now."""
        raise NotImplementedError

    def holder(self):
        """Who holds the lock, in words."""
        raise NotImplementedError

    def open(self):
        """A new connection like the migration's, outside any transaction."""
        return self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def acquire(self, seconds, report):
        started = time.monotonic()
        while not self.attempt():
            waited = time.monotonic() - started
            if waited >= seconds:
                raise refused("LockTimeout", "another migration of this database holds the lock, after waiting %g s still: %s"
                              % (seconds, self.holder()), holder=self.address)
            if waited >= WAITING_AFTER_SECONDS and report.fields["state"] != "waiting":
                report.update(state="waiting")
            time.sleep(min(POLL_SECONDS, seconds))

    def attempt(self):
        """Takes what it can without waiting; true when everything is held."""
        while self.wanted and self.try_lock(*self.wanted[0]):
            del self.wanted[0]
        return not self.wanted

    def rows(self):
        """The version rows as everybody else sees them; none when there is no table."""
        return self.rows_on(self.connection)

    def rows_on(self, connection):
        table = self.context._version
        if not connection.dialect.has_table(connection, table.name, schema=table.schema):
            return ()
        return tuple(row.version_num for row in connection.execute(table.select()))

    def afresh(self, read):
        connection = self.open()
        try:
            return read(connection)
        finally:
            connection.close()

    def last_look(self):
        """Called when all steps ran, while the migration's connection is still open."""

    def rows_afterwards(self):
        return self.afterwards(self.rows_on)

    def afterwards(self, read):
        """After env.py has ended: on the lock's connection if it still works, else on a fresh one."""
        if getattr(self.engine.dialect, "is_async", False):  # the event loop of the lock's connection is gone
            import asyncio

            from sqlalchemy.util import greenlet_spawn

            return asyncio.run(greenlet_spawn(self.afresh, read))
        if self.connection is None:
            return self.afresh(read)
        try:
            return read(self.connection)
        except Exception:
            return self.afresh(read)


class LeaseLock(Lock):
    """Nothing to take: the operator holds a Lease of Kubernetes for this database as long as the Job lives."""

    def __init__(self, context, name):
        self.context = context
        self.name = name
        self.engine = unpooled(context.connection.engine)

    def open(self):
        return self.engine.connect()

    def attempt(self):
        return True

    def rows(self):
        """On the migration's connection: some engines take one connection alone."""
        return self.rows_on(self.context.connection)
