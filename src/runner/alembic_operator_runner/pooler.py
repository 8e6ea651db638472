"""Whether a pooler gives each transaction another session of the server. Opens two connections to the user's database."""

import os
import socket
import threading

from .connect import driver_connection, execute, is_autocommit, unpooled
from .problems import refused

PATIENCE = 10  # seconds for a session that the pooler may not have
ROUNDS = 3
ADVICE = ("a lock would be left in a session that others use, and time limits would reach the application's statements; nothing was run; let "
          "spec.database.migrationUrlFrom name a URL that leads to the server itself, or to a pooler in session mode")


def check_pooler(engine, session):
    """Refuses a run through a pooler in transaction mode. `session` is the query for the number of the server's session.

    A pooler answers the driver with a number of its own, so a direct connection is known by one look. Behind any other the session of one
    connection is compared with that of a second one while that is in a transaction: only there can two have the same, or one have two.
    """
    engine = unpooled(engine)
    connection = engine.connect()
    try:
        first = connection.execution_options(isolation_level="AUTOCOMMIT")
        with Patience(first) as patience:
            try:
                number = execute(first, session).scalar()
            except Exception:
                if not patience.over:
                    raise
                raise refused("PoolerInTransactionMode", "the pooler before the database gives no second session, and a run needs two: " + ADVICE)
        if number != driver_says(first) and changes(engine, first, number, session):
            raise refused("PoolerInTransactionMode", "the URL leads through a pooler that gives each transaction another session of the server: "
                          + ADVICE)
    finally:
        connection.close()


def driver_says(connection):
    """The number of the session as the driver was told when it connected, as far as it says so."""
    raw = driver_connection(connection)
    raw = getattr(raw, "_connection", None) or raw  # an asynchronous driver's
    for read in (lambda: raw.info.backend_pid, lambda: raw.get_backend_pid(), lambda: raw.get_server_pid()):
        try:
            return read()
        except Exception:
            pass
    return None


def changes(engine, first, number, session):
    """Whether the session of `first` is shared with a second connection, or changes. Without a second one nothing can be told."""
    try:
        second = engine.connect()
    except Exception:
        return False
    try:
        if is_autocommit(second):
            second = second.execution_options(isolation_level="READ COMMITTED")
        for _ in range(ROUNDS):
            transaction = second.begin()
            with Patience(second):
                pinned = execute(second, session).scalar()
            if pinned == number:
                return True  # and the first connection might wait for it
            with Patience(first):
                between = execute(first, session).scalar()
            transaction.rollback()
            with Patience(first):
                after = execute(first, session).scalar()
            if {between, after} != {number}:
                return True
    except Exception:
        return False
    finally:
        second.close()
    return False


class Patience:
    """Ends the wait for an answer by closing the connection's socket: a pooler may hold a query for minutes."""

    def __init__(self, connection):
        self.over = False
        self.socket = socket_of(driver_connection(connection))
        self.timer = threading.Timer(PATIENCE, self.end)
        self.timer.daemon = True

    def end(self):
        self.over = True
        self.socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self):
        if self.socket is not None:
            self.timer.start()
        return self

    def __exit__(self, *_arguments):
        if self.socket is not None:
            self.timer.cancel()
            self.socket.close()


def socket_of(raw):
    """A second handle of the driver's socket, where the driver tells it."""
    raw = getattr(raw, "_connection", None) or raw
    try:
        number = raw.fileno() if hasattr(raw, "fileno") else raw._transport.get_extra_info("socket").fileno()
        return socket.socket(fileno=os.dup(number))
    except Exception:
        return None
