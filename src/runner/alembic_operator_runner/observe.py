"""Which locks a rehearsed step takes; one subclass for each engine. Talks to the scratch database."""

import time
from typing import List, Optional

from .connect import driver_connection, execute
from .source.kinds import COMMIT
from .texts import shortened

LOCKS_LIMIT = 20  # of a step
SAMPLE_SECONDS = 0.02
GATE_SECONDS = 0.5  # the longest that a statement may be held up


class Observer:
    """Tells the locks that a step takes and the tables that it writes anew. Of SQLite there is nothing to tell."""

    unknown: Optional[str] = "SQLite locks the whole file"

    def __init__(self, context, lock):
        pass

    def begin(self):
        """Right before the step's function, in its transaction."""

    def end(self):
        """Right after it, still before the end of its transaction."""
        return {"locks": None, "rewritten": None, "sampled": False}

    def stop(self):
        """Also called after an error."""


class ServerObserver(Observer):
    """Looks at the locks of the migration's session from other sessions, so that the step's own connection is not touched before it.

    What a transaction holds is read at its end, and nothing is missed: a lock is never given back earlier. A statement outside a
    transaction gives its locks back by itself, and on empty tables within a millisecond: samples miss most of them (measured: at
    20 ms 1 of 40, without any pause 1 to 18 of 40). So such a statement is watched without a pause, and where the server allows it
    is stopped at its first strong lock (PostgresqlObserver.gate: 72 of 72); what such a step says of itself is `sampled`.
    Tables that the plan itself made are left out: nobody uses them yet.
    """

    unknown: Optional[str] = None
    MODES: List[str] = []  # the weakest first
    WEAKEST = 0  # the first of them that is told
    SESSION = ""  # the query for the session's number

    def __init__(self, context, lock):
        import threading

        self.context = context
        self.lock = lock
        self.own = driver_connection(context.connection)
        self.session = execute(context.connection, self.SESSION).scalar()
        self.prepare(lock.connection)
        self.names = self.tables(lock.connection)
        self.files = self.written(lock.connection)
        self.active = self.sampled = self.between = False  # between: two transactions of a step
        self.held, self.seen, self.looked = {}, {}, 0.0
        self.mutex, self.stopped = threading.Lock(), threading.Event()
        self.wanted, self.watched, self.over = threading.Event(), threading.Event(), threading.Event()
        self.listen("listen")
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def listen(self, what):
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        for name, function in (("before_cursor_execute", self.statement), ("after_cursor_execute", self.statement_ended),
                               ("handle_error", self.statement_failed), ("commit", self.committing)):
            getattr(event, what)(Engine, name, function)

    def prepare(self, connection):
        """Whatever the server needs."""

    def tables(self, connection):
        """The tables by what the server calls them, with their names."""
        return {}

    def written(self, connection):
        """Where each table's rows are, or None where the server does not tell."""

    def locks(self, connection):
        """(table, strength, whether it is waited for) of each lock of the migration's session."""
        return []

    def lets_go(self, _statement):
        """Whether the locks of a statement are gone when it ends."""
        return False

    def gate(self, _connection):
        """Makes the next statement wait; whether it does."""
        return False

    # On the migration's thread.

    def begin(self):
        self.held = {}
        for table, strength, _ in self.locks(self.lock.connection):
            self.held[table] = max(strength, self.held.get(table, 0))
        with self.mutex:
            self.seen, self.looked = {}, time.monotonic()
        self.sampled, self.between, self.active = False, False, True

    def end(self):
        self.between = False
        self.look(self.lock.connection)
        self.active = False
        return {"locks": self.taken(), "rewritten": self.rewritten(), "sampled": self.sampled}

    def rewritten(self):
        before, now = self.files, self.written(self.context.connection)
        self.files = now
        if now is None:
            return None
        changed = sorted(self.names[table] for table in now if table in self.names and before.get(table, now[table]) != now[table])
        return [shortened(name) for name in changed[:LOCKS_LIMIT]]

    def taken(self):
        """The strongest lock of each table that the step did not find held already."""
        if self.unknown:
            return None
        with self.mutex:
            found = {}
            for table, strength in sorted(self.seen, key=lambda key: key[1]):
                if strength > max(self.held.get(table, 0), self.WEAKEST - 1):
                    found[table] = strength
            locks = sorted((-strength, self.names[table], self.seen[table, strength]) for table, strength in found.items())
        return [{"table": shortened(name), "mode": self.MODES[-strength], "ms": int((last - first) * 1000)}
                for strength, name, (first, last) in locks[:LOCKS_LIMIT]]

    def is_own(self, connection):
        return self.active and driver_connection(connection) is self.own

    def statement(self, connection, _cursor, statement, _parameters, _context, _many):
        if not self.is_own(connection):
            return
        if COMMIT.search(statement):
            self.let_go()
        else:
            self.between = False
        if self.lets_go(statement):
            self.sampled = True
            self.over.clear()
            self.watched.clear()
            self.wanted.set()
            self.watched.wait(GATE_SECONDS)

    def statement_ended(self, connection, *_arguments):
        if self.is_own(connection):  # and not one of those that look on
            self.over.set()

    def statement_failed(self, failure):
        if failure.connection is not None and self.is_own(failure.connection):
            self.over.set()

    def committing(self, connection):
        if self.is_own(connection):
            self.let_go()

    def let_go(self):
        """Right before a commit within a step: what it found held it may take again."""
        self.look(self.lock.connection)
        with self.mutex:
            self.seen = {key: times for key, times in self.seen.items() if key[1] > self.held.get(key[0], -1)}
            self.held, self.between = {}, True

    def stop(self):
        self.active = False
        self.over.set()
        self.stopped.set()
        self.listen("remove")
        self.thread.join(5)

    # On either thread.

    def look(self, connection):
        """Notes what the session holds or waits for; whether it waits."""
        found = self.locks(connection)
        now = time.monotonic()
        with self.mutex:
            for table, strength, _ in found:
                if table in self.names and not self.between:
                    first = self.seen.get((table, strength), (self.looked,))[0]
                    self.seen[table, strength] = (first, now)
            self.looked = now
        return any(waits for _, _, waits in found)

    # On a thread of its own.

    def run(self):
        try:
            if getattr(self.lock.engine.dialect, "is_async", False):
                import asyncio

                from sqlalchemy.util import greenlet_spawn

                asyncio.run(greenlet_spawn(self.sample))
            else:
                self.sample()
        except Exception:
            self.stopped.set()  # what is held at the end of a step is read by another connection

    def sample(self):
        connection = self.lock.open()
        while not self.stopped.is_set():
            if self.wanted.wait(SAMPLE_SECONDS):
                self.wanted.clear()
                self.watch(connection)
            self.look(connection)
        connection.close()

    def watch(self, connection):
        """Looks at one statement for as long as it takes."""
        gated = self.gate(connection)
        self.watched.set()
        deadline = time.monotonic() + GATE_SECONDS
        while not (self.over.is_set() or self.wanted.is_set()):  # the next one may have begun meanwhile
            waits = self.look(connection)
            if gated and (waits or time.monotonic() > deadline):
                gated = self.open_gate(connection)
            time.sleep(0.001 if gated or time.monotonic() < deadline else SAMPLE_SECONDS)
        if gated:
            self.open_gate(connection)

    @staticmethod
    def open_gate(connection):
        execute(connection, "ROLLBACK")
        return False
