"""Whose error it is: the driver's, the server's, env.py's or a revision's. No I/O."""

import os
import re

from .errors import chain, error_text, error_trace, frames_of, link_through
from .look_only import LOOK_ONLY
from .problems import STOPPED, Problem, refused

ATTRIBUTES = "; the application's own command puts this on Alembic's Config: set spec.alembic.attributes"


def missing_driver(error):
    """What create_engine could not import: a driver, or the dialect itself."""
    for link in chain(error):
        if type(link).__name__ == "NoSuchModuleError":
            return link
    link = link_through(error, ".py", ("import_dbapi", "dbapi"))
    return link if isinstance(link, ImportError) else None


def scheme_of(error, url):
    for frame in (frame for link in chain(error) for frame in frames_of(link)):
        if frame.f_code.co_name == "create_engine" and hasattr(frame.f_locals.get("u"), "drivername"):
            return frame.f_locals["u"].drivername
    return (url or "?").partition("://")[0]


def problem_before_steps(error, url, revisions):
    trace = error_trace(error)
    graph = link_through(error, "alembic/script/revision.py", ("_revision_map",))
    if graph is not None:  # env.py itself asked for the revisions
        return revisions.problem(graph)
    driver = missing_driver(error)
    if driver is not None:
        return Problem("DriverMissing", "the database driver for %s:// is not in this image: %s; install it, or set spec.database.driver"
                       % (scheme_of(error, url), error_text(driver)), detail=trace)
    if any(codes_of(link) & UNKNOWN_STATEMENTS for link in chain(error)):
        return refused("PoolerInTransactionMode", "the server does not know the driver's prepared statements, as behind a pooler that gives each "
                       "transaction another session: %s; nothing was run; let spec.database.migrationUrlFrom name a URL that leads to the server itself"
                       % error_text(error), trace)
    connecting = link_through(error, "sqlalchemy/engine/default.py", ("connect",))
    parameter = UNKNOWN_PARAMETER.search(str(connecting)) if isinstance(connecting, TypeError) else None
    if parameter is not None:
        instead = "; it calls this one ssl" if parameter.group(1) == "sslmode" else ""
        return Problem("InvalidUrl", "the driver does not know the URL's parameter %s: %s%s; correct the URL, or set spec.database.driver"
                       % (parameter.group(1), error_text(connecting), instead), detail=trace)
    if connecting is not None:
        return Problem("ConnectFailed", "the database cannot be connected to: %s%s" % (error_text(connecting), hint(connecting)), detail=trace)
    if isinstance(error, SystemExit):
        why = next((link for link in chain(error) if isinstance(link, Exception)), None)  # that env.py handled by leaving
        words = " over %s%s" % (error_text(why), hint(why)) if why is not None else ""
        return Problem("EnvPyFailed", "env.py called sys.exit(%r)%s" % (error.code, words), detail=trace)
    return Problem("EnvPyFailed", "env.py failed: %s%s" % (error_text(error), hint(error)), detail=trace)


UNKNOWN_PARAMETER = re.compile(r"unexpected keyword argument '(\w+)'|invalid connection option \"(\w+)\"")
USER = "; the pod runs as user %d: let spec.podTemplate.spec.securityContext.runAsUser name the image's own, or mount an emptyDir there"
HINTS = [
    (r"[Oo]utside of (an )?application context", "; an env.py of Flask-Migrate needs the application: set spec.alembic.flaskApp, as FLASK_APP names it"),
    (r"invalid interpolation syntax", "; alembic's configuration wants each %% of a URL doubled: config.set_main_option('sqlalchemy.url', "
                                      "url.replace('%%', '%%%%'))"),
    (r"[Tt]oo many connections|remaining connection slots|max_user_connections", "; a run takes two connections, and a look one"),
    (r"PermissionError|Permission denied", USER),
    (r"getpwuid", "; the pod's user %d has no line in /etc/passwd: let spec.podTemplate.spec.securityContext.runAsUser name one of the image's"),
    (r"event loop|AnyIO worker thread", "; the application starts Alembic in a thread of its own event loop: let spec.alembic.command name a script that "
                                        "does the same with `runpy.run_path(sys.argv[1], run_name='__main__')`"),
    (r"^KeyError|'Config' object has no attribute", ATTRIBUTES),
]


def hint(error):
    """What helps, where the error does not say so by itself."""
    text = error_text(error)
    for pattern, words in HINTS:
        if not re.search(pattern, text) or (words is ATTRIBUTES and not asks_config(error)):
            continue
        return words % os.getuid() if "%d" in words else words.replace("%%", "%")
    return LOOK_ONLY.hint()


def asks_config(error):
    """Whether env.py misses what the application's own command puts on Alembic's Config."""
    return any("attributes" in frame.f_code.co_names or "'Config' object" in str(error) for frame in frames_of(error))


def place_of(error):
    """Where the project's own code was, or what it had called; empty where it had not begun."""
    lines = error_trace(error).split("\n")[:-1]
    own = [line for line in lines if "site-packages" not in line and not line.startswith(os.path.dirname(os.__file__))]
    return ", at %s" % (own or lines)[-1] if lines else ""


def problem_of_run(error, report, stopper, changed=True):
    """The problem of an error after all checks of a run had passed, or of a signal at any time, also in a look; `changed`: by the step before it failed."""
    running, started = report.fields["running"], report.fields["started"]
    if stopper.stopped and not started:
        return refused("RunInterrupted", "%s before the first step%s; nothing was changed" % (STOPPED, place_of(error)), error_trace(error))
    where = "during the step" if running else "after the last step" if started else "before the first step"
    message = "%s %s" % (STOPPED, where) if stopper.stopped else error_text(error) if running else where + ": " + error_text(error)
    kind = kind_of_failure(error) if running and not stopper.stopped else "MigrationFailed"
    return Problem(kind, message, revision=running, detail=error_trace(error), changed=changed)


UNKNOWN_STATEMENTS = {"42P05", "26000"}  # PostgreSQL: a prepared statement that is there already, or that is not there
READ_ONLY_CODES = {"25006", 1290, 1836}
LOCK_CODES = {"55P03", "40P01", 1205, 1213}  # lock timeout and deadlock of PostgreSQL, MySQL and MariaDB


def codes_of(link):
    """What the server or the driver calls an error."""
    link = getattr(link, "orig", None) or link
    arguments = getattr(link, "args", None) or [None]
    given = arguments[0].get("C") if isinstance(arguments[0], dict) else arguments[0]  # pg8000 gives a dict
    codes = {getattr(link, name, None) for name in ("pgcode", "sqlstate", "errno")} | ({given} if isinstance(given, (int, str)) else set())
    return {code for code in codes if isinstance(code, (int, str))}


def kind_of_failure(error):
    """Whether a step failed for a lock or for its time, and may go through another time."""
    for link in chain(error):
        link = getattr(link, "orig", None) or link
        codes = codes_of(link)
        if codes & LOCK_CODES or (type(link).__module__ == "sqlite3" and "database is locked" in str(link)):
            return "TableLocked"
        if codes & READ_ONLY_CODES:
            return "DatabaseReadOnly"
        if 1969 in codes or ("57014" in codes and "statement timeout" in str(link)):
            return "StatementTimeout"
    return "MigrationFailed"
