"""The tables compared with the models of the project. Reads the user's database."""

from .problems import refused
from .texts import clean, listed
from .work import Reading


class Comparison(Reading):
    """Compares the tables with the models, as `alembic check` does."""

    def begin(self, context):
        differences = [difference(entry) for entry in differences_of_models(context, "ModelsMissing", "there is nothing to compare the tables with")]
        count = {change: sum(kind == change for kind, _ in differences) for change in ("Missing", "Unexpected", "Modified")}
        objects = [{"change": kind, "object": clean(name)[:120]} for kind, name in differences[:10]]
        self.report.update(drift=dict({change.lower(): number for change, number in count.items()}, objects=objects))
        for kind, name in differences:
            self.report.log("%s: %s" % (kind, name))
        self.finished = True


def differences_of_models(context, kind, consequence):
    """What Alembic's own comparison of the tables with the models finds, on a connection of its own."""
    metadata = context.opts.get("target_metadata")
    if metadata is None:
        raise refused(kind, "env.py names no models (target_metadata), so " + consequence)
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with context.connection.engine.connect() as connection:
        opts = {key: value for key, value in context.opts.items() if key != "fn"}
        return compare_metadata(MigrationContext.configure(connection, opts=opts), metadata)


def check_models(context):
    """Whether the tables are what the models say."""
    differences = differences_of_models(context, "AdoptionRefused", "there is nothing to compare the tables with; set spec.adopt.verify: None "
                                        "if you know that they are right")
    if differences:
        raise refused("AdoptionRefused", "the tables are not what the models say: %s" % listed("%s %s" % difference(entry) for entry in differences))


CHANGES = {"add": "Missing", "remove": "Unexpected", "modify": "Modified"}
KINDS = {"fk": "foreign key", "table_comment": "comment of table", "nullable": "column", "type": "column", "default": "column", "comment": "column"}


def difference(entry):
    """One of compare_metadata's tuples, or a list of them for a column, as what is wrong and with which object."""
    details = entry if isinstance(entry, list) else [entry]
    kind, *rest = details[0]
    verb, _, what = kind.partition("_")
    if verb == "modify":
        changes = ", ".join(detail_text(*detail) for detail in details)
        return "Modified", "column %s (%s)" % (dotted(rest[:3]), changes)
    if what == "table_comment":
        return "Modified", "comment of table %s" % object_name(rest[0])
    name = dotted(rest[:2] + [rest[2].name]) if what == "column" else object_name(rest[0])
    return CHANGES.get(verb, "Modified"), "%s %s" % (KINDS.get(what, what.replace("_", " ")), name)


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
