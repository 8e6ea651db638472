"""The rehearsal: the plan's steps, back, and again, on a scratch database."""

import time

from .apart import apart
from .blame import problem_of_run
from .catalog import catalog_differences, read_catalog
from .engines import engine_of
from .errors import error_text, error_trace
from .executed import Recorder
from .frames import emit_frames, flush_standard_streams
from .outcome import error_of, settle
from .problems import Problem, Stopped, refused
from .project import loaded
from .revisions import file_digest
from .run import Run
from .source.kinds import function_kind, parsed
from .steps import closure
from .texts import ROWS_LIMIT, listed

STEPS_LIMIT = 500  # of a phase, in the payload
LEFTOVERS_LIMIT = 20  # of a phase


class Phase(Run):
    """One way of a rehearsal, on a database that nobody else knows. `order`: its steps, where it only goes back what another phase went."""

    def __init__(self, task, report, revisions, stopper, name, order=None):
        super().__init__(task, report, revisions, stopper)
        self.name = name
        self.order = order
        self.before = None
        self.after = None
        self.observer = None
        self.recorder = None
        self.measured = []
        self.went = False
        self.started = time.monotonic()

    def exclude_others(self):
        """There are none; and the lock of the phase before may not have gone with its connections."""

    def begin(self, context):
        if self.task["end"] is None:
            self.revisions.load()  # inside env.py, which may say where they are
            self.task["end"] = self.tips_afterwards()
        super().begin(context)
        if self.name != "history":
            self.observer = engine_of(context.dialect).observer(context, self.lock)
            self.before = self.read_schema(context)
            if self.order is None:
                self.recorder = Recorder(context, self.lock)
        self.started = time.monotonic()

    def read_schema(self, context):
        with engine_of(context.dialect).beside(context) as connection:
            return read_catalog(context, self.task["catalog"], connection)["objects"]

    def check_rows(self, rows):
        if set(rows) != set(self.task["from"]):
            self.report.update(rows=sorted(rows))
            raise refused("RowsChanged", "the scratch database is at %s, the %s starts from %s%s" % (
                listed(rows), self.name, listed(self.task["from"]),
                "; the live database was migrated meanwhile, or its version table was not copied" if self.task["source"] == "dump" else ""))

    def checked_plan(self, rows):
        plan = super().checked_plan(rows) if self.order is None else self.ordered_plan()
        for step in plan:
            step.migration_fn = self.observed(step.revision, step.migration_fn)
        return plan

    def ordered_plan(self):
        from alembic.runtime.migration import MigrationStep

        make = MigrationStep.upgrade_from_script if self.task["direction"] == "upgrade" else MigrationStep.downgrade_from_script
        return [make(self.script.revision_map, self.script.get_revision(revision)) for revision in self.order]

    def observed(self, script, function):
        def step(*arguments, **options):
            self.went = True
            if self.observer is None:
                function(*arguments, **options)
                return
            self.observer.begin()
            started = time.monotonic()
            executed = self.recorded(script, function, arguments, options)
            seconds = round(time.monotonic() - started, 3)
            self.measured.append(dict(self.observer.end(), revision=script.revision, seconds=seconds, **executed))

        return step

    def recorded(self, script, function, arguments, options):
        """What the step executed, on the plan's own way."""
        if self.recorder is None:
            function(*arguments, **options)
            return {}
        self.recorder.begin(script, self.task["direction"])
        function(*arguments, **options)
        return self.recorder.end()

    def all_done(self, context):
        if self.name != "history":
            self.after = read_catalog(context, self.task["catalog"], context.connection)["objects"]

    def release(self):
        if self.observer is not None:
            self.observer.stop()

    def result(self):
        return {"name": self.name, "seconds": round(time.monotonic() - self.started, 3), "steps": self.measured[:STEPS_LIMIT],
                "omitted": max(len(self.measured) - STEPS_LIMIT, 0), "leaves": None, "differences": None}

    def tips_afterwards(self):
        """The version rows that must be there when some steps only of the way were gone."""
        applied = set(closure(self.script, self.task["from"], "_all_down_revisions"))
        applied = applied | set(self.order) if self.task["direction"] == "upgrade" else applied - set(self.order)
        return sorted(applied - {needed for revision in applied for needed in self.script.get_revision(revision)._all_down_revisions})


