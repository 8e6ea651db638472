"""MySQL and MariaDB: lock, time limits, observer. Talks to the user's database."""

import re
from hashlib import sha256
from typing import Dict, Set

from ..connect import answers, answers_on_driver, driver_connection, execute
from ..lock import Lock
from ..observe import ServerObserver
from ..problems import refused
from ..texts import plain
from .base import Engine, words_of

DEADLOCK = 1213


def quoted(name):
    return "`%s`" % name.replace("`", "``").replace(":", "\\:")


class MysqlLock(Lock):
    def identify(self):
        self.database = plain(execute(self.context.connection, "SELECT DATABASE()").scalar())
        database = self.context.version_table_schema or self.database
        digest = sha256(("%s.%s" % (database, self.context.version_table)).encode("utf-8")).hexdigest()[:40]
        self.key, self.guard = "alembic-operator:" + digest, "alembic-operator-guard:" + digest  # at most 64 characters

    def open(self):
        """In the database of the migration's connection: env.py may have gone on to it with USE."""
        connection = super().open()
        if self.database:
            execute(connection, "USE %s" % quoted(self.database))
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
        files: Dict[str, Set[int]] = {}
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


class Mysql(Engine):
    lock = MysqlLock
    observer = MysqlObserver
    scratch_mark = "SELECT @@report_host"

    def limit(self, connection, what, seconds, explicit):
        names = ["lock_wait_timeout", "innodb_lock_wait_timeout"]
        if what == "statement":  # MySQL's max_execution_time stops nothing but SELECT
            names = ["max_statement_time"] if "mariadb" in execute(connection, "SELECT VERSION()").scalar().lower() else []
        for name in names:
            if explicit or execute(connection, "SELECT @@SESSION.%s = @@GLOBAL.%s" % (name, name)).scalar():
                execute(connection, "SET SESSION %s = %d" % (name, max(seconds, 1 if what == "lock" else 0)))

    def database(self, context):
        return plain(execute(context.connection, "SELECT DATABASE()").scalar()) or None

    def identity(self, connection):
        fold, name, *rest = (plain(value) for value in execute(
            connection, "SELECT @@lower_case_table_names, DATABASE(), @@hostname, @@port, @@datadir, @@server_id").first())
        server = answers(connection, "SELECT @@server_uuid") or answers(connection, "SELECT @@server_uid") or [[""]]
        return (name.lower() if fold != "0" else name, *rest, plain(server[0][0]))

    def check_writable(self, connection):
        """Some users write to such a server all the same."""
        if plain(execute(connection, "SELECT @@global.read_only").scalar()).upper() in ("0", "OFF", ""):
            return
        grants = " ".join(plain(row[0]) for row in execute(connection, "SHOW GRANTS"))
        if not re.search(r"\bSUPER\b|\bREAD[_ ]ONLY[_ ]ADMIN\b|\bALL PRIVILEGES ON \*\.\*", grants):
            raise refused("DatabaseReadOnly", "the server takes no writes (read_only is on), as a replica or while it fails over; nothing was run")

    def adopt(self, connection, context):
        name = self.database(context)
        if name:
            execute(connection, "USE %s" % quoted(name))

    def commits_by_itself(self, connection):
        return True  # as nearly every statement that changes a table does

    # Its own word on whether it writes is advice to the server, and binds nobody; a view may call one.
    FUNCTIONS = "information_schema.routines WHERE routine_type = 'FUNCTION' AND routine_schema <> 'sys'"
    VIEWS = "information_schema.views WHERE table_schema NOT IN ('sys', 'mysql', 'information_schema', 'performance_schema')"

    def doubt(self, connection, statement):
        words = words_of(statement)
        named = " AND (routine_name IN (%s) OR EXISTS (SELECT 1 FROM %s AND table_name IN (%s)))" % (words, self.VIEWS, words) if words else ""
        return answers_on_driver(connection, "SELECT 1 FROM %s%s LIMIT 1" % (self.FUNCTIONS, named))

    def commits_before_failing(self, error):
        return DEADLOCK not in getattr(error, "args", ())  # which rolls all of it back

    def after_failure(self, connection):
        answers_on_driver(connection, "DO 0")  # an error comes without the flag

    def in_transaction(self, connection):
        """By the flag that the server sends with each answer."""
        raw = driver_connection(connection)
        raw = raw if hasattr(raw, "server_status") else getattr(raw, "_connection", raw)  # an asynchronous driver's
        if hasattr(raw, "server_status"):
            return bool(raw.server_status & 1)
        known = getattr(raw, "in_transaction", None)  # MySQL's own driver
        if isinstance(known, bool):
            return known
        asked = answers_on_driver(connection, "SELECT @@in_transaction") if self.server(connection.dialect) == "mariadb" else None
        return None if asked is None else bool(asked)

    def server(self, dialect):
        return "mariadb" if getattr(dialect, "is_mariadb", getattr(dialect, "_is_mariadb", False)) else dialect.name

    def read_objects(self, context, queries, connection):
        execute(connection, "SET SESSION group_concat_max_len = 1000000")
        objects = super().read_objects(context, queries, connection)
        if self.server(context.dialect) == "mariadb":
            for entry in objects:
                if entry[0] == "sequence":
                    entry[2] = plain(execute(connection, queries["sequence"].replace("{sequence}", quoted(entry[1]))).scalar())
        return objects
