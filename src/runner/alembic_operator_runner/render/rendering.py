"""The SQL of all revisions, by running their functions in Alembic's offline mode in a child process. Touches no network."""

import os
import re
import time
from typing import Any, Dict, List

from ..errors import error_text, frames_of
from ..source.reads import LIMIT
from ..source.sight import Sight
from ..texts import clean
from .child import Child
from .guard import Guard, Touched
from .offline import offline_dialect, stand_in
from .operations import Operations as Heard
from .output import SQL_LIMIT, SQL_LIMIT_HARD, SQL_LIMIT_TOGETHER, SQL_SECONDS, SQL_SECONDS_TOGETHER, Output, TooLong, line_of, sql_script

TOO_LATE = "not rendered: the SQL of all revisions took more than %g s"


class Function:
    """One function of a revision file: `kind` and `names` are what its source says."""

    def __init__(self, module, path, names, name, kind):
        self.module, self.path, self.names, self.name, self.kind = module, path, names, name, kind
        self.sight: Any = None
        self.script: Any = self.known()

    def known(self):
        """Its script, where it need not be run for that."""
        if self.kind in ("missing", "empty"):
            return sql_script("")
        if self.names is None:
            return sql_script(None, ["not rendered, because there is no source to look at"])
        self.sight = Sight(self.names, self.name)
        if self.sight.prevents:
            return sql_script(None, self.sight.prevents + self.sight.lacks)
        return None


def render(functions, context, environment, arguments, stopper):
    """Gives each function its script; the child's deadline is kept by this process, whatever the function does."""
    waiting = [function for function in functions if function.script is None]
    deadline = time.monotonic() + SQL_SECONDS_TOGETHER
    room = SQL_LIMIT_TOGETHER
    try:
        renderer = Renderer(context, environment, arguments)
    except Exception as error:  # a dialect that is like no other; the inspection is worth something without its SQL
        for function in waiting:
            function.script = sql_script(None, ["could not be rendered: %s" % clean(error_text(error))[:150]])
        return
    while waiting:
        if time.monotonic() >= deadline:
            for function in waiting:
                function.script = sql_script(None, [TOO_LATE % SQL_SECONDS_TOGETHER])
            return
        child = Child(lambda number, these=waiting: renderer.script_of(these[number]), range(len(waiting)))
        try:
            done = 0
            for function in waiting:
                left = deadline - time.monotonic()
                script = child.answer(max(min(left, SQL_SECONDS), 0))
                done += 1
                if script is None:
                    function.script = lost(child, left)
                    break
                room = fit(function, script, room)
        finally:
            child.end()
        stopper.check()
        waiting = waiting[done:]


def lost(child, left):
    if not child.late:
        return sql_script(None, ["could not be rendered: it ended its process"])
    return sql_script(None, ["not rendered: it takes more than %.2g s" % min(left, SQL_SECONDS)])


def fit(function, script, room):
    """Takes the child's script, if there is room for it."""
    size = len((script["text"] or "").encode("utf-8", "replace"))
    if size > room:
        script = sql_script(None, ["too long to be shown beside the newer revisions: %d bytes of SQL, more than %d together"
                                   % (size, SQL_LIMIT_TOGETHER)] + script["opaque"])
        size = 0
    function.script = script
    return room - size


