"""Drives Alembic inside the user's image: inspects a project, or runs a migration planned by the operator.

Its only network traffic is to the user's database, opened by the project's own env.py (and once more, the same way, for a lock).
Python 3.7 or newer, the standard library and the image's own Alembic (1.6 or newer). Everything is read from the environment;
the outcome is the termination message (class Report) and, for an inspection, frames in the log (emit_frames).
It shares its process with code it does not know (env.py, revision files), so it keeps its own file descriptors and absolute paths,
records its verdicts before it raises them, and trusts rows read back from the database rather than the absence of an exception.
"""

import io
import json
import os
import re
import signal
import sys
import time
from functools import lru_cache
from hashlib import sha256
from urllib.parse import quote, quote_plus, unquote

PROTOCOL = 1
MINIMUM_ALEMBIC = (1, 6)
MESSAGE_LIMIT = 4000  # bytes; the kubelet keeps 4096
ROWS_LIMIT = 20
SCRATCH_PATIENCE = 180  # seconds until a scratch database must have started
TEXT_LIMIT = 8000  # characters of any text on its way into the message
RAW_TEXT_LIMIT = 64000  # characters looked at before scrubbing
FRAME_CHUNK = 3000  # with its marker a frame is shorter than PIPE_BUF, so a write is never torn
POLL_SECONDS = 0.2
WAITING_AFTER_SECONDS = 1.0
APPLICATION_NAME = "alembic-operator"
APPLICATION_NAME_LIMIT = 63  # characters that PostgreSQL keeps
EXIT_CODES = {"refused": 3, "failed": 1}
RUNNING = ("run", "replay", "rehearse")  # the actions that go steps


# ---------------------------------------------------------------- problems


class Problem(BaseException):
    """A verdict of this program. Not an Exception, so that a retry loop or a broad except in env.py does not swallow it."""

    def __init__(self, kind, message, state="failed", revision=None, detail="", changed=True, holder=None):
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.state = state
        self.revision = revision
        self.detail = detail
        self.changed = changed
        self.holder = holder


class Stopped(KeyboardInterrupt):
    """SIGTERM arrived; drivers and context managers treat it like Ctrl-C and roll back."""


def refused(kind, message, detail="", holder=None):
    return Problem(kind, message, state="refused", detail=detail, holder=holder)


def unusable_task(message):
    return Problem("TaskUnusable", message)


# ---------------------------------------------------------------- secrets and texts


class Secrets:
    """Every spelling of the password and the URL that an error message or a traceback may contain."""

    GENERIC = [
        # The scheme is bounded: without a bound, a long word without blanks takes time by the square of its length.
        (re.compile(r"([A-Za-z][A-Za-z0-9+.\-]{0,40}://)[^\s\"'<>]*@"), r"\1***@"),
        (re.compile(r"((?:PG|MYSQL_|DB_)?PASS(?:WORD|WD)?|MYSQL_PWD)(\s*=\s*|\s+)('[^']*'|\"[^\"]*\")", re.I), r"\1\2***"),
        (re.compile(r"((?:PG|MYSQL_|DB_)?PASS(?:WORD|WD)|MYSQL_PWD)(\s*=\s*)[^\s'\"]+", re.I), r"\1\2***"),
    ]

    def __init__(self):
        self.spellings = set()
        self.exact = None

    def add_url(self, url):
        self.spellings.update([url, url.replace("%", "%%"), repr(url)[1:-1]])
        self.exact = None
        authority = re.split(r"[?#]", url.partition("://")[2])[0]
        self.add_password(authority.rpartition("@")[0].partition(":")[2])
        for value in re.findall(r"[?&](?:\w*password|passwd)=([^&#]*)", url):
            self.add_password(value)

    def add_password(self, written):
        """`written` may be percent-encoded (in a URL) or plain; both readings are hidden."""
        for plain in {written, unquote(written), unquote(written.replace("+", " "))}:
            self._add_spellings(plain)
        # A password that is not encoded although it should be is torn apart by URL parsers, and the pieces end up in messages.
        if re.search(r"[@/]", written):
            self.spellings.update(piece for piece in re.split(r"[@:/]", written) if len(piece) > 2)

    def _add_spellings(self, plain):
        encoded = [quote(plain, safe=""), quote(plain), quote(plain, safe=" +"), quote_plus(plain)]
        lower = [re.sub(r"%[0-9A-F]{2}", lambda match: match.group().lower(), text) for text in encoded]
        doubled = [text.replace("%", "%%") for text in [plain, *encoded]]
        escaped = [repr(plain)[1:-1], ascii(plain)[1:-1], json.dumps(plain)[1:-1], repr(plain.encode("utf-8", "replace"))[2:-1]]
        quoted = [plain.replace("'", "''"), plain.replace("'", "\\'").replace("\\\\", "\\")]
        self.spellings.update([plain, *encoded, *lower, *doubled, *escaped, *quoted])
        self.exact = None

    def scrub(self, text):
        for pattern in self._patterns():
            text = pattern.sub("***", text)
        for pattern, replacement in self.GENERIC:
            text = pattern.sub(replacement, text)
        return text

    def _patterns(self):
        if self.exact is None:
            self.spellings.discard("")
            # A one-letter password would blank out every word that contains the letter: short ones only count as whole words.
            words = sorted(self.spellings, key=len, reverse=True)
            long = [re.escape(word) for word in words if len(word) > 3]
            short = [r"(?<!\w)%s(?!\w)" % re.escape(word) for word in words if len(word) <= 3]
            self.exact = [re.compile("|".join(group)) for group in (long, short) if group]
        return self.exact


SECRETS = Secrets()
CONTROL_CHARACTERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def valid_text(text):
    """`text` without control characters, and without the lone surrogates that JSON parsers refuse."""
    return CONTROL_CHARACTERS.sub("", str(text)).encode("utf-8", "replace").decode("utf-8")


def scrubbed(text):
    # Twice: removing a control character may complete a secret's spelling.
    return SECRETS.scrub(valid_text(SECRETS.scrub(text)))


def clean(text, keep_end=False):
    """What may leave this process: bounded, without secrets."""
    text = text[-RAW_TEXT_LIMIT:] if keep_end else text[:RAW_TEXT_LIMIT]
    text = scrubbed(text)
    return text[-TEXT_LIMIT:] if keep_end else text[:TEXT_LIMIT]


def error_text(error):
    """The error's own words. For a database error the driver's, without SQLAlchemy's copy of the statement's parameters."""
    error = getattr(error, "orig", None) or error
    try:
        text = str(error)
    except Exception:
        text = ""
    return "%s: %s" % (type(error).__name__, text) if text else type(error).__name__


def error_trace(error):
    """Where in the project it happened, last call last, and the error's own words; the libraries' inner calls are left out."""
    import traceback

    files = [getattr(sys.modules.get(name), "__file__", None) for name in ("sqlalchemy", "alembic", "importlib")]
    libraries = tuple(os.path.dirname(file) + os.sep for file in files if file) + (__file__, "<")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__, limit=-100) if not frame.filename.startswith(libraries)]
    lines = ["%s, line %s, in %s: %s" % (frame.filename, frame.lineno, frame.name, frame.line) for frame in frames[-30:]]
    # The words are scrubbed before they are cut: half a secret is not recognised.
    return "\n".join([*lines, clean(error_text(error))[:500]])


def listed(ids):
    """A short text for a set of revision ids; no ids is the base."""
    ids = sorted(str(item) for item in ids)
    more = ", and %d more" % (len(ids) - ROWS_LIMIT) if len(ids) > ROWS_LIMIT else ""
    return "{%s%s}" % (", ".join(ids[:ROWS_LIMIT]), more) if ids else "base"


# ---------------------------------------------------------------- the termination message


class Report:
    """The termination message: always on disk, always valid JSON, never longer than MESSAGE_LIMIT bytes."""

    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.size = 0
        self.stderr = os.dup(2)
        self.fields = {
            "protocol": PROTOCOL,
            "action": None,
            "nonce": os.urandom(16).hex(),
            "state": "starting",
            "error": None,
            "steps_done": 0,
            "last_done": None,
            "running": None,
            "started": False,
            "transactional": None,
            "rows": None,
            "look": None,
            "drift": None,
        }

    def update(self, **changes):
        self.fields.update(changes)
        try:
            self.write()
        except OSError as error:  # a full disk must not abort a migration half-way
            self.log("cannot write the termination message: %s" % error)

    def write(self):
        """Padded with blanks to cover the former message, then cut: whoever reads at any moment, or after a kill, finds valid JSON."""
        data = fitted(self.fields)
        target = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            os.write(target, data.ljust(self.size))
            if os.path.isfile(self.path):
                os.ftruncate(target, len(data))
        finally:
            os.close(target)
        self.size = len(data)

    def fail(self, problem):
        error = {
            "class": problem.kind,
            "message": clean(problem.message),
            "revision": problem.revision,
            "changed": problem.changed,
            "holder": problem.holder,
            "detail": clean(problem.detail, keep_end=True),
        }
        self.update(state=problem.state, error=error)
        self.log("%s: %s: %s" % (problem.state, problem.kind, problem.message))
        if problem.detail:
            self.log(problem.detail, keep_end=True)

    def log(self, text, keep_end=False):
        """One write to the original standard error, which env.py cannot close or redirect."""
        try:
            os.write(self.stderr, ("alembic-operator: %s\n" % clean(text, keep_end)).encode("utf-8"))
        except OSError:
            pass


