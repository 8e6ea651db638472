"""One plan for many databases: runs env.py once, reading only, and then one run for each database. Changes the users' databases.

Each database has a process of its own, forked from this one where that is safe, and started afresh where it is not. What such a
process does is the run of a single database: the same lock, the same checks of rows, files and place, the same reading back.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any, Dict, List

from .errors import error_text
from .frames import flush_standard_streams
from .imported import keeper
from .look import Look
from .look_only import LOOK_ONLY
from .outcome import error_of
from .problems import STOPPED, Problem
from .project import loaded
from .report import Report
from .texts import beginning, clean
from .url import set_url

NOT_BEGUN, RUNNING, DONE, FAILED, LATER, LOST = ".", "r", "d", "f", "l", "x"
# What passes by itself: nothing stands, and a later batch tries again.
PASSES = ("LockTimeout", "TableLocked", "RowsChanged", "DatabaseReadOnly", "ConnectFailed", "StepsChanged", "RunInterrupted")
# In every other database it would be the same.
ALIKE = ("StepsChanged", "DatabaseReadOnly", "AlembicMissing", "AlembicTooOld", "ConfigNotFound", "TaskUnusable")
# What a forked process may say only because it was forked: the project took its URL when it was first imported.
OF_THE_FORK = ("OtherDatabase", "VersionTableMismatch")
SHOWN = 2400  # bytes of failures in the termination message
FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OWN_FIELDS = ("members", "workers", "failures_left", "x_of_each", "action")


class Batch:
    """Gives each database its process, a few at a time, and keeps what came of it."""

    def __init__(self, task, report, work):
        self.task, self.report, self.work = task, report, work
        self.members = task["members"]
        self.waiting = list(range(len(self.members)))
        self.states = [NOT_BEGUN] * len(self.members)
        self.failures: List[Dict[str, Any]] = []
        self.children: Dict[int, Any] = {}
        self.alone = ""  # why each database has a fresh process; empty where they are forked
        self.forked: Dict[int, bool] = {}
        self.stopped = ""
        self.silent = 0  # connections in a row that failed
        self.pid = os.getpid()
        self.folder = tempfile.mkdtemp(prefix="alembic-operator-")

    def perform(self):
        """Every database in turn; returns what is too long for the termination message."""
        self.alone = self.warm_up()
        signal.signal(signal.SIGTERM, self.stop)
        self.tell()
        while self.children or (self.waiting and not self.stopped):
            while self.waiting and not self.stopped and len(self.children) < self.task["workers"]:
                self.begin(self.waiting.pop(0))
            self.reap()
        return {"states": "".join(self.states), "failures": self.failures}

    def warm_up(self):
        """Imports what the project imports, by env.py itself. Returns why nothing may be forked from this process, if so."""
        before, modules = open_sockets(), set(sys.modules)
        task = self.task_of(0)
        report = Report(self.path_of("warm-up"))
        if not task.get("writes_at_start"):
            LOOK_ONLY.install()
        told = {name: os.environ.get(name) for name in task.get("url_env") or []}
        try:
            url = set_url(task, os.environ)  # env.py may take it from there, and is to find a database of the batch
            application, config, revisions = loaded(dict(task, action="probe"), url)
            work = Look(dict(task, action="probe", url=url), report, revisions)
            error = error_of(work, config)
            application.leave(error)
        except BaseException as raised:
            error = raised
        LOOK_ONLY.active = False
        os.environ.update((name, value) for name, value in told.items() if value is not None)
        flush_standard_streams()
        if error is not None:
            if isinstance(error, KeyboardInterrupt):
                raise error
            return "env.py could not be run beforehand (%s)" % beginning(clean(words_of(error)), 200)
        gc.collect()
        module = keeper(self.words_of_first(), modules) if len(self.members) > 1 else None
        if module is not None:
            return "the module %s keeps what it was told of the first database when it was imported" % beginning(clean(module), 100)
        return fork_hazard(before)

    def words_of_first(self):
        """What env.py is told of the first database and not of the others."""
        used = "".join(self.task.get("x_of_each") or [])
        member = self.members[0]
        return {member[name] for name in ("name", "database", "schema") if member.get(name) and (name == "database" or "$(%s)" % name in used)}

    def task_of(self, number):
        """The task of a run of one database."""
        member = self.members[number]
        task = {name: value for name, value in self.task.items() if name not in OWN_FIELDS and name != "url"}
        each = [expanded(text, member) for text in self.task.get("x_of_each") or []]
        task.update(action="run", object="%s/%s" % (task["object"], member["name"]), x=(task.get("x") or []) + each)
        for name, key in (("database", "database"), ("version_table_schema", "schema")):
            if member.get(key):
                task[name] = member[key]
        return task

    def path_of(self, what):
        return os.path.join(self.folder, str(what))

    def begin(self, number):
        task = self.task_of(number)
        self.forked[number] = not self.alone
        flush_standard_streams()
        if self.alone:
            pid = self.spawn(task, self.path_of(number))
        else:
            pid = os.fork()
            if pid == 0:
                self.as_child(task, number)
        self.children[pid] = number
        self.states[number] = RUNNING
        self.tell()

    def as_child(self, task, number):
        status = 1
        try:
            die_with(self.pid)
            os.environ.pop("PGAPPNAME", None)
            report = Report(self.path_of(number))
            report.label = self.members[number]["name"]
            status = self.work(task, report)
            flush_standard_streams()
        finally:
            os._exit(status)

    def spawn(self, task, path):
        environ = dict(os.environ, ALEMBIC_OPERATOR_TASK=json.dumps(task), ALEMBIC_OPERATOR_TERMINATION_LOG=path,
                       ALEMBIC_OPERATOR_LABEL=task["object"].rpartition("/")[2])
        environ.pop("PGAPPNAME", None)
        process = subprocess.Popen([sys.executable, FOLDER], env=environ, stdin=subprocess.DEVNULL)
        process.returncode = 0  # who waits for it is reap()
        return process.pid

    def reap(self):
        pid, _ = os.waitpid(-1, 0)
        number = self.children.pop(pid, None)
        if number is None:  # one that env.py has left behind
            return
        report = read_report(self.path_of(number))
        problem = report.get("error") or {}
        kind = problem.get("class")
        if kind in OF_THE_FORK and self.forked[number] and not report.get("started"):
            self.alone = self.alone or "a forked process works in another database than its own (%s)" % kind
            self.states[number] = NOT_BEGUN
            self.waiting.insert(0, number)
        else:
            self.states[number] = self.end_of(number, report, kind)
        self.tell()

    def end_of(self, number, report, kind):
        self.silent = self.silent + 1 if kind == "ConnectFailed" else 0
        if report.get("state") == "done":
            return DONE
        started, error = bool(report.get("started")), report.get("error") or {}
        left = started and stays(report)
        if kind is None:
            kind = "RunLost" if started else "RunInterrupted"
            # Of what was seen to stand it is known that it does not pass; of the rest the operator knows what can stand.
            end = FAILED if report.get("committed") else LOST if started else LATER
            message = "the process ended without a word" + (" in the middle of %s" % report["running"] if report.get("running") else "")
        else:
            message = error.get("message") or ""
            end = LATER if kind in PASSES and not left else FAILED
            if kind == "MigrationFailed" and message.startswith(STOPPED) and not left:
                end, kind = LOST, "RunLost"  # a node was drained: the step is not at fault
        self.failures.append({"member": number, "class": kind, "message": message, "revision": error.get("revision") or report.get("running"),
                              "started": started, "committed": error.get("committed", report.get("committed"))})
        if kind in ALIKE:
            self.hold("%s: it would be the same everywhere" % kind)
        elif self.silent > 1:
            self.hold("the server does not answer")
        elif sum(state in (FAILED, LOST) for state in self.states) + (end in (FAILED, LOST)) > self.task["failures_left"]:
            self.hold("more than %d failed" % self.task["failures_left"])
        return end

    def hold(self, why):
        """Nothing more is begun; what works is waited for."""
        self.stopped = self.stopped or why

    def stop(self, _signal, _frame):
        if os.getpid() != self.pid:  # a process that was forked just now
            os._exit(1)
        self.hold("stopped by SIGTERM")
        for pid in list(self.children):
            try:
                os.kill(pid, signal.SIGTERM)
            except OSError:
                pass

    def tell(self):
        shown: List[Dict[str, Any]] = []
        room = SHOWN
        for failure in self.failures:
            short = dict(failure, message=beginning(failure["message"], 240))
            room -= len(json.dumps(short))
            if room < 0:
                break
            shown.append(short)
        self.report.update(state="running", batch={"states": "".join(self.states), "alone": beginning(self.alone, 300), "stopped": self.stopped,
                                                   "failures": shown})


def stays(report):
    """Whether something of a run that had begun stays without its version row: as its connection saw it, or else as the database is."""
    committed = (report.get("error") or {}).get("committed")
    return bool(report.get("committed")) or (not report.get("transactional") if committed is None else committed)


def words_of(error):
    return "%s: %s" % (error.kind, error.message) if isinstance(error, Problem) else error_text(error)


def expanded(text, member):
    for name in ("name", "database", "schema"):
        text = text.replace("$(%s)" % name, member.get(name) or "")
    return text


def read_report(path):
    """What a process has left behind; nothing where that is no report."""
    try:
        with open(path, "rb") as file:
            report = json.loads(file.read())
    except (OSError, ValueError):
        return {}
    return report if isinstance(report, dict) else {}


def open_sockets():
    """The numbers of the open sockets; None where the system does not tell."""
    found = set()
    try:
        for name in os.listdir("/proc/self/fd"):
            try:
                if os.readlink("/proc/self/fd/" + name).startswith("socket:"):
                    found.add(name)
            except OSError:
                pass  # the one of this very list
    except OSError:
        return None
    return found


def fork_hazard(sockets):
    """Why no process may be forked from this one: two would share a connection, or one would miss a thread."""
    now = open_sockets()
    if now is None or sockets is None:
        return "this system does not tell what is open"
    try:
        threads = len(os.listdir("/proc/self/task"))
    except OSError:
        return "this system does not tell its threads"
    if threads > 1:
        return "env.py leaves %d threads behind" % (threads - 1)
    return "env.py leaves a connection open" if now - sockets else ""


def die_with(parent):
    """A coordinator that is killed takes its processes along, as the end of a container does."""
    try:
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except Exception:
        return  # in a pod the kernel does it
    if os.getppid() != parent:
        os._exit(1)
