"""Many schemas of one project: the batches of a set beside a shell loop and beside a script with six processes. Run by `make bench` on a
private server; the pods' start and the operator's passes, a few seconds for each wave, are not in it.

Prints figures that were taken in one run; nothing here passes or fails."""
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "runner"))
import environments  # noqa: E402
import postgres  # noqa: E402
import project as projects  # noqa: E402

TENANTS = int(os.environ.get("TENANTS", "1000"))
LOOPED = 20  # of the shell loop, which takes the same for each
BATCH = 250  # as the operator has it
TENANT = """schema = context.get_x_argument(as_dictionary=True)["schema"]
connection.execute(text('SET search_path TO "%s"' % schema))
connection.commit()
connection.dialect.default_schema_name = schema"""
SCRIPT = """
import sys, types
from alembic import command
from alembic.config import Config
for name in sys.argv[1:]:
    config = Config("alembic.ini")
    config.cmd_opts = types.SimpleNamespace(x=["schema=" + name])
    command.upgrade(config, "head")
"""


def anew(server):
    """Every tenant's schema, empty."""
    names = ["tenant_%04d" % number for number in range(TENANTS)]
    for first in range(0, TENANTS, 50):
        some = names[first:first + 50]
        server.sql("".join(f"DROP SCHEMA IF EXISTS {name} CASCADE; CREATE SCHEMA {name} AUTHORIZATION {postgres.USER};" for name in some), postgres.DATABASE)
    return names


def migrated(server):
    """How many tenants have their version row."""
    return int(server.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'alembic_version'", postgres.DATABASE)[0][0])


def waves(names):
    """A canary, a tenth, and the rest, in batches."""
    tenth = max(1, len(names) // 10)
    for wave in (names[:1], names[1:1 + tenth], names[1 + tenth:]):
        for first in range(0, len(wave), BATCH):
            yield wave[first:first + BATCH]


def batches(project, names, line):
    run = {"direction": "upgrade", "from": [], "targets": line[-1:], "end": line[-1:], "steps": len(line), "steps_digest": project.digest(line),
           "lock_wait_seconds": 20, "workers": 4, "failures_left": 0, "x_of_each": ["schema=$(schema)"]}
    for batch in waves(names):
        members = [{"name": name, "schema": name} for name in batch]
        found = project.start(action="batch", members=members, **run).outcome(600).done().message["batch"]
        assert found["states"] == "d" * len(batch) and not found["alone"], found


def loop(project, names, _):
    for name in names[:LOOPED]:
        alembic(project, "-m", "alembic", "-x", "schema=" + name, "upgrade", "head").wait()


def script(project, names, _):
    """Fifty schemas to a process, six processes at a time."""
    waiting, running = [names[first:first + 50] for first in range(0, len(names), 50)], []
    while waiting or running:
        while waiting and len(running) < 6:
            running.append(alembic(project, "-c", SCRIPT, *waiting.pop(0)))
        running.pop(0).wait()


def alembic(project, *command):
    environ = {**os.environ, "DATABASE_URL": project.url}
    return subprocess.Popen([project.python, *command], cwd=project.folder, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main():
    python = environments.python_of(environments.NEWEST)
    print(f"\n{TENANTS} schemas on a private PostgreSQL, from nothing to head: canary, a tenth, the rest; ms for each tenant, in one run")
    print(f"  {'revisions':>9} {'set':>8} {'script 6x50':>12} {'shell loop':>11}   set/script   loop/set")
    with postgres.server() as server, tempfile.TemporaryDirectory() as folder:
        server.empty_database()
        for count in (1, 5, 20):
            project = projects.Project(pathlib.Path(folder, str(count)), python, server.url())
            project.env(before=TENANT, setup="import os\nconfig.set_main_option('sqlalchemy.url', os.environ['DATABASE_URL'].replace('%', '%%'))")
            line = ["r%02d" % number for number in range(count)]
            project.tables(*line)
            each = {}
            for way, among in ((batches, TENANTS), (script, TENANTS), (loop, LOOPED)):
                names = anew(server)
                begun = time.monotonic()
                way(project, names, line)
                each[way] = (time.monotonic() - begun) * 1000 / among
                assert migrated(server) == min(among, TENANTS), way
            ours, theirs, plain = each[batches], each[script], each[loop]
            print(f"  {count:9} {ours:8.0f} {theirs:12.0f} {plain:11.0f} {ours / theirs:12.2f} {plain / ours:10.1f}", flush=True)


if __name__ == "__main__":
    main()
