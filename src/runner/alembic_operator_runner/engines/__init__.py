"""What each engine does in its own way: one file for each. No I/O."""

from ..lock import LeaseLock
from ..problems import refused
from .base import Engine
from .mysql import Mysql
from .postgresql import Postgresql
from .sqlite import Sqlite

ENGINES = {"postgresql": Postgresql(), "mysql": Mysql(), "mariadb": Mysql(), "sqlite": Sqlite()}


def engine_of(dialect):
    """The engine of a dialect, or what all engines have in common."""
    return ENGINES.get(dialect.name) or Engine()


def lock_of(dialect, task):
    """The class of the lock that a run takes: the engine's own, or none beside the Lease that the operator holds."""
    lock = LeaseLock if task.get("lock") == "lease" else engine_of(dialect).lock
    if lock is None:
        raise refused("UnsupportedDialect", "the engine %s has no lock that a run could take (those of %s have); set spec.database.lock: Lease, "
                      "and the operator holds a Lease of Kubernetes instead" % (dialect.name, ", ".join(ENGINES)))
    return lock
