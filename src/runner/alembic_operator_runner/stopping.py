"""SIGTERM, turned into an exception that rolls back. Cancels a statement of the database."""

import os
import signal
from typing import Any

from .connect import driver_connection
from .problems import STOPPED, Stopped


def handle(action):
    """Where the application starts this program in a worker thread, SIGTERM is its own business."""
    try:
        signal.signal(signal.SIGTERM, action)
    except ValueError:
        pass


class Stopper:
    """Turns SIGTERM into an exception in the main thread, also while a driver's C code waits for the database."""

    def __init__(self):
        self.stopped = False
        self.cancel: Any = None

    def install(self):
        handle(self.stop)

    def stop(self, _signal, _frame):
        handle(signal.SIG_IGN)  # the rollback is not to be interrupted again
        self.stopped = True
        raise Stopped(STOPPED)

    def check(self):
        """A signal that somebody's code caught ends the work nevertheless."""
        if self.stopped:
            raise Stopped(STOPPED)

    def ignore(self):
        handle(signal.SIG_IGN)

    def watch(self, connection):
        """libpq and SQLite return to Python only at a statement's end; cancelling it from another thread makes them return at once."""
        raw = driver_connection(connection)
        self.cancel = getattr(raw, "cancel", None) or getattr(raw, "interrupt", None)
        if self.cancel is None or getattr(connection.dialect, "is_async", False):
            return
        import threading

        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            signal.set_wakeup_fd(writer)
        except ValueError:  # env.py runs the migration in another thread
            return
        threading.Thread(target=self._cancel_at_signal, args=(reader,), daemon=True).start()

    def _cancel_at_signal(self, reader):
        while True:
            if signal.SIGTERM in os.read(reader, 64):
                try:
                    self.cancel()
                except Exception:
                    pass  # the connection may just have ended
                return
