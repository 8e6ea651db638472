"""What a person has to check in a revision that Alembic wrote by itself: what it drops, what fails where rows are, what no comparison sees. No I/O."""

import builtins
import dis
from types import CodeType
from typing import Any, Dict, List

from .models import dotted, shown, single
from .texts import clean

SEEN_BY_NOBODY = ("autogenerate compares tables, columns, indexes, foreign keys and unique constraints: rows, CHECK and EXCLUDE constraints, views, functions, "
                  "triggers, sequences, grants and the values of enums are written by hand")


def of_operations(context, scripts):
    notes = []
    for script in scripts:
        for upgrade, downgrade in zip(script.upgrade_ops_list, script.downgrade_ops_list):
            operations = list(single(upgrade))
            for operation in operations:
                notes += of_operation(context, operation)
            notes += renames(operations)
            notes += of_downgrade(context, operations, list(single(downgrade)))
    return [{"kind": kind, "text": clean(text)[:400]} for kind, text in notes]


def of_operation(context, operation):
    kind = type(operation).__name__
    table = dotted([getattr(operation, "schema", None), getattr(operation, "table_name", None)])
    if kind == "DropTableOp":
        return [("drops", "table %s, with its rows" % table)]
    if kind == "DropColumnOp":
        return [("drops", "column %s.%s, with what is in it" % (table, operation.column_name))]
    if kind == "DropIndexOp":
        return [("drops", "index %s" % (operation.index_name or "without a name"))]
    if kind == "DropConstraintOp":
        return [("drops", "constraint %s of %s" % (operation.constraint_name or "without a name", table))] + nameless(operation, table)
    if kind == "AddColumnOp":
        column = operation.column
        value = any(getattr(column, name, None) is not None for name in ("server_default", "computed", "identity"))
        return [] if column.nullable or value else [("fails", "column %s.%s is NOT NULL without a server default: adding it fails where the table has rows"
                                                     % (table, column.name))]
    if kind == "AlterColumnOp":
        return altered(context, operation, "%s.%s" % (table, operation.column_name))
    return nameless(operation, table) if hasattr(operation, "constraint_name") else []


def nameless(operation, table):
    if operation.constraint_name:
        return []
    return [("fails", "a constraint of %s has no name: it cannot be dropped again; name it in the models, or set a naming_convention" % table)]


def altered(context, operation, column):
    notes = []
    if operation.modify_nullable is False:
        notes.append(("fails", "column %s becomes NOT NULL: that fails where a row has no value" % column))
    if operation.modify_type is not None:
        change = "%s to %s" % tuple(" ".join(shown(value).split())[:60] for value in (operation.existing_type, operation.modify_type))
        notes.append(("check", "column %s changes its type, from %s: the table may be rewritten, and values may not fit" % (column, change)))
    if context.dialect.name == "sqlite" and not context.opts.get("render_as_batch"):
        notes.append(("fails", "SQLite cannot change column %s in place: set render_as_batch=True in env.py" % column))
    return notes


def renames(operations):
    """A name that goes while another of the same kind comes may be a rename, of which autogenerate knows nothing."""
    dropped: Dict[Any, List[str]] = {}
    added: Dict[Any, List[str]] = {}
    for operation in operations:
        kind, key = type(operation).__name__, (getattr(operation, "schema", None), getattr(operation, "table_name", None))
        if kind == "DropColumnOp":
            dropped.setdefault(key, []).append(operation.column_name)
        elif kind == "AddColumnOp":
            added.setdefault(key, []).append(operation.column.name)
    notes = [("check", "%s loses %s and gets %s: if that is a rename, write op.alter_column(…, new_column_name=…) instead, or the values are lost"
              % (dotted(key), names(dropped[key]), names(added[key]))) for key in sorted(set(dropped) & set(added), key=str)]
    gone, new = ([operation.table_name for operation in operations if type(operation).__name__ == kind] for kind in ("DropTableOp", "CreateTableOp"))
    if gone and new:
        notes.append(("check", "%s goes and %s comes: if that is a rename, write op.rename_table() instead, or the rows are lost" % (names(gone), names(new))))
    return notes


def names(parts):
    return ", ".join(str(part) for part in parts[:5]) + (" and %d more" % (len(parts) - 5) if len(parts) > 5 else "")


def of_downgrade(context, upgrade, downgrade):
    if upgrade and not downgrade:
        return [("downgrade", "there is none: the downgrade() does nothing, and rolling back would leave what this revision made")]
    notes = []
    back = [dotted([operation.schema, operation.table_name]) for operation in downgrade if type(operation).__name__ == "CreateTableOp"]
    if back:
        notes.append(("downgrade", "it makes %s again, empty" % names(back)))
    back = ["%s.%s" % (operation.table_name, operation.column.name) for operation in downgrade if type(operation).__name__ == "AddColumnOp"]
    if back:
        notes.append(("downgrade", "it adds %s again, without the values" % names(back)))
    kinds = sorted({str(column.type.name) for operation in upgrade for column in columns(operation) if has_own_type(context, column)})
    if kinds:
        notes.append(("downgrade", "it leaves the enum %s behind, and the next upgrade would fail on that: add op.execute(\"DROP TYPE …\")" % names(kinds)))
    return notes


def columns(operation):
    kind = type(operation).__name__
    if kind == "CreateTableOp":
        return [column for column in operation.columns if hasattr(column, "type")]
    return [operation.column] if kind == "AddColumnOp" else []


def has_own_type(context, column):
    return context.dialect.name == "postgresql" and bool(getattr(column.type, "enums", None)) and getattr(column.type, "native_enum", False) \
        and bool(getattr(column.type, "name", None))


def of_database(context):
    """What this comparison in particular did not look at."""
    notes = [("not seen", SEEN_BY_NOBODY)]
    skipped = [what for what, option in (("types of columns", "compare_type"), ("server defaults", "compare_server_default")) if not context.opts.get(option)]
    if skipped:
        options = " and ".join(option for option in ("compare_type", "compare_server_default") if not context.opts.get(option))
        notes.append(("not seen", "%s are not compared: env.py does not set %s" % (" and ".join(skipped), options)))
    return [{"kind": kind, "text": text} for kind, text in notes]


def of_text(text, name):
    """What is wrong with the file as Python."""
    try:
        code = compile(text, name, "exec")
    except SyntaxError as error:
        return [{"kind": "fails", "text": clean("the file is not Python: %s, line %s" % (error.msg, error.lineno))}]
    bound = set(code.co_names) | set(dir(builtins)) | {"__name__", "__file__"}
    unknown = sorted({name for function in functions(code) for name in loaded(function)} - bound)
    words = "the file uses %s and does not import it: add the import, also to script.py.mako"
    return [{"kind": "fails", "text": clean(words % name)[:300]} for name in unknown]


def functions(code):
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            yield from functions(constant)


def loaded(code):
    return {step.argval for step in dis.get_instructions(code) if step.opname == "LOAD_GLOBAL"}
