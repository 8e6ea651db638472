"""The SQL of a revision as it is reported, and its limits. No I/O."""

import io
from hashlib import sha256

from ..errors import traces_of
from ..texts import clean, scrubbed

SQL_SECONDS = 5  # for one function
SQL_SECONDS_TOGETHER = 60
SQL_LIMIT = 200 * 1000  # bytes of one script
SQL_LIMIT_TOGETHER = 2000 * 1000
SQL_LIMIT_HARD = 20 * 1000 * 1000  # where a function that goes on and on is ended
REASONS_LIMIT = 5


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
    digest = None if text is None else sha256(text.encode("utf-8", "replace")).hexdigest()
    return {"text": None if text is None else scrubbed(text), "sha256": digest, "opaque": reasons}


def line_of(error, path):
    lines = [trace.tb_lineno for trace in traces_of(error) if trace.tb_frame.f_code.co_filename == path]
    return " (line %d)" % lines[-1] if lines else ""
