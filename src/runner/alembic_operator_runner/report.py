"""The termination message. Writes one file, and the log."""

import os

from .task import PROTOCOL
from .texts import ROWS_LIMIT, beginning, clean, encoded, last_lines

MESSAGE_LIMIT = 4000  # bytes; the kubelet keeps 4096


class Report:
    """The termination message: always on disk, always valid JSON, never longer than MESSAGE_LIMIT bytes."""

    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.size = 0
        self.label = None  # which database its lines in the log are about, where there are many
        self.stderr = os.dup(2)
        self.fields = {
            "protocol": PROTOCOL,
            "action": None,
            "nonce": os.urandom(16).hex(),
            "state": "starting",
            "error": None,
            "steps_done": 0,
            "last_done": None,
            "running": None,
            "started": False,
            "transactional": None,
            "committed": None,
            "rows": None,
            "look": None,
            "drift": None,
        }

    def update(self, **changes):
        self.fields.update(changes)
        try:
            self.write()
        except OSError as error:  # a full disk must not abort a migration half-way
            self.log("cannot write the termination message: %s" % error)

    def write(self):
        """Padded with blanks to cover the former message, then cut: whoever reads at any moment, or after a kill, finds valid JSON."""
        data = fitted(self.fields)
        target = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(target, data.ljust(self.size))
            if os.path.isfile(self.path):
                os.ftruncate(target, len(data))
        finally:
            os.close(target)
        self.size = len(data)

    def fail(self, problem):
        error = {
            "class": problem.kind,
            "message": clean(problem.message),
            "revision": problem.revision,
            "changed": problem.changed,
            "committed": problem.committed,
            "holder": problem.holder,
            "detail": clean(problem.detail, keep_end=True),
        }
        self.update(state=problem.state, error=error)
        self.log("%s: %s: %s" % (problem.state, problem.kind, problem.message))
        if problem.detail:
            self.log(problem.detail, keep_end=True)

    def log(self, text, keep_end=False):
        """One write to the original standard error, which env.py cannot close or redirect."""
        try:
            about = "[%s] " % self.label if self.label else ""
            os.write(self.stderr, ("alembic-operator: %s%s\n" % (about, clean(text, keep_end))).encode("utf-8"))
        except OSError:
            pass


def fitted(fields):
    """The message within its limit: the traceback gives way first, then the rows, then the message's end, then the ids, then
    what was seen."""
    fields = dict(fields)
    error = fields["error"] = dict(fields["error"]) if fields["error"] else None
    if fields["rows"] is not None and len(fields["rows"]) > ROWS_LIMIT:
        fields["rows"] = None
    if len(encoded(fields)) <= MESSAGE_LIMIT:
        return encoded(fields)
    if error:
        detail, error["detail"] = error["detail"], ""
        error["message"] = beginning(error["message"], 1600)
        error["detail"] = last_lines(detail, MESSAGE_LIMIT - len(encoded(fields)))
    if len(encoded(fields)) > MESSAGE_LIMIT:
        fields["rows"] = None
    if len(encoded(fields)) > MESSAGE_LIMIT:
        for holder, key in ((fields, "running"), (fields, "last_done"), (error or {}, "revision")):
            holder[key] = holder.get(key) and beginning(holder[key], 400)
    if len(encoded(fields)) > MESSAGE_LIMIT:  # what is cut elsewhere, cut at last: half a message is none
        fields["look"] = fields["drift"] = None
    return encoded(fields)
