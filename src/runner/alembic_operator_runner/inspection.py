"""The inspection: the graph, the configuration and the SQL of each revision. Connects through env.py, and writes nothing."""

import sys
from typing import Any, Dict, List

from .engines import engine_of, lock_of
from .render.rendering import Function, render
from .revisions import as_tuple, file_digest, first_line, further_lines
from .source.kinds import allowances, function_kind, mentions_autocommit, parsed
from .source.reads import Reads
from .source.sight import Names
from .steps import newest_first
from .task import PROTOCOL
from .texts import clean
from .work import Commits, Reading, external_transaction


class Inspection(Reading):
    """Loads the graph, looks at the configuration and renders the SQL, inside env.py, without a step and without a write."""

    facts: Dict[str, Any] = {}
    functions: List[Any] = []

    def __init__(self, task, report, revisions, stopper):
        super().__init__(task, report, revisions)
        self.stopper = stopper
        self.entries = {}
        self.commits: Any = None
        self.reads = Reads()

    def begin(self, context):
        lock_of(context.dialect, self.task)
        self.revisions.load()
        self.check_connection(context)
        engine = engine_of(context.dialect)
        self.facts = {
            "dialect": context.dialect.name,
            "driver": context.dialect.driver,
            "version_table": context.version_table,
            "version_table_schema": self.version_schema(context),
            "place": engine.place(context),
            "transactional_ddl": engine.rolls_back(context),
            "transaction_per_migration": bool(context._transaction_per_migration),
            "external_transaction": external_transaction(context),
        }
        self.commits = Commits(context)
        self.report.update(transactional=self.facts["transactional_ddl"])
        self.functions = []
        for script in newest_first(self.revisions.loaded):
            self.entries[script.revision] = self.revision(script)
        render([function for _, _, function in self.functions], context, self.environment, self.arguments, self.stopper)
        for revision, name, function in self.functions:
            entry, script = self.entries[revision], dict(function.script)
            self.reads.add(function.path, script.pop("reads", ()))
            entry["reads"] = self.reads.of(function.path)
            entry["sql"][name] = script
        self.finished = True

    def payload(self):
        import alembic
        import sqlalchemy

        # What env.py does with the transaction that it opened is seen by now: it has ended.
        opened, commits = self.facts["external_transaction"], self.commits.seen
        return dict(
            self.facts,
            external_transaction=opened and not commits,
            env_commits=opened and commits,
            protocol=PROTOCOL,
            alembic=alembic.__version__,
            sqlalchemy=sqlalchemy.__version__,
            python="%d.%d.%d" % sys.version_info[:3],
            revisions=[self.entries[script.revision] for script in self.revisions.loaded],
            warnings=[clean(text)[:300] for text in self.revisions.warnings[:20]],
        )

    def revision(self, script):
        content, digest = file_digest(script.path)
        tree = parsed(content) if str(script.path).endswith(".py") else None
        upgrade, downgrade = (function_kind(tree, script.module, name) for name in ("upgrade", "downgrade"))
        names = Names(tree) if tree else None
        for name, kind in (("upgrade", upgrade), ("downgrade", downgrade)):
            self.functions.append((script.revision, name, Function(script.module, str(script.path), names, name, kind)))
        return {
            "id": script.revision,
            "down": list(script._versioned_down_revisions),
            "deps": list(as_tuple(script.dependencies)),
            "labels": list(as_tuple(script._orig_branch_labels)),
            "file": self.revisions.file_of(script),
            "sha256": digest,
            "message": first_line(script),
            "notes": further_lines(script),
            "upgrade": "present" if upgrade == "raises" else upgrade,
            "downgrade": downgrade,
            "autocommit": bool(tree) and mentions_autocommit(tree),
            "sql": {},
            "allows": allowances(content),
        }
