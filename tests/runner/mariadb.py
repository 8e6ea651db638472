"""A private MariaDB server in a temporary folder, on a Unix socket and a loopback port. Touches no network but loopback (and apt, once)."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile

from postgres import DATABASE, USER, ServerError, free_port, install, running, unprivileged

PASSWORD = "secret-of-mariadb"


class Mariadb:
    def __init__(self, folder, port):
        self.folder = folder
        self.port = port

    def sql(self, statement, database="mysql", user="root"):
        """Runs as the superuser, or as the application's user; returns the rows as lists of texts."""
        place = ["--socket", os.path.join(self.folder, "socket")] if user == "root" else ["--host", "127.0.0.1", "--port", str(self.port)]
        command = ["mariadb", "--no-defaults", *place, "-u", user, "-N", "-B", "-e", statement, database]
        environ = dict(os.environ, MYSQL_PWD=PASSWORD if user == USER else "")
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
        if result.returncode != 0:
            raise ServerError(result.stderr)
        return [line.split("\t") for line in result.stdout.splitlines()]

    def log(self):
        """The end of what the server itself says, for a test that it fails."""
        with open(os.path.join(self.folder, "log"), errors="replace") as log:
            return log.read()[-3000:]

    def empty_database(self):
        for session, in self.sql("SELECT id FROM information_schema.processlist WHERE user = '%s'" % USER):
            with contextlib.suppress(ServerError):  # it has just ended
                self.sql("KILL %s" % session)
        self.sql("DROP DATABASE IF EXISTS %s; CREATE DATABASE %s" % (DATABASE, DATABASE))

    def url(self):
        return "mysql+pymysql://%s:%s@127.0.0.1:%d/%s" % (USER, PASSWORD, self.port, DATABASE)


def installed():
    """The server and its client; installed with apt first where that is possible."""
    if not (shutil.which("mariadbd") and shutil.which("mariadb-dump")):
        assert install("mariadb-server-core", "mariadb-client"), "MariaDB is needed for these tests: install mariadb-server-core and mariadb-client"


@contextlib.contextmanager
def server():
    installed()
    folder = tempfile.mkdtemp(prefix="alembic-operator-mariadb-")
    prefix, user = unprivileged()
    os.chown(folder, user, -1)
    data = os.path.join(folder, "data")
    prepare = ["mariadb-install-db", "--no-defaults", "--datadir=" + data, "--auth-root-authentication-method=normal", "--skip-test-db"]
    # A server that starts removes every temporary table in its folder for these, and so those of another one that works in the same.
    environ = dict(os.environ, TMPDIR=folder)
    subprocess.run([*prefix, *prepare], check=True, stdout=subprocess.DEVNULL, cwd=folder, env=environ)
    mariadb = Mariadb(folder, free_port())
    settings = ["datadir=" + data, "socket=" + os.path.join(folder, "socket"), "port=%d" % mariadb.port, "bind-address=127.0.0.1", "skip-name-resolve",
                "innodb-flush-log-at-trx-commit=0", "innodb-buffer-pool-size=32M", "pid-file=" + os.path.join(folder, "pid"), "tmpdir=" + folder]
    command = [*prefix, shutil.which("mariadbd"), "--no-defaults", *("--" + setting for setting in settings)]
    with running(command, mariadb, 60, signal.SIGKILL):  # nothing in it is worth a flush
        mariadb.sql("CREATE USER '%s'@'%%' IDENTIFIED BY '%s'; GRANT ALL ON %s.* TO '%s'@'%%'" % (USER, PASSWORD, DATABASE, USER))
        yield mariadb
