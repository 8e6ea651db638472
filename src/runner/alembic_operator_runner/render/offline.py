"""What stands in for the connection while revisions run for their SQL. No I/O."""

import sys
from typing import Any


class Unread:
    """The result of a statement that was written down and not run: it may be thrown away, and not looked at."""

    def __init__(self, guard):
        self.guard = guard

    def close(self):
        pass

    def look(self, *_arguments):
        self.guard.refuse("the result of a statement")

    __getattr__ = __iter__ = __next__ = __len__ = __bool__ = __getitem__ = __enter__ = __exit__ = __contains__ = look


def stand_in(offline, guard):
    """What op.get_bind() gives: it has the dialect, writes statements down, and refuses what would need a database."""
    from sqlalchemy import inspection

    def refusing(name):
        return lambda *_arguments, **_options: guard.refuse("%s() of the connection" % name)

    base: Any = type(offline.connection)

    class Bind(base):
        __enter__ = __exit__ = refusing("with")
        connect, contextual_connect, begin, scalar, run_callable = (
            refusing(name) for name in ("connect", "contextual_connect", "begin", "scalar", "run_callable"))

        def exec_driver_sql(self, statement, parameters=None, *_arguments, **_options):
            if parameters:
                guard.refuse("exec_driver_sql() with parameters")
            offline.impl.static_output(statement.strip() + offline.impl.command_terminator)
            return Unread(guard)

        def __getattr__(self, name):
            asked_by_alembic = sys._getframe(1).f_globals.get("__name__", "").startswith("alembic.")  # whether this is a mock
            if name.startswith("_") or (name == "in_transaction" and asked_by_alembic):
                raise AttributeError(name)
            guard.refuse("%s of the connection" % name)

    def write_down(construct, *multiple, **parameters):
        for one in with_parameters(construct, multiple, parameters):
            offline.impl._exec(one)
        return Unread(guard)

    inspection._inspects(Bind)(lambda _bind: guard.refuse("inspect()"))
    return Bind(offline.dialect, write_down)


def with_parameters(construct, multiple, parameters):
    """The statement for each set of its parameters, which become part of it: offline mode itself would drop them."""
    from sqlalchemy import text

    sets = [parameters] if parameters else []
    for given in multiple:
        sets.extend(given if isinstance(given, (list, tuple)) else [given] if given else [])
    if not sets:
        return [construct]
    construct = text(construct) if isinstance(construct, str) else construct
    fill = getattr(construct, "bindparams", None) or (construct.values if getattr(construct, "is_dml", hasattr(construct, "values")) else construct.params)
    return [fill(**one) for one in sets]


def offline_dialect(dialect):
    """A copy of the initialised dialect (only the server knows whether it is MariaDB) that leaves percent signs as they are."""
    import copy
    from weakref import WeakKeyDictionary

    offline = copy.copy(dialect)
    offline.__dict__["_type_memos"] = WeakKeyDictionary()  # of processors made for the other one
    offline.paramstyle, offline.positional = "named", False
    offline.identifier_preparer = copy.copy(dialect.identifier_preparer)
    offline.identifier_preparer.dialect = offline
    offline.identifier_preparer._double_percents = False
    return offline
