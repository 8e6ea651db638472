"""Looking into an error: its words, its chain of causes, the places in the project. No I/O."""

import os
import sys

from .texts import clean

OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


def error_text(error):
    """The error's own words. For a database error the driver's, without SQLAlchemy's copy of the statement's parameters."""
    error = getattr(error, "orig", None) or error
    try:
        text = str(error)
    except Exception:
        text = ""
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


def error_trace(error):
    """Where in the project it happened, last call last, and the error's own words; the libraries' inner calls are left out."""
    import traceback

    files = [getattr(sys.modules.get(name), "__file__", None) for name in ("sqlalchemy", "alembic", "importlib")]
    libraries = tuple(os.path.dirname(file) + os.sep for file in files if file) + (OWN_FOLDER, "<")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__, limit=-100) if not frame.filename.startswith(libraries)]
    lines = ["%s, line %s, in %s: %s" % (frame.filename, frame.lineno, frame.name, frame.line) for frame in frames[-30:]]
    # The words are scrubbed before they are cut: half a secret is not recognised.
    return "\n".join([*lines, clean(error_text(error))[:500]])


def chain(error):
    """The error and what led to it."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def traces_of(link):
    trace = link.__traceback__
    while trace is not None:
        yield trace
        trace = trace.tb_next


def frames_of(link):
    return (trace.tb_frame for trace in traces_of(link))


def link_through(error, file, names):
    """The error of the chain that was raised below one of the functions `names` in a source file that ends in `file`."""
    for link in reversed(list(chain(error))):
        for frame in frames_of(link):
            if frame.f_code.co_name in names and frame.f_code.co_filename.replace(os.sep, "/").endswith(file):
                return link
    return None
