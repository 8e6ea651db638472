"""Time limits of the migration's connection. Talks to the user's database."""

from .engines import engine_of


def limit_time(context, task):
    """Bounds the wait for each lock and the time of each statement on the migration's own connection, by SQL and so for every driver.

    A statement that waits for a table makes everybody wait who comes after it, readers too.
    """
    engine = engine_of(context.dialect)
    for what in ("lock", "statement"):
        limit = task.get(what + "_timeout")
        if limit:
            engine.limit(context.connection, what, limit["seconds"], limit["explicit"])
