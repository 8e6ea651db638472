"""The tables compared with the models of the project. Reads the user's database."""

from .engines import ENGINES
from .errors import error_text, error_trace
from .problems import Problem, refused
from .texts import listed, shortened
from .work import Reading


class Comparison(Reading):
    """Compares the tables with the models, as `alembic check` does."""

    is_of_run = False

    def begin(self, context):
        self.check_connection(context)
        metadata_of(context, "ModelsMissing", "there is nothing to compare the tables with")

    def steps(self, rows, context):
        differences = differences_of_models(context, self)
        count = {change: sum(kind == change for kind, _ in differences) for change in ("Missing", "Unexpected", "Modified")}
        objects = [{"change": kind, "object": shortened(name)} for kind, name in differences[:10]]
        self.report.update(drift=dict({change.lower(): number for change, number in count.items()}, objects=objects))
        for kind, name in differences:
            self.report.log("%s: %s" % (kind, name))
        self.finished = True
        return []


def metadata_of(context, kind, consequence):
    if context.opts.get("target_metadata") is None:
        raise refused(kind, "env.py names no models (target_metadata), so " + consequence)


def differences_of_models(context, work):
    """What `alembic check` finds: the same calls, env.py's process_revision_directives and the operations of extensions included."""
    from alembic.autogenerate.api import RevisionContext

    work.revisions.load()  # files of revisions may be what imports the models
    command = {"autogenerate": True, "sql": False, "head": "head", "splice": False}
    command.update(dict.fromkeys(("message", "branch_label", "version_path", "rev_id", "depends_on")))
    autogenerate = RevisionContext(work.config, work.script, command)
    heads = tuple(script.revision for script in work.script.get_revisions("heads"))
    try:
        autogenerate.run_autogenerate(heads, context)  # which of itself would not compare an adopted database that is below the heads
    except Exception as error:
        raise not_compared(error, context.dialect.name)
    scripts = autogenerate.generated_revisions[-1:]  # env.py may have taken it away
    return [difference(operation) for script in scripts for operations in script.upgrade_ops_list for operation in single(operations)]


def not_compared(error, dialect):
    """Why there is no comparison: the dialect of a rarer engine may not read what a table is made of."""
    if dialect in ENGINES:
        return Problem("EnvPyFailed", "the tables cannot be compared with the models, as `alembic check` would: %s" % error_text(error),
                       detail=error_trace(error))
    return refused("UnsupportedDialect", "the dialect %s does not read tables as a comparison with models needs it: %s; set spec.drift.mode: Disabled, and "
                   "spec.adopt.verify: None where a database is adopted" % (dialect, error_text(error)), error_trace(error))


def single(operations):
    for operation in operations.ops:
        if hasattr(operation, "ops"):
            yield from single(operation)
        else:
            yield operation


def check_models(context, work):
    """Whether the tables are what the models say."""
    metadata_of(context, "AdoptionRefused", "there is nothing to compare the tables with; set spec.adopt.verify: None if you know that they are right")
    differences = differences_of_models(context, work)
    if differences:
        raise refused("AdoptionRefused", "the tables are not what the models say: %s" % listed("%s %s" % entry for entry in differences))


CHANGES = {"add": "Missing", "create": "Missing", "remove": "Unexpected", "drop": "Unexpected", "modify": "Modified"}
KINDS = {"fk": "foreign key", "table_comment": "comment of table", "nullable": "column", "type": "column", "default": "column", "comment": "column"}
KNOWN = {"table", "column", "index", "constraint", "fk", "table_comment"}


def difference(operation):
    """One operation of Alembic's comparison, as what is wrong and with which object."""
    entry = operation.to_diff_tuple()
    details = entry if isinstance(entry, list) else [entry]
    kind, *rest = details[0]
    verb, _, what = kind.partition("_")
    if verb == "modify":
        changes = ", ".join(detail_text(*detail) for detail in details)
        return "Modified", "column %s (%s)" % (dotted(rest[:3]), changes)
    if what not in KNOWN or verb not in ("add", "remove"):
        return CHANGES.get(verb, "Modified"), own_name(operation, what, rest)
    if what == "table_comment":
        return "Modified", "comment of table %s" % object_name(rest[0])
    name = dotted(rest[:2] + [rest[2].name]) if what == "column" else object_name(rest[0])
    return CHANGES.get(verb, "Modified"), "%s %s" % (KINDS.get(what, what.replace("_", " ")), name)


def own_name(operation, what, details):
    """The name of what an extension of Alembic's knows: its kind, and what the operation calls its object."""
    target = getattr(operation, "target", None)
    kind = str(getattr(target, "type_", "") or what.replace("_values", "")).replace("_", " ") or "statement"
    named = (getattr(operation, name, None) for name in ("enum_name", "name", "table_name"))
    name = next((name for name in named if isinstance(name, str)), None)
    if name is None:
        text = next((detail for detail in details if isinstance(detail, str)), "") if what else ""  # but not the SQL of one
        name = text.partition(": ")[2] or text or type(operation).__name__
        return "%s %s" % (kind, name)
    schema = next((getattr(operation, key) for key in ("schema", "enum_schema") if isinstance(getattr(operation, key, None), str)), None)
    return "%s %s" % (kind, dotted([schema, name]))


def detail_text(kind, *rest):
    what = kind.partition("_")[2]
    old, new = (" ".join(shown(value).split())[:60] for value in rest[4:6])
    return "%s is %s, should be %s" % (what, old, new) if what in ("nullable", "type") else what


def shown(value):
    try:
        return str(value)
    except Exception:  # a type that only its dialect can spell
        return type(value).__name__


def object_name(thing):
    """`table`, or `table.name` for what belongs to one; a constraint without a name is told by its columns."""
    table = getattr(thing, "table", None)
    if table is None:
        return dotted([getattr(thing, "schema", None), getattr(thing, "name", None)])
    columns = ", ".join(str(getattr(column, "name", column)) for column in getattr(thing, "columns", []))
    return dotted([table.schema, table.name, str(thing.name) if thing.name else "(%s)" % columns])


def dotted(parts):
    return ".".join(str(part) for part in parts if part)