def encoded(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def fitted(fields):
    """The message within its limit: the traceback gives way first, then the rows, then the message's end, then the ids."""
    fields = dict(fields)
    error = fields["error"] = dict(fields["error"]) if fields["error"] else None
    if fields["rows"] is not None and len(fields["rows"]) > ROWS_LIMIT:
        fields["rows"] = None
    if len(encoded(fields)) <= MESSAGE_LIMIT:
        return encoded(fields)
    if error:
        detail, error["detail"] = error["detail"], ""
        error["message"] = beginning(error["message"], 1600)
        error["detail"] = last_lines(detail, MESSAGE_LIMIT - len(encoded(fields)))
    if len(encoded(fields)) > MESSAGE_LIMIT:
        fields["rows"] = None
    if len(encoded(fields)) > MESSAGE_LIMIT:
        for holder, key in ((fields, "running"), (fields, "last_done"), (error or {}, "revision")):
            holder[key] = holder.get(key) and beginning(holder[key], 400)
    return encoded(fields)


def json_size(text):
    return len(encoded(text)) - 2


def beginning(text, room):
    """The longest beginning of `text` that takes at most `room` bytes in JSON."""
    if json_size(text) <= room:
        return text
    used = 0
    for position, character in enumerate(text):
        used += json_size(character)
        if used > room - 3:
            return text[:position] + "..."
    return text


def last_lines(text, room):
    """As many of the last lines of `text` as take at most `room` bytes in JSON."""
    kept = []
    for line in reversed(text.split("\n")):
        room -= json_size(line) + 2
        if room < 0:
            break
        kept.append(line)
    return "\n".join(reversed(kept))


# ---------------------------------------------------------------- the task and the environment


def read_task(environ):
    try:
        task = json.loads(environ.pop("ALEMBIC_OPERATOR_TASK"))
    except KeyError:
        raise unusable_task("ALEMBIC_OPERATOR_TASK is not set; this program is started by the operator")
    except ValueError as error:
        raise unusable_task("ALEMBIC_OPERATOR_TASK is not JSON: %s" % error)
    if not isinstance(task, dict) or task.get("protocol") != PROTOCOL:
        raise unusable_task("this runner speaks protocol %d; the operator and its runner are of different versions" % PROTOCOL)
    if task.get("action") not in ("inspect", "probe", "compare", "run", "replay", "rehearse"):
        raise unusable_task("unknown action %r" % task.get("action"))
    wanted = {"from": list, "targets": list, "end": list, "steps": int, "steps_digest": str}
    if task["action"] in RUNNING:
        wrong = [name for name, kind in wanted.items() if not isinstance(task.get(name), kind)]
        if wrong or task.get("direction") not in ("upgrade", "downgrade", "stamp"):
            raise unusable_task("the task lacks or mistypes: %s" % ", ".join(wrong or ["direction"]))
    if task["action"] == "rehearse":
        check_rehearsal(task)
    return task


def set_url(task, environ):
    """Puts the database URL into every variable that carries it, and returns it (None when the task names no variable)."""
    names = task.get("url_env") or []
    connection = task.get("connection")
    if connection:
        url = built_url(connection, environ)
    elif names:
        if not environ.get(names[0]):
            raise unusable_task("the variable %s, which carries the database URL, is not set" % names[0])
        url = environ[names[0]].strip()
    else:
        return None
    SECRETS.add_url(url)
    url = with_driver(url, task.get("driver"))
    SECRETS.add_url(url)
    for name in names:
        environ[name] = url
    return url


def built_url(connection, environ):
    user = environ.pop(connection.get("username_env") or "", None)
    password = environ.pop(connection.get("password_env") or "", None)
    if password:
        SECRETS.add_password(password)
    name = connection.get("name") or ""
    if connection["dialect"].startswith("sqlite"):
        return "%s:///%s" % (connection["dialect"], name)
    login = quote(user, safe="") if user else ""
    login += ":" + quote(password, safe="") if password else ""
    host = connection.get("host") or ""
    host = "[%s]" % host if ":" in host else host
    port = ":%d" % connection["port"] if connection.get("port") else ""
    return "%s://%s%s%s/%s" % (connection["dialect"], login + "@" if login else "", host, port, name)


def with_driver(url, driver):
    scheme, separator, rest = url.partition("://")
    # SQLAlchemy dropped the name `postgres` in 1.4, many Secrets still carry it.
    scheme = {"postgres": "postgresql"}.get(scheme, scheme)
    if driver and "+" not in scheme:
        scheme += "+" + driver
    return scheme + separator + rest


def application_name(task):
    """How PostgreSQL's list of sessions calls this program: with the object that it works for."""
    return ("%s %s" % (APPLICATION_NAME, task["object"]) if task.get("object") else APPLICATION_NAME)[:APPLICATION_NAME_LIMIT]


def prepare_process(task, environ):
    """What the `alembic` command would have: no folder of this program on the path. And a name for the database's list of sessions."""
    here = os.path.dirname(os.path.realpath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.realpath(entry or ".") != here]
    environ.setdefault("PGAPPNAME", application_name(task))
    for name in ("PGPASSWORD", "MYSQL_PWD"):
        if environ.get(name):
            SECRETS.add_password(environ[name])


# ---------------------------------------------------------------- stopping


def driver_connection(connection):
    """The driver's own, below SQLAlchemy's pool."""
    raw = connection.connection
    return getattr(raw, "dbapi_connection", None) or getattr(raw, "connection", None)


class Stopper:
    """Turns SIGTERM into an exception in the main thread, also while a driver's C code waits for the database."""

    def __init__(self):
        self.stopped = False
        self.cancel = None

    def install(self):
        signal.signal(signal.SIGTERM, self.stop)

    def stop(self, _signal, _frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the rollback is not to be interrupted again
        self.stopped = True
        raise Stopped("stopped by SIGTERM")

    def ignore(self):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def watch(self, connection):
        """libpq and SQLite return to Python only at a statement's end; cancelling it from another thread makes them return at once."""
        raw = driver_connection(connection)
        self.cancel = getattr(raw, "cancel", None) or getattr(raw, "interrupt", None)
        if self.cancel is None or getattr(connection.dialect, "is_async", False):
            return
        import threading

        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        try:
            signal.set_wakeup_fd(writer)
        except ValueError:  # env.py runs the migration in another thread
            return
        threading.Thread(target=self._cancel_at_signal, args=(reader,), daemon=True).start()

    def _cancel_at_signal(self, reader):
        while True:
            if signal.SIGTERM in os.read(reader, 64):
                try:
                    self.cancel()
                except Exception:
                    pass  # the connection may just have ended
                return


# ---------------------------------------------------------------- Alembic and its configuration


def import_alembic():
    try:
        import alembic

        version = alembic.__version__
    except ImportError as error:
        raise Problem("AlembicMissing", "Alembic cannot be imported in this image: %s; install it, or set spec.alembic.command "
                      "to the interpreter that has it (this one is %s)" % (error_text(error), sys.executable))
    except AttributeError:
        raise Problem("AlembicMissing", "`import alembic` finds %s, which is not Alembic; is Alembic installed for %s?"
                      % (list(getattr(alembic, "__path__", ["?"]))[:1], sys.executable))
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < MINIMUM_ALEMBIC:
        raise Problem("AlembicTooOld", "this image has Alembic %s; the operator needs %d.%d or newer" % ((version,) + MINIMUM_ALEMBIC))
    try:
        import alembic.config  # noqa: F401
    except ImportError as error:
        raise Problem("AlembicMissing", "Alembic %s cannot be imported: %s" % (version, error_text(error)))
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.append(os.getcwd())  # as under `python -m alembic`, but last: nothing installed is shadowed
    return alembic


def alembic_arguments(task):
    """The command line that a person would have typed: env.py may look at it."""
    arguments = ["--name=%s" % (task.get("section") or "alembic")]
    arguments += ["--config=%s" % task["config"]] if task.get("config") else []
    arguments += ["-x%s" % argument for argument in task.get("x") or []]
    if task["action"] not in RUNNING:
        return arguments + ["current"]
    return arguments + [task["direction"], cli_target(task["targets"])]


def cli_target(targets):
    return "base" if not targets else targets[0] if len(targets) == 1 else "heads"


def load_config(task):
    from alembic.config import CommandLine, Config

    sys.argv[:] = ["alembic"] + alembic_arguments(task)
    command_line = CommandLine(prog="alembic")
    options = command_line.parser.parse_args(sys.argv[1:])
    try:
        if hasattr(command_line, "_inis_from_config"):  # Alembic 1.16: pyproject.toml
            toml, ini = command_line._inis_from_config(options)
            config = Config(file_=ini, toml_file=toml, ini_section=options.name, cmd_opts=options)
        else:
            ini = options.config
            config = Config(file_=ini, ini_section=options.name, cmd_opts=options)
        check_config(config, ini, options.name)
    except Exception as error:
        raise config_problem("the Alembic configuration cannot be read", error)
    return config


def check_config(config, ini, section):
    ini_found = os.path.isfile(ini)
    toml = getattr(config, "toml_file_name", None)
    if getattr(config, "toml_alembic_config", None):
        return
    if not ini_found:
        beside = " and %s has no [tool.alembic]" % toml if toml and os.path.isfile(toml) else ""
        raise Problem("ConfigNotFound", "no %s in %s%s; set spec.alembic.config or spec.alembic.workingDir" % (ini, os.getcwd(), beside))
    if not config.file_config.has_section(section):
        raise Problem("ConfigNotFound", "%s has no section [%s]; set spec.alembic.section" % (ini, section))


def config_problem(what, error):
    return Problem("ConfigNotFound", "%s: %s" % (what, error_text(error)), detail=error_trace(error))


def load_script_directory(config):
    from alembic.script import ScriptDirectory
    from alembic.util.pyfiles import pyc_file_from_path

    try:
        script = ScriptDirectory.from_config(config)
    except Exception as error:
        raise config_problem("the script directory cannot be found", error)
    env_py = os.path.join(os.path.abspath(str(script.dir)), "env.py")
    if not os.path.exists(env_py) and pyc_file_from_path(env_py) is None:
        raise Problem("ConfigNotFound", "%s does not exist; is script_location right?" % env_py)
    return script


# ---------------------------------------------------------------- the revision files


class Revisions:
    """The revision files as this image's Alembic loads them: in its order, with its warnings, its errors named."""

    def __init__(self, script):
        self.script = script
        self.root = os.path.realpath(str(script.dir))  # env.py may change the working directory
        self.start = os.path.realpath(os.getcwd())
        self.loaded = []
        self.warnings = []
        self.generate = script.revision_map._generator
        script.revision_map._generator = self._generate

    def load(self):
        """Must be called where Alembic itself would load them: inside env.py, which may have prepared imports or locations."""
        import warnings

        with warnings.catch_warnings(record=True) as caught:
            warnings.filterwarnings("always", category=UserWarning, module=r"alembic\.")
            try:
                self.script.revision_map._revision_map
                error = None
            except Exception as caught_error:
                error = caught_error
        self._sort_warnings(caught, warnings)
        self._refuse_duplicates()
        if error is not None:
            raise self.problem(error)

    def _generate(self):
        self.loaded = []
        if not any(os.path.isdir(str(location)) for location in self.script._version_locations):
            return  # no folder is no revision, in every release
        for script in self.generate():
            self.loaded.append(script)
            yield script

    def _sort_warnings(self, caught, warnings):
        import alembic

        own = os.path.dirname(alembic.__file__) + os.sep
        for warning in caught:
            if warning.category is UserWarning and warning.filename.startswith(own):
                self.warnings.append(str(warning.message))
            else:
                self._show(warnings, warning)

    def _show(self, warnings, warning):
        try:
            warnings.showwarning(warning.message, warning.category, warning.filename, warning.lineno)
        except Exception:
            pass  # env.py may have closed the standard error

    def _refuse_duplicates(self):
        seen = {}
        for script in self.loaded:
            if script.revision in seen:
                files = self.file_of(seen[script.revision]), self.file_of(script)
                raise Problem("DuplicateRevision", "revision %s is in two files: %s and %s" % ((script.revision,) + files),
                              revision=script.revision)
            seen[script.revision] = script

    def problem(self, error):
        from alembic.script.revision import RevisionError

        if isinstance(error, RevisionError):
            return Problem("RevisionGraphInvalid", error_text(error).partition(": ")[2] or error_text(error))
        file = loading_file(error)
        if file is not None:
            return Problem("RevisionFileFailed", "the revision file %s cannot be loaded: %s" % (file, error_text(error)),
                           detail=error_trace(error))
        if isinstance(error, KeyError):
            return Problem("RevisionGraphInvalid", self._missing(error.args[0]))
        return Problem("RevisionGraphInvalid", error_text(error), detail=error_trace(error))

    def _missing(self, key):
        for script in self.loaded:
            for name, values in (("down_revision", script._versioned_down_revisions), ("depends_on", as_tuple(script.dependencies))):
                if key in values:
                    return "revision %s names %r in its %s, and no revision file has it" % (script.revision, key, name)
        return "a revision names %r, and no revision file has it" % (key,)

    def file_of(self, script):
        """Relative to the script directory or else to the working directory."""
        path = os.path.realpath(str(script.path))
        for folder in (self.root, self.start):
            if path.startswith(folder + os.sep):
                return valid_text(os.path.relpath(path, folder))
        return valid_text(path)


def loading_file(error):
    """The name of the revision file that Alembic was loading when `error` was raised."""
    for frame in frames_of(error):
        if frame.f_code.co_name in ("_from_path", "_from_filename") and "filename" in frame.f_locals:
            return os.path.basename(str(frame.f_locals["filename"]))
    return None


def as_tuple(value):
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(value)


def first_line(script):
    lines = str(script.module.__doc__ or "").strip().splitlines()
    return valid_text(lines[0].strip())[:120] if lines else ""


GENERATED = re.compile(r"^(Revision ID|Revises|Create Date)\s*:")


def further_lines(script):
    """What the author wrote below the first line of the docstring, without what Alembic's template puts there."""
    lines = str(script.module.__doc__ or "").strip().splitlines()[1:]
    kept = [line.strip() for line in lines if not GENERATED.match(line.strip())]
    return clean("\n".join(kept).strip())[:500]


def file_digest(path):
    with open(str(path), "rb") as file:
        content = file.read()
    return content, sha256(content).hexdigest()


# ---------------------------------------------------------------- reading a revision file without running it


LITERALS = {"Constant", "Str", "Num", "Bytes", "NameConstant", "Ellipsis"}  # all but the first only before Python 3.8
AUTOCOMMIT = re.compile(
    r"\bCONCURRENTLY\b|\bALTER\s+TYPE\b.*\bADD\s+VALUE\b|\bAUTOCOMMIT\b|;\s*COMMIT\b|^\s*COMMIT\s*(;|WORK\b|TRANSACTION\b|AND\b)", re.I | re.S)
COMMIT = re.compile(r"^\s*COMMIT\s*$", re.I)  # alone it is a statement only where statements are expected: columns have this name too
STATEMENT_CALLS = {"execute", "text", "exec_driver_sql", "DDL"}


def function_kind(tree, module, name):
    """present, missing, empty (nothing but pass, ... or a docstring) or raises (nothing but a raise)."""
    if not hasattr(module, name):
        return "missing"
    functions = [node for node in tree.body if type(node).__name__ == "FunctionDef" and node.name == name] if tree else []
    if not functions:
        return "present"  # imported or computed: only running it would tell
    kinds = [statement_kind(statement) for statement in functions[-1].body]
    kinds = [kind for kind in kinds if kind != "nothing"]
    if not kinds:
        return "empty"
    return "raises" if kinds[0] == "raise" else "present"


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
    return name == "commit" or (name in STATEMENT_CALLS and any(COMMIT.search(text_of(argument)) for argument in call.args))


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


# ---------------------------------------------------------------- what a function does besides its SQL


NEVER_CALLED = [  # by the full names that imports give; whatever does this is not run for its SQL
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
NEVER_CALLED = [(what, re.compile(names)) for what, names in NEVER_CALLED]
READS = re.compile(r".*\.(Session|sessionmaker|scoped_session|AsyncSession|inspect|Inspector|reflect|has_table|has_index|get_table_names|get_columns|"
                   r"get_indexes|get_foreign_keys|get_unique_constraints|get_current_revision|get_current_heads|raw_connection|autoload|autoload_with)$")
BINDS = re.compile(r"(?!builtins\.bind$).*\.(get_bind|bind)$|.*get_context\(\)\.connection$")  # harmless as long as nothing is read through them
ONLINE_ONLY = re.compile(r".*\.(is_offline_mode|as_sql)$")
ANEW = re.compile(r"datetime\.(datetime\.|date\.)?(now|utcnow|today)$|time\.time$|uuid\.uuid[14]$|os\.urandom$|(random|secrets)\.")
FILE_READS = re.compile(r"(builtins|io|codecs)\.open$|.*\.(read_text|read_bytes)$|.*\bPath\(\)(\..*)?\.open$")
WRITING_MODE = re.compile(r"(?=.*[wax+])[rwaxbtU+]{1,3}$")


class Names:
    """The full names that a file's functions mention, with their lines; helpers and variables of the same file are looked into."""

    def __init__(self, tree):
        import ast

        self.imports, self.definitions = {}, {}
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
                    elif isinstance(node, ast.Call):
                        found.extend((".%s" % word.arg, "%s=" % word.arg, node.lineno, None) for word in node.keywords if word.arg in ("autoload", "autoload_with"))
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
                                 ("the part for online mode isn't shown", ONLINE_ONLY, "lacks"), ("has values that are made anew each time", ANEW, "lacks")):
        if pattern.match(full):
            return what, group
    return None, None


def writes(call):
    """Whether a call of open() names a mode for writing."""
    texts = [text_of(argument) for argument in call.args] + [text_of(word.value) for word in call.keywords if word.arg == "mode"]
    return any(WRITING_MODE.match(text) for text in texts)


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


# ---------------------------------------------------------------- the SQL of a revision


SQL_SECONDS = 5  # for one function
SQL_SECONDS_TOGETHER = 60
SQL_LIMIT = 200 * 1000  # bytes of one script
SQL_LIMIT_TOGETHER = 2000 * 1000
SQL_LIMIT_HARD = 20 * 1000 * 1000  # where a function that goes on and on is ended
REASONS_LIMIT = 5


class Touched(Exception):
    """A revision reached for the database, or for more than that, while only its SQL was asked for."""


class TooSlow(BaseException):
    """Not an Exception, so that a retry loop does not swallow it."""


class TooLong(BaseException):
    pass


def hide_environment(environ):
    """A revision may put a password from the environment into its SQL."""
    for name, value in environ.items():
        # A plain word or a path may be anything, and would be blanked out everywhere.
        if re.search("PASS|PWD|SECRET|TOKEN|KEY|CREDENTIAL", name, re.I) and re.match(r"(?!/)(?=.*[^a-z])\S{8,}$|[a-z]{16,}$", value):
            SECRETS.add_password(value)


class Guard:
    """Refuses every connection and statement of any engine, and files, network and processes, while revisions run for their SQL.

    What was tried is remembered, so that a revision that catches the refusal is not taken for one that needs nothing.
    """

    PROCESSES = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty", "os.kill", "pty.spawn"}
    NETWORK = {"socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind"}
    FILES = {"os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.link", "os.symlink", "os.truncate", "os.chmod", "os.chown"}
    WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

    def __init__(self):
        self.active = False
        self.path = None
        self.tried = []
        self.watch_engines()
        if hasattr(sys, "addaudithook"):  # Python 3.8
            sys.addaudithook(self.audit)

    def watch_engines(self):
        """For good, as removing listeners of classes isn't reliable in all releases; they do nothing unless active."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine
        from sqlalchemy.pool import Pool

        for target, name, what in ((Engine, "do_connect", "a new connection"), (Engine, "before_execute", "a statement on a connection"),
                                   (Engine, "before_cursor_execute", "a statement on a connection"), (Engine, "begin", "a transaction"),
                                   (Pool, "connect", "a new connection"), (Pool, "checkout", "a connection of a pool")):
            event.listen(target, name, self.listener(what))

    def close_doors(self):
        """What goes past SQLAlchemy's events and Python's audit: drivers written in C, and the driver's part of an open connection."""
        from sqlalchemy.engine import Connection

        saved = [(Connection, "connection", Connection.connection)]
        Connection.connection = property(lambda _connection: self.refuse("the driver's connection"))
        for module, name in (("psycopg2", "_connect"), ("psycopg.generators", "connect"), ("MySQLdb.connections", "Connection")):
            module = sys.modules.get(module)
            if hasattr(module, name):
                saved.append((module, name, getattr(module, name)))
                setattr(module, name, lambda *_arguments, **_options: self.refuse("a new connection"))
        return saved

    def listener(self, what):
        def listen(*_arguments):
            if self.active:
                self.refuse(what)

        return listen

    def refuse(self, what, does="reads the database"):
        line = self.line()
        reason = "%s (%s%s)" % (does, what[:80], ", line %d" % line if line else "")
        if len(self.tried) < REASONS_LIMIT and reason not in self.tried:
            self.tried.append(reason)
        raise Touched("while only the SQL is asked for, nothing may be done: %s" % what)

    def line(self):
        frame = sys._getframe(1)
        while frame is not None and frame.f_code.co_filename != self.path:
            frame = frame.f_back
        return frame.f_lineno if frame else None

    def audit(self, event, arguments):
        if not self.active:
            return
        if event in self.PROCESSES:
            self.refuse(event, "starts or ends a process")
        if event in self.NETWORK:
            self.refuse(event, "uses the network")
        if event == "sqlite3.connect":
            self.refuse(event, "opens a connection of its own")
        writing = event == "open" and isinstance(arguments[2], int) and arguments[2] & self.WRITING and arguments[0] != os.devnull
        if writing or event in self.FILES or event.startswith("shutil."):
            self.refuse(event, "changes files")


class Unread:
    """The result of a statement that was written down and not run: it may be thrown away, and not looked at."""

    def __init__(self, guard):
        self.__dict__["guard"] = guard

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

    class Bind(type(offline.connection)):
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


class Output(io.StringIO):
    """Ends a function that writes without end."""

    def write(self, text):
        if self.tell() + len(text) > SQL_LIMIT_HARD:
            raise TooLong()
        return super().write(text)


class Alarm:
    """Ends a function that takes too long, as far as signals can: in the main thread and not in a call of C."""

    def __init__(self):
        import threading

        self.armed = False
        self.usable = threading.current_thread() is threading.main_thread()

    def __enter__(self):
        if self.usable:
            self.handler = signal.signal(signal.SIGALRM, self.ring)
            self.timer = signal.setitimer(signal.ITIMER_REAL, 0)
        return self

    def __exit__(self, *_error):
        if self.usable:
            signal.signal(signal.SIGALRM, self.handler if self.handler is not None else signal.SIG_DFL)
            signal.setitimer(signal.ITIMER_REAL, *self.timer)

    def ring(self, _signal, _frame):
        if self.armed:
            self.rang = True
            raise TooSlow()

    def call(self, seconds, function, arguments):
        """Rings again and again: a bare except may swallow it once."""
        self.armed, self.rang = True, False
        try:
            if self.usable:
                signal.setitimer(signal.ITIMER_REAL, seconds, 0.5)
            result = function(**arguments)
            if self.rang:
                raise TooSlow()
            return result
        finally:
            self.armed = False
            if self.usable:
                signal.setitimer(signal.ITIMER_REAL, 0)


class Rendering:
    """Runs revisions' functions in Alembic's offline mode, beside the online one that env.py has set up, and puts all back at the end."""

    def __init__(self, context, environment, arguments, stopper):
        from alembic.migration import MigrationContext

        self.environment, self.arguments, self.stopper = environment, arguments, stopper
        self.guard, self.alarm = Guard(), Alarm()
        self.deadline = time.monotonic() + SQL_SECONDS_TOGETHER
        self.room = SQL_LIMIT_TOGETHER
        without = ("fn", "output_encoding", "on_version_apply", "starting_rev", "purge")
        self.options = {key: value for key, value in context.opts.items() if key not in without}
        self.options.update(as_sql=True, literal_binds=True, output_buffer=Output())
        self.offline = MigrationContext(offline_dialect(context.dialect), None, self.options, environment)
        self.bind = stand_in(self.offline, self.guard)
        self.saved = [(environment, name, getattr(environment, name)) for name in ("context_opts", "_migration_context", "run_migrations", "configure")]
        self.saved.append((sys, "dont_write_bytecode", sys.dont_write_bytecode))
        self.stdout = sys.stdout
        hide_environment(os.environ)

    def __enter__(self):
        import alembic.op

        self.proxy = getattr(alembic.op, "_proxy", None)
        self.silence = open(os.devnull, "w")
        self.alarm.__enter__()
        sys.dont_write_bytecode = True
        self.saved += self.guard.close_doors()
        return self

    def __exit__(self, *error):
        self.guard.active = False
        self.alarm.__exit__(*error)
        for holder, name, value in self.saved:
            setattr(holder, name, value)
        self.silence.close()
        if self.proxy is not None:  # env.py went round context.run_migrations()
            self.proxy._install_proxy()

    def script(self, *arguments):
        """The SQL of one function of a revision file, and what it doesn't show."""
        try:
            return self.script_of(*arguments)
        except Exception as error:  # whatever a revision did to Alembic's objects
            return NoRendering(error).script()

    def script_of(self, module, path, names, function, kind):
        if kind in ("missing", "empty"):
            return sql_script("")
        if names is None:
            return sql_script(None, ["not rendered, because there is no source to look at"])
        sight = Sight(names, function)
        if sight.prevents:
            return sql_script(None, sight.prevents + sight.lacks)
        left = self.deadline - time.monotonic()
        if left <= 0:
            return sql_script(None, ["not rendered: the SQL of all revisions took more than %g s" % SQL_SECONDS_TOGETHER])
        self.guard.path = path
        error = self.call(getattr(module, function), min(left, SQL_SECONDS))
        text = self.options["output_buffer"].getvalue().strip()
        reasons = self.reasons(sight, error)
        if error is None:
            return self.fitting(text, reasons)
        if self.is_batch(error):
            return sql_script(None, ["SQLite batch mode can't be rendered without the table" + line_of(error, path)] + sight.lacks)
        if isinstance(error, Touched) and reasons:
            return sql_script(None, reasons)
        return sql_script(None, [self.failure(error, path)] + reasons)

    def reasons(self, sight, error):
        """What was seen in the source is named first; what the guard refused, where the source doesn't tell it."""
        reasons = (sight.binds if self.guard.tried or error else []) + sight.lacks
        told = any(reason.startswith("reads the database") for reason in reasons)
        return reasons + [reason for reason in self.guard.tried if not (told and reason.startswith("reads the database"))]

    def fitting(self, text, reasons):
        size = len(text.encode("utf-8", "replace"))
        if size > SQL_LIMIT:
            return sql_script(None, ["too long to be shown: %d bytes of SQL, more than %d" % (size, SQL_LIMIT)] + reasons)
        if size > self.room:
            return sql_script(None, ["too long to be shown beside the newer revisions: %d bytes of SQL, more than %d together"
                                     % (size, SQL_LIMIT_TOGETHER)] + reasons)
        self.room -= size
        return sql_script(text, reasons)

    def call(self, function, seconds):
        """The error that ended the function, or none. A signal that a revision caught ends the run nevertheless."""
        self.prepare()
        try:
            result = self.alarm.call(seconds, function, self.arguments)
            if hasattr(result, "cr_frame"):
                result.close()
                raise TypeError("the function is asynchronous, and Alembic never awaits it")
            error = None
        except BaseException as caught:
            self.alarm.armed = False
            error = caught
        finally:
            self.guard.active = False
            self.op._remove_proxy()
            sys.stdout = self.stdout
        if self.stopper.stopped:
            raise Stopped("stopped by SIGTERM")
        return error

    def prepare(self):
        """Afresh for each function, whatever the one before did to it."""
        from alembic.operations import Operations

        self.guard.tried = []
        self.options["output_buffer"].seek(0)
        self.options["output_buffer"].truncate()
        self.offline.impl.memo.clear()
        self.offline.connection = self.offline.impl.connection = self.bind
        self.environment.context_opts = dict(self.options)
        self.environment._migration_context = self.offline
        self.environment.run_migrations = self.environment.configure = self.forbidden
        self.op = Operations(self.offline)
        self.op._install_proxy()
        sys.stdout = self.silence
        self.guard.active = True

    def forbidden(self, *_arguments, **_options):
        self.guard.refuse("context.run_migrations() or configure()", "runs Alembic itself")

    def is_batch(self, error):
        files = [frame.f_code.co_filename.replace(os.sep, "/") for frame in frames_of(error)]
        return self.offline.dialect.name == "sqlite" and any(file.endswith("alembic/operations/batch.py") for file in files)

    def failure(self, error, path):
        if isinstance(error, TooSlow):
            return "not rendered: it takes more than %g s" % SQL_SECONDS
        if isinstance(error, TooLong):
            return "too long to be shown: more than %d bytes of SQL" % SQL_LIMIT_HARD
        return "could not be rendered: %s%s" % (clean(error_text(error))[:150].strip(), line_of(error, path))


class NoRendering:
    """Where it can't even be set up, as with a dialect that is like no other; the inspection is worth something without it."""

    def __init__(self, error):
        self.error = error

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        pass

    def script(self, *_arguments):
        return sql_script(None, ["could not be rendered: %s" % clean(error_text(self.error))[:150]])


def rendering_of(*arguments):
    try:
        return Rendering(*arguments)
    except Exception as error:
        return NoRendering(error)


def line_of(error, path):
    lines = [trace.tb_lineno for trace in traces_of(error) if trace.tb_frame.f_code.co_filename == path]
    return " (line %d)" % lines[-1] if lines else ""


def sql_script(text, reasons=()):
    reasons = [clean(reason)[:200] for reason in dict.fromkeys(reasons)][:REASONS_LIMIT]
    digest = None if text is None else sha256(text.encode("utf-8", "replace")).hexdigest()
    return {"text": None if text is None else scrubbed(text), "sha256": digest, "opaque": reasons}


def newest_first(scripts):
    """Each revision after all that come from it; level by level, so that no branch uses up the room of the others."""
    by_id = {script.revision: script for script in scripts}
    above = dict.fromkeys(by_id, 0)  # how many revisions name it as theirs
    for script in scripts:
        for down in script._all_down_revisions:
            above[down] += 1
    level = sorted(revision for revision, count in above.items() if not count)
    while level:
        yield from (by_id[revision] for revision in level)
        below = set()
        for down in (down for revision in level for down in by_id[revision]._all_down_revisions):
            above[down] -= 1
            if not above[down]:
                below.add(down)
        level = sorted(below)


# ---------------------------------------------------------------- env.py


class Work:
    """What is done inside env.py, in place of one of Alembic's commands; remembers the first error of its own."""

    options = {}
    finished = False  # all that was to be done inside env.py has been done
    checked = False  # of a run: nothing speaks against the first step
    environment = None
    arguments = {}  # that env.py hands to the revisions' functions

    def __init__(self, task, report, revisions):
        self.task = task
        self.report = report
        self.revisions = revisions
        self.script = revisions.script
        self.calls = 0
        self.entered = False
        self.error = None

    def enter(self, context):
        """Called once, before Alembic itself has read or written anything. env.py may hide what is raised here, so it is kept."""
        if self.entered:
            return
        self.entered = True
        try:
            self.calls += 1
            if self.calls > 1:
                raise Problem("MultipleDatabases", "env.py runs the migrations more than once (several databases, or a retry); "
                              "use one DatabaseMigration for each database, selected by spec.alembic.x or spec.alembic.section")
            self.check_version_table(context)
            self.begin(context)
        except BaseException as error:
            self.error = self.error or error
            raise

    def check_version_table(self, context):
        wanted, wanted_schema = self.task.get("version_table"), self.task.get("version_table_schema")
        schema = context.version_table_schema or getattr(context.dialect, "default_schema_name", None)
        if (wanted is None or wanted == context.version_table) and wanted_schema in (None, context.version_table_schema, schema):
            return
        names = [".".join(filter(None, pair)) for pair in
                 ((context.version_table_schema, context.version_table), (wanted_schema, wanted or context.version_table))]
        raise Problem("VersionTableMismatch", "env.py configures the version table %s, the object says %s; correct "
                      "spec.database.versionTable and versionTableSchema, or leave them out" % tuple(names))

    def run_env(self, config):
        """Runs the project's env.py with this work as Alembic's migration function."""
        from alembic.runtime.environment import EnvironmentContext

        environment = EnvironmentContext(config, self.script, fn=self.migrations, as_sql=False, tag=None, **self.options)
        run_migrations = environment.run_migrations
        self.environment = environment

        def enter_first(**arguments):
            self.entered = False
            self.arguments = arguments
            self.enter(environment.get_context())
            return run_migrations(**arguments)

        environment.run_migrations = enter_first
        with environment:
            self.script.run_env()

    def payload(self):
        """What is too long for the termination message."""
        return None

    def migrations(self, rows, context):
        """Alembic's `fn`: entered already, unless env.py went round context.run_migrations()."""
        self.enter(context)
        self.entered = False
        return self.steps(rows, context)


def external_transaction(context):
    """A transaction that was open at configure(), which Alembic leaves to env.py, and which nothing is going to commit."""
    if not context._in_external_transaction:
        return False
    import sqlalchemy

    connection = context.connection
    if getattr(connection, "_trans_context_manager", None) is not None:
        return False  # `with engine.begin()` commits by itself
    legacy = int(sqlalchemy.__version__.split(".")[0]) < 2 and not getattr(connection, "_is_future", False)
    return not legacy  # there only an explicit begin() opens one, and who wrote it wrote the commit() too


class Reading(Work):
    """Work that goes no step and writes nothing."""

    options = {"dont_mutate": True, "destination_rev": "heads"}

    def steps(self, _rows, _context):
        return []


class Inspection(Reading):
    """Loads the graph, looks at the configuration and renders the SQL, inside env.py, without a step and without a write."""

    facts = None

    def __init__(self, task, report, revisions, stopper):
        super().__init__(task, report, revisions)
        self.stopper = stopper
        self.entries = {}

    def begin(self, context):
        self.revisions.load()
        self.facts = {
            "dialect": context.dialect.name,
            "driver": context.dialect.driver,
            "version_table": context.version_table,
            "version_table_schema": context.version_table_schema,
            "transactional_ddl": bool(context.impl.transactional_ddl),
            "transaction_per_migration": bool(context._transaction_per_migration),
            "external_transaction": external_transaction(context),
        }
        self.report.update(transactional=self.facts["transactional_ddl"])
        with rendering_of(context, self.environment, self.arguments, self.stopper) as rendering:
            for script in newest_first(self.revisions.loaded):
                self.entries[script.revision] = self.revision(script, rendering)
        self.finished = True

    def payload(self):
        import alembic
        import sqlalchemy

        return dict(
            self.facts,
            protocol=PROTOCOL,
            alembic=alembic.__version__,
            sqlalchemy=sqlalchemy.__version__,
            python="%d.%d.%d" % sys.version_info[:3],
            revisions=[self.entries[script.revision] for script in self.revisions.loaded],
            warnings=[clean(text)[:300] for text in self.revisions.warnings[:20]],
        )

    def revision(self, script, rendering):
        content, digest = file_digest(script.path)
        tree = parsed(content) if str(script.path).endswith(".py") else None
        upgrade, downgrade = (function_kind(tree, script.module, name) for name in ("upgrade", "downgrade"))
        names = Names(tree) if tree else None
        sql = {name: rendering.script(script.module, str(script.path), names, name, kind)
               for name, kind in (("upgrade", upgrade), ("downgrade", downgrade))}
        return {
            "id": script.revision,
            "down": list(script._versioned_down_revisions),
            "deps": list(as_tuple(script.dependencies)),
            "labels": list(as_tuple(script._orig_branch_labels)),
            "file": self.revisions.file_of(script),
            "sha256": digest,
            "message": first_line(script),
            "notes": further_lines(script),
            "upgrade": "present" if upgrade == "raises" else upgrade,
            "downgrade": downgrade,
            "autocommit": bool(tree) and mentions_autocommit(tree),
            "sql": sql,
            "allows": allowances(content),
        }


class Look(Reading):
    """Reads the version rows as env.py connects, for a database that the operator itself can't reach."""

    finished = True
    catalog = None

    def payload(self):
        return self.catalog

    def begin(self, context):
        import sqlalchemy

        connection, table = context.connection, context._version
        inspector = sqlalchemy.inspect(connection)
        there = inspector.has_table(table.name, schema=table.schema) if hasattr(inspector, "has_table") else \
            connection.dialect.has_table(connection, table.name, schema=table.schema)
        rows = sorted(str(row.version_num) for row in connection.execute(table.select())) if there else []
        others = [] if rows else [name for name in sorted(inspector.get_table_names()) if name != table.name]
        version = getattr(connection.dialect, "server_version_info", None) or ()
        columns = inspector.get_columns(table.name, schema=table.schema) if there else []
        widths = [getattr(column["type"], "length", None) for column in columns if column["name"] == "version_num"]
        look = {"column": widths[0] if widths else None, "dialect": context.dialect.name, "version": ".".join(str(part) for part in version), "table": bool(there),
                "rows": rows[:ROWS_LIMIT * 4], "tables": others[:6]}
        if len(rows) > ROWS_LIMIT * 4:
            raise Problem("VersionTableMismatch", "the table %s has %d rows; it is not one of Alembic's" % (table.name, len(rows)))
        if self.task.get("catalog"):
            try:
                with connection.engine.connect() as another:
                    self.catalog = dict(read_catalog(context, self.task["catalog"], another), rows=rows)
            except Exception as error:
                look["catalog_error"] = error_text(error)[:300]
        self.report.update(look=look)


def read_catalog(context, queries, connection):
    """Every object of the schema by the operator's own queries, and the server that spelled their definitions."""
    dialect = context.dialect
    version = ".".join(str(part) for part in (dialect.server_version_info or ())[:1 if dialect.name == "postgresql" else 2])
    server = "mariadb" if getattr(dialect, "is_mariadb", getattr(dialect, "_is_mariadb", False)) else dialect.name
    table, path = {"version_table": context.version_table}, None
    if server == "postgresql":
        path = execute(connection, "SELECT current_setting('search_path')").scalar()
        execute(connection, "SET search_path = pg_catalog")
        table["version_schema"] = context.version_table_schema
    elif server in ("mysql", "mariadb"):
        execute(connection, "SET SESSION group_concat_max_len = 1000000")
    objects = [[plain(value) for value in row] for row in execute(connection, queries[server], **table)]
    if server == "mariadb":
        for entry in objects:
            if entry[0] == "sequence":
                name = "`%s`" % entry[1].replace("`", "``")
                entry[2] = plain(execute(connection, queries["sequence"].replace("{sequence}", name.replace(":", "\\:"))).scalar())
    if path is not None:
        execute(connection, "SELECT set_config('search_path', :path, false)", path=path)
    return {"engine": "%s %s" % (server, version) if server != "sqlite" else server, "objects": objects}


def plain(value):
    """Some drivers give the texts of information_schema as bytes."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value or "")


class Comparison(Reading):
    """Compares the tables with the models, as `alembic check` does."""

    def begin(self, context):
        differences = [difference(entry) for entry in differences_of_models(context, "ModelsMissing", "there is nothing to compare the tables with")]
        count = {change: sum(kind == change for kind, _ in differences) for change in ("Missing", "Unexpected", "Modified")}
        objects = [{"change": kind, "object": clean(name)[:120]} for kind, name in differences[:10]]
        self.report.update(drift=dict({change.lower(): number for change, number in count.items()}, objects=objects))
        for kind, name in differences:
            self.report.log("%s: %s" % (kind, name))
        self.finished = True


# ---------------------------------------------------------------- the lock


class Lock:
    """Keeps other migrations of the same version table away until this process ends, and reads the rows apart from the migration.

    Two locks: one on a connection of its own, and the guard on the migration's connection. When this process is killed the first
    goes at once, while the guard stays for as long as the database goes on with the statement of its dead client.
    """

    address = None  # of the holder, where the server knows no better name for it

    def __init__(self, context, name):
        self.context = context
        self.name = name
        self.engine = unpooled(context.connection.engine)
        self.identify()
        self.connection = self.open()
        self.wanted = [(self.connection, self.key), (context.connection, self.guard)]

    def open(self):
        """A new connection like the migration's, outside any transaction."""
        return self.engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def acquire(self, seconds, report):
        started = time.monotonic()
        while not self.attempt():
            waited = time.monotonic() - started
            if waited >= seconds:
                raise refused("LockTimeout", "another migration of this database holds the lock, after waiting %g s still: %s"
                              % (seconds, self.holder()), holder=self.address)
            if waited >= WAITING_AFTER_SECONDS and report.fields["state"] != "waiting":
                report.update(state="waiting")
            time.sleep(min(POLL_SECONDS, seconds))

    def attempt(self):
        """Takes what it can without waiting; true when everything is held."""
        while self.wanted and self.try_lock(*self.wanted[0]):
            del self.wanted[0]
        return not self.wanted

    def rows(self):
        """The version rows as everybody else sees them; none when there is no table."""
        return self.rows_on(self.connection)

    def rows_on(self, connection):
        table = self.context._version
        if not connection.dialect.has_table(connection, table.name, schema=table.schema):
            return ()
        return tuple(row.version_num for row in connection.execute(table.select()))

    def rows_afresh(self):
        connection = self.open()
        try:
            return self.rows_on(connection)
        finally:
            connection.close()

    def last_look(self):
        """Called when all steps ran, while the migration's connection is still open."""

    def rows_afterwards(self):
        """After env.py has ended: on the lock's connection if it still works, else on a fresh one."""
        if getattr(self.engine.dialect, "is_async", False):  # the event loop of the lock's connection is gone
            import asyncio

            from sqlalchemy.util import greenlet_spawn

            return asyncio.run(greenlet_spawn(self.rows_afresh))
        try:
            return self.rows()
        except Exception:
            return self.rows_afresh()


class PostgresqlLock(Lock):
    IDENTITY = (
        "SELECT COALESCE((SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relname = :name AND c.relkind IN ('r', 'p') AND pg_catalog.pg_table_is_visible(c.oid)), current_schema(), ''),"
        " current_setting('search_path'), current_setting('role')"
    )
    # The last one: however long the migration takes, the lock's idle session must not be ended.
    SESSION = (
        "SELECT set_config('search_path', :search_path, false), set_config('role', :role, false),"
        " set_config('application_name', :application_name, false),"
        " (SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name = 'idle_session_timeout')"
    )
    HOLDER = (
        "SELECT a.pid, a.application_name, CAST(a.client_addr AS text), CAST(a.backend_start AS text)"
        " FROM pg_catalog.pg_locks l JOIN pg_catalog.pg_stat_activity a ON a.pid = l.pid AND a.datname = current_database()"
        " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
        " AND ((CAST(l.classid AS bigint) << 32) | CAST(l.objid AS bigint)) = CAST(:key AS bigint)"
    )

    def identify(self):
        found = execute(self.context.connection, self.IDENTITY, name=self.context.version_table).first()
        table = (self.context.version_table_schema or found[0]) + "." + self.context.version_table
        self.session = {"search_path": found[1], "role": found[2], "application_name": self.name}
        self.key = postgresql_key("alembic-operator:" + table)
        self.guard = postgresql_key("alembic-operator-guard:" + table)

    def open(self):
        """With the search path and the role of the migration's connection, or it would read another table."""
        connection = super().open()
        execute(connection, self.SESSION, **self.session)
        return connection

    def try_lock(self, connection, key):
        return execute(connection, "SELECT pg_try_advisory_lock(CAST(:key AS bigint))", key=key).scalar()

    def holder(self):
        found = execute(self.connection, self.HOLDER, key=self.wanted[0][1]).first()
        if found is None:
            return "a session that this user may not see"
        since = ", connected since %s" % found[3] if found[3] else ""
        return "pid %s, application %r, from %s%s" % (found[0], found[1], found[2] or "a local socket or a hidden address", since)


def postgresql_key(name):
    return int.from_bytes(sha256(name.encode("utf-8")).digest()[:8], "big", signed=True)


class MysqlLock(Lock):
    def identify(self):
        database = self.context.version_table_schema or execute(self.context.connection, "SELECT DATABASE()").scalar() or ""
        digest = sha256(("%s.%s" % (database, self.context.version_table)).encode("utf-8")).hexdigest()[:40]
        self.key, self.guard = "alembic-operator:" + digest, "alembic-operator-guard:" + digest  # at most 64 characters

    def open(self):
        connection = super().open()
        execute(connection, "SET SESSION wait_timeout = 31536000")  # or the lock's idle session is ended during a long migration
        return connection

    def try_lock(self, connection, key):
        return execute(connection, "SELECT GET_LOCK(:name, 0)", name=key).scalar() == 1

    def holder(self):
        session = execute(self.connection, "SELECT IS_USED_LOCK(:name)", name=self.wanted[0][1]).scalar()
        query = "SELECT user, host, command, time FROM information_schema.processlist WHERE id = :id"
        found = execute(self.connection, query, id=session).first()
        self.address = str(found[1]).rpartition(":")[0][:64] if found else None
        return "connection %s" % session + (" (%s from %s, command %s for %s s)" % tuple(found) if found else "")


class SqliteLock(Lock):
    """A lock file beside the database: SQLite has no sessions, and its own lock goes with each commit."""

    def __init__(self, context, name):
        self.context = context
        self.name = name
        self.engine = unpooled(context.connection.engine)
        files = [row[2] for row in execute(context.connection, "PRAGMA database_list") if row[1] == "main"]
        self.path = os.path.realpath(files[0]) + ".alembic-operator.lock" if files and files[0] else None
        self.file = None
        self.rows_in_memory = ()

    def open(self):
        return self.engine.connect()

    def attempt(self):
        import fcntl

        if self.path is None:
            return True  # a database in memory: nobody else can see it
        try:
            self.file = self.file or open(self.path, "a+")
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            raise refused("UnsupportedDialect", "the file %s cannot be locked: %s" % (self.path, error))
        self.file.truncate(0)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.file.write("%s on host %s, process %d, since %s" % (self.name, os.uname().nodename, os.getpid(), now))
        self.file.flush()
        return True

    def holder(self):
        self.file.seek(0)
        return self.file.read(200) or "an unknown process"

    def rows(self):
        return self.rows_afresh() if self.path else self.context.get_current_heads()

    def last_look(self):
        if self.path is None:
            self.rows_in_memory = self.context.get_current_heads()

    def rows_afterwards(self):
        return super().rows_afterwards() if self.path else self.rows_in_memory


LOCKS = {"postgresql": PostgresqlLock, "mysql": MysqlLock, "mariadb": MysqlLock, "sqlite": SqliteLock}


# ---------------------------------------------------------------- time limits


def limit_time(context, task):
    """Bounds the wait for each lock and the time of each statement on the migration's own connection, by SQL and so for every driver.

    A statement that waits for a table makes everybody wait who comes after it, readers too.
    """
    set_limit = LIMITS[context.dialect.name]
    for what in ("lock", "statement"):
        limit = task.get(what + "_timeout")
        if limit:
            set_limit(context.connection, what, limit["seconds"], limit["explicit"])


def limit_postgresql(connection, what, seconds, explicit):
    name = what + "_timeout"
    if explicit or execute(connection, "SELECT current_setting(:name)", name=name).scalar() == "0":
        value = min(max(seconds * 1000, 1 if what == "lock" else 0), 2 ** 31 - 1)  # 0 is no limit
        execute(connection, "SELECT set_config(:name, :value, false)", name=name, value=str(value))


def limit_mysql(connection, what, seconds, explicit):
    names = ["lock_wait_timeout", "innodb_lock_wait_timeout"]
    if what == "statement":  # MySQL's max_execution_time stops nothing but SELECT
        names = ["max_statement_time"] if "mariadb" in execute(connection, "SELECT VERSION()").scalar().lower() else []
    for name in names:
        if explicit or execute(connection, "SELECT @@SESSION.%s = @@GLOBAL.%s" % (name, name)).scalar():
            execute(connection, "SET SESSION %s = %d" % (name, max(seconds, 1 if what == "lock" else 0)))


def limit_sqlite(connection, what, seconds, explicit):
    if what == "lock" and explicit:  # Python's own default is 5 s
        execute(connection, "PRAGMA busy_timeout = %d" % (seconds * 1000))


LIMITS = {"postgresql": limit_postgresql, "mysql": limit_mysql, "mariadb": limit_mysql, "sqlite": limit_sqlite}
LOCK_CODES = {"55P03", "40P01", 1205, 1213}  # lock timeout and deadlock of PostgreSQL, MySQL and MariaDB


def kind_of_failure(error):
    """Whether a step failed for a lock or for its time, and may go through another time."""
    for link in chain(error):
        link = getattr(link, "orig", None) or link
        arguments = getattr(link, "args", None) or [None]
        codes = {getattr(link, "pgcode", None), getattr(link, "sqlstate", None), arguments[0] if isinstance(arguments[0], int) else None}
        if codes & LOCK_CODES or (type(link).__module__ == "sqlite3" and "database is locked" in str(link)):
            return "TableLocked"
        if 1969 in codes or ("57014" in codes and "statement timeout" in str(link)):
            return "StatementTimeout"
    return "MigrationFailed"


class Statements:
    """Knows whether a step had changed anything before it failed: a statement that failed is not done, whatever the database."""

    READING = re.compile(r"\s*(SELECT|SHOW|SET|EXPLAIN|DESC|DESCRIBE|PRAGMA)\b", re.I)

    def __init__(self):
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        self.changed = False
        event.listen(Engine, "before_cursor_execute", self.begun)
        event.listen(Engine, "after_cursor_execute", self.ended)

    def begun(self, _connection, _cursor, statement, _parameters, _context, _many):
        # Of several in one string the first ones may be done when the last one fails.
        self.changed |= ";" in statement.strip().rstrip(";")

    def ended(self, _connection, _cursor, statement, _parameters, _context, _many):
        self.changed |= not self.READING.match(statement)


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


# ---------------------------------------------------------------- the steps


def computed_steps(script, direction, targets, rows, branch=None):
    """The steps as Alembic computes them; it has no word for a downgrade to several targets at once."""
    if direction == "upgrade":
        return script._upgrade_revs(tuple(targets), rows)
    if len(targets) < 2:
        target = targets[0] if targets else "base"
        return script._downgrade_revs("%s@%s" % (branch, target) if branch else target, rows)
    from alembic.runtime.migration import MigrationStep

    return [MigrationStep.downgrade_from_script(script.revision_map, revision) for revision in downgraded(script, targets, rows)]


def downgraded(script, targets, rows):
    """The applied revisions that descend from a child of a target and that no target needs, newest first."""
    kept = closure(script, targets, "_all_down_revisions")
    children = {child for target in targets for child in script.get_revision(target).nextrev} - set(kept)
    applied = closure(script, rows, "_all_down_revisions")
    going = set(closure(script, children, "_all_nextrev"))
    return [script.get_revision(revision) for revision in reversed(applied) if revision in going]


def closure(script, ids, neighbours):
    """`ids` and everything reached from them; each after all that is reached from it."""
    order, seen, stack = [], set(), [(revision, False) for revision in sorted(ids)]
    while stack:
        revision, expanded = stack.pop()
        if expanded:
            order.append(revision)
        elif revision not in seen:
            seen.add(revision)
            stack.append((revision, True))
            stack.extend((other, False) for other in sorted(getattr(script.get_revision(revision), neighbours)))
    return order


def steps_digest(revisions):
    """Ties an approved plan to the content of its files. Only the files of the steps are read."""
    lines = {script.revision: "%s %s\n" % (script.revision, file_digest(script.path)[1]) for script in revisions}
    ordered = sorted(lines, key=lambda revision: revision.encode("utf-8"))
    return sha256("".join(lines[revision] for revision in ordered).encode("utf-8")).hexdigest()


# ---------------------------------------------------------------- the run


class Run(Work):
    """Takes the lock, makes sure that the plan is still the one that was approved, and only then hands Alembic its steps."""

    def __init__(self, task, report, revisions, stopper):
        super().__init__(task, report, revisions)
        self.options = {"destination_rev": cli_target(task["targets"])}
        self.stopper = stopper
        self.lock = None
        self.plan = None
        self.statements = None

    def begin(self, context):
        self.report.update(transactional=bool(context.impl.transactional_ddl))
        self.check_transaction(context)
        self.revisions.load()
        if context.dialect.name not in LOCKS:
            raise refused("UnsupportedDialect", "there is no lock for the dialect %s; supported: %s" % (context.dialect.name, ", ".join(LOCKS)))
        self.stopper.watch(context.connection)
        self.lock = LOCKS[context.dialect.name](context, application_name(self.task))
        if self.task.get("scratch"):
            check_scratch(self.lock, self.task)
        self.exclude_others()
        self.report.update(state="starting")
        rows = self.lock.rows()
        self.check_rows(rows)
        self.plan = self.checked_plan(rows)
        if self.task.get("verify_models"):
            check_models(context)
        limit_time(context, self.task)
        self.statements = Statements()
        self.checked = True

    def exclude_others(self):
        self.lock.acquire(self.task.get("lock_wait_seconds", 30), self.report)

    def check_transaction(self, context):
        if external_transaction(context):
            raise refused("ExternalTransaction", "env.py ran a statement before context.configure(); it opened a transaction that nobody "
                          "commits, so every step would be rolled back in silence; commit it first (connection.commit()), or let env.py "
                          "use `with engine.begin() as connection`")

    def check_rows(self, rows):
        if set(rows) != set(self.task["from"]):
            self.report.update(rows=sorted(rows))
            raise refused("RowsChanged", "the database is at %s, the plan starts from %s; somebody else migrated it"
                          % (listed(rows), listed(self.task["from"])))

    def checked_plan(self, rows):
        if self.task["direction"] == "stamp":
            return self.script._stamp_revs(tuple(self.task["targets"]), rows)
        try:
            plan = computed_steps(
                self.script, self.task["direction"], self.task["targets"], rows, self.task.get("branch")
            )
            digest = steps_digest([step.revision for step in plan])
        except Exception as error:
            raise refused("StepsChanged", "the steps of the plan cannot be computed in this image: %s" % error_text(error), error_trace(error))
        if len(plan) != self.task["steps"]:
            raise refused("StepsChanged", "the plan has %d steps, this image's revision files give %d: %s"
                          % (self.task["steps"], len(plan), listed(step.revision.revision for step in plan)))
        if digest != self.task["steps_digest"]:
            raise refused("StepsChanged", "the revision files of the %d steps are not those that were planned (another image under the "
                          "same tag, or an edited file)" % len(plan))
        return plan

    def steps(self, rows, context):
        """A generator: Alembic runs each step when it is yielded, and comes back when the step and its version row are through."""
        self.check_rows(rows)
        for number, step in enumerate(self.plan, 1):
            script = getattr(step, "revision", None)  # a stamp's step has none
            revision = script.revision if script else listed(step.to_revisions)
            self.report.log("%s step %d/%d %s %s" % (self.task["direction"], number, len(self.plan), revision, first_line(script) if script else ""))
            self.report.update(state="running", running=revision, started=True)
            self.statements.changed = False
            yield step
            self.report.update(steps_done=number, last_done=revision, running=None)
        self.lock.last_look()
        self.all_done(context)
        self.finished = True

    def all_done(self, context):
        """Called when all steps ran, on the migration's own connection."""

    def conclude(self):
        """env.py has returned without an error; only the rows say whether that means anything."""
        running, rows = self.report.fields["running"], self.report.fields["rows"]
        if running is not None:
            raise Problem("MigrationFailed", "the step failed, and env.py hid its error", revision=running)
        if rows is None:
            raise Problem("ConnectFailed", "all %d steps ran, but the version rows cannot be read back" % len(self.plan))
        if set(rows) != set(self.task["end"]):
            raise Problem("RolledBack", "env.py ended without an error, but the database is at %s instead of %s; was the transaction "
                          "committed?" % (listed(rows), listed(self.task["end"])))

    def read_back(self):
        if not self.report.fields["started"] and not self.finished:
            return
        try:
            self.report.update(rows=sorted(self.lock.rows_afterwards()))
        except Exception as error:
            self.report.log("the version rows cannot be read back: %s" % error_text(error))


class Replay(Run):
    """Runs the whole history on a scratch database beside this container, and reads the schema that it makes."""

    catalog = None

    def all_done(self, context):
        self.catalog = read_catalog(context, self.task["catalog"], context.connection)

    def payload(self):
        return dict(self.catalog, rows=self.report.fields["rows"])


SCRATCH_MARKS = {"postgresql": "SHOW cluster_name", "mysql": "SELECT @@report_host", "mariadb": "SELECT @@report_host"}


def check_scratch(lock, task):
    """What is for a scratch database would be the end of another one, and env.py may take its URL from anywhere: the connection must
    lead where the URL does that the runner was given, to a server that calls itself what the operator called it."""
    from sqlalchemy.engine.url import make_url

    told, taken = ((url.host, url.port, url.database) for url in (make_url(task["scratch_url"]), lock.engine.url))
    if told != taken:
        names = ", ".join(task.get("url_env") or ["DATABASE_URL"])
        raise refused("EnvPyFailed", "env.py connects to another database than the scratch database that this Job runs on, so nothing was run; "
                      "let env.py take its URL from %s alone" % names)
    mark = SCRATCH_MARKS.get(lock.engine.dialect.name)
    if mark and execute(lock.connection, mark).scalar() != task["scratch"]:
        raise refused("ConnectFailed", "the server at %s:%s does not call itself %s, so nothing was run on it: something else of the pod listens "
                      "there, or the image of the scratch database does not pass on its arguments" % (told[0], told[1], task["scratch"]))


def await_server(url):
    """The scratch database starts at the same time as this container."""
    import socket

    place = url.partition("://")[2].partition("/")[0].rpartition("@")[2]
    if not place:
        return  # SQLite
    host, _, port = place.rpartition(":")
    deadline = time.monotonic() + SCRATCH_PATIENCE
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise Problem("ConnectFailed", "the scratch database did not start: %s; see the log of its container" % error)
        time.sleep(0.2)


# ---------------------------------------------------------------- the rehearsal: what a step does to tables that others use


STEPS_LIMIT = 500  # of a phase, in the payload
LOCKS_LIMIT = 20  # of a step
LEFTOVERS_LIMIT = 20  # of a phase
NAME_LIMIT = 120
SAMPLE_SECONDS = 0.02
GATE_SECONDS = 0.5  # the longest that a statement may be held up
GATE_TABLES = 2000  # a server's table of locks has room for some thousands


class Observer:
    """Tells the locks that a step takes and the tables that it writes anew. Of SQLite there is nothing to tell."""

    unknown = "SQLite locks the whole file"

    def __init__(self, context, lock):
        pass

    def begin(self):
        """Right before the step's function, in its transaction."""

    def end(self):
        """Right after it, still before the end of its transaction."""
        return {"locks": None, "rewritten": None, "sampled": False}

    def stop(self):
        """Also called after an error."""


class ServerObserver(Observer):
    """Looks at the locks of the migration's session from other sessions, so that the step's own connection is not touched before it.

    What a transaction holds is read at its end, and nothing is missed: a lock is never given back earlier. A statement outside a
    transaction gives its locks back by itself, and on empty tables within a millisecond: samples miss most of them (measured: at
    20 ms 1 of 40, without any pause 1 to 18 of 40). So such a statement is watched without a pause, and where the server allows it
    is stopped at its first strong lock (PostgresqlObserver.gate: 72 of 72); what such a step says of itself is `sampled`.
    Tables that the plan itself made are left out: nobody uses them yet.
    """

    unknown = None
    MODES = []  # the weakest first
    WEAKEST = 0  # the first of them that is told

    def __init__(self, context, lock):
        import threading

        self.context = context
        self.lock = lock
        self.own = driver_connection(context.connection)
        self.session = execute(context.connection, self.SESSION).scalar()
        self.prepare(lock.connection)
        self.names = self.tables(lock.connection)
        self.files = self.written(lock.connection)
        self.active = self.sampled = self.between = False  # between: two transactions of a step
        self.held, self.seen, self.looked = {}, {}, 0.0
        self.mutex, self.stopped = threading.Lock(), threading.Event()
        self.wanted, self.watched, self.over = threading.Event(), threading.Event(), threading.Event()
        self.listen("listen")
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def listen(self, what):
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        for name, function in (("before_cursor_execute", self.statement), ("after_cursor_execute", self.statement_ended),
                               ("handle_error", self.statement_failed), ("commit", self.committing)):
            getattr(event, what)(Engine, name, function)

    def prepare(self, connection):
        """Whatever the server needs."""

    def gate(self, _connection):
        """Makes the next statement wait; whether it does."""
        return False

    # On the migration's thread.

    def begin(self):
        self.held = {}
        for table, strength, _ in self.locks(self.lock.connection):
            self.held[table] = max(strength, self.held.get(table, 0))
        with self.mutex:
            self.seen, self.looked = {}, time.monotonic()
        self.sampled, self.between, self.active = False, False, True

    def end(self):
        self.between = False
        self.look(self.lock.connection)
        self.active = False
        return {"locks": self.taken(), "rewritten": self.rewritten(), "sampled": self.sampled}

    def rewritten(self):
        before, now = self.files, self.written(self.context.connection)
        self.files = now
        if now is None:
            return None
        changed = sorted(self.names[table] for table in now if table in self.names and before.get(table, now[table]) != now[table])
        return [shortened(name) for name in changed[:LOCKS_LIMIT]]

    def taken(self):
        """The strongest lock of each table that the step did not find held already."""
        if self.unknown:
            return None
        with self.mutex:
            found = {}
            for table, strength in sorted(self.seen, key=lambda key: key[1]):
                if strength > max(self.held.get(table, 0), self.WEAKEST - 1):
                    found[table] = strength
            locks = sorted((-strength, self.names[table], self.seen[table, strength]) for table, strength in found.items())
        return [{"table": shortened(name), "mode": self.MODES[-strength], "ms": int((last - first) * 1000)}
                for strength, name, (first, last) in locks[:LOCKS_LIMIT]]

    def is_own(self, connection):
        return self.active and driver_connection(connection) is self.own

    def statement(self, connection, _cursor, statement, _parameters, _context, _many):
        if not self.is_own(connection):
            return
        if COMMIT.search(statement):
            self.let_go()
        else:
            self.between = False
        if self.lets_go(statement):
            self.sampled = True
            self.over.clear()
            self.watched.clear()
            self.wanted.set()
            self.watched.wait(GATE_SECONDS)

    def statement_ended(self, connection, *_arguments):
        if self.is_own(connection):  # and not one of those that look on
            self.over.set()

    def statement_failed(self, failure):
        if failure.connection is not None and self.is_own(failure.connection):
            self.over.set()

    def committing(self, connection):
        if self.is_own(connection):
            self.let_go()

    def let_go(self):
        """Right before a commit within a step: what it found held it may take again."""
        self.look(self.lock.connection)
        with self.mutex:
            self.seen = {key: times for key, times in self.seen.items() if key[1] > self.held.get(key[0], -1)}
            self.held, self.between = {}, True

    def stop(self):
        self.active = False
        self.over.set()
        self.stopped.set()
        self.listen("remove")
        self.thread.join(5)

    # On either thread.

    def look(self, connection):
        """Notes what the session holds or waits for; whether it waits."""
        found = self.locks(connection)
        now = time.monotonic()
        with self.mutex:
            for table, strength, _ in found:
                if table in self.names and not self.between:
                    first = self.seen.get((table, strength), (self.looked,))[0]
                    self.seen[table, strength] = (first, now)
            self.looked = now
        return any(waits for _, _, waits in found)

    # On a thread of its own.

    def run(self):
        try:
            if getattr(self.lock.engine.dialect, "is_async", False):
                import asyncio

                from sqlalchemy.util import greenlet_spawn

                asyncio.run(greenlet_spawn(self.sample))
            else:
                self.sample()
        except Exception:
            self.stopped.set()  # what is held at the end of a step is read by another connection

    def sample(self):
        connection = self.lock.open()
        while not self.stopped.is_set():
            if self.wanted.wait(SAMPLE_SECONDS):
                self.wanted.clear()
                self.watch(connection)
            self.look(connection)
        connection.close()

    def watch(self, connection):
        """Looks at one statement for as long as it takes."""
        gated = self.gate(connection)
        self.watched.set()
        deadline = time.monotonic() + GATE_SECONDS
        while not (self.over.is_set() or self.wanted.is_set()):  # the next one may have begun meanwhile
            waits = self.look(connection)
            if gated and (waits or time.monotonic() > deadline):
                gated = self.open_gate(connection)
            time.sleep(0.001 if gated or time.monotonic() < deadline else SAMPLE_SECONDS)
        if gated:
            self.open_gate(connection)

    @staticmethod
    def open_gate(connection):
        execute(connection, "ROLLBACK")
        return False


class PostgresqlObserver(ServerObserver):
    MODES = ["AccessShareLock", "RowShareLock", "RowExclusiveLock", "ShareUpdateExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock",
             "AccessExclusiveLock"]
    WEAKEST = 2
    SESSION = "SELECT pg_catalog.pg_backend_pid()"
    LOCKS = ("SELECT CAST(relation AS bigint), mode, granted FROM pg_catalog.pg_locks WHERE pid = :session AND locktype = 'relation'"
             " AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())")
    TABLES = ("SELECT CAST(c.oid AS bigint), CAST(n.nspname AS text), CAST(c.relname AS text), CAST(c.relfilenode AS bigint), CAST(c.relkind AS text)"
              " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
              " WHERE c.relkind IN ('r', 'p', 'm', 'v', 'f', 'S') AND c.relpersistence <> 't'"
              " AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'")
    QUOTED = ("SELECT pg_catalog.string_agg('ONLY ' || CAST(CAST(oid AS pg_catalog.regclass) AS text), ', ') FROM pg_catalog.pg_class"
              " WHERE CAST(oid AS bigint) IN (%s)")

    def tables(self, connection):
        own, own_space = self.context.version_table, self.context.version_table_schema
        return {oid: "%s.%s" % (space, name) for oid, space, name, _, _ in execute(connection, self.TABLES)
                if name != own or own_space not in (None, space)}

    def written(self, connection):
        """Where each table's rows are: another file means that all of them were written again, or thrown away."""
        return {oid: file for oid, _, _, file, kind in execute(connection, self.TABLES) if kind in "rm"}

    def locks(self, connection):
        rows = execute(connection, self.LOCKS, session=self.session)
        return [(table, self.MODES.index(mode), not granted) for table, mode, granted in rows if mode in self.MODES]

    def lets_go(self, _statement):
        return getattr(self.own, "autocommit", None) is True

    def gate(self, connection):
        """Holds every table, weakly for its readers and writers: a statement that changes a table has to wait, and can be seen."""
        tables = [oid for oid, _, _, _, kind in execute(connection, self.TABLES) if kind in "rp" and oid in self.names]
        if not tables or len(tables) > GATE_TABLES:
            return False
        names = execute(connection, self.QUOTED % ", ".join(str(oid) for oid in tables)).scalar()
        execute(connection, "BEGIN")
        try:
            execute(connection, "LOCK TABLE %s IN SHARE UPDATE EXCLUSIVE MODE NOWAIT" % names.replace(":", "\\:"))
            return True
        except Exception:  # no right to it, or a table in use
            return self.open_gate(connection)


class MysqlObserver(ServerObserver):
    """Metadata locks, where the server tells them: most statements commit by themselves, so they are sampled.

    MariaDB's plugin is asked first: performance_schema goes on telling the mode that was asked for before a lock was upgraded.
    """

    MODES = ["INTENTION_EXCLUSIVE", "SHARED", "SHARED_HIGH_PRIO", "SHARED_READ", "SHARED_WRITE", "SHARED_WRITE_LOW_PRIO", "SHARED_UPGRADABLE",
             "SHARED_READ_ONLY", "SHARED_NO_WRITE", "SHARED_NO_READ_WRITE", "EXCLUSIVE"]
    WEAKEST = 4
    SESSION = "SELECT CONNECTION_ID()"
    SCHEMA = ("SELECT object_name, lock_type, lock_status FROM performance_schema.metadata_locks"
              " WHERE object_type = 'TABLE' AND object_schema = DATABASE()"
              " AND owner_thread_id = (SELECT thread_id FROM performance_schema.threads WHERE processlist_id = :session)")
    PLUGIN = ("SELECT table_name, lock_mode, 'GRANTED' FROM information_schema.metadata_lock_info WHERE lock_type = 'Table metadata lock'"
              " AND table_schema = DATABASE() AND thread_id = :session")
    FILES = "SELECT name, table_id FROM information_schema.%s WHERE name LIKE CONCAT(DATABASE(), '/%%')"
    KEEPING = re.compile(r"\s*(SELECT|SHOW|SET|EXPLAIN|DESC|DESCRIBE|INSERT|UPDATE|DELETE|REPLACE|WITH)\b", re.I)

    def prepare(self, connection):
        self.source = next((query for query in (self.PLUGIN, self.SCHEMA) if self.offers(connection, query)), None)
        if self.source is None:
            self.unknown = "the server has neither performance_schema.metadata_locks nor the plugin metadata_lock_info"
        self.file_source = next((name for name in ("INNODB_SYS_TABLES", "INNODB_TABLES") if answers(connection, self.FILES % name)), None)

    def offers(self, connection, query):
        if query is self.SCHEMA:  # there is a row only where the instrument is on
            return bool(answers(connection, "SELECT 1 FROM performance_schema.setup_instruments"
                                            " WHERE name = 'wait/lock/metadata/sql/mdl' AND enabled = 'YES'"))
        if answers(connection, query, session=0) is None:
            answers(connection, "INSTALL SONAME 'metadata_lock_info'")  # nobody else uses this server
        return answers(connection, query, session=0) is not None

    def tables(self, connection):
        rows = execute(connection, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
        return {plain(name): plain(name) for name, in rows if plain(name) != self.context.version_table}

    def written(self, connection):
        """InnoDB gives a table another number when it writes all of it again."""
        if self.file_source is None:
            return None
        files = {}
        for name, number in execute(connection, self.FILES % self.file_source):
            written = re.split("#p#", plain(name).partition("/")[2], flags=re.I)[0]  # without the name of a partition
            table = re.sub("@([0-9a-f]{4})", lambda match: chr(int(match.group(1), 16)), written)
            files.setdefault(table, set()).add(number)
        return files

    def locks(self, connection):
        if self.source is None:
            return []
        rows = [[plain(value) for value in row] for row in execute(connection, self.source, session=self.session)]
        modes = [(table, mode.replace("MDL_", ""), status) for table, mode, status in rows]
        return [(table, self.MODES.index(mode), status == "PENDING") for table, mode, status in modes if mode in self.MODES]

    def lets_go(self, statement):
        return self.source is not None and not self.KEEPING.match(statement)


OBSERVERS = {"postgresql": PostgresqlObserver, "mysql": MysqlObserver, "mariadb": MysqlObserver, "sqlite": Observer}


def answers(connection, query, **parameters):
    """The rows of a query, or None where the server does not know it or this user may not ask."""
    try:
        result = execute(connection, query, **parameters)
        return result.fetchall() if result.returns_rows else []
    except Exception:
        return None


def shortened(name):
    return clean(name)[:NAME_LIMIT]


# ---------------------------------------------------------------- the rehearsal: there and back and there again


def check_rehearsal(task):
    """A rehearsal has to be told where its database's tables come from."""
    history = task.get("history")
    if task["direction"] == "stamp" or not isinstance(task.get("catalog"), dict) or task.setdefault("source", "history") not in ("history", "dump"):
        raise unusable_task("a rehearsal needs a direction, the queries of the schema (catalog) and a source")
    if task["source"] == "history" and task["from"]:
        wanted = {"targets": list, "steps": int, "steps_digest": str}
        if not isinstance(history, dict) or not all(isinstance(history.get(name), kind) for name, kind in wanted.items()):
            raise unusable_task("a rehearsal that starts from a revision needs the history that leads there")


class Phase(Run):
    """One way of a rehearsal, on a database that nobody else knows. `order`: its steps, where it only goes back what another phase went."""

    def __init__(self, task, report, revisions, stopper, name, order=None):
        super().__init__(task, report, revisions, stopper)
        self.name = name
        self.order = order
        self.before = None
        self.after = None
        self.observer = None
        self.measured = []
        self.went = False
        self.started = time.monotonic()

    def exclude_others(self):
        """There are none; and the lock of the phase before may not have gone with its connections."""

    def begin(self, context):
        super().begin(context)
        if self.name != "history":
            self.observer = OBSERVERS[context.dialect.name](context, self.lock)
            self.before = self.read_schema(context)
        self.started = time.monotonic()

    def read_schema(self, context):
        connection = self.lock.open()
        try:
            return read_catalog(context, self.task["catalog"], connection)["objects"]
        finally:
            connection.close()

    def check_rows(self, rows):
        if set(rows) != set(self.task["from"]):
            self.report.update(rows=sorted(rows))
            raise refused("RowsChanged", "the scratch database is at %s, the %s starts from %s%s" % (
                listed(rows), self.name, listed(self.task["from"]),
                "; the live database was migrated meanwhile, or its version table was not copied" if self.task["source"] == "dump" else ""))

    def checked_plan(self, rows):
        plan = super().checked_plan(rows) if self.order is None else self.ordered_plan()
        for step in plan:
            step.migration_fn = self.observed(step.revision.revision, step.migration_fn)
        return plan

    def ordered_plan(self):
        from alembic.runtime.migration import MigrationStep

        make = MigrationStep.upgrade_from_script if self.task["direction"] == "upgrade" else MigrationStep.downgrade_from_script
        return [make(self.script.revision_map, self.script.get_revision(revision)) for revision in self.order]

    def observed(self, revision, function):
        def step(*arguments, **options):
            self.went = True
            if self.observer is None:
                return function(*arguments, **options)
            self.observer.begin()
            started = time.monotonic()
            function(*arguments, **options)
            seconds = round(time.monotonic() - started, 3)
            self.measured.append(dict(self.observer.end(), revision=revision, seconds=seconds))

        return step

    def all_done(self, context):
        if self.name != "history":
            self.after = read_catalog(context, self.task["catalog"], context.connection)["objects"]

    def release(self):
        if self.observer is not None:
            self.observer.stop()

    def result(self):
        return {"name": self.name, "seconds": round(time.monotonic() - self.started, 3), "steps": self.measured[:STEPS_LIMIT],
                "omitted": max(len(self.measured) - STEPS_LIMIT, 0), "leaves": None, "differences": None}

    def tips_afterwards(self):
        """The version rows that must be there when some steps only of the way were gone."""
        applied = set(closure(self.script, self.task["from"], "_all_down_revisions"))
        applied = applied | set(self.order) if self.task["direction"] == "upgrade" else applied - set(self.order)
        return sorted(applied - {needed for revision in applied for needed in self.script.get_revision(revision)._all_down_revisions})


class Rehearsal:
    """Runs the plan's steps on a scratch database, then back, then again, each time as a new command would."""

    def __init__(self, task, report, stopper, url):
        self.task = task
        self.report = report
        self.stopper = stopper
        self.url = url
        self.found = {"source": task["source"], "phases": [], "reversible": True, "irreversible": [], "failed": None,
                      "locks_unknown": None, "rows": None}

    def perform(self, output):
        """What was measured before a failure is told too."""
        try:
            self.phases()
        finally:
            flush_standard_streams()
            rows = self.report.fields["rows"]
            self.found["rows"] = rows and rows[:ROWS_LIMIT * 4]
            self.report.update(**emit_frames(output, self.report.fields["nonce"], self.found))

    def phases(self):
        task, forth = self.task, self.task["direction"]
        back = "downgrade" if forth == "upgrade" else "upgrade"
        if task["source"] == "history" and task["from"]:
            self.phase("history", dict(task, direction="upgrade", branch=None, end=task["from"], **dict(task["history"], **{"from": []})))
        first = self.phase(forth, task)
        order = self.way_back(first, back, forth)
        if not order:
            return
        second = self.phase(back, dict(task, direction=back, **{"from": task["end"], "end": None, "targets": task["from"]}), order)
        if len(order) == len(first.plan):
            self.compare(first.before, second.after)
        third = self.phase(forth + " again", dict(task, **{"from": second.task["end"]}), order[::-1])
        self.compare(first.after, third.after)

    def phase(self, name, task, order=None):
        self.report.update(state="starting", steps_done=0, last_done=None, running=None, rows=None)
        self.report.log("rehearsal: %s" % name)
        config, revisions = loaded(task, self.url)
        phase = Phase(task, self.report, revisions, self.stopper, name, order)
        if task["end"] is None:
            revisions.load()
            task["end"] = phase.tips_afterwards()
        try:
            error = error_of(phase, config)
            phase.release()
            settle(phase, error, self.url, self.stopper)
        except Problem as problem:
            raise self.failed(phase, problem)
        finally:
            if phase.observer is not None:
                self.found["locks_unknown"] = phase.observer.unknown
                self.found["phases"].append(phase.result())
        return phase

    def failed(self, phase, problem):
        """The history is not what is rehearsed, and before the first step of the plan it is as for a run: other problems keep their name."""
        self.found["failed"] = {"phase": phase.name, "revision": problem.revision}
        message = "%s: %s" % (phase.name, problem.message)
        if self.stopper.stopped or not phase.went:
            return Problem(problem.kind, message, problem.state, problem.revision, problem.detail, problem.changed)
        kind = "HistoryFailed" if phase.name == "history" else "RehearsalFailed"
        return Problem(kind, message, revision=problem.revision, detail=problem.detail, changed=False)

    def way_back(self, first, back, forth):
        """The revisions to go back, the last one first, up to one that can't be."""
        order = []
        for step in reversed(first.plan):
            why = no_way_back(step.revision, back, forth)
            if why:
                self.found["irreversible"].append({"revision": step.revision.revision, "why": why})
                self.found["reversible"] = False
            elif self.found["reversible"]:
                order.append(step.revision.revision)
        del self.found["irreversible"][STEPS_LIMIT:]
        return order

    def compare(self, expected, actual):
        """Tells what the last phase left otherwise than it should be."""
        differences = catalog_differences(expected, actual)
        self.found["phases"][-1].update(leaves=differences[:LEFTOVERS_LIMIT], differences=len(differences))


def no_way_back(script, back, forth):
    """Why a step can't be undone; a step that does nothing has nothing to undo."""
    tree = parsed(file_digest(script.path)[0]) if str(script.path).endswith(".py") else None
    kind = function_kind(tree, script.module, back)
    if kind == "empty" and function_kind(tree, script.module, forth) == "empty":
        return None
    return kind if kind != "present" else None


def catalog_differences(expected, actual):
    """The objects that differ, as for drift."""
    expected, actual = ({(kind, name): definition for kind, name, definition in objects} for objects in (expected, actual))
    changed = {key: "Missing" if key not in actual else "Unexpected" if key not in expected else "Modified"
               for key in set(expected) | set(actual) if expected.get(key) != actual.get(key)}
    return [{"change": change, "object": shortened("%s %s" % key)} for key, change in sorted(changed.items())]


def differences_of_models(context, kind, consequence):
    """What Alembic's own comparison of the tables with the models finds, on a connection of its own."""
    metadata = context.opts.get("target_metadata")
    if metadata is None:
        raise refused(kind, "env.py names no models (target_metadata), so " + consequence)
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with context.connection.engine.connect() as connection:
        opts = {key: value for key, value in context.opts.items() if key != "fn"}
        return compare_metadata(MigrationContext.configure(connection, opts=opts), metadata)


def check_models(context):
    """Whether the tables are what the models say."""
    differences = differences_of_models(context, "AdoptionRefused", "there is nothing to compare the tables with; set spec.adopt.verify: None "
                                        "if you know that they are right")
    if differences:
        raise refused("AdoptionRefused", "the tables are not what the models say: %s" % listed("%s %s" % difference(entry) for entry in differences))


CHANGES = {"add": "Missing", "remove": "Unexpected", "modify": "Modified"}
KINDS = {"fk": "foreign key", "table_comment": "comment of table", "nullable": "column", "type": "column", "default": "column", "comment": "column"}


def difference(entry):
    """One of compare_metadata's tuples, or a list of them for a column, as what is wrong and with which object."""
    details = entry if isinstance(entry, list) else [entry]
    kind, *rest = details[0]
    verb, _, what = kind.partition("_")
    if verb == "modify":
        changes = ", ".join(detail_text(*detail) for detail in details)
        return "Modified", "column %s (%s)" % (dotted(rest[:3]), changes)
    if what == "table_comment":
        return "Modified", "comment of table %s" % object_name(rest[0])
    name = dotted(rest[:2] + [rest[2].name]) if what == "column" else object_name(rest[0])
    return CHANGES.get(verb, "Modified"), "%s %s" % (KINDS.get(what, what.replace("_", " ")), name)


def detail_text(kind, *rest):
    what = kind.partition("_")[2]
    old, new = (" ".join(shown(value).split())[:60] for value in rest[4:6])
    return "%s is %s, should be %s" % (what, old, new) if what in ("nullable", "type") else what


def shown(value):
    try:
        return str(value)
    except Exception:  # a type that only its dialect can spell
        return type(value).__name__


def object_name(thing):
    """`table`, or `table.name` for what belongs to one; a constraint without a name is told by its columns."""
    table = getattr(thing, "table", None)
    if table is None:
        return dotted([getattr(thing, "schema", None), getattr(thing, "name", None)])
    columns = ", ".join(str(getattr(column, "name", column)) for column in getattr(thing, "columns", []))
    return dotted([table.schema, table.name, str(thing.name) if thing.name else "(%s)" % columns])


def dotted(parts):
    return ".".join(str(part) for part in parts if part)


# ---------------------------------------------------------------- whose error it is


def chain(error):
    """The error and what led to it."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def traces_of(link):
    trace = link.__traceback__
    while trace is not None:
        yield trace
        trace = trace.tb_next


def frames_of(link):
    return (trace.tb_frame for trace in traces_of(link))


def link_through(error, file, names):
    """The error of the chain that was raised below one of the functions `names` in a source file that ends in `file`."""
    for link in reversed(list(chain(error))):
        for frame in frames_of(link):
            if frame.f_code.co_name in names and frame.f_code.co_filename.replace(os.sep, "/").endswith(file):
                return link
    return None


def missing_driver(error):
    """What create_engine could not import: a driver, or the dialect itself."""
    for link in chain(error):
        if type(link).__name__ == "NoSuchModuleError":
            return link
    link = link_through(error, ".py", ("import_dbapi", "dbapi"))
    return link if isinstance(link, ImportError) else None


def scheme_of(error, url):
    for frame in (frame for link in chain(error) for frame in frames_of(link)):
        if frame.f_code.co_name == "create_engine" and hasattr(frame.f_locals.get("u"), "drivername"):
            return frame.f_locals["u"].drivername
    return (url or "?").partition("://")[0]


def problem_before_steps(error, url, revisions):
    trace = error_trace(error)
    graph = link_through(error, "alembic/script/revision.py", ("_revision_map",))
    if graph is not None:  # env.py itself asked for the revisions
        return revisions.problem(graph)
    driver = missing_driver(error)
    if driver is not None:
        return Problem("DriverMissing", "the database driver for %s:// is not in this image: %s; install it, or set spec.database.driver"
                       % (scheme_of(error, url), error_text(driver)), detail=trace)
    connecting = link_through(error, "sqlalchemy/engine/default.py", ("connect",))
    if connecting is not None:
        return Problem("ConnectFailed", "the database cannot be connected to: %s" % error_text(connecting), detail=trace)
    if isinstance(error, SystemExit):
        return Problem("EnvPyFailed", "env.py called sys.exit(%r)" % (error.code,), detail=trace)
    return Problem("EnvPyFailed", "env.py failed: %s" % error_text(error), detail=trace)


def problem_of_run(error, report, stopper, changed=True):
    """The problem of an error after all checks of a run had passed, or of a signal at any time; `changed`: by the step before it failed."""
    running, started = report.fields["running"], report.fields["started"]
    if stopper.stopped and not started:
        return refused("MigrationFailed", "stopped by SIGTERM before the first step; nothing was changed")
    where = "during the step" if running else "after the last step" if started else "before the first step"
    message = "stopped by SIGTERM " + where if stopper.stopped else error_text(error) if running else where + ": " + error_text(error)
    kind = kind_of_failure(error) if running and not stopper.stopped else "MigrationFailed"
    return Problem(kind, message, revision=running, detail=error_trace(error), changed=changed)


# ---------------------------------------------------------------- frames


def emit_frames(output, nonce, payload):
    """Writes the payload into the log in lines that nothing else printed there can imitate by accident or tear apart."""
    import base64
    import zlib

    content = encoded(payload)
    text = base64.b64encode(zlib.compress(content, 9)).decode("ascii")
    chunks = [text[start:start + FRAME_CHUNK] for start in range(0, len(text), FRAME_CHUNK)]
    os.set_blocking(output, True)  # shared with whatever env.py did to its standard output
    for number, chunk in enumerate(chunks):
        os.write(output, ("\n@alembic-operator %s %d %s\n" % (nonce, number, chunk)).encode("ascii"))
    return {"frames": len(chunks), "bytes": len(content), "sha256": sha256(content).hexdigest()}


def flush_standard_streams():
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()
        except Exception:
            pass  # env.py may have closed or replaced it


# ---------------------------------------------------------------- from start to end


def drive(task, report, stopper, output):
    url = set_url(task, os.environ)
    prepare_process(task, os.environ)
    import_alembic()
    if task.get("scratch"):
        task["scratch_url"] = url
        await_server(url)
    if task["action"] == "rehearse":
        Rehearsal(task, report, stopper, url).perform(output)
        return report.update(state="done")
    config, revisions = loaded(task, url)
    stoppable = task["action"] in RUNNING or task["action"] == "inspect"
    kinds = {"inspect": Inspection, "probe": Look, "compare": Comparison, "run": Run, "replay": Replay}
    work = kinds[task["action"]](*[task, report, revisions] + [stopper] * stoppable)
    error = error_of(work, config)
    stopper.ignore()
    settle(work, error, url, stopper)
    flush_standard_streams()
    payload = work.payload()
    frames = {} if payload is None else emit_frames(output, report.fields["nonce"], payload)
    report.update(state="done", **frames)


def loaded(task, url):
    """The project's configuration and revisions, as a command would load them that is new."""
    config = load_config(task)
    if url is not None:
        config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))
    return config, Revisions(load_script_directory(config))


def settle(work, error, url, stopper):
    """env.py has ended: raises what is wrong with the work, if anything is."""
    running = isinstance(work, Run)
    changed = not work.checked or work.statements.changed
    if running:
        work.read_back()
    if error is not None:
        if isinstance(error, Problem):
            raise error
        if stopper.stopped or work.checked:
            raise problem_of_run(error, work.report, stopper, changed)
        raise problem_before_steps(error, url, work.revisions)
    if not work.calls:
        raise Problem("EnvPyDidNotRun", "env.py ended without calling context.run_migrations()")
    if running:
        work.conclude()


def error_of(work, config):
    """The error that ended env.py, or the one that env.py hid; an exit with success after all the work is none."""
    try:
        work.run_env(config)
    except SystemExit as error:
        return work.error or (None if work.finished and not error.code else error)
    except BaseException as error:
        return work.error or error
    return work.error


def main():
    output = os.dup(1)
    report = Report(os.environ.pop("ALEMBIC_OPERATOR_TERMINATION_LOG", "/dev/termination-log"))
    stopper = Stopper()
    try:
        task = read_task(os.environ)
        report.fields["action"] = task["action"]
        report.write()
        stopper.install()
        drive(task, report, stopper, output)
    except Problem as problem:
        report.fail(problem)
        return 2 if problem.kind == "TaskUnusable" else EXIT_CODES[problem.state]
    except OSError as error:
        report.fail(unusable_task("the termination message cannot be written: %s" % error))
        return 2
    except Stopped as error:
        problem = problem_of_run(error, report, stopper)
        report.fail(problem)
        return EXIT_CODES[problem.state]
    except BaseException as error:
        report.fail(Problem("RunnerFailed", "the runner itself failed: %s" % error_text(error), detail=error_trace(error)))
        return 1
    return 0


if __name__ == "__main__":
    status = main()
    flush_standard_streams()
    os._exit(status)  # threads that env.py left behind must not keep the pod alive
