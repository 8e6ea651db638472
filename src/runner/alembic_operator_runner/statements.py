"""What has been executed so far. No I/O of its own."""

import re


class Statements:
    """Knows whether a step had changed anything before it failed: a statement that failed is not done, whatever the database."""

    READING = re.compile(r"\s*(SELECT|SHOW|SET|EXPLAIN|DESC|DESCRIBE|PRAGMA)\b", re.I)

    def __init__(self):
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        self.changed = False
        event.listen(Engine, "before_cursor_execute", self.begun)
        event.listen(Engine, "after_cursor_execute", self.ended)

    def begun(self, _connection, _cursor, statement, _parameters, _context, _many):
        # Of several in one string the first ones may be done when the last one fails.
        self.changed |= ";" in statement.strip().rstrip(";")

    def ended(self, _connection, _cursor, statement, _parameters, _context, _many):
        self.changed |= not self.READING.match(statement)
