"""Looking into an error: its words, its chain of causes, the places in the project. No I/O."""

import os
import re
import sys

from .texts import clean

OWN_FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep


# Lines that drivers add, which hold rows and statements.
ADDED_LINES = re.compile(r"^\s*((DETAIL|CONTEXT|QUERY|WHERE):|LINE \d+:|\[(SQL|parameters): |\(Background on this error).*$", re.M)
ADDED_BLOCK = re.compile(r"\n?\[(SQL|parameters): .*", re.S)
CARET = re.compile(r"\n[ \t]*\^[ \t]*(?=\n|$)")
VALUES = [  # that the messages of servers and libraries repeat
    (re.compile(r"(Duplicate entry ).*( for key )", re.S), r"\1***\2"),
    (re.compile(r"(value:? )'.*'( for |\W*$)", re.S), r"\1***\2"),
    (re.compile(r"( near )'.*'( at line \d+)", re.S), r"\1***\2"),
    (re.compile(r'( at or near )"[^"]*[\'$0-9].*"', re.S), r"\1***"),
    (re.compile(r"input_value=.*?(, input_type=)", re.S), r"input_value=***\1"),
    (re.compile(r"(no partition for value ).*", re.S), r"\1***"),
    # Python's own, as in a revision that reads rows and converts what they hold.
    (re.compile(r"(invalid literal for \w+\(\)[^:]*: |could not convert string to \w+: ).*", re.S), r"\1***"),
    (re.compile(r"(Invalid isoformat string: |unconverted data remains: ).*", re.S), r"\1***"),
    (re.compile(r"(time data ).*( does not match format)", re.S), r"\1***\2"),
    (re.compile(r".*( is not a valid \w+)$", re.S), r"***\1"),
    (re.compile(r".*( is not among the defined enum values)", re.S), r"***\1"),
]
NAMES = ["constraint", "schema", "table", "column"]


def error_text(error):
    """The error's own words. For a database error the driver's first sentence and the names in question, without rows and statements."""
    error = getattr(error, "orig", None) or error
    text = server_words(error)
    if text is None:
        try:
            text = str(error)
        except Exception:
            text = ""
        text = "***" if type(error) is KeyError and is_of_a_step(error) else without_rows(text)
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


def is_of_a_step(error):
    """A key that a revision does not find may be what a row holds; one that env.py does not find is a setting's name."""
    return any(frame.f_code.co_name in ("upgrade", "downgrade") for frame in frames_of(error))


def without_rows(text):
    text = CARET.sub("", ADDED_LINES.sub("", ADDED_BLOCK.sub("", text)))
    for pattern, replacement in VALUES:
        text = pattern.sub(replacement, text)
    return re.sub(r"\n\s*\n+", "\n", text).strip()


def server_words(error):
    """PostgreSQL's message as the driver holds it apart from the rest; None for another error."""
    fields = getattr(error, "diag", None)
    if fields is not None and getattr(fields, "message_primary", None):
        primary, code = fields.message_primary, getattr(fields, "sqlstate", None)
        names = [getattr(fields, name + "_name", None) for name in NAMES]
    elif getattr(error.__cause__, "sqlstate", None) and error.__cause__.args:  # asyncpg, below SQLAlchemy's adapter
        cause = error.__cause__
        primary, code = str(cause.args[0]), cause.sqlstate
        names = [getattr(cause, name + "_name", None) for name in NAMES]
    elif error.args and isinstance(error.args[0], dict) and "M" in error.args[0]:  # pg8000
        given = error.args[0]
        primary, code, names = given["M"], given.get("C"), [given.get(letter) for letter in "nstc"]
    else:
        return None
    if str(code).startswith("22"):  # a value that can't be read or does not fit
        primary = re.sub(r'".*"', '"***"', primary, flags=re.S)
    told = ["%s %s" % (what, name) for what, name in zip(NAMES, names) if name and what != "schema" and name not in primary]
    return without_rows(primary) + (" (%s)" % ", ".join(told) if told else "")


def without_literals(line):
    """A line of source; what a revision writes into a table is nobody's business who reads a log."""
    return re.sub(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""", lambda found: found.group()[0] + "…" + found.group()[0]
                  if len(found.group()) > 2 and re.search(r"(?i)\b(insert|update|values|set|select|where)\b", line) else found.group(), line or "")


def error_trace(error):
    """Where in the project it happened, last call last, and the error's own words; the libraries' inner calls are left out."""
    import traceback

    files = [getattr(sys.modules.get(name), "__file__", None) for name in ("sqlalchemy", "alembic", "importlib")]
    libraries = tuple(os.path.dirname(file) + os.sep for file in files if file) + (OWN_FOLDER, "<")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__, limit=-100) if not frame.filename.startswith(libraries)]
    lines = ["%s, line %s, in %s: %s" % (frame.filename, frame.lineno, frame.name, without_literals(frame.line)) for frame in frames[-30:]]
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
