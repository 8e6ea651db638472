"""What a function can be seen to do besides its SQL. No I/O."""

import re
from functools import lru_cache
from typing import Any, Dict, List

from .kinds import text_of

NEVER_CALLED_NAMES = [  # by the full names that imports give; whatever does this is not run for its SQL
    ("starts or ends a process", r"(subprocess|multiprocessing|pty)\.|os\.(system|popen|exec\w+|spawn\w+|posix_spawn\w*|fork\w*|kill\w*|abort|_exit)$"),
    ("uses the network", r"(socket|requests|httpx|aiohttp|urllib3|boto3|botocore|smtplib|ftplib|paramiko|redis|pymongo|kafka|pika|grpc|elasticsearch)\."
                         r"|urllib\.request\b|http\.client\b|google\.cloud\b|azure\."),
    ("changes files", r"(shutil|tempfile)\.|os\.(open|write|remove|unlink|rename|renames|replace|mkdir|makedirs|rmdir|removedirs|link|symlink|truncate|"
                      r"chmod|chown|chdir)$|.*\.(write_text|write_bytes|unlink|touch|rmdir|mkdir)$"),
    ("opens a connection of its own", r".*\.(create_engine|create_async_engine|create_pool|engine_from_config|async_engine_from_config)$"
                                      r"|(psycopg2?|asyncpg|sqlite3|aiosqlite|pymysql|MySQLdb|mysql|mariadb|pg8000|oracledb|pyodbc)\.(.*\.)?[cC]onnect$"),
    ("runs code beside Alembic", r"(asyncio|threading|concurrent|signal|atexit|ctypes|anyio|trio)\.|alembic\.command\.|.*\.run_async$"),
    ("runs code that isn't in the file", r"builtins\.(exec|eval|compile)$|runpy\."),
]
NEVER_CALLED = [(what, re.compile(names)) for what, names in NEVER_CALLED_NAMES]
READS = re.compile(r".*\.(Session|sessionmaker|scoped_session|AsyncSession|inspect|Inspector|reflect|has_table|has_index|get_table_names|get_columns|"
                   r"get_indexes|get_foreign_keys|get_unique_constraints|get_current_revision|get_current_heads|raw_connection|autoload|autoload_with)$")
BINDS = re.compile(r"(?!builtins\.bind$).*\.(get_bind|bind)$|.*get_context\(\)\.connection$")  # harmless as long as nothing is read through them
ONLINE_ONLY = re.compile(r".*\.(is_offline_mode|as_sql)$")
ANEW = re.compile(r"datetime\.(datetime\.|date\.)?(now|utcnow|today)$|.*\.(datetime|date)\.(now|utcnow|today)$|time\.time$|uuid\.uuid[14]$|"
                  r"os\.urandom$|(random|secrets)\.")
ENVIRONMENT = re.compile(r"os\.(environ|getenv)\b|os\.(uname|getuid|geteuid|getlogin)$|os\.path\.(exists|lexists|isfile|isdir)$|"
                         r".*\bPath\(\)(\..*)?\.(exists|is_file|is_dir)$|"
                         r"sys\.(modules|argv|flags|platform)\b|platform\.|getpass\.")
FILE_READS = re.compile(r"(builtins|io|codecs)\.open$|.*\.(read_text|read_bytes)$|.*\bPath\(\)(\..*)?\.open$")
WRITING_MODE = re.compile(r"(?=.*[wax+])[rwaxbtU+]{1,3}$")


