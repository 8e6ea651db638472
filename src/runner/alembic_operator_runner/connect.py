"""Connections beside the migration's, and statements on them. Talks to the user's database."""


def driver_connection(connection):
    """The driver's own, below SQLAlchemy's pool."""
    raw = connection.connection
    return getattr(raw, "dbapi_connection", None) or getattr(raw, "connection", None)


def execute(connection, statement, **parameters):
    from sqlalchemy import text

    return connection.execute(text(statement), parameters)


def unpooled(engine):
    """An engine that connects like `engine`, events and arguments included, but whose connections are really new and really closed."""
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import NullPool

    pool = engine.pool
    if isinstance(pool, NullPool):
        return engine
    private = NullPool(pool._creator, reset_on_return=pool._reset_on_return, dialect=pool._dialect, _dispatch=pool.dispatch)
    return Engine(private, engine.dialect, engine.url)


CONNECT_SECONDS = 10
CONNECT_OPTIONS = {"psycopg2": "connect_timeout", "psycopg": "connect_timeout", "pg8000": "timeout", "asyncpg": "timeout", "pymysql": "connect_timeout",
                   "mysqldb": "connect_timeout", "aiomysql": "connect_timeout", "asyncmy": "connect_timeout", "mysqlconnector": "connection_timeout"}


def connect_to(dialect, url):
    """A connection by the driver that env.py uses, to where another URL leads; nothing of env.py's engine is in it."""
    from sqlalchemy.engine import Engine
    from sqlalchemy.pool import NullPool

    arguments, options = dialect.create_connect_args(url)
    if dialect.driver in CONNECT_OPTIONS:
        options.setdefault(CONNECT_OPTIONS[dialect.driver], CONNECT_SECONDS)
    return Engine(NullPool(lambda *_: dialect.connect(*arguments, **options), dialect=dialect), dialect, url).connect()


def answers(connection, query, **parameters):
    """The rows of a query, or None where the server does not know it or this user may not ask."""
    try:
        result = execute(connection, query, **parameters)
        return result.fetchall() if result.returns_rows else []
    except Exception:
        return None


def is_autocommit(connection):
    """Whether the driver's connection ends each statement's transaction by itself, as far as it tells."""
    return getattr(driver_connection(connection), "autocommit", False) is True


def on_driver(connection, statement):
    """Runs a statement without parameters below SQLAlchemy, whose events and transactions then know nothing of it; its first value."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None
    finally:
        cursor.close()


def answers_on_driver(connection, statement):
    """The same after an error, when the connection may take nothing any more."""
    try:
        return on_driver(connection, statement)
    except Exception:
        return None
