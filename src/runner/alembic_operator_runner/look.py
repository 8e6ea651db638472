"""The version rows and the schema, for a database that the operator itself can't reach. Reads the user's database."""

from .catalog import read_catalog
from .engines import engine_of
from .errors import error_text
from .problems import Problem
from .rows import MOST, check_version_rows
from .texts import beginning, json_size, shortened
from .work import Reading

ROWS_BYTES = 3000  # of all the rows in a report


class Look(Reading):
    """Reads the version rows as env.py connects, for a database that the operator itself can't reach."""

    finished = True
    is_of_run = False
    catalog = None

    def payload(self):
        return self.catalog

    def begin(self, context):
        import sqlalchemy

        self.check_connection(context)
        connection, table = context.connection, context._version
        inspector = sqlalchemy.inspect(connection)
        there = inspector.has_table(table.name, schema=table.schema) if hasattr(inspector, "has_table") else \
            connection.dialect.has_table(connection, table.name, schema=table.schema)
        found = [row.version_num for row in connection.execute(table.select()).fetchmany(MOST + 1)] if there else []
        check_version_rows(table, found)
        rows = sorted(str(row) for row in found)
        others = [] if rows else [name for name in sorted(inspector.get_table_names()) if name != table.name]
        version = getattr(connection.dialect, "server_version_info", None) or ()
        columns = inspector.get_columns(table.name, schema=table.schema) if there else []
        widths = [getattr(column["type"], "length", None) for column in columns if column["name"] == "version_num"]
        look = {"column": widths[0] if widths else None, "dialect": context.dialect.name, "version": ".".join(str(part) for part in version),
                "table": bool(there), "rows": rows, "tables": [shortened(name) for name in others[:6]]}
        if sum(json_size(row) + 3 for row in rows) > ROWS_BYTES:
            raise Problem("VersionTableMismatch", "the rows of the table %s are too long for the report of a Job; let the operator look by itself, with "
                          "spec.database.probe.mode: InProcess" % table.name)
        if self.task.get("catalog"):
            look.update(self.read_schema(context, rows))
        self.report.update(look=look)

    def read_schema(self, context, rows):
        """Once more where it fails: PostgreSQL does on an object that goes just then. Returns what is wrong, if it still is."""
        error = None
        for _ in range(2):
            try:
                with engine_of(context.dialect).beside(context) as another:
                    self.catalog = dict(read_catalog(context, self.task["catalog"], another), rows=rows)
                return {}
            except Exception as failed:
                error = failed
        return {"catalog_error": beginning(error_text(error)[:300], 600)}
