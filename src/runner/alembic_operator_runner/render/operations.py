"""What Alembic's operations know beside their SQL, as comments in it: what a column was, whose an index is, and what SQLite's batch mode does. No I/O.

The linter reads these comments: they resolve a doubt, and never take anything away from what the SQL says.
"""

SAYS = "-- Alembic says: "
DOES = "-- Alembic does: "


class Operations:
    """In the child: hears of every operation before it writes its SQL."""

    def __init__(self, offline):
        self.offline = offline
        self.copied = []  # tables that batch mode would copy
        self.listen()

    def listen(self):
        from alembic.operations import Operations as Invoked
        from alembic.operations.batch import BatchOperationsImpl

        owner = next(each for each in Invoked.__mro__ if "invoke" in vars(each))
        invoke, flush = owner.invoke, BatchOperationsImpl.flush

        def noting(operations, operation):
            self.write(SAYS, self.said(operation))
            if isinstance(operations.impl, BatchOperationsImpl):
                vars(operations.impl).setdefault("noted", []).append(operation)
            return invoke(operations, operation)

        def flushing(batch):
            if self.offline.dialect.name != "sqlite" or batch.copy_from is not None or not batch._should_recreate():
                return flush(batch)
            try:
                table, changes = self.table(batch.table_name, batch.schema), self.changes(vars(batch).get("noted", []))
            except Exception:
                return flush(batch)  # which says that it can't
            self.write(DOES, ["ALTER TABLE %s %s" % (table, ", ".join(changes) or "FORCE")])
            self.copied.append(batch.table_name)
            return None

        owner.invoke, BatchOperationsImpl.flush = noting, flushing

    def write(self, title, lines):
        for line in lines:
            self.offline.impl.static_output(title + " ".join(line.split()))

    def quoted(self, name):
        return self.offline.dialect.identifier_preparer.quote(str(name))

    def table(self, name, schema):
        return (self.quoted(schema) + "." if schema else "") + self.quoted(name)

    def type(self, given):
        from sqlalchemy.types import to_instance

        return self.offline.dialect.type_compiler.process(to_instance(given))

    def said(self, operation):
        """What it says of the database as it is before."""
        from alembic.operations import ops

        try:
            if isinstance(operation, ops.AlterColumnOp):
                nullable = {True: " NULL", False: " NOT NULL"}.get(operation.existing_nullable, "")
                given = self.known_type(operation.existing_type)
                if given or nullable:
                    return ["column %s.%s%s%s" % (self.table(operation.table_name, operation.schema), self.quoted(operation.column_name), given, nullable)]
            if isinstance(operation, ops.DropIndexOp) and operation.table_name and operation.index_name:
                return ["index %s of %s" % (self.table(operation.index_name, operation.schema), self.table(operation.table_name, operation.schema))]
        except Exception:
            pass  # it is worth something without
        return []

    def known_type(self, given):
        from sqlalchemy.types import NullType

        try:
            return "" if given is None or isinstance(given, NullType) else " " + self.type(given)
        except Exception:
            return ""  # a type without the length that the dialect needs

    def changes(self, operations):
        """What a copy of the table changes, as actions of ALTER TABLE."""
        return [change for operation in operations for change in self.actions(operation)]

    def actions(self, operation):
        from alembic.operations import ops

        if isinstance(operation, ops.AddColumnOp):
            return ["ADD COLUMN " + self.definition(operation.column)]
        if isinstance(operation, ops.DropColumnOp):
            return ["DROP COLUMN " + self.quoted(operation.column_name)]
        if isinstance(operation, ops.AlterColumnOp):
            return self.altered(operation)
        if isinstance(operation, ops.DropConstraintOp):
            return ["DROP CONSTRAINT " + self.quoted(operation.constraint_name)]
        if isinstance(operation, ops.DropIndexOp):
            return ["DROP CONSTRAINT " + self.quoted(operation.index_name)]
        if isinstance(operation, ops.CreateIndexOp):
            return ["ADD UNIQUE (%s)" % self.columns(operation.columns)] if operation.unique else []
        if isinstance(operation, ops.CreateUniqueConstraintOp):
            return [self.named(operation) + "UNIQUE (%s)" % self.columns(operation.columns)]
        if isinstance(operation, ops.CreatePrimaryKeyOp):
            return [self.named(operation) + "PRIMARY KEY (%s)" % self.columns(operation.columns)]
        if isinstance(operation, ops.CreateForeignKeyOp):
            return [self.named(operation) + "FOREIGN KEY (%s) REFERENCES %s (%s)" % (
                self.columns(operation.local_cols), self.quoted(operation.referent_table), self.columns(operation.remote_cols))]
        if isinstance(operation, ops.CreateCheckConstraintOp):
            return [self.named(operation) + "CHECK (%s)" % operation.condition]
        raise TypeError("%s is not known" % type(operation).__name__)

    def named(self, operation):
        return "ADD CONSTRAINT %s " % self.quoted(operation.constraint_name) if operation.constraint_name else "ADD "

    def columns(self, names):
        return ", ".join(self.quoted(name) if isinstance(name, str) else str(name) for name in names)

    def altered(self, operation):
        column = "ALTER COLUMN %s " % self.quoted(operation.column_name)
        changes = []
        if operation.modify_type is not None:
            changes.append(column + "TYPE " + self.type(operation.modify_type))
        if operation.modify_nullable is not None:
            changes.append(column + ("DROP NOT NULL" if operation.modify_nullable else "SET NOT NULL"))
        if operation.modify_server_default is not False:
            changes.append(column + ("DROP DEFAULT" if operation.modify_server_default is None else "SET DEFAULT 0"))
        if operation.modify_name is not None:
            changes.append("RENAME COLUMN %s TO %s" % (self.quoted(operation.column_name), self.quoted(operation.modify_name)))
        return changes

    def definition(self, column):
        words = [self.quoted(column.name), self.type(column.type)]
        if column.server_default is not None:
            words.append("DEFAULT 0")
        if column.primary_key:
            words.append("PRIMARY KEY")
        elif not column.nullable:
            words.append("NOT NULL")
        if column.unique:
            words.append("UNIQUE")
        return " ".join(words)
