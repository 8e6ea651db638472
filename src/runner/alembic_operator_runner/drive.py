"""From start to end."""

import os

from .batch import Batch
from .blame import problem_of_run
from .errors import error_text, error_trace
from .frames import emit_frames, flush_standard_streams
from .inspection import Inspection
from .look import Look
from .look_only import LOOK_ONLY
from .models import Comparison
from .next_revision import Merge, NextRevision
from .outcome import error_of, settle
from .problems import EXIT_CODES, Problem, Stopped, unusable_task
from .project import import_alembic, loaded
from .rehearse import Rehearsal
from .report import Report
from .run import Replay, Run
from .scratch import await_server
from .secrets import hide_environment
from .stopping import Stopper
from .task import RUNNING, prepare_process, read_task
from .url import know_old_name, set_url


def drive(task, report, stopper, output):
    report.update(action=task["action"])
    url = set_url(task, os.environ)
    prepare_process(task, os.environ)
    hide_environment(os.environ)
    hide_environment(dict(argument.partition("=")[::2] for argument in task.get("x") or []))
    import_alembic()
    know_old_name()
    task["url"] = url
    if task.get("scratch"):
        await_server(url)
    if task["action"] == "batch":
        payload = Batch(task, report, lambda one, its: guarded(its, Stopper(), lambda stopper: drive(one, its, stopper, output))).perform()
        report.update(state="done", **emit_frames(output, report.fields["nonce"], payload))
        return
    if task["action"] == "rehearse":
        Rehearsal(task, report, stopper, url).perform(output)
        report.update(state="done")
        return
    if task["action"] not in RUNNING and not task.get("writes_at_start"):
        LOOK_ONLY.install()
    application, config, revisions = loaded(task, url)
    stoppable = task["action"] in RUNNING or task["action"] == "inspect"
    kinds = {"inspect": Inspection, "probe": Look, "compare": Comparison, "revision": NextRevision, "merge": Merge, "run": Run, "replay": Replay}
    work = kinds[task["action"]](*[task, report, revisions] + [stopper] * stoppable)
    error = error_of(work, config)
    application.leave(error)
    stopper.ignore()
    settle(work, error, url, stopper)
    flush_standard_streams()
    payload = work.payload()
    frames = {} if payload is None else emit_frames(output, report.fields["nonce"], payload)
    report.update(state="done", **frames)


def main():
    output = os.dup(1)
    report = Report(os.environ.pop("ALEMBIC_OPERATOR_TERMINATION_LOG", "/dev/termination-log"))
    report.label = os.environ.pop("ALEMBIC_OPERATOR_LABEL", None)
    return guarded(report, Stopper(), lambda stopper: drive(read_task(os.environ), report, stopper, output))


def guarded(report, stopper, work):
    """Whatever comes of the work is in the report; returns the exit code."""
    try:
        report.write()
        stopper.install()
        work(stopper)
    except Problem as problem:
        report.fail(problem)
        return 2 if problem.kind == "TaskUnusable" else EXIT_CODES[problem.state]
    except OSError as error:
        report.fail(unusable_task("the termination message cannot be written: %s" % error))
        return 2
    except Stopped as error:
        verdict = problem_of_run(error, report, stopper)
        report.fail(verdict)
        return EXIT_CODES[verdict.state]
    except BaseException as error:
        report.fail(Problem("RunnerFailed", "the runner itself failed: %s" % error_text(error), detail=error_trace(error)))
        return 1
    return 0
