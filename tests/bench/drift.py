"""What one comparison of a schema costs, beside what a person would pick instead: run by `make bench` on private servers.

Prints figures that were taken in one run; nothing here passes or fails."""
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "runner"))
import mariadb  # noqa: E402
import postgres  # noqa: E402
from environments import NEWEST, WITH_PYMYSQL, python_of  # noqa: E402

BINARY = ROOT / "target" / "release" / "alembic-operator"
SIZES = [int(size) for size in os.environ.get("TABLES", "10 500 5000").split()]
COLUMNS = 16
ROUNDS = 3
REFLECT = """
import os, time
import sqlalchemy as sa
engine = sa.create_engine(os.environ["DATABASE"])
begun = time.perf_counter()
sa.MetaData().reflect(engine)
print(time.perf_counter() - begun)
"""


def tables(count):
    columns = ", ".join(f"c{n} {'varchar(60) NOT NULL' if n % 3 else 'numeric(10, 2) DEFAULT 0'}" for n in range(2, COLUMNS))
    for number in range(count):
        parent = f", FOREIGN KEY (c1) REFERENCES t{number // 2} (c0)" if number else ""
        yield f"CREATE TABLE t{number} (c0 int PRIMARY KEY, c1 int, {columns}{parent}); CREATE INDEX i{number} ON t{number} (c2);\n"


def command(url, *arguments):
    """Seconds and MiB of the operator's command."""
    begun = time.perf_counter()
    process = subprocess.Popen([BINARY, "fingerprint", "--url-env", "DATABASE", "--timeout", "300", *arguments],
                               env={**os.environ, "DATABASE": url}, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:  # rusage would count the memory of this program, too
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        if "alembic" in status.partition("\n")[0]:
            peak = max([peak, *(int(kib) for kib in re.findall(r"VmHWM:\s+(\d+)", status))])
        time.sleep(0.005)
    assert process.returncode == 0
    return time.perf_counter() - begun, peak / 1024


def timed(action):
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def measure(name, start, dump, environment):
    """A server of its own for each size: emptying one of thousands of tables takes more locks than it has."""
    print(f"\nOne comparison on {name} (medians of {ROUNDS}; with the start of the process)")
    print("  tables  columns   operator   memory   schema dump   SQLAlchemy reflects")
    for size in SIZES:
        with start() as server:
            server.empty_database()
            statements = list(tables(size))
            for first in range(0, size, 100):
                server.sql("".join(statements[first:first + 100]), postgres.DATABASE)
            took, memory, dumped = [], [], []
            for _ in range(ROUNDS):
                seconds, peak = command(server.url())
                took.append(seconds)
                memory.append(peak)
                dumped.append(timed(lambda: subprocess.run(dump(server), check=True, stdout=subprocess.DEVNULL)))
            reflected = float(subprocess.run([python_of(environment), "-c", REFLECT], check=True, text=True, stdout=subprocess.PIPE,
                                             env={**os.environ, "DATABASE": server.url()}).stdout)
        own, theirs = statistics.median(took), statistics.median(dumped)
        print(f"  {size:6d}  {size * COLUMNS:7d}  {own:7.3f} s  {max(memory):4.0f} MiB  {theirs:7.3f} s {theirs / own:3.1f}x  {reflected:7.2f} s {reflected / own:4.1f}x", flush=True)


def pg_dump(server):
    return [server.binaries / "pg_dump", "-h", server.folder, "-p", str(server.port), "-U", "postgres", "--schema-only", postgres.DATABASE]


def mariadb_dump(server):
    return ["mariadb-dump", "--no-defaults", "--socket", os.path.join(server.folder, "socket"), "-u", "root", "--no-data", postgres.DATABASE]


def main():
    measure("PostgreSQL", postgres.server, pg_dump, NEWEST)
    measure("MariaDB", mariadb.server, mariadb_dump, WITH_PYMYSQL)


if __name__ == "__main__":
    main()
