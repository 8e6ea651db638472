"""The resource as people meet it in kubectl."""
import json

import pytest

from harness import eventually, get, kubectl

REFUSED = {
    "+1": "relative", "-1": "relative", "head-1": "relative", "abc+2": "relative", "left@+1": "relative", "aaaa, -1": "relative",
    "a:b": "range", "": "targetRevision", "a,,b": "empty part",
}


@pytest.mark.parametrize("target", REFUSED)
def test_targets_that_are_refused(operator, target):
    done = create(targetRevision=target)
    assert done.returncode != 0 and REFUSED[target] in done.stderr, done.stderr


@pytest.mark.parametrize("target", ["head", "heads", "base", "left@head", "ae1027a6acf", "my-branch@head", "a1,b2", "v1.2.3"])
def test_targets_that_are_taken(operator, target):
    assert create(targetRevision=target).returncode == 0


def create(**spec):
    base = {"image": "i", "targetRevision": "head", "database": {"urlFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}}
    manifest = {"apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
                "metadata": {"name": "x", "namespace": "default"}, "spec": {**base, **spec}}
    return kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest), check=False)


def test_one_way_to_name_the_database(operator):
    assert "exactly one of" in create(database={}).stderr
    key = {"secretKeyRef": {"name": "s", "key": "k"}}
    connection = {"dialect": "postgresql", "host": "h", "name": "n", "usernameFrom": key}
    assert "exactly one of" in create(database={"urlFrom": key, "connection": connection}).stderr
    assert create(database={"connection": connection}).returncode == 0


def test_bad_values_are_refused(operator):
    assert create(timeouts={"lock": "soon"}).returncode != 0
    assert create(policy={"downgrade": "Maybe"}).returncode != 0
    assert create(historyLimit=0).returncode != 0
    assert "unknown field" in create(nonsense=1).stderr
    assert create(image="").returncode != 0


def test_explain_and_names(operator):
    assert "unique prefix" in kubectl("explain", "dbm.spec.targetRevision").stdout
    assert "version table" in kubectl("explain", "databasemigration.status.currentRevisions").stdout
    for name in ("dbm", "dbmigration", "dbmigrations", "databasemigrations", "migrations"):
        assert kubectl("get", name, "-A").returncode == 0


def test_columns_and_waiting(space, shop):
    app = space.migration(shop["1"])
    # From the first apply on, before there is any status.
    kubectl("wait", "-n", space.name, "dbm/app", "--for=condition=Ready", "--timeout=240s")
    head, row = kubectl("get", "dbm", "-n", space.name).stdout.splitlines()
    assert head.split() == ["NAME", "READY", "STATUS", "CURRENT", "TARGET", "PENDING", "DRIFT", "AGE"]
    assert row.split()[:7] == ["app", "True", "AtTarget", "e90a7b3c51d6", "e90a7b3c51d6", "0", "False"]
    wide = kubectl("get", "dbm", "-n", space.name, "-o", "wide").stdout
    assert "PLAN" in wide and max(map(len, wide.splitlines())) <= 160
    # Never on what an older generation had reached.
    space.migration(shop["2"], target="doesnotexist")
    done = kubectl("wait", "-n", space.name, "dbm/app", "--for=condition=Ready", "--timeout=4s", check=False)
    assert done.returncode != 0
    conditions = app.wait("UnknownTarget")["conditions"]
    generation = app.get()["metadata"]["generation"]
    # What was not looked at says which generation it is about.
    about = {c["type"]: c["observedGeneration"] for c in conditions}
    assert {about.pop(type_) for type_ in ("Drifted", "BackedUp")} <= {1, generation}
    assert set(about.values()) == {generation}
    assert [c["type"] for c in conditions] == ["Ready", "Reconciling", "Stalled", "Planned", "HazardFree", "Approved", "SingleHead", "Drifted", "BackedUp"]


def test_nothing_is_written_when_nothing_happens(space, shop):
    app = space.migration(shop["1"])
    app.wait_ready()
    eventually("the run's Job is told complete", lambda: all(j["status"].get("succeeded") for j in space.jobs("run")))
    version = app.get()["metadata"]["resourceVersion"]
    # Two looks at the database, five seconds apart.
    kubectl("wait", "-n", space.name, "dbm/app", "--for=jsonpath={.metadata.resourceVersion}=0", "--timeout=12s", check=False)
    assert get("dbm", space.name, "app")["metadata"]["resourceVersion"] == version
