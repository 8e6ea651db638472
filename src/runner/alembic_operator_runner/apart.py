"""A part of the work in a process of its own, as a new command would be. Forks; the child answers through a pipe."""

import json
import os
import signal

from .frames import flush_standard_streams
from .problems import Problem, Stopped
from .render.child import write_all


def apart(work, stopper):
    """What `work()` returns, which has to fit into JSON. SIGTERM is handed on, and the child's word about it awaited."""
    flush_standard_streams()
    reader, writer = os.pipe()
    process = os.fork()
    if not process:
        try:
            os.close(reader)
            write_all(writer, json.dumps(work()).encode("utf-8", "replace"))
        finally:
            flush_standard_streams()
            os._exit(0)  # whatever threads env.py left behind
    os.close(writer)
    content = b""
    while True:
        try:
            part = os.read(reader, 1 << 20)
        except Stopped:
            os.kill(process, signal.SIGTERM)
            continue
        if not part:
            break
        content += part
    os.close(reader)
    try:
        status = os.waitpid(process, 0)[1]
    except OSError:
        status = 0  # env.py may leave its children to the system
    if not content:
        how = "signal %d" % os.WTERMSIG(status) if os.WIFSIGNALED(status) else "exit code %d" % os.WEXITSTATUS(status)
        raise Problem("RunnerFailed", "the process of this phase ended without a word (%s); out of memory?" % how)
    return json.loads(content.decode("utf-8"))
