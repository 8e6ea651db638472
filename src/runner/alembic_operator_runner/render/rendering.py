"""Runs revisions' functions in Alembic's offline mode. Touches no network."""

import os
import signal
import sys
import time

from ..errors import error_text, frames_of
from ..problems import Stopped
from ..secrets import hide_environment
from ..source.sight import Sight
from ..texts import clean
from .guard import Guard, Touched
from .offline import offline_dialect, stand_in
from .output import SQL_LIMIT, SQL_LIMIT_HARD, SQL_LIMIT_TOGETHER, SQL_SECONDS, SQL_SECONDS_TOGETHER, Output, TooLong, TooSlow, line_of, sql_script


class Alarm:
    """Ends a function that takes too long, as far as signals can: in the main thread and not in a call of C."""

    def __init__(self):
        import threading

        self.armed = False
        self.usable = threading.current_thread() is threading.main_thread()

    def __enter__(self):
        if self.usable:
            self.handler = signal.signal(signal.SIGALRM, self.ring)
            self.timer = signal.setitimer(signal.ITIMER_REAL, 0)
        return self

    def __exit__(self, *_error):
        if self.usable:
            signal.signal(signal.SIGALRM, self.handler if self.handler is not None else signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, *self.timer)

    def ring(self, _signal, _frame):
        if self.armed:
            self.rang = True
            raise TooSlow()

    def call(self, seconds, function, arguments):
        """Rings again and again: a bare except may swallow it once."""
        self.armed, self.rang = True, False
        try:
            if self.usable:
                signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
            result = function(**arguments)
            if self.rang:
                raise TooSlow()
            return result
        finally:
            self.armed = False
            if self.usable:
                signal.setitimer(signal.ITIMER_REAL, 0)