class Rehearsal:
    """Runs the plan's steps on a scratch database, then back, then again, each time as a new command would: in a process of its own."""

    def __init__(self, task, report, stopper, url):
        self.task = task
        self.report = report
        self.stopper = stopper
        self.url = url
        self.found = {"source": task["source"], "phases": [], "reversible": True, "irreversible": [], "failed": None,
                      "locks_unknown": None, "rows": None}

    def perform(self, output):
        """What was measured before a failure is told too."""
        try:
            self.phases()
        finally:
            flush_standard_streams()
            rows = self.report.fields["rows"]
            self.found["rows"] = rows and rows[:ROWS_LIMIT * 4]
            self.report.update(**emit_frames(output, self.report.fields["nonce"], self.found))

    def phases(self):
        task, forth = self.task, self.task["direction"]
        back = "downgrade" if forth == "upgrade" else "upgrade"
        if task["source"] == "history" and task["from"]:
            self.phase("history", dict(task, direction="upgrade", branch=None, end=task["from"], **dict(task["history"], **{"from": []})))
        first = self.phase(forth, task)
        order = self.way_back(first["plan"])
        if not order:
            return
        second = self.phase(back, dict(task, direction=back, **{"from": task["end"], "end": None, "targets": task["from"]}), order)
        if len(order) == len(first["plan"]):
            self.compare(first["before"], second["after"])
        third = self.phase(forth + " again", dict(task, **{"from": second["end"]}), order[::-1])
        self.compare(first["after"], third["after"])

    def phase(self, name, task, order=None):
        """What a process of its own tells of its way."""
        self.report.update(state="starting", steps_done=0, last_done=None, running=None, rows=None)
        self.report.log("rehearsal: %s" % name)
        told = apart(lambda: self.went(name, task, order), self.stopper)
        self.report.fields.update(told["fields"])
        self.report.size = told["size"]
        if told["result"] is not None:
            self.found["locks_unknown"] = told["locks_unknown"]
            self.found["phases"].append(told["result"])
        if told["problem"] is not None:
            raise self.failed(name, told["went"], Problem(**told["problem"]))
        return told

    def went(self, name, task, order):
        """In a process of its own: the phase, and all that the others need to know of it."""
        phase, problem = None, None
        try:
            application, config, revisions = loaded(task, self.url)
            phase = Phase(task, self.report, revisions, self.stopper, name, order)
            error = error_of(phase, config)
            application.leave(error)
            phase.release()
            settle(phase, error, self.url, self.stopper)
        except Problem as found:
            problem = found
        except Stopped as error:
            problem = problem_of_run(error, self.report, self.stopper)
        except BaseException as error:
            problem = Problem("RunnerFailed", "the runner itself failed: %s" % error_text(error), detail=error_trace(error))
        observed = phase is not None and phase.observer is not None
        back = "downgrade" if task["direction"] == "upgrade" else "upgrade"
        return {"fields": self.report.fields, "size": self.report.size, "problem": vars(problem) if problem else None, "went": bool(phase and phase.went),
                "result": phase.result() if observed else None, "locks_unknown": phase.observer.unknown if observed else None,
                "before": phase and phase.before, "after": phase and phase.after, "end": task["end"],
                "plan": [] if phase is None else [(step.revision.revision, no_way_back(step.revision, back, task["direction"])) for step in phase.plan]}

    def failed(self, name, went, problem):
        """The history is not what is rehearsed, and before the first step of the plan it is as for a run: other problems keep their name."""
        self.found["failed"] = {"phase": name, "revision": problem.revision}
        message = "%s: %s" % (name, problem.message)
        if self.stopper.stopped or not went:
            return Problem(problem.kind, message, problem.state, problem.revision, problem.detail, problem.changed)
        kind = "HistoryFailed" if name == "history" else "RehearsalFailed"
        return Problem(kind, message, revision=problem.revision, detail=problem.detail, changed=False)

    def way_back(self, plan):
        """The revisions to go back, the last one first, up to one that can't be."""
        order = []
        for revision, why in reversed(plan):
            if why:
                self.found["irreversible"].append({"revision": revision, "why": why})
                self.found["reversible"] = False
            elif self.found["reversible"]:
                order.append(revision)
        del self.found["irreversible"][STEPS_LIMIT:]
        return order

    def compare(self, expected, actual):
        """Tells what the last phase left otherwise than it should be."""
        differences = catalog_differences(expected, actual)
        self.found["phases"][-1].update(leaves=differences[:LEFTOVERS_LIMIT], differences=len(differences))


def no_way_back(script, back, forth):
    """Why a step can't be undone; a step that does nothing has nothing to undo."""
    tree = parsed(file_digest(script.path)[0]) if str(script.path).endswith(".py") else None
    kind = function_kind(tree, script.module, back)
    if kind == "empty" and function_kind(tree, script.module, forth) == "empty":
        return None
    return kind if kind != "present" else None
