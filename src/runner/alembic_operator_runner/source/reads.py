"""Which files a revision reads beside its own: what it says depends on them. Reads those files for their hashes."""

import os
import sys

from ..revisions import file_digest

LIMIT = 20  # files of a revision
SIZE_LIMIT = 50 * 1000 * 1000  # bytes; the content of a larger one would have to be read at each run
CODE = (".py", ".pyc", ".pyo", ".so", ".pth")
ELSEWHERE = ("/proc/", "/sys/", "/dev/", "/run/", "/tmp/", "/var/run/", "/usr/share/zoneinfo/")


def is_content(path, mode, flags):
    """Whether an open() that Python tells of reads a file of the project's own."""
    reading = not isinstance(flags, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    return isinstance(path, (str, bytes, os.PathLike)) and reading and not os.fsdecode(path).endswith(CODE)


def known(path):
    """The path as it is reported, or None for what is of no interest."""
    path = os.path.abspath(os.fsdecode(path))
    temporary = path.startswith(ELSEWHERE) and not path.startswith(os.getcwd() + os.sep)
    python_s = path.startswith(os.path.dirname(os.__file__) + os.sep) and (".dist-info" in path or "site-packages" not in path)
    return None if temporary or python_s or not os.path.isfile(path) or os.path.getsize(path) > SIZE_LIMIT or any(c.isspace() for c in path) else path


class Reads:
    """Watches what the files of revisions read while they are loaded, from now on; what their functions read is added later."""

    def __init__(self):
        self.found = {}
        self.active = True
        if hasattr(sys, "addaudithook"):  # Python 3.8
            sys.addaudithook(self.audit)

    def audit(self, event, arguments):
        if event != "open" or not self.active or not is_content(*arguments):
            return
        frame = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_name == "<module>" and "down_revision" in frame.f_globals:
                self.add(frame.f_code.co_filename, [arguments[0]])
                return
            frame = frame.f_back

    def add(self, revision, paths):
        self.active = False
        try:
            known_paths = filter(None, (known(path) for path in paths))
            self.found.setdefault(os.path.realpath(revision), set()).update(known_paths)
        finally:
            self.active = True

    def of(self, revision):
        paths = sorted(self.found.get(os.path.realpath(revision), ()))[:LIMIT]
        return [{"path": path, "sha256": file_digest(path)[1]} for path in paths]
