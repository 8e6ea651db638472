"""The run: takes the lock, checks the plan, and hands Alembic its steps. Changes the user's database."""

from typing import Any, Dict, List

from .catalog import read_catalog
from .engines import engine_of, lock_of
from .errors import error_text, error_trace
from .limits import limit_time
from .models import check_models
from .problems import Problem, refused
from .project import cli_target
from .revisions import first_line
from .rows import check_version_rows
from .scratch import check_scratch
from .statements import Statements
from .steps import computed_steps, steps_digest
from .task import application_name
from .texts import listed
from .work import Work, ends_by_itself, external_transaction

EXTERNAL = "env.py ran a statement before context.configure(); it opened a transaction that nobody commits"


class Run(Work):
    """Takes the lock, makes sure that the plan is still the one that was approved, and only then hands Alembic its steps."""

    def __init__(self, task, report, revisions, stopper):
        super().__init__(task, report, revisions)
        self.options = {"destination_rev": cli_target(task["targets"])}
        self.stopper = stopper
        self.lock: Any = None
        self.plan: List[Any] = []
        self.statements: Any = None
        self.damage: List[str] = []
        self.external = False  # whether env.py had a transaction open

    def begin(self, context):
        engine, lock = engine_of(context.dialect), lock_of(context.dialect, self.task)
        self.report.update(transactional=engine.rolls_back(context))
        self.check_transaction(context)
        self.revisions.load()
        self.check_connection(context)
        self.stopper.watch(context.connection)
        self.lock = lock(context, application_name(self.task))
        if self.task.get("scratch"):
            check_scratch(self.lock, self.task)
        engine.check_writable(self.lock.connection)
        self.exclude_others()
        self.report.update(state="starting")
        rows = self.lock.rows()
        check_version_rows(context._version, rows)
        self.check_rows(rows)
        self.plan = self.checked_plan(rows)
        if self.task.get("verify_models"):
            check_models(context, self)
        limit_time(context, self.task)
        self.statements = Statements(context, self.lock, self.report)
        self.checked = True

    def exclude_others(self):
        self.lock.acquire(self.task.get("lock_wait_seconds", 30), self.report)

    def check_transaction(self, context):
        """Where everything is rolled back, nothing is lost by a transaction that nobody commits, and the rows tell. Elsewhere the inspection
        must have seen that env.py commits it."""
        self.external = external_transaction(context)
        if self.external and not (self.report.fields["transactional"] or ends_by_itself(context) or self.task.get("env_commits")):
            raise refused("ExternalTransaction", EXTERNAL + ", so the version rows would be lost, and this database does not roll back the rest; commit "
                          "it first (connection.commit()), or let env.py use `with engine.begin() as connection`")

    def check_rows(self, rows):
        if set(rows) != set(self.task["from"]):
            self.report.update(rows=sorted(rows))
            raise refused("RowsChanged", "the database is at %s, the plan starts from %s; somebody else migrated it"
                          % (listed(rows), listed(self.task["from"])))

    def checked_plan(self, rows):
        if self.task["direction"] == "stamp":
            return self.restamped(rows) if rows else self.script._stamp_revs(tuple(self.task["targets"]), rows)
        try:
            plan = computed_steps(
                self.script, self.task["direction"], self.task["targets"], rows, self.task.get("branch")
            )
            digest = steps_digest([step.revision for step in plan], self.task.get("reads") or {})
        except Exception as error:
            raise refused("StepsChanged", "the steps of the plan cannot be computed in this image: %s" % error_text(error), error_trace(error))
        if len(plan) != self.task["steps"]:
            raise refused("StepsChanged", "the plan has %d steps, this image's revision files give %d: %s"
                          % (self.task["steps"], len(plan), listed(step.revision.revision for step in plan)))
        if digest != self.task["steps_digest"]:
            raise refused("StepsChanged", "the revision files of the %d steps, or files that they read, are not those that were planned (another "
                          "image under the same tag, or an edited file)" % len(plan))
        return plan

    def restamped(self, rows):
        """Rows that are in no revision file any more: Alembic's own stamp would look for their files."""
        from alembic.runtime.migration import StampStep

        known, end = self.script.revision_map, self.task["end"]
        gone = [StampStep((row,), (), False, True, known) for row in rows if row not in end]
        return gone + [StampStep((), (row,), True, True, known) for row in end if row not in rows]

    def steps(self, rows, context):
        """A generator: Alembic runs each step when it is yielded, and comes back when the step and its version row are through."""
        self.check_rows(rows)
        for number, step in enumerate(self.plan, 1):
            script = getattr(step, "revision", None)  # a stamp's step has none
            revision = script.revision if script else listed(step.to_revisions or step.from_revisions)
            self.report.log("%s step %d/%d %s %s" % (self.task["direction"], number, len(self.plan), revision, first_line(script) if script else ""))
            self.report.update(state="running", running=revision, started=True)
            self.statements.changed = False
            step.migration_fn = self.statements.within(step.migration_fn)
            yield step
            self.statements.step_done(context.connection)
            self.report.update(steps_done=number, last_done=revision, running=None)
        self.lock.last_look()
        self.all_done(context)
        self.finished = True

    def all_done(self, context):
        """Called when all steps ran, on the migration's own connection."""

    def conclude(self):
        """env.py has returned without an error; only the rows say whether that means anything."""
        running, rows = self.report.fields["running"], self.report.fields["rows"]
        if running is not None:
            raise Problem("MigrationFailed", "the step failed, and env.py hid its error", revision=running)
        if rows is None:
            raise Problem("ConnectFailed", "all %d steps ran, but the version rows cannot be read back" % len(self.plan))
        if set(rows) != set(self.task["end"]):
            why = EXTERNAL + ": commit it first (connection.commit()), or let env.py use `with engine.begin() as connection`" if self.external \
                else "was the transaction committed?"
            raise Problem("RolledBack", "env.py ended without an error, but the database is at %s instead of %s; %s"
                          % (listed(rows), listed(self.task["end"]), why))
        if self.damage:
            raise Problem("PartiallyApplied", "all %d steps ran, but %s; drop it, or rebuild it with REINDEX INDEX CONCURRENTLY"
                          % (len(self.plan), "; ".join(self.damage[:5])))

    def read_back(self):
        if not self.report.fields["started"] and not self.finished:
            return
        try:
            self.report.update(rows=sorted(self.lock.rows_afterwards()))
        except Exception as error:
            self.report.log("the version rows cannot be read back: %s" % error_text(error))
        if self.statements.kept:
            self.look_for_damage()

    def look_for_damage(self):
        """Some statements leave something broken behind when they are ended, and say nothing when they find it there."""
        engine = self.statements.engine
        try:
            self.damage = self.lock.afterwards(lambda connection: engine.damage(connection, self.statements.kept))
        except Exception as error:
            self.report.log("invalid indexes cannot be looked for: %s" % error_text(error))


class Replay(Run):
    """Runs the whole history on a scratch database beside this container, and reads the schema that it makes."""

    catalog: Dict[str, Any] = {}

    def all_done(self, context):
        self.catalog = read_catalog(context, self.task["catalog"], context.connection)

    def payload(self):
        return dict(self.catalog, rows=self.report.fields["rows"])
