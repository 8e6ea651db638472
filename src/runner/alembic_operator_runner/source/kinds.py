"""What the source of a revision file says without being run. No I/O."""

import io
import os
import re

from ..texts import scrubbed

LITERALS = {"Constant", "Str", "Num", "Bytes", "NameConstant", "Ellipsis"}  # all but the first only before Python 3.8
AUTOCOMMIT = re.compile(
    r"\bCONCURRENTLY\b|\bALTER\s+TYPE\b.*\bADD\s+VALUE\b|\bAUTOCOMMIT\b|;\s*COMMIT\b|^\s*COMMIT\s*(;|WORK\b|TRANSACTION\b|AND\b)", re.I | re.S)
COMMIT = re.compile(r"^\s*COMMIT\s*$", re.I)  # alone it is a statement only where statements are expected: columns have this name too
STATEMENT_CALLS = {"execute", "text", "exec_driver_sql", "DDL"}


def function_kind(tree, module, name):
    """present, missing, empty (nothing but pass, ... or a docstring) or raises (nothing but a raise); what the name is bound to counts."""
    if not hasattr(module, name):
        return "missing"
    functions = [node for node in tree.body if type(node).__name__ == "FunctionDef" and node.name == name] if tree else []
    if not functions or not is_plainly(getattr(module, name), functions[-1], module):
        return "present"  # imported, computed, decorated or replaced: only running it would tell
    kinds = [statement_kind(statement) for statement in functions[-1].body]
    kinds = [kind for kind in kinds if kind != "nothing"]
    if not kinds:
        return "empty"
    return "raises" if kinds[0] == "raise" else "present"


def is_plainly(function, definition, module):
    """Whether calling `function` runs the body of `definition`, and nothing else."""
    code = getattr(function, "__code__", None)
    if type(function).__name__ != "function" or code is None or definition.decorator_list or hasattr(function, "__wrapped__"):
        return False
    file = os.path.realpath(str(getattr(module, "__file__", "")))
    return code.co_name == definition.name and code.co_firstlineno == definition.lineno and os.path.realpath(code.co_filename) == file


def statement_kind(statement):
    kind = type(statement).__name__
    if kind == "Pass" or (kind == "Expr" and type(statement.value).__name__ in LITERALS):
        return "nothing"
    if kind == "Return" and (statement.value is None or type(statement.value).__name__ in LITERALS):
        return "nothing"
    return "raise" if kind == "Raise" else "something"


def mentions_autocommit(tree):
    import ast

    docstrings = {id(text) for text in docstring_nodes(tree)}
    for node in ast.walk(tree):
        if {getattr(node, "attr", None), getattr(node, "id", None)} & {"autocommit_block"}:
            return True
        if getattr(node, "arg", None) == "postgresql_concurrently" or (type(node).__name__ == "Call" and commits(node)):
            return True
        if id(node) not in docstrings and AUTOCOMMIT.search(text_of(node)):
            return True
    return False


def commits(call):
    name = getattr(call.func, "attr", None) or getattr(call.func, "id", None)
    # A Session's leaves the transaction of the connection that it was given open.
    session = "session" in str(getattr(getattr(call.func, "value", None), "id", "")).lower()
    return (name == "commit" and not session) or (name in STATEMENT_CALLS and any(COMMIT.search(text_of(argument)) for argument in call.args))


def docstring_nodes(tree):
    import ast

    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and type(body[0]).__name__ == "Expr":
            yield body[0].value


def text_of(node):
    """The text of a string literal; of an f-string with its holes filled by a placeholder."""
    kind = type(node).__name__
    if kind == "JoinedStr":
        return "".join(text_of(part) if type(part).__name__ in LITERALS else "?" for part in node.values)
    value = getattr(node, "value", None) if kind == "Constant" else getattr(node, "s", None) if kind == "Str" else None
    return value if isinstance(value, str) else ""


def parsed(content):
    import ast

    try:
        return ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None  # byte code of a sourceless project


def allowances(content):
    """The comments of a file that allow a hazard."""
    import tokenize

    found = []
    if b"op: allow " in content:
        try:
            for token in tokenize.tokenize(io.BytesIO(content).readline):
                if token.type == tokenize.COMMENT and "op: allow " in token.string:
                    found.append(scrubbed(token.string[1:].strip())[:300])
        except Exception:  # it reads bytes that Python itself would refuse, too
            pass
    return found[:20]
