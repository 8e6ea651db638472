"""Refuses connections, files, network and processes while revisions run for their SQL. Touches none of them."""

import os
import sys
from typing import Any

from ..source.reads import is_content
from .output import REASONS_LIMIT


class Touched(Exception):
    """A revision reached for the database, or for more than that, while only its SQL was asked for."""


class Guard:
    """Refuses every connection and statement of any engine, and files, network and processes, while revisions run for their SQL.

    What was tried is remembered, so that a revision that catches the refusal is not taken for one that needs nothing.
    """

    PROCESSES = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.kill", "pty.spawn"}
    NETWORK = {"socket.__new__", "socket.getaddrinfo", "socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"}
    FILES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"}
    WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def __init__(self):
        self.active = False
        self.shut = False
        self.path = None
        self.tried = []
        self.reads = []
        self.watch_engines()
        if hasattr(sys, "addaudithook"):  # Python 3.8
            sys.addaudithook(self.audit)

    def watch_engines(self):
        """For good, as removing listeners of classes isn't reliable in all releases; they do nothing unless active."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
        from sqlalchemy.pool import Pool

        for target, name, what in ((Engine, "do_connect", "a new connection"), (Engine, "before_execute", "a statement on a connection"),
                                   (Engine, "before_cursor_execute", "a statement on a connection"), (Engine, "begin", "a transaction"),
                                   (Pool, "connect", "a new connection"), (Pool, "checkout", "a connection of a pool")):
            event.listen(target, name, self.listener(what))

    def close_doors(self):
        """What goes past SQLAlchemy's events and Python's audit: drivers written in C, and the driver's part of an open connection."""
        from sqlalchemy.engine import Connection

        if self.shut:
            return
        self.shut = True
        door: Any = Connection
        door.connection = property(lambda _connection: self.refuse("the driver's connection"))
        for title, name in (("psycopg2", "_connect"), ("psycopg.generators", "connect"), ("MySQLdb.connections", "Connection")):
            module = sys.modules.get(title)
            if hasattr(module, name):
                setattr(module, name, lambda *_arguments, **_options: self.refuse("a new connection"))

    def listener(self, what):
        def listen(*_arguments):
            if self.active:
                self.refuse(what)

        return listen

    def refuse(self, what, does="reads the database"):
        line = self.line()
        reason = "%s (%s%s)" % (does, what[:80], ", line %d" % line if line else "")
        if len(self.tried) < REASONS_LIMIT and reason not in self.tried:
            self.tried.append(reason)
        raise Touched("while only the SQL is asked for, nothing may be done: %s" % what)

    def line(self):
        frame: Any = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename != self.path:
            frame = frame.f_back
        return frame.f_lineno if frame else None

    def audit(self, event, arguments):
        if not self.active:
            return
        if event == "open" and is_content(*arguments):
            self.reads.append(os.path.abspath(os.fsdecode(arguments[0])))
        if event in self.PROCESSES:
            self.refuse(event, "starts or ends a process")
        if event in self.NETWORK:
            self.refuse(event, "uses the network")
        if event == "sqlite3.connect":
            self.refuse(event, "opens a connection of its own")
        writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & self.WRITING and arguments[0] != os.devnull
        if writing or event in self.FILES or event.startswith("shutil."):
            self.refuse(event, "changes files")
