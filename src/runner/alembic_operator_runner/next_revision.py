"""The next revision's file, as `alembic revision --autogenerate` and `alembic merge` make it: its text is reported, no file is written. Reads the database."""

import os
from typing import Any, List

from .by_hand import ByHand
from .errors import error_text
from .models import metadata_of, single
from .problems import Problem, refused
from .review import of_database, of_operations, of_text
from .secrets import SECRETS
from .texts import CONTROL_CHARACTERS, listed, valid_text
from .work import Reading

TEXT_LIMIT = 1000000  # characters of all files together
REVIEW_LIMIT = 60
SECRET_LENGTH = 12  # a shorter word may well be one of Python's
OPTIONS = ("message", "head", "branch_label", "version_path", "rev_id", "depends_on")


class Written(BaseException):
    """A file's text instead of the file. Not an Exception, so that nothing on the way catches it."""

    def __init__(self, path, text, variables):
        super().__init__(path)
        self.path, self.text, self.variables = path, text, variables


class Writing(Reading):
    """What both have in common: Alembic's own template, whose text is kept."""

    is_of_run = False

    def __init__(self, task, report, revisions):
        super().__init__(task, report, revisions)
        self.files: List[Any] = []
        self.review: List[Any] = []
        self.original = self.script.generate_revision
        self.script.generate_revision = self.generate
        self.script._generate_template = self.written
        self.script._ensure_directory = lambda _path: None  # the image may be read-only

    def written(self, template, path, **variables):
        from importlib import import_module

        if not os.path.isfile(str(template)):
            raise refused("RevisionRefused", "%s is not in the image, and a revision's file is made of it; is it left out of the image?" % template)
        text = import_module("mako.template").Template(filename=str(template)).render_unicode(**variables)  # Alembic brings it along
        raise Written(str(path), text, variables)

    def generate(self, revid, message, **options):
        """One file, which the next one may build on; the project's post_write_hooks are not run."""
        from types import SimpleNamespace

        from alembic.script import Script

        try:
            return self.original(revid, message, **options)
        except Written as made:
            variables = made.variables
            module: Any = SimpleNamespace(revision=revid, down_revision=variables.get("down_revision"), branch_labels=variables.get("branch_labels"),
                                          depends_on=variables.get("depends_on"), __doc__=message)
            script = Script(module, revid, made.path)
            self.script.revision_map.add_revision(script)
            self.keep(script, made)
            return script

    def keep(self, script, made):
        down = made.variables.get("down_revision")
        file = {"path": self.revisions.file_of(script), "revision": script.revision, "down": [down] if isinstance(down, str) else list(down or ()),
                "text": without_secrets(made.text)}
        self.files.append(file)
        self.review += of_text(made.text, os.path.basename(made.path))
        if sum(len(kept["text"]) for kept in self.files) > TEXT_LIMIT:
            raise refused("RevisionRefused", "the file would be longer than %d characters" % TEXT_LIMIT)

    def payload(self):
        try:
            self.write()
        except Problem:
            raise
        except Exception as error:  # Alembic's own words: several heads, an unknown one, a template that fails
            raise refused("RevisionRefused", error_text(error).partition(": ")[2] or error_text(error))
        if self.files and has_hooks(self.script):
            self.note("by hand", "run the project's post_write_hooks (a formatter, say) on the file: they were not run here")
        return {"files": self.files, "review": self.review[:REVIEW_LIMIT], "more": max(0, len(self.review) - REVIEW_LIMIT)}

    def note(self, kind, text):
        self.review.append({"kind": kind, "text": text})

    def write(self):
        """Makes the files."""


