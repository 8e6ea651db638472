"""The memory of one look at databases that somebody has filled on purpose: run by `make bench` on private servers.

Prints figures that were taken in one run; nothing here passes or fails."""
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "runner"))
import mariadb  # noqa: E402
import postgres  # noqa: E402

BINARY = os.environ.get("ALEMBIC_OPERATOR_BINARY", ROOT / "target" / "release" / "alembic-operator")
COLUMNS = ", ".join(f"column_{number} int not null" for number in range(400))


def peak(url, name):
    """MiB, as the process has them; rusage would count the memory of this program, too."""
    environ = {**os.environ, "DATABASE": url, "RUST_BACKTRACE": "0"}
    process = subprocess.Popen([BINARY, name, "--url-env", "DATABASE", "--timeout", "300"], env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    most = 0
    while process.poll() is None:
        status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
        if "alembic" in status.partition("\n")[0]:
            most = max([most, *(int(kib) for kib in re.findall(r"VmHWM:\s+(\d+)", status))])
        time.sleep(0.001)
    assert process.returncode == 0 or b"version table" in process.stderr.read()
    return most / 1024


def of_postgres(server):
    sql = lambda statement: server.sql(statement, postgres.DATABASE)
    yield "nothing"
    sql("CREATE TABLE alembic_version (version_num text); GRANT ALL ON alembic_version TO public; INSERT INTO alembic_version SELECT repeat('x', 250000000)")
    yield "a version row of 250 MB"
    sql("TRUNCATE alembic_version; INSERT INTO alembic_version SELECT n || repeat('x', 300000) FROM generate_series(1, 1000) AS n")
    yield "1,000 version rows of 300 kB"
    sql("TRUNCATE alembic_version; CREATE TABLE t (id int); DO $$BEGIN EXECUTE 'COMMENT ON TABLE t IS ' || quote_literal(repeat('x', 200000000)); END$$")
    yield "a comment of 200 MB"
    sql("COMMENT ON TABLE t IS NULL")
    for first in range(0, 300, 50):
        sql(f"DO $$BEGIN FOR number IN 1..50 LOOP EXECUTE 'CREATE TABLE t' || {first} + number || ' ({COLUMNS})'; END LOOP; END$$")
    yield "120,000 columns"


def of_mariadb(server):
    sql = lambda statement: server.sql(statement, postgres.DATABASE)
    yield "nothing"
    sql("CREATE TABLE alembic_version (version_num longtext)")
    for number in range(16):
        sql(f"INSERT INTO alembic_version VALUES (CONCAT({number}, REPEAT('x', 10000000)))")
    yield "16 version rows of 10 MB"
    sql("TRUNCATE alembic_version")
    for first in range(0, 300, 10):
        sql("; ".join(f"CREATE TABLE t{first + number} ({COLUMNS}) ENGINE = MyISAM" for number in range(10)))
    yield "120,000 columns"


def main():
    for name, start, fillings in (("PostgreSQL", postgres.server, of_postgres), ("MariaDB", mariadb.server, of_mariadb)):
        print(f"\nMemory of one look at {name} (MiB: version rows, schema)")
        with start() as server, contextlib.closing(fillings(server)) as filled:
            server.empty_database()
            for filling in filled:
                print(f"  {filling:32} {peak(server.url(), 'probe'):4.0f} {peak(server.url(), 'fingerprint'):4.0f}", flush=True)


if __name__ == "__main__":
    main()