class Names:
    """The full names that a file's functions mention, with their lines; helpers and variables of the same file are looked into."""

    def __init__(self, tree):
        import ast

        self.imports: Dict[str, str] = {}
        self.definitions: Dict[str, List[Any]] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                self.imports.update((item.asname or item.name.partition(".")[0], item.name if item.asname else item.name.partition(".")[0])
                                    for item in node.names)
            elif isinstance(node, ast.ImportFrom):
                self.imports.update((item.asname or item.name, "%s.%s" % (node.module or "", item.name)) for item in node.names)
        self.define(tree.body)

    def define(self, body):
        """Also what is defined under a module's `if` or `try`."""
        for node in body:
            names = [getattr(node, "name", None)] + [getattr(target, "id", None) for target in getattr(node, "targets", [getattr(node, "target", None)])]
            for name in filter(None, names):
                self.definitions.setdefault(name, []).append(node)
            if type(node).__name__ in ("If", "Try", "With"):
                for part in [node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])]:
                    self.define(part)
                for handler in getattr(node, "handlers", []):
                    self.define(handler.body)

    def mentioned(self, name):
        """(full name, as written, line, the call or None) of everything that the function `name` mentions, in the order of the lines."""
        import ast

        found, waiting, seen = [], [name], set()
        while waiting:
            name = waiting.pop()
            for definition in [] if name in seen else self.definitions.get(name, []):
                nodes = list(ast.walk(definition))
                calls = {id(node.func): node for node in nodes if isinstance(node, ast.Call)}
                inner = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
                for node in nodes:
                    if isinstance(node, ast.Name) and node.id != name:
                        waiting.append(node.id)
                    if isinstance(node, (ast.Name, ast.Attribute)) and id(node) not in inner:
                        call = calls.get(id(node))
                        found.append((self.full(node), self.written(node) + "()" * bool(call), node.lineno, call))
                    elif isinstance(node, ast.expr) and text_of(node) == "as_sql":
                        found.append((".as_sql", "'as_sql'", node.lineno, None))
                    elif isinstance(node, ast.Call):
                        found.extend((".%s" % word.arg, "%s=" % word.arg, node.lineno, None) for word in node.keywords
                                     if word.arg in ("autoload", "autoload_with"))
            seen.add(name)
        return sorted(found, key=lambda mention: mention[2])

    def full(self, node):
        return self.dotted(node, lambda name: self.imports.get(name) or ("?." if name in self.definitions else "builtins.") + name)

    def written(self, node):
        return self.dotted(node, str)

    def dotted(self, node, root):
        kind = type(node).__name__
        if kind == "Name":
            return root(node.id)
        if kind == "Attribute":
            return "%s.%s" % (self.dotted(node.value, root), node.attr)
        if kind == "Call":
            return self.dotted(node.func, root) + "()"
        return "?"


class Sight:
    """What a function can be seen to do that its SQL doesn't show: why it isn't called, and what its text lacks."""

    def __init__(self, names, function):
        self.prevents, self.lacks, self.binds = [], [], []
        for full, written, line, call in names.mentioned(function):
            self.look(full, "(%s, line %d)" % (written[-80:], line), call)

    def look(self, full, place, call):
        what, group = significance(full)
        if what == "reads a file" and call and writes(call):
            what, group = "changes files", "prevents"
        if what is None or (what == "has values that are made anew each time" and not call):
            return
        before = "not rendered, because it " if group == "prevents" else ""
        getattr(self, group).append("%s%s %s" % (before, what, place))


@lru_cache(maxsize=None)
def significance(full):
    """What a full name does, and whether that prevents a call, is lacked by the text, or is harmless in itself."""
    for what, pattern in NEVER_CALLED:
        if pattern.match(full):
            return what, "prevents"
    for what, pattern, group in (("reads a file", FILE_READS, "lacks"), ("reads the database", BINDS, "binds"), ("reads the database", READS, "lacks"),
                                 ("the part for online mode isn't shown", ONLINE_ONLY, "lacks"), ("has values that are made anew each time", ANEW, "lacks"),
                                 ("depends on where it runs", ENVIRONMENT, "lacks")):
        if pattern.match(full):
            return what, group
    return None, None


def writes(call):
    """Whether a call of open() names a mode for writing."""
    texts = [text_of(argument) for argument in call.args] + [text_of(word.value) for word in call.keywords if word.arg == "mode"]
    return any(WRITING_MODE.match(text) for text in texts)
