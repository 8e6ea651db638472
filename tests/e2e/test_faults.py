"""The node, its parts and the operator die at bad moments: each revision is applied exactly once, as its own audit table tells."""
import concurrent.futures
import os
import pathlib
import random
import signal
import subprocess
import threading
import time

import pytest

from harness import CLUSTER, OPERATOR, WITH_PYMYSQL, Space, eventually, items, kubectl, revision, run, space_name

DATABASES, ROUNDS = 5, 10  # each round is up and down again


def audited(*ids, sleep=""):
    """A line of revisions, each of which notes what it does in a table that belongs to nobody's schema; the last one sleeps first."""
    down, texts = None, []
    for each in ids:
        note = lambda what: f"op.execute(\"INSERT INTO audit.log (what) VALUES ('{what} {each}')\")"
        first = sleep if each == ids[-1] else ""
        body = f"{first}\nop.create_table('t_{each}', sa.Column('id', sa.Integer))\n{note('up')}"
        texts.append(revision(each, down, up=body.strip(), dn=f"op.drop_table('t_{each}')\n{note('down')}"))
        down = each
    return texts


def audit(space):
    space.sql(f"CREATE SCHEMA audit; CREATE TABLE audit.log (at serial, what text); GRANT ALL ON SCHEMA audit TO {space.database}; "
              f"GRANT ALL ON ALL TABLES IN SCHEMA audit TO {space.database}; GRANT ALL ON ALL SEQUENCES IN SCHEMA audit TO {space.database}")


def noted(space):
    return space.sql("SELECT what FROM audit.log ORDER BY at").splitlines()


def in_the_middle(space, push):
    """An object whose migration is in the middle of its second revision."""
    audit(space)
    migration = space.migration(push(*audited("aaaa1111", "bbbb2222", sleep="op.execute('SELECT pg_sleep(8)')")))
    at_work = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{space.database}' AND query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    # Kubernetes' own controllers take their time to come back after the API server was away.
    eventually("the slow step runs", lambda: space.sql(at_work) == "1", 120)
    return migration


@pytest.fixture
def slow(space, push):
    return in_the_middle(space, push)


def once(space, migration):
    migration.wait_ready(150)
    assert space.rows() == ["bbbb2222"] and noted(space) == ["up aaaa1111", "up bbbb2222"]
    assert len(space.jobs("run")) == migration.status["lastRun"]["number"]


@pytest.mark.serial
@pytest.mark.parametrize("component, seconds", [("kubelet", 12), ("kube-apiserver", 15), ("kube-controller-manager", 5)])
def test_a_part_of_the_node_dies_in_the_middle_of_a_run(space, slow, component, seconds):
    run(CLUSTER / "restart", component, str(seconds))
    once(space, slow)
    assert len(space.jobs("run")) == 1


def test_the_pod_is_evicted_in_the_middle_of_a_run(space, slow):
    space.evict("run")
    slow.wait("MigrationFailed", 60)
    assert "bbbb2222" in slow.message() and noted(space) == [] and space.rows() is None, "taken back as a whole"
    slow.annotate("again")
    once(space, slow)


