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


def pod(space, name):
    found = [p for p in items("pods", space.name, f"app={name}") if "deletionTimestamp" not in p["metadata"]]
    return found[0] if found else None


def is_ready(space, name):
    there = pod(space, name)
    return there and any(c["type"] == "Ready" and c["status"] == "True" for c in there["status"].get("conditions", []))


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