class Rendering:
    """Runs revisions' functions in Alembic's offline mode, beside the online one that env.py has set up, and puts all back at the end."""

    def __init__(self, context, environment, arguments, stopper):
        from alembic.migration import MigrationContext

        self.environment, self.arguments, self.stopper = environment, arguments, stopper
        self.guard, self.alarm = Guard(), Alarm()
        self.deadline = time.monotonic() + SQL_SECONDS_TOGETHER
        self.room = SQL_LIMIT_TOGETHER
        without = ("fn", "output_encoding", "on_version_apply", "starting_rev", "purge")
        self.options = {key: value for key, value in context.opts.items() if key not in without}
        self.options.update(as_sql=True, literal_binds=True, output_buffer=Output())
        self.offline = MigrationContext(offline_dialect(context.dialect), None, self.options, environment)
        self.bind = stand_in(self.offline, self.guard)
        self.saved = [(environment, name, getattr(environment, name)) for name in ("context_opts", "_migration_context", "run_migrations", "configure")]
        self.saved.append((sys, "dont_write_bytecode", sys.dont_write_bytecode))
        self.stdout = sys.stdout
        hide_environment(os.environ)

    def __enter__(self):
        import alembic.op

        self.proxy = getattr(alembic.op, "_proxy", None)
        self.silence = open(os.devnull, "w")
        self.alarm.__enter__()
        sys.dont_write_bytecode = True
        self.saved += self.guard.close_doors()
        return self

    def __exit__(self, *error):
        self.guard.active = False
        self.alarm.__exit__(*error)
        for holder, name, value in self.saved:
            setattr(holder, name, value)
        self.silence.close()
        if self.proxy is not None:  # env.py went round context.run_migrations()
            self.proxy._install_proxy()

    def script(self, *arguments):
        """The SQL of one function of a revision file, and what it doesn't show."""
        try:
            return self.script_of(*arguments)
        except Exception as error:  # whatever a revision did to Alembic's objects
            return NoRendering(error).script()

    def script_of(self, module, path, names, function, kind):
        if kind in ("missing", "empty"):
            return sql_script("")
        if names is None:
            return sql_script(None, ["not rendered, because there is no source to look at"])
        sight = Sight(names, function)
        if sight.prevents:
            return sql_script(None, sight.prevents + sight.lacks)
        left = self.deadline - time.monotonic()
        if left <= 0:
            return sql_script(None, ["not rendered: the SQL of all revisions took more than %g s" % SQL_SECONDS_TOGETHER])
        self.guard.path = path
        error = self.call(getattr(module, function), min(left, SQL_SECONDS))
        text = self.options["output_buffer"].getvalue().strip()
        reasons = self.reasons(sight, error)
        if error is None:
            return self.fitting(text, reasons)
        if self.is_batch(error):
            return sql_script(None, ["SQLite batch mode can't be rendered without the table" + line_of(error, path)] + sight.lacks)
        if isinstance(error, Touched) and reasons:
            return sql_script(None, reasons)
        return sql_script(None, [self.failure(error, path)] + reasons)

    def reasons(self, sight, error):
        """What was seen in the source is named first; what the guard refused, where the source doesn't tell it."""
        reasons = (sight.binds if self.guard.tried or error else []) + sight.lacks
        told = any(reason.startswith("reads the database") for reason in reasons)
        return reasons + [reason for reason in self.guard.tried if not (told and reason.startswith("reads the database"))]

    def fitting(self, text, reasons):
        size = len(text.encode("utf-8", "replace"))
        if size > SQL_LIMIT:
            return sql_script(None, ["too long to be shown: %d bytes of SQL, more than %d" % (size, SQL_LIMIT)] + reasons)
        if size > self.room:
            return sql_script(None, ["too long to be shown beside the newer revisions: %d bytes of SQL, more than %d together"
                                     % (size, SQL_LIMIT_TOGETHER)] + reasons)
        self.room -= size
        return sql_script(text, reasons)

    def call(self, function, seconds):
        """The error that ended the function, or none. A signal that a revision caught ends the run nevertheless."""
        self.prepare()
        try:
            result = self.alarm.call(seconds, function, self.arguments)
            if hasattr(result, "cr_frame"):
                result.close()
                raise TypeError("the function is asynchronous, and Alembic never awaits it")
            error = None
        except BaseException as caught:
            self.alarm.armed = False
            error = caught
        finally:
            self.guard.active = False
            self.op._remove_proxy()
            sys.stdout = self.stdout
        if self.stopper.stopped:
            raise Stopped("stopped by SIGTERM")
        return error

    def prepare(self):
        """Afresh for each function, whatever the one before did to it."""
        from alembic.operations import Operations

        self.guard.tried = []
        self.options["output_buffer"].seek(0)
        self.options["output_buffer"].truncate()
        self.offline.impl.memo.clear()
        self.offline.connection = self.offline.impl.connection = self.bind
        self.environment.context_opts = dict(self.options)
        self.environment._migration_context = self.offline
        self.environment.run_migrations = self.environment.configure = self.forbidden
        self.op = Operations(self.offline)
        self.op._install_proxy()
        sys.stdout = self.silence
        self.guard.active = True

    def forbidden(self, *_arguments, **_options):
        self.guard.refuse("context.run_migrations() or configure()", "runs Alembic itself")

    def is_batch(self, error):
        files = [frame.f_code.co_filename.replace(os.sep, "/") for frame in frames_of(error)]
        return self.offline.dialect.name == "sqlite" and any(file.endswith("alembic/operations/batch.py") for file in files)

    def failure(self, error, path):
        if isinstance(error, TooSlow):
            return "not rendered: it takes more than %g s" % SQL_SECONDS
        if isinstance(error, TooLong):
            return "too long to be shown: more than %d bytes of SQL" % SQL_LIMIT_HARD
        return "could not be rendered: %s%s" % (clean(error_text(error))[:150].strip(), line_of(error, path))


class NoRendering:
    """Where it can't even be set up, as with a dialect that is like no other; the inspection is worth something without it."""

    def __init__(self, error):
        self.error = error

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def script(self, *_arguments):
        return sql_script(None, ["could not be rendered: %s" % clean(error_text(self.error))[:150]])


def rendering_of(*arguments):
    try:
        return Rendering(*arguments)
    except Exception as error:
        return NoRendering(error)