def processes_of(pod):
    """The processes of a pod's run container, as the node sees them."""
    uid = pod["metadata"]["uid"]
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if uid in (entry / "cgroup").read_text() and b"/alembic-operator" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_the_runner_is_killed_during_a_long_statement(request, push, engine):
    """The statement of the dead client goes on in the server, and the next run waits until it has ended."""
    space = Space(space_name(request), engine=engine)
    if engine == "postgres":
        wait, requirements, busy = "SELECT pg_sleep(12)", None, f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{space.database}' AND query LIKE 'SELECT pg_sleep%' AND state = 'active'"
    else:
        wait, requirements, busy = "SELECT SLEEP(12)", WITH_PYMYSQL, "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'SELECT SLEEP%'"
    up = f"op.create_table('one', sa.Column('id', sa.Integer))\nop.get_bind().exec_driver_sql('{wait}').fetchall()\nop.create_table('two', sa.Column('id', sa.Integer))"
    image = push(revision("aaaa1111", up=up, dn="pass"), **({"requirements": requirements} if requirements else {}))
    migration = space.migration(image)
    eventually("the long statement runs", lambda: space.sql(busy) == "1", 40)
    pod = items("pods", space.name, "alembic-operator.dev/action=run")[0]
    runners = processes_of(pod)
    assert runners
    for pid in runners:
        os.kill(pid, signal.SIGKILL)
    migration.wait("MigrationFailed" if engine == "postgres" else "PartiallyApplied", 40)
    assert "aaaa1111" in migration.message() and not space.rows()
    if engine == "mariadb":
        assert space.has_table("one") and not space.has_table("two"), "what it left is named and left alone"
        eventually("the server has ended the statement", lambda: space.sql(busy) == "0", 30)
        space.sql("DROP TABLE one")
    migration.annotate("again")
    migration.wait_ready(90)
    assert space.rows() == ["aaaa1111"] and space.has_table("two")


def test_the_database_is_restarted_in_the_middle_of_a_run(request, push):
    name = space_name(request)
    space = Space(name, server=f"{name}-pg")
    migration = in_the_middle(space, push)
    kubectl("delete", "pod", "-n", space.server, "-l", "app=postgres", "--grace-period=0", "--force")
    migration.wait("MigrationFailed", 120)
    assert "bbbb2222" in migration.message()
    eventually("the server is back", lambda: noted(space) == [], 60)
    assert space.rows() is None
    migration.annotate("again")
    once(space, migration)


@pytest.mark.serial
def test_the_operator_is_killed_at_random_through_a_hundred_migrations(request, push):
    image = push(*audited("aaaa1111", "bbbb2222"))
    spaces = [Space(space_name(request)) for _ in range(DATABASES)]
    chance = random.Random(7)
    over = threading.Event()
    kills, refused = [], []

    def kill():
        while not over.wait(chance.uniform(0.5, 6)):
            # Its pod is replaced at once, where a container that dies again and again would be started later and later.
            subprocess.run([CLUSTER / "kubectl", "delete", "pod", "-n", OPERATOR, "-l", f"app.kubernetes.io/name={OPERATOR}",
                            "--grace-period=0", "--force"], capture_output=True)
            kills.append(time.monotonic())

    def up_and_down(space):
        audit(space)
        migration = space.migration(image, target="aaaa1111", policy={"downgrade": "Allow"}, historyLimit=100)
        migration.wait_ready()
        for _ in range(ROUNDS):
            for target in ("bbbb2222", "aaaa1111"):
                migration.patch(targetRevision=target)
                migration.wait_ready(120)
                assert space.rows() == [target]
        status = migration.status
        runs = [status["lastRun"], *status["history"]]
        refused.extend((space.name, run) for run in runs if run["result"] != "Succeeded")
        return status["lastRun"]["number"]

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with concurrent.futures.ThreadPoolExecutor(DATABASES) as pool:
            numbers = list(pool.map(up_and_down, spaces))
    finally:
        over.set()
        killer.join()
    expected = ["up aaaa1111"] + ["up bbbb2222", "down bbbb2222"] * ROUNDS
    assert [noted(space) for space in spaces] == [expected] * DATABASES, "each revision once, in its order"
    # A run that was refused has begun nothing, and is tried again under the next number.
    assert all(run["result"] == "Refused" for _, run in refused), refused
    assert min(numbers) > 2 * ROUNDS and len(kills) > ROUNDS, (numbers, len(kills))
    print(f"runs {numbers}, refused among the last ten of each: {[run['reason'] for _, run in refused]}")
    print(f"{2 * ROUNDS * DATABASES} migrations, the operator killed {len(kills)} times")
