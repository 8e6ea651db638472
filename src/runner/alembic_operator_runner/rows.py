"""What the version table may hold; src/db/rows.rs says the same where the operator looks by itself. No I/O."""

from .problems import refused
from .texts import ROWS_LIMIT, clean

MOST = ROWS_LIMIT * 4  # more than any revision graph has heads; a Job's message has room for them
LONGEST = 512  # characters of a revision id


def check_version_rows(table, rows):
    """Refuses rows on which Alembic would fail half-way through a run, or which are none of its."""
    fault = fault_of(rows)
    if fault:
        raise refused("InvalidVersionRows", "the version table %s %s; correct it by hand, so that each revision stands there once" % (table.name, fault))


def fault_of(rows):
    if len(rows) > MOST:
        return "has more than %d rows, so it is none of Alembic's" % MOST
    seen = set()
    for row in rows:
        if row is None or not str(row).strip():
            return "has a row without a revision"
        if len(str(row)) > LONGEST:
            return "has a row of more than %d characters, so it is none of Alembic's" % LONGEST
        if row in seen:
            return "has the row %s more than once" % clean(str(row))[:64]
        seen.add(row)
    return None
