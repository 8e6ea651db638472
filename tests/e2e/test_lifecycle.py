"""Suspending, deleting, changing and restarting at every moment."""
import pytest

from conftest import install
from harness import OPERATOR, WITH_PYMYSQL, Space, eventually, get, helm, items, kubectl, revision, table


@pytest.fixture
def slow(push):
    """Images whose second revision goes on when the test says so."""
    def slow(*more):
        first = table("t")
        wait = "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_class WHERE relname = ''go'') LOOP PERFORM pg_sleep(0.1); END LOOP; END $$".replace("''", "\\'")
        up = f"op.execute('{wait}')\nop.create_table('u', sa.Column('id', sa.Integer))"
        return push(revision("aaaa", **first), revision("bbbb", "aaaa", up=up, dn="op.drop_table('u')"), *more)
    return slow


def running(space):
    """Waits until the slow step is at work in the database."""
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{space.database}' AND query LIKE '%pg_sleep%' AND state = 'active' AND pid <> pg_backend_pid()"
    eventually("the slow step runs", lambda: space.sql(query) != "0", 30)


def go(space):
    space.sql("CREATE TABLE go ()")


def test_suspended(space, shop):
    app = space.migration(shop["1"], suspend=True)
    app.wait("Suspended")
    assert space.jobs("run") == [] and space.jobs("inspect") == []
    app.patch(suspend=False)
    app.wait_ready()
    space.migration(shop["2"], suspend=True)
    app.wait("Suspended")
    app.patch(suspend=False)
    assert app.wait_ready()["current"] == "f06d8c51e2a7"
    app.patch(suspend=True)
    app.wait("AtTarget")


