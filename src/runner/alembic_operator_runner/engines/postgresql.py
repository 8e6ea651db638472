"""PostgreSQL: lock, time limits, observer. Talks to the user's database."""

import re
from hashlib import sha256

from ..connect import answers_on_driver, driver_connection, execute, is_autocommit, on_driver
from ..lock import Lock
from ..observe import ServerObserver
from ..pooler import check_pooler
from ..problems import refused
from .base import Engine, rows_as_text, words_of

GATE_TABLES = 2000  # a server's table of locks has room for some thousands


# The schema of the version table, where it is or would be made, and the settings that say so.
IDENTITY = (
    "SELECT COALESCE((SELECT n.nspname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relname = :name AND c.relkind IN ('r', 'p') AND pg_catalog.pg_table_is_visible(c.oid)), current_schema(), ''),"
    " current_setting('search_path'), current_setting('role')"
)


class PostgresqlLock(Lock):
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
        found = execute(self.context.connection, IDENTITY, name=self.context.version_table).first()
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


class Postgresql(Engine):
    lock = PostgresqlLock
    observer = PostgresqlObserver
    scratch_mark = "SHOW cluster_name"

    def database(self, context):
        return execute(context.connection, "SELECT CAST(current_database() AS text)").scalar()

    def identity(self, connection):
        """No two servers start in the same microsecond; copies of one have its system identifier, and addresses depend on the way."""
        return tuple(execute(connection, "SELECT CAST(current_database() AS text),"
                                         " CAST(extract(epoch FROM pg_catalog.pg_postmaster_start_time()) AS text)").first())

    def place(self, context):
        found = execute(context.connection, IDENTITY + ", CAST(current_user AS text)", name=context.version_table).first()
        return dict(super().place(context), schema=context.version_table_schema or found[0], search_path=found[1], role=found[3])

    def version_schema(self, context, url):
        """A SET of env.py's, or one in its connect arguments, moves the table for env.py alone; what the role, the database or the URL sets
        holds for everybody who connects."""
        if context.version_table_schema:
            return context.version_table_schema
        sources = {source for source, in execute(context.connection, "SELECT source FROM pg_catalog.pg_settings WHERE name IN ('search_path', 'role')")}
        if "session" in sources or ("client" in sources and "options" not in str(url or "").partition("?")[2]):
            return execute(context.connection, IDENTITY, name=context.version_table).first()[0] or None
        return None

    def check_session(self, context):
        check_pooler(context.connection.engine, "SELECT pg_catalog.pg_backend_pid()")

    def check_writable(self, connection):
        if execute(connection, "SELECT current_setting('transaction_read_only')").scalar() == "on":
            raise refused("DatabaseReadOnly", "the server takes no writes (transaction_read_only is on), as a replica or while it fails over; nothing was run")

    def adopt(self, connection, context):
        path, role = execute(context.connection, "SELECT current_setting('search_path'), current_setting('role')").first()
        execute(connection, "SELECT set_config('role', :role, true), set_config('search_path', :path, true)", role=role, path=path)

    def in_transaction(self, connection):
        raw = driver_connection(connection)
        own = getattr(raw, "_connection", None) or raw  # an asynchronous driver's
        for read in (lambda: int(raw.info.transaction_status) != 0, lambda: raw.get_transaction_status() != 0, lambda: own.is_in_transaction(),
                     lambda: {b"I": False, b"T": True, b"E": True}[raw._transaction_status]):
            try:
                return read()
            except Exception:
                pass
        return None

    # The number of the running transaction, once it has written, and the one before which all have ended.
    NUMBERS = "COALESCE(CAST(pg_catalog.txid_current_if_assigned() AS text), '') || ' ' || pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())"
    # What a function must be by its own word if it writes, and views, whose functions have no name in the statement.
    WRITERS = ("EXISTS (SELECT 1 FROM pg_catalog.pg_proc WHERE provolatile = 'v' AND proparallel = 'u' AND proname IN (%s)) OR EXISTS ("
               "SELECT 1 FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
               " WHERE c.relkind = 'v' AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND c.relname IN (%s))")

    def doubt(self, connection, statement):
        words = words_of(statement)
        named = self.WRITERS % (words, words) if words else "true"
        return answers_on_driver(connection, "SELECT CASE WHEN %s THEN %s END" % (named, self.NUMBERS))

    def has_written(self, connection, doubt):
        """Measured; where that is not possible, it has: the transaction had written before, or others write beside a connection in AUTOCOMMIT."""
        number, ended = (answers_on_driver(connection, "SELECT " + self.NUMBERS) or "? ?").split(" ")
        return ended != doubt.split(" ")[1] if is_autocommit(connection) else bool(number)

    def mark(self, connection):
        return None if is_autocommit(connection) else answers_on_driver(connection, "SELECT pg_catalog.txid_current()")

    def outcome(self, connection, mark):  # on another connection than the marked one
        return answers_on_driver(connection, "SELECT pg_catalog.txid_status(%d)" % mark)

    def limit(self, connection, what, seconds, explicit):
        name = what + "_timeout"
        if explicit or execute(connection, "SELECT current_setting(:name)", name=name).scalar() == "0":
            value = min(max(seconds * 1000, 1 if what == "lock" else 0), 2 ** 31 - 1)  # 0 is no limit
            execute(connection, "SELECT set_config(:name, :value, false)", name=name, value=str(value))

    # Not those that are being built right now, nor those of a partitioned table, which wait for their parts.
    INVALID = ("SELECT CAST(i.indexrelid AS bigint), CAST(c.relname AS text), CAST(t.relname AS text) FROM pg_catalog.pg_index i"
               " JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_class t ON t.oid = i.indrelid"
               " WHERE NOT i.indisvalid AND c.relkind = 'i'"
               " AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_locks l WHERE l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted)")

    def lift_limits(self, connection):
        """Such a statement that gives up leaves an invalid index behind, and it makes nobody wait who reads or writes."""
        before = on_driver(connection, "SHOW lock_timeout")
        if before == "0":
            return None
        on_driver(connection, "SET lock_timeout = 0")
        return lambda: answers_on_driver(connection, "SET lock_timeout = '%s'" % before)

    def damage(self, connection, statements):
        """Invalid indexes that the statements name, or whose table they name."""
        text = " ".join(statements)
        return ["index %s of table %s is invalid" % (index, table) for _, index, table in execute(connection, self.INVALID)
                if re.search(r"(?<![\w$])(%s|%s)(?![\w$])" % (re.escape(index), re.escape(table)), text, re.I)]

    def version(self, dialect):
        return str((dialect.server_version_info or [""])[0])

    def read_objects(self, context, queries, connection):
        path = execute(connection, "SELECT current_setting('search_path')").scalar()
        execute(connection, "SET search_path = pg_catalog")
        objects = rows_as_text(connection, queries["postgresql"], version_table=context.version_table, version_schema=context.version_table_schema)
        execute(connection, "SELECT set_config('search_path', :path, false)", path=path)
        return objects
