"""What each engine does in its own way: one file for each. No I/O."""

from ..problems import refused
from .base import Engine
from .mysql import Mysql
from .postgresql import Postgresql
from .sqlite import Sqlite

ENGINES = {"postgresql": Postgresql(), "mysql": Mysql(), "mariadb": Mysql(), "sqlite": Sqlite()}


def engine_of(dialect):
    """The engine of a dialect, or what all engines have in common."""
    return ENGINES.get(dialect.name) or Engine()


def engine_with_lock(dialect):
    engine = engine_of(dialect)
    if engine.lock is None:
        raise refused("UnsupportedDialect", "there is no lock for the dialect %s; supported: %s" % (dialect.name, ", ".join(ENGINES)))
    return engine
