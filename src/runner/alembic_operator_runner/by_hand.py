"""What of a comparison with the models was changed by hand: it is kept, or rolled back. No I/O."""

from .models import difference, single
from .texts import clean

# Where a statement can be told to do nothing if it is done already.
ALWAYS = ("postgresql", "mariadb", "mysql", "sqlite")
MOST = ("postgresql", "mariadb")
GUARDS = {
    "CreateTableOp": ("if_not_exists", ALWAYS),
    "DropTableOp": ("if_exists", ALWAYS),
    "CreateIndexOp": ("if_not_exists", ("postgresql", "mariadb", "sqlite")),
    "DropIndexOp": ("if_exists", ("postgresql", "mariadb", "sqlite")),
    "AddColumnOp": ("if_not_exists", MOST),
    "DropColumnOp": ("if_exists", MOST),
    "DropConstraintOp": ("if_exists", MOST),
}


class ByHand:
    """Chooses the operations that undo what was changed by hand (`keep` false), or those that would do it again (`keep` true)."""

    def __init__(self, context, task):
        self.keep = bool(task.get("keep"))
        self.schema = getattr(context.dialect, "default_schema_name", None)
        self.engine = "mariadb" if getattr(context.dialect, "is_mariadb", False) else context.dialect.name
        objects = [str(name) for name in task.get("objects") or []]
        self.objects = {plain(name.partition(" ")[2] or name): name for name in objects}
        self.found, self.left, self.unguarded = set(), [], []

    def choose(self, script):
        for upgrade, downgrade in zip(script.upgrade_ops_list, script.downgrade_ops_list):
            self.cut(upgrade)
            upgrade.reverse_into(downgrade)
            if self.keep:
                upgrade.ops, downgrade.ops = downgrade.ops, upgrade.ops
            for operation in single(upgrade):
                self.guard(operation)

    def cut(self, container):
        kept = []
        for operation in container.ops:
            if hasattr(operation, "ops"):
                self.cut(operation)
                kept += [operation] if operation.ops else []
            elif self.is_meant(operation):
                kept.append(operation)
            else:
                self.left.append(told(operation))
        container.ops = kept

    def is_meant(self, operation):
        """Whether one of the changed objects is what the operation is about; all are, where the comparison with the models is what found them."""
        if not self.objects:
            return True
        names = {plain(name) for name in self.names(operation)}
        meant = names & set(self.objects)
        if not names:  # a constraint without a name
            table = plain(self.dotted(operation.schema, operation.table_name))
            meant = {name for name in self.objects if name.startswith(table + ".")}
        self.found |= meant
        return bool(meant)

    def names(self, operation):
        """What the catalog may call the object of an operation, with and without its schema and table."""
        schema, table = getattr(operation, "schema", None), getattr(operation, "table_name", None)
        kind = type(operation).__name__
        if kind == "AddColumnOp":
            last = operation.column.name
        elif kind in ("DropColumnOp", "AlterColumnOp"):
            last = operation.column_name
        elif kind in ("CreateIndexOp", "DropIndexOp"):
            last = operation.index_name
        elif hasattr(operation, "constraint_name") and kind not in ("CreateTableOp", "DropTableOp"):
            last = operation.constraint_name
        else:
            return {self.dotted(schema, table), str(table)}
        if not last:
            return set()
        names = {self.dotted(schema, "%s.%s" % (table, last)), "%s.%s" % (table, last)}
        return names | ({self.dotted(schema, last), str(last)} if "Index" in kind else set())

    def dotted(self, schema, name):
        schema = schema or self.schema
        return "%s.%s" % (schema, name) if schema else str(name)

    def guard(self, operation):
        """The file also runs where nobody changed anything by hand, and where somebody did."""
        name, engines = GUARDS.get(type(operation).__name__, (None, ()))
        if name and hasattr(operation, name) and self.engine in engines:
            setattr(operation, name, True)
        elif type(operation).__name__ != "AlterColumnOp":
            self.unguarded.append(told(operation))

    def review(self):
        notes = []
        if self.keep:
            notes.append(("by hand", "change the models as well: as they are, the next comparison asks to roll this back"))
        for name in self.unguarded:
            where = "the database that was changed by hand has it already" if self.keep else "a database that nobody changed by hand never had it"
            notes.append(("fails", "%s: the step fails where it is done already (%s); write a condition around it" % (name, where)))
        missing = sorted(name for plain_name, name in self.objects.items() if plain_name not in self.found and not self.covered(plain_name))
        for name in missing:
            notes.append(("not seen", "%s was changed by hand and is not in the file: the models say nothing else, or autogenerate does not compare it; "
                          "write op.execute() for it" % name))
        for name in self.left:
            notes.append(("left out", "%s differs from the models, but not by a change by hand: `kubectl dbmigration revision` writes that" % name))
        return [{"kind": kind, "text": clean(text)[:400]} for kind, text in notes]

    def covered(self, name):
        """Whether it goes with its table."""
        return any(name.startswith(found + ".") for found in self.found)


def plain(name):
    return str(name).replace('"', "").replace("`", "").lower()


def told(operation):
    kind, name = difference(operation)
    verb = {"Missing": "add", "Unexpected": "drop", "Modified": "change"}[kind]
    return "%s %s" % (verb, name)
