"""The verdicts that a run of this program can end with. No I/O."""


class Problem(BaseException):
    """A verdict of this program. Not an Exception, so that a retry loop or a broad except in env.py does not swallow it."""

    def __init__(self, kind, message, state="failed", revision=None, detail="", changed=True, holder=None, committed=None):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.state = state
        self.revision = revision
        self.detail = detail
        self.changed = changed
        self.holder = holder
        self.committed = committed  # whether something of a failed step stays; None where nobody looked


STOPPED = "stopped by SIGTERM"  # how the message of a run begins that was


class Stopped(KeyboardInterrupt):
    """SIGTERM arrived; drivers and context managers treat it like Ctrl-C and roll back."""


def refused(kind, message, detail="", holder=None):
    return Problem(kind, message, state="refused", detail=detail, holder=holder)


def unusable_task(message):
    return Problem("TaskUnusable", message)


EXIT_CODES = {"refused": 3, "failed": 1}
