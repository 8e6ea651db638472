"""What is done inside env.py in place of one of Alembic's commands. Talks to the user's database through env.py."""

from typing import Any, Dict

from .connect import driver_connection, is_autocommit
from .engines import engine_of
from .look_only import LOOK_ONLY
from .place import check_place
from .problems import Problem


class Work:
    """What is done inside env.py, in place of one of Alembic's commands; remembers the first error of its own."""

    options: Dict[str, Any] = {}
    finished = False  # all that was to be done inside env.py has been done
    checked = False  # of a run: nothing speaks against the first step
    environment = None
    arguments: Dict[str, Any] = {}  # that env.py hands to the revisions' functions
    config: Any = None
    is_of_run = True  # a run, or what prepares one

    def __init__(self, task, report, revisions):
        self.task = task
        self.report = report
        self.revisions = revisions
        self.script = revisions.script
        self.calls = 0
        self.entered = False
        self.error = None

    def enter(self, context):
        """Called once, before Alembic itself has read or written anything. env.py may hide what is raised here, so it is kept."""
        if self.entered:
            return
        self.entered = True
        try:
            self.calls += 1
            if self.calls > 1:  # after an error, which is kept, it is a retry of env.py's
                raise Problem("MultipleDatabases", "env.py runs the migrations more than once (several databases, or a retry); "
                              "use one DatabaseMigration for each database, selected by spec.alembic.x or spec.alembic.section")
            self.check_version_table(context)
            self.begin(context)
        except BaseException as error:
            self.error = self.error or error
            raise

    def check_version_table(self, context):
        wanted, wanted_schema = self.task.get("version_table"), self.task.get("version_table_schema")
        schemas = (None, context.version_table_schema or getattr(context.dialect, "default_schema_name", None))
        if (wanted is None or wanted == context.version_table) and (wanted_schema in schemas or wanted_schema == self.version_schema(context)):
            return
        names = [".".join(filter(None, pair)) for pair in
                 ((context.version_table_schema, context.version_table), (wanted_schema, wanted or context.version_table))]
        raise Problem("VersionTableMismatch", "env.py configures the version table %s, the object says %s; correct "
                      "spec.database.versionTable and versionTableSchema, or leave them out" % tuple(names))

    def version_schema(self, context):
        return engine_of(context.dialect).version_schema(context, self.task.get("url"))

    def check_connection(self, context):
        """Whether the connection leads to the object's database; where a run is meant, whether locks and limits hold on it."""
        if not self.task.get("scratch"):
            if self.is_of_run:
                engine_of(context.dialect).check_session(context)
            check_place(context, self.task)

    def run_env(self, config):
        """Runs the project's env.py with this work as Alembic's migration function."""
        from alembic.runtime.environment import EnvironmentContext

        self.config = config
        environment = EnvironmentContext(config, self.script, fn=self.migrations, as_sql=False, tag=None, **self.options)
        run_migrations = environment.run_migrations
        self.environment = environment

        def enter_first(**arguments):
            self.entered = False
            self.arguments = arguments
            self.enter(environment.get_context())
            try:
                return run_migrations(**arguments)
            except BaseException as error:
                self.error = self.error or error  # before env.py hides it, or tries again
                raise

        environment.run_migrations = enter_first
        with environment:
            self.script.run_env()

    def payload(self):
        """What is too long for the termination message, if there is anything."""

    def begin(self, context):
        """Before the first step, and before Alembic itself has read anything."""

    def steps(self, rows, context):
        """The steps for Alembic to run."""
        return []

    def migrations(self, rows, context):
        """Alembic's `fn`: entered already, unless env.py went round context.run_migrations()."""
        self.enter(context)
        self.entered = False
        return self.steps(rows, context)


def external_transaction(context):
    """A transaction that was open at configure(), which Alembic leaves to env.py."""
    return bool(context._in_external_transaction) and not is_autocommit(context.connection)


def ends_by_itself(context):
    """Whether it is seen at once that env.py commits it."""
    import sqlalchemy

    connection = context.connection
    if getattr(connection, "_trans_context_manager", None) is not None:
        return True  # `with engine.begin()` commits by itself
    # On SQLAlchemy 1 only an explicit begin() opens one, and who wrote it wrote the commit() too.
    return int(sqlalchemy.__version__.split(".")[0]) < 2 and not getattr(connection, "_is_future", False)


class Commits:
    """Whether somebody commits on the migration's connection from now on."""

    def __init__(self, context):
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        self.seen = False
        self.own = driver_connection(context.connection)
        event.listen(Engine, "commit", self.committing)

    def committing(self, connection):
        self.seen |= driver_connection(connection) is self.own


class Reading(Work):
    """Work that goes no step and writes nothing."""

    options = {"dont_mutate": True, "destination_rev": "heads"}

    def enter(self, context):
        LOOK_ONLY.within_own_work(lambda: super(Reading, self).enter(context))

    def migrations(self, rows, context):
        return LOOK_ONLY.within_own_work(lambda: super(Reading, self).migrations(rows, context))