class Renderer:
    """In the child: runs a revision's function in Alembic's offline mode, beside the online one that env.py has set up."""

    def __init__(self, context, environment, arguments):
        from alembic.migration import MigrationContext

        self.environment, self.arguments = environment, arguments
        self.guard = Guard()
        without = ("fn", "output_encoding", "on_version_apply", "starting_rev", "purge")
        self.options: Dict[str, Any] = {key: value for key, value in context.opts.items() if key not in without}
        self.options.update(as_sql=True, literal_binds=True, output_buffer=Output())
        self.offline = MigrationContext(offline_dialect(context.dialect), None, self.options, environment)
        self.bind = stand_in(self.offline, self.guard)
        self.heard = Heard(self.offline)
        self.op: Any = None

    def script_of(self, function):
        try:
            return dict(self.rendered(function), reads=sorted(set(self.guard.reads))[:LIMIT])
        except Exception as error:  # whatever a revision did to Alembic's objects
            return sql_script(None, ["could not be rendered: %s" % clean(error_text(error))[:150]])

    def rendered(self, function):
        self.guard.path = function.path
        error = self.call(getattr(function.module, function.name))
        text = self.options["output_buffer"].getvalue().strip()
        reasons = self.reasons(function.sight, error)
        if error is None:
            return fitting(text, reasons, function.kind)
        if self.is_batch(error):
            return sql_script(None, ["SQLite batch mode can't be rendered without the table" + line_of(error, function.path)] + function.sight.lacks)
        if isinstance(error, Touched) and reasons:
            return sql_script(None, reasons)
        script = sql_script(None, [failure(error, function.path)] + reasons)
        if not (reasons or function.sight.binds or self.heard.copied) and is_own_fault(error, function.path):
            script["broken"] = words_of(error, function.path)
        return script

    def reasons(self, sight, error):
        """What was seen in the source is named first; what the guard refused, where the source doesn't tell it."""
        reasons: List[str] = (sight.binds if self.guard.tried or error else []) + sight.lacks
        reasons += ["copies table %s in SQLite's batch mode: judged by Alembic's operations, its SQL depends on the table" % table
                    for table in self.heard.copied]
        told = any(reason.startswith("reads the database") for reason in reasons)
        return reasons + [reason for reason in self.guard.tried if not (told and reason.startswith("reads the database"))]

    def call(self, function):
        """The error that ended the function, or none."""
        self.prepare()
        try:
            result = function(**self.arguments)
            if hasattr(result, "cr_frame"):
                result.close()
                raise TypeError("the function is asynchronous, and Alembic never awaits it")
        except BaseException as error:
            return error
        finally:
            self.guard.active = False
            self.op._remove_proxy()
        return None

    def prepare(self):
        """Afresh for each function, whatever the one before did to it."""
        from alembic.operations import Operations

        self.guard.tried, self.guard.reads = [], []
        self.heard.copied = []
        self.options["output_buffer"].seek(0)
        self.options["output_buffer"].truncate()
        self.offline.impl.memo.clear()
        self.offline.connection = self.offline.impl.connection = self.bind
        self.environment.context_opts = dict(self.options)
        self.environment._migration_context = self.offline
        self.environment.run_migrations = self.environment.configure = self.forbidden
        self.op = Operations(self.offline)
        self.op._install_proxy()
        self.guard.close_doors()
        self.guard.active = True

    def forbidden(self, *_arguments, **_options):
        self.guard.refuse("context.run_migrations() or configure()", "runs Alembic itself")

    def is_batch(self, error):
        files = [frame.f_code.co_filename.replace(os.sep, "/") for frame in frames_of(error)]
        return self.offline.dialect.name == "sqlite" and any(file.endswith("alembic/operations/batch.py") for file in files)


def is_own_fault(error, path):
    """Whether a function fails by what its own lines say, so that no database would help: autogenerate's nameless constraint, a wrong name."""
    files = [frame.f_code.co_filename for frame in frames_of(error)]
    by_itself = files[-1:] == [path] and isinstance(error, (NameError, AttributeError, TypeError, ImportError))
    # The function of alembic.op stands between.
    wrong_call = path in files[-2:] and isinstance(error, TypeError) and re.match(r"[\w.]+\(\) (missing|got an unexpected|takes)", str(error))
    return by_itself or bool(wrong_call) or (type(error).__name__ == "CompileError" and "it has no name" in str(error))


def fitting(text, reasons, kind):
    size = len(text.encode("utf-8", "replace"))
    if size > SQL_LIMIT:
        return sql_script(None, ["too long to be shown: %d bytes of SQL, more than %d" % (size, SQL_LIMIT)] + reasons)
    if not text and not reasons and kind == "present":
        reasons = ["does something that gives no SQL"]
    return sql_script(text, reasons)


def failure(error, path):
    if isinstance(error, TooLong):
        return "too long to be shown: more than %d bytes of SQL" % SQL_LIMIT_HARD
    return "could not be rendered: " + words_of(error, path)


ADDRESS = re.compile(r"<[^<>]* at 0x[0-9a-fA-F]+>")


def words_of(error, path):
    """The same each time: an address in it is another one at each inspection."""
    return clean(ADDRESS.sub("…", error_text(error)))[:150].strip() + line_of(error, path)
