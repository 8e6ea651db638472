"""Whether the project's modules keep something of the database that they were imported for: a run of another one would find it. No I/O."""

import gc
import re
import sys
import types
from collections import deque
from typing import Set

MOST = 300000  # objects that are looked into
# Of these nothing is the project's.
OTHERS = {"alembic", "alembic_operator_runner", "sqlalchemy"}.union(getattr(sys, "stdlib_module_names", ()))
CLOSED = (types.ModuleType, types.FrameType, types.CodeType, types.BuiltinFunctionType, type(None), int, float, complex, bytes)
OF_TABLES = ("__table__", "__table_args__", "__tablename__")


def keeper(words, before):
    """The name of a module, imported since `before`, in which one of the words stands as a whole; None where none is found."""
    if not words:
        return None
    pattern = re.compile("|".join(r"(?<!\w)%s(?!\w)" % re.escape(word) for word in sorted(words)))
    modules = [(name, module) for name, module in sorted(sys.modules.items())
               if name not in before and type(module) is types.ModuleType and name.partition(".")[0] not in OTHERS]
    own = {name for name, _ in modules}
    seen: Set[int] = set()
    waiting = deque((name, value) for name, module in modules for value in named_values(vars(module)))
    while waiting and len(seen) < MOST:
        name, value = waiting.popleft()
        kind = type(value)  # isinstance() would ask a proxy what it stands for
        if issubclass(kind, str):
            if pattern.search(value):
                return name
        elif id(value) not in seen and not issubclass(kind, CLOSED):
            seen.add(id(value))
            waiting.extend((name, part) for part in parts_of(value, kind, own))
    return None


def named_values(names):
    """What the project has put there, without what Python has."""
    return [value for name, value in list(names.items()) if not (isinstance(name, str) and name.startswith("__")) or name in OF_TABLES]


def parts_of(value, kind, own):
    if issubclass(kind, type):
        names = type.__dict__["__dict__"].__get__(value)
        module = names.get("__module__")
        return named_values(names) if type(module) is str and module in own else []
    if issubclass(kind, types.FunctionType):
        return [value.__defaults__, value.__kwdefaults__, value.__closure__, value.__dict__]  # the rest is its module's
    return gc.get_referents(value)
