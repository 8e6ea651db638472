"""Pods of the application wait until the database has what their image needs: in a namespace under the restricted standard, without rights."""
from harness import address, apply, eventually, get, items, kubectl, request, revision, table

ALWAYS = {"approval": {"mode": "Always"}}


def application(space, name, image, gate="app"):
    """A Deployment with the gate, as the pages show it."""
    env = [{"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "app-db", "key": "url"}}}]
    own = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    wait = {"name": "wait-for-schema", "image": image, "command": ["python3", "/gate/gate.py"], "env": env, "securityContext": own,
            "volumeMounts": [{"name": "gate", "mountPath": "/gate", "readOnly": True}]}
    serve = {"name": "app", "image": image, "command": ["python3", "-c", "import time; time.sleep(3600)"], "env": env, "securityContext": own}
    pod = {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0,
           "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
           "initContainers": [wait], "containers": [serve], "volumes": [{"name": "gate", "configMap": {"name": f"{gate}-gate"}}]}
    labels = {"app": name}
    apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name, "namespace": space.name},
           "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": pod}}})


def pods(space, name, image=None):
    """Those of a Deployment that stay, or those of them with this image."""
    found = [p for p in items("pods", space.name, f"app={name}") if "deletionTimestamp" not in p["metadata"]]
    return [p for p in found if image in (None, p["spec"]["containers"][0]["image"])]


def pod(space, name):
    found = pods(space, name)
    return found[0] if found else None


def serves(pod):
    return any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", []))


def is_ready(space, name):
    there = pod(space, name)
    return there and serves(there)


def says(space, name, *words):
    """A line of the gate's log with all of the words."""
    there = pod(space, name)
    log = there and kubectl("logs", "-n", space.name, there["metadata"]["name"], "-c", "wait-for-schema", check=False).stdout
    return next((line for line in (log or "").splitlines() if all(word in line for word in words)), None)


def test_pods_wait_for_their_schema(space, push):
    first, second = revision("aaaa1111", **table("goods")), revision("bbbb2222", "aaaa1111", **table("orders"))
    old, new = push(first), push(first, second)
    migration = space.migration(old, policy=ALWAYS)
    plan = migration.wait("AwaitingApproval")["plan"]["hash"]
    application(space, "old", old)
    eventually("it says what it waits for", lambda: says(space, "old", "is at base", "needs aaaa1111", "AwaitingApproval", plan))
    assert not is_ready(space, "old")
    migration.approve(plan)
    migration.wait_ready()
    eventually("the application starts", lambda: is_ready(space, "old"), 15)

    # The next release: its pods wait, and those of the one before start on its schema, without the operator's object too.
    migration.patch(image=new)
    plan = migration.wait("AwaitingApproval")["plan"]["hash"]
    application(space, "new", new)
    eventually("it waits", lambda: says(space, "new", "is at aaaa1111", "needs bbbb2222"))
    assert not is_ready(space, "new")
    migration.approve(plan)
    migration.wait_ready()
    eventually("the new application starts", lambda: is_ready(space, "new"), 15)
    request("DELETE", address("dbm", space.name, "app"))
    eventually("the object is gone", lambda: migration.get() is None)
    assert "ownerReferences" not in get("configmap", space.name, "app-gate")["metadata"]
    before = pod(space, "old")["metadata"]["name"]
    request("DELETE", address("pods", space.name, before))
    eventually("another pod", lambda: pod(space, "old") and pod(space, "old")["metadata"]["name"] != before)
    eventually("an older application starts on a newer database", lambda: is_ready(space, "old"), 15)
    assert says(space, "old", "open: the database is at bbbb2222", "1 revisions ahead")


# Ends when the test says so, once it has seen what happens meanwhile.
HELD = """
import time
while not op.get_bind().scalar(sa.text("SELECT count(*) FROM pg_class WHERE relname = 'go'")):
    time.sleep(0.1)
"""


def test_a_scale_up_and_an_undone_rollout_during_a_migration(space, push):
    """An autoscaler and `kubectl rollout undo` know nothing of migrations: old pods start and serve, new ones wait for their schema."""
    first = revision("aaaa1111", **table("goods"))
    old, new = push(first), push(first, revision("bbbb2222", "aaaa1111", up=HELD))
    serving = lambda image: sum(serves(p) for p in pods(space, "app", image))
    migration = space.migration(old)
    migration.wait_ready()
    application(space, "app", old)
    eventually("the application starts", lambda: serving(old) == 1, 15)

    migration.patch(image=new)
    application(space, "app", new)
    migration.wait("Migrating")
    eventually("a pod of the new release waits", lambda: pods(space, "app", new))
    # A HorizontalPodAutoscaler uses the same subresource; the Deployment divides the replicas between both releases.
    kubectl("scale", "-n", space.name, "deployment/app", "--replicas=4")
    eventually("another pod of the old release serves", lambda: serving(old) > 1, 30)
    kubectl("rollout", "undo", "-n", space.name, "deployment/app")
    eventually("every pod is of the old release, and serves", lambda: serving(old) == 4 and not pods(space, "app", new), 30)
    assert space.rows() == ["aaaa1111"] and migration.is_at("Migrating"), "all of it was during the migration"

    space.sql("CREATE TABLE go ()")
    migration.wait_ready()
    assert space.rows() == ["bbbb2222"] and serving(old) == 4, "who serves is left alone"
    kubectl("rollout", "undo", "-n", space.name, "deployment/app")
    eventually("the new release takes over", lambda: serving(new) == 4 and not pods(space, "app", old), 30)
