"""The SQL of a revision as it is reported, and its limits. No I/O."""

import io
import re
from hashlib import sha256

from ..errors import traces_of
from ..texts import clean, scrubbed

SQL_SECONDS = 5  # for one function
SQL_SECONDS_TOGETHER = 60
SQL_LIMIT = 200 * 1000  # bytes of one script
SQL_LIMIT_TOGETHER = 2000 * 1000
SQL_LIMIT_HARD = 20 * 1000 * 1000  # where a function that goes on and on is ended
REASONS_LIMIT = 5

INDEX = re.compile(r"CREATE (UNIQUE )?INDEX [^\n]*;$")
ANEW = re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?|\b[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\b|\b\d{9,}(\.\d+)?\b")


class TooLong(BaseException):
    """Not an Exception, so that a retry loop does not swallow it."""


class Output(io.StringIO):
    """Ends a function that writes without end."""

    def write(self, text):
        if self.tell() + len(text) > SQL_LIMIT_HARD:
            raise TooLong()
        return super().write(text)


def sql_script(text, reasons=()):
    reasons = [clean(reason)[:200] for reason in dict.fromkeys(reasons)][:REASONS_LIMIT]
    return {"text": None if text is None else scrubbed(in_order(text)), "sha256": None if text is None else digest_of(text), "opaque": reasons}


def in_order(text):
    """SQLAlchemy keeps the indexes of a table in a set, whose order is another one in each process."""
    blocks = re.split(r"\n{2,}", text)
    start = 0
    while start < len(blocks):
        end = start
        while end < len(blocks) and INDEX.match(blocks[end]):
            end += 1
        blocks[start:end] = sorted(blocks[start:end])
        start = end + 1
    return "\n\n".join(blocks)


def digest_of(text):
    """The same at each inspection of the same files: whatever the order of a set, and without the moments and numbers that are made anew."""
    lines = sorted(ANEW.sub("?", line.strip().rstrip(",")) for line in text.splitlines())
    return sha256("\n".join(lines).encode("utf-8", "replace")).hexdigest()


def line_of(error, path):
    lines = [trace.tb_lineno for trace in traces_of(error) if trace.tb_frame.f_code.co_filename == path]
    return " (line %d)" % lines[-1] if lines else ""