@pytest.mark.parametrize("cascade", ["background", "foreground"])
def test_deleted_in_the_middle_of_a_run(space, slow, cascade):
    """Argo CD deletes in the foreground: the garbage collector then takes whatever the object owns, while it is still there."""
    space.migration(slow())
    running(space)
    assert get("dbm", space.name, "app")["metadata"]["finalizers"] == ["alembic-operator.dev/run-in-progress"]
    kubectl("delete", "dbm", "-n", space.name, "app", "--wait=false", f"--cascade={cascade}")
    eventually("it waits for the run", lambda: "deletionTimestamp" in get("dbm", space.name, "app")["metadata"])
    running(space)
    go(space)
    eventually("the object is gone", lambda: get("dbm", space.name, "app") is None, 30)
    assert space.rows() == ["bbbb"], "the run was left to finish"
    eventually("what it owned is gone", lambda: not items("jobs", space.name), 30)
    assert space.sql("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "4"


def test_the_job_is_deleted_in_the_middle_of_a_run(space, slow):
    app = space.migration(slow())
    running(space)
    kubectl("delete", "jobs", "-n", space.name, "-l", "alembic-operator.dev/action=run", "--wait=false")
    app.wait("RunLost", seconds=90)
    go(space)
    app.stays(8, "lastRun")
    assert space.rows() is None and not space.jobs("run"), "nothing was run again"
    app.annotate("the rows were looked at")
    assert app.wait_ready()["lastRun"]["number"] == 2 and space.rows() == ["bbbb"]


def test_the_job_is_deleted_in_the_middle_of_a_step_that_can_not_be_rolled_back(mariadb_space, push):
    wait = "op.create_table('half', sa.Column('id', sa.Integer))\nop.get_bind().exec_driver_sql('SELECT SLEEP(30)').fetchall()"
    app = mariadb_space.migration(push(revision("aaaa", up=wait), requirements=WITH_PYMYSQL))
    at_work = "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'SELECT SLEEP%'"
    eventually("the step is at work", lambda: mariadb_space.sql(at_work) == "1", 60)
    kubectl("delete", "jobs", "-n", mariadb_space.name, "-l", "alembic-operator.dev/action=run", "--wait=false")
    app.wait("RunLost", seconds=90)
    app.stays(8, "lastRun")
    assert mariadb_space.has_table("half") and not mariadb_space.jobs("run"), "a step must not run twice"


def test_deleted_when_idle(space, shop):
    app = space.migration(shop["1"])
    app.wait_ready()
    eventually("nothing holds it", lambda: "finalizers" not in app.get()["metadata"], 10)
    kubectl("delete", "dbm", "-n", space.name, "app", "--timeout=60s")
    assert space.rows() == ["e90a7b3c51d6"]
    # What holds the application's pods back outlives the object, so that nothing starts on a wrong schema meanwhile.
    left = ["app-gate", "kube-root-ca.crt"]
    eventually("its ConfigMaps are gone", lambda: sorted(m["metadata"]["name"] for m in items("configmaps", space.name)) == left, 30)


def test_changed_in_the_middle_of_a_run(space, slow):
    first = slow()
    second = slow(revision("cccc", "bbbb", **table("v")))
    app = space.migration(first)
    running(space)
    space.migration(second)
    go(space)
    status = app.wait_ready()
    assert status["current"] == "cccc"
    assert status["history"][0]["to"] == ["bbbb"] and status["lastRun"]["from"] == ["bbbb"]


@pytest.mark.serial
def test_the_operator_dies_in_the_middle_of_a_run(space, slow):
    app = space.migration(slow())
    running(space)
    kubectl("delete", "pod", "-n", OPERATOR, "-l", "app.kubernetes.io/name=alembic-operator", "--grace-period=0", "--force")
    go(space)
    status = app.wait_ready()
    assert (status["current"], status["lastRun"]["number"], len(space.jobs("run"))) == ("bbbb", 1, 1)


def test_the_second_of_two_objects_says_who_is_at_work(space, slow):
    """Two objects, one database: one migrates at a time, and the other finds the work done."""
    image = slow()
    one = space.migration(image)
    running(space)
    two = space.migration(image, name="two", timeouts={"lock": "1s"})
    two.wait("DatabaseLocked", seconds=30)
    assert f"alembic-operator {space.name}/app"[:63] in two.message(), two.message()
    go(space)
    two.wait_ready(seconds=90)
    assert one.wait_ready()["lastRun"]["result"] == "Succeeded" and two.status["lastRun"]["result"] == "Refused"
    assert space.rows() == ["bbbb"]


def test_the_second_of_two_objects_on_mariadb_says_who_is_at_work(mariadb_space, push):
    """MariaDB's list of sessions has no names: the address is that of a pod, and the pod has an object."""
    wait = "op.get_bind().exec_driver_sql('SELECT SLEEP(30)').fetchall()"
    image = push(revision("aaaa", up=wait), requirements=WITH_PYMYSQL)
    mariadb_space.migration(image)
    at_work = "SELECT count(*) FROM information_schema.processlist WHERE db = DATABASE() AND info LIKE 'SELECT SLEEP%'"
    eventually("the first is at work", lambda: mariadb_space.sql(at_work) == "1", 60)
    two = mariadb_space.migration(image, name="two", timeouts={"lock": "1s"})
    two.wait("DatabaseLocked", seconds=30)
    assert f"of DatabaseMigration {mariadb_space.name}/app" in two.message(), two.message()
    two.wait_ready(seconds=90)
    assert mariadb_space.rows() == ["aaaa"]


def test_the_database_goes_away_for_a_while(space, shop):
    own = Space(f"{space.name}-own", server=f"{space.name}-pg")
    app = own.migration(shop["1"])
    app.wait_ready()
    kubectl("scale", "-n", own.server, "deployment/postgres", "--replicas=0")
    app.wait("DatabaseUnreachable", seconds=40)
    assert app.condition("Ready")["status"] == "Unknown" and app.condition("Reconciling")["status"] == "True"
    own.migration(shop["2"])
    app.wait("DatabaseUnreachable")
    kubectl("scale", "-n", own.server, "deployment/postgres", "--replicas=1")
    assert app.wait_ready(seconds=90)["current"] == "f06d8c51e2a7"


@pytest.mark.serial
def test_upgrade_and_uninstall_of_the_chart(space, shop):
    app = space.migration(shop["1"])
    app.wait_ready()
    before = app.get()
    install("--set", "concurrency=8")
    helm("uninstall", OPERATOR, "--namespace", OPERATOR, "--wait")
    assert app.get()["metadata"]["uid"] == before["metadata"]["uid"] and space.rows() == ["e90a7b3c51d6"]
    assert app.get()["status"] == before["status"]
    install()
    space.migration(shop["2"])
    assert app.wait_ready()["current"] == "f06d8c51e2a7"


@pytest.mark.serial
def test_a_role_in_one_namespace_is_enough(space, shop):
    other = Space(f"{space.name}-b")
    install("--set", f"watchNamespaces={{{space.name}}}")
    try:
        unseen = other.migration(shop["1"])
        assert space.migration(shop["1"]).wait_ready()["current"] == "e90a7b3c51d6"
        assert unseen.status == {"observedGeneration": -1}, "what the API server wrote at its creation, and nothing since"
        rules = items("clusterrolebindings", "")
        assert not [b for b in rules if b["metadata"]["name"] == OPERATOR]
    finally:
        install()
    unseen.wait_ready()
