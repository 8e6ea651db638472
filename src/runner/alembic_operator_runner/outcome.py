"""How env.py ended, and what is wrong with the work that was done inside it. Reads the rows back."""

from .blame import problem_before_steps, problem_of_run
from .errors import chain
from .look_only import is_refusal
from .problems import Problem
from .run import Run


def error_of(work, config):
    """The error that ended env.py, or the one that env.py hid; an exit with success after all the work is none."""
    try:
        work.run_env(config)
    except SystemExit as error:
        return work.error or (None if work.finished and not error.code else error)
    except BaseException as error:
        # What env.py writes after a look is none of it.
        return work.error or (None if work.finished and any(is_refusal(link) for link in chain(error)) else error)
    return work.error


def settle(work, error, url, stopper):
    """env.py has ended: raises what is wrong with the work, if anything is."""
    running = isinstance(work, Run)
    changed = not work.checked or work.statements.changed
    if running:
        work.read_back()
    if error is not None:
        if isinstance(error, Problem):
            raise error
        if stopper.stopped or work.checked:
            problem = problem_of_run(error, work.report, stopper, changed)
            raise with_damage(problem, work) if running else problem
        raise problem_before_steps(error, url, work.revisions)
    if not work.calls:
        raise Problem("EnvPyDidNotRun", "env.py ended without calling context.run_migrations()")
    if running:
        work.conclude()


def with_damage(problem, work):
    """The problem of a run, with what it left behind."""
    if work.damage:
        problem.message += "; left behind: %s" % "; ".join(work.damage[:5])
        problem.changed = True
    if work.statements is not None and problem.revision and not work.finished:
        problem.committed = work.statements.committed
    return problem
