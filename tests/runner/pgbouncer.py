"""A private PgBouncer before a private PostgreSQL, on a loopback port. Touches no network but loopback (and apt, once)."""

import contextlib
import os
import shutil
import signal
import tempfile
from urllib.parse import quote

from postgres import DATABASE, PASSWORD, USER, Postgres, free_port, install, running, unprivileged


class Pooler(Postgres):
    """Takes the statements of an application: as its user, through the pooler."""

    login, host = USER, "127.0.0.1"

    environ = {"PGPASSWORD": PASSWORD}

    def sql(self, statement, database=DATABASE):
        return super().sql(statement, database)


    def url(self, database=DATABASE, query=""):
        return "postgresql://%s:%s@127.0.0.1:%d/%s%s" % (USER, quote(PASSWORD, safe=""), self.port, database, query)


@contextlib.contextmanager
def pooler(server, mode="transaction", size=4):
    """`alias` is another name of the database."""
    program = shutil.which("pgbouncer") or (install("pgbouncer") and shutil.which("pgbouncer"))
    assert program, "PgBouncer is needed for these tests: install the package pgbouncer"
    folder = tempfile.mkdtemp(prefix="alembic-operator-pgbouncer-")
    prefix, user = unprivileged()
    made = Pooler(server.binaries, folder, free_port())
    users, settings = os.path.join(folder, "users"), os.path.join(folder, "ini")
    with open(users, "w") as file:
        file.write('"%s" "%s"\n' % (USER, PASSWORD))
    place = "host=127.0.0.1 port=%d dbname=%s" % (server.port, DATABASE)
    with open(settings, "w") as file:
        file.write("[databases]\n%s = %s\nalias = %s\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = %d\nauth_type = plain\nauth_file = %s\n"
                   "pool_mode = %s\ndefault_pool_size = %d\nunix_socket_dir =\nignore_startup_parameters = extra_float_digits\n"
                   % (DATABASE, place, place, made.port, users, mode, size))
    for path in (folder, users, settings):
        os.chown(path, user, -1)
    with running([*prefix, program, settings], made, 20, signal.SIGKILL):
        yield made