class NextRevision(Writing):
    """What the models have and the database has not; or what was changed by hand, to keep it or to roll it back."""

    made: Any = None
    context: Any = None

    def run_env(self, config):
        from alembic.autogenerate.api import RevisionContext

        command = dict({name: self.task.get(name) for name in OPTIONS}, autogenerate=True, sql=False, splice=bool(self.task.get("splice")))
        command["head"] = command["head"] or "head"
        self.made = RevisionContext(config, self.script, command)
        self.options = dict(self.options, template_args=self.made.template_args, revision_context=self.made)
        super().run_env(config)

    def begin(self, context):
        self.check_connection(context)
        metadata_of(context, "ModelsMissing", "there is nothing that the database could be compared with")
        self.revisions.load()
        heads = sorted(self.script.get_heads())
        if len(heads) > 1 and not self.task.get("head"):
            raise refused("RevisionRefused", "the image has %d heads, %s: merge them first, or name the one to build on with --head"
                          % (len(heads), listed(heads)))

    def steps(self, rows, context):
        self.check_rows(rows)
        self.context = context
        heads = tuple(script.revision for script in self.script.get_revisions("heads"))
        self.made.run_autogenerate(heads, context)
        by_hand = self.task.get("by_hand")
        if by_hand:
            chosen = ByHand(context, by_hand)
            for script in self.made.generated_revisions:
                chosen.choose(script)
            self.review += chosen.review()
        self.finished = True
        return []

    def check_rows(self, rows):
        """What pending revisions do would be in the file again."""
        below, waiting = set(), list(rows)
        known = {script.revision: script for script in self.revisions.loaded}
        unknown = sorted(row for row in rows if row not in known)
        if unknown:
            raise refused("RevisionRefused", "the database is at %s, which this image does not know" % listed(unknown))
        while waiting:
            revision = waiting.pop()
            if revision not in below and revision in known:
                below.add(revision)
                waiting += known[revision]._all_down_revisions
        pending = sorted(set(known) - below)
        if pending:
            raise refused("RevisionRefused", "the database is at %s, and %d of the image's revisions are not applied (%s): what they do would be in the "
                          "file again; wait until the object has reached its image's head" % (listed(rows), len(pending), listed(pending[:5])))

    def write(self):
        scripts = self.made.generated_revisions
        operations = [operation for script in scripts for group in script.upgrade_ops_list for operation in single(group)]
        if not operations:
            return
        self.review += of_operations(self.context, scripts)
        for _ in self.made.generate_scripts():
            pass
        self.review += of_database(self.context)


class Merge(Writing):
    """A revision that joins several heads; no connection is opened unless the project wants its env.py to run for each revision."""

    finished = True

    def run_env(self, config):
        self.config, self.arguments = config, {"config": config}
        asked = getattr(config, "get_alembic_option", config.get_main_option)("revision_environment")
        if str(asked or "").strip().lower() in ("true", "yes", "on", "y", "t", "1"):
            self.options = dict(self.options, template_args=self.arguments)
            super().run_env(config)
        self.calls = 1

    def write(self):
        from alembic.util import rev_id

        self.revisions.load()
        known = {script.revision: script for script in self.revisions.loaded}
        wanted = tuple(script.revision for script in self.script.get_revisions(tuple(self.task.get("revisions") or ()) or "heads"))
        if len(set(wanted)) < 2:
            raise refused("RevisionRefused", "there is nothing to merge: the image has one head, %s" % listed(wanted))
        message = self.task.get("message") or "merge %s" % " and ".join(sorted(wanted))
        self.script.generate_revision(self.task.get("rev_id") or rev_id(), message, refresh=True, head=wanted, **self.arguments)
        for revision in sorted(wanted):
            title = valid_text(str(known[revision].module.__doc__ or "").strip().partition("\n")[0])[:100]
            self.note("joins", "%s %s" % (revision, title))
        self.note("by hand", "a merge changes no table: see that what both branches do was tested together, in either order")


def has_hooks(script):
    hooks = getattr(script, "hooks", None) or getattr(script, "hook_config", None) or {}
    return bool(hooks.get("hooks") if isinstance(hooks, dict) else hooks)


def without_secrets(text):
    for word in sorted(SECRETS.spellings, key=len, reverse=True):
        if len(word) >= SECRET_LENGTH:
            text = text.replace(word, "***")
    return CONTROL_CHARACTERS.sub("", text).encode("utf-8", "replace").decode("utf-8")
