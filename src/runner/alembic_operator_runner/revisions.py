"""The revision files as this image's Alembic loads them. Reads the project's files."""

import os
import re
from hashlib import sha256
from typing import Any, Dict

from .errors import error_text, error_trace, frames_of
from .problems import Problem
from .rights import hint_of_rights
from .texts import clean, valid_text


class Revisions:
    """The revision files as this image's Alembic loads them: in its order, with its warnings, its errors named."""

    def __init__(self, script):
        self.script = script
        self.root = os.path.realpath(str(script.dir))  # env.py may change the working directory
        self.start = os.path.realpath(os.getcwd())
        self.loaded = []
        self.warnings = []
        self.generate = script.revision_map._generator
        script.revision_map._generator = self._generate

    def load(self):
        """Must be called where Alembic itself would load them: inside env.py, which may have prepared imports or locations."""
        import warnings

        with warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("always", category=UserWarning, module=r"alembic\.")
            try:
                _ = self.script.revision_map._revision_map
                error = None
            except Exception as caught_error:
                error = caught_error
        self._sort_warnings(caught, warnings)
        self._refuse_duplicates()
        if error is not None:
            raise self.problem(error)

    def _generate(self):
        self.loaded = []
        if not any(os.path.isdir(str(location)) for location in self.script._version_locations):
            return  # no folder is no revision, in every release
        for script in self.generate():
            self.loaded.append(script)
            yield script

    def _sort_warnings(self, caught, warnings):
        import alembic

        own = os.path.dirname(alembic.__file__) + os.sep
        for warning in caught:
            if warning.category is UserWarning and warning.filename.startswith(own):
                self.warnings.append(str(warning.message))
            else:
                self._show(warnings, warning)

    def _show(self, warnings, warning):
        try:
            warnings.showwarning(warning.message, warning.category, warning.filename, warning.lineno)
        except Exception:
            pass  # env.py may have closed the standard error

    def _refuse_duplicates(self):
        seen: Dict[str, Any] = {}
        for script in self.loaded:
            if script.revision in seen:
                files = self.file_of(seen[script.revision]), self.file_of(script)
                raise Problem("DuplicateRevision", "revision %s is in two files: %s and %s" % ((script.revision,) + files),
                              revision=script.revision)
            seen[script.revision] = script

    def problem(self, error):
        from alembic.script.revision import RevisionError

        if isinstance(error, RevisionError):
            return Problem("RevisionGraphInvalid", error_text(error).partition(": ")[2] or error_text(error))
        file = loading_file(error)
        if file is not None:
            rights = hint_of_rights(str(error.filename)) if isinstance(error, PermissionError) and error.filename else ""
            return Problem("RevisionFileFailed", "the revision file %s cannot be loaded: %s%s" % (file, error_text(error), rights),
                           detail=error_trace(error))
        if isinstance(error, KeyError):
            return Problem("RevisionGraphInvalid", self._missing(error.args[0]))
        return Problem("RevisionGraphInvalid", error_text(error), detail=error_trace(error))

    def _missing(self, key):
        for script in self.loaded:
            for name, values in (("down_revision", script._versioned_down_revisions), ("depends_on", as_tuple(script.dependencies))):
                if key in values:
                    return "revision %s names %r in its %s, and no revision file has it" % (script.revision, key, name)
        return "a revision names %r, and no revision file has it" % (key,)

    def file_of(self, script):
        """Relative to the script directory or else to the working directory."""
        path = os.path.realpath(str(script.path))
        for folder in (self.root, self.start):
            if path.startswith(folder + os.sep):
                return valid_text(os.path.relpath(path, folder))
        return valid_text(path)


def loading_file(error):
    """The name of the revision file that Alembic was loading when `error` was raised."""
    for frame in frames_of(error):
        if frame.f_code.co_name in ("_from_path", "_from_filename") and "filename" in frame.f_locals:
            return os.path.basename(str(frame.f_locals["filename"]))
    return None


def as_tuple(value):
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def first_line(script):
    lines = str(script.module.__doc__ or "").strip().splitlines()
    return valid_text(lines[0].strip())[:120] if lines else ""


GENERATED = re.compile(r"^(Revision ID|Revises|Create Date)\s*:")


def further_lines(script):
    """What the author wrote below the first line of the docstring, without what Alembic's template puts there."""
    lines = str(script.module.__doc__ or "").strip().splitlines()[1:]
    kept = [line.strip() for line in lines if not GENERATED.match(line.strip())]
    return clean("\n".join(kept).strip())[:500]


def file_digest(path):
    with open(str(path), "rb") as file:
        content = file.read()
    return content, sha256(content).hexdigest()
