"""Every object of the schema by the operator's own queries. Reads the user's database."""

from .engines import engine_of
from .texts import shortened


def read_catalog(context, queries, connection):
    """Every object of the schema by the operator's own queries, and the server that spelled their definitions."""
    engine = engine_of(context.dialect)
    objects = engine.read_objects(context, queries, connection)
    spelling = "%s %s" % (engine.server(context.dialect), engine.version(context.dialect))
    return {"engine": spelling.strip(), "objects": objects}


def catalog_differences(expected, actual):
    """The objects that differ, as for drift."""
    expected, actual = ({(kind, name): definition for kind, name, definition in objects} for objects in (expected, actual))
    changed = {key: "Missing" if key not in actual else "Unexpected" if key not in expected else "Modified"
               for key in set(expected) | set(actual) if expected.get(key) != actual.get(key)}
    return [{"change": change, "object": shortened("%s %s" % key)} for key, change in sorted(changed.items())]
