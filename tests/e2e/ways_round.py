"""The ways round an approval that people with rights on the objects, or on ConfigMaps, Jobs and pods, may try."""
import client
from harness import written

GROUP = "alembic-operator.dev"
OURS = {"app.kubernetes.io/managed-by": "alembic-operator"}
RIGHTS = "rbac.authorization.k8s.io"
# Whoever writes the objects that the operator makes, and reads no Secret.
TENANT = [{"apiGroups": [""], "resources": ["configmaps", "pods"], "verbs": ["*"]},
          {"apiGroups": ["batch"], "resources": ["jobs", "cronjobs"], "verbs": ["*"]},
          {"apiGroups": [GROUP], "resources": ["databasemigrations/status", "databasemigrationsets/status"], "verbs": ["*"]}]


def give(namespace, user, *roles, rules=()):
    """Binds cluster roles to a user, and rules of its own."""
    if rules:
        client.apply({"apiVersion": f"{RIGHTS}/v1", "kind": "Role", "metadata": {"name": user, "namespace": namespace}, "rules": rules})
    for kind, role in [*(("ClusterRole", role) for role in roles), *([("Role", user)] if rules else [])]:
        client.apply({"apiVersion": f"{RIGHTS}/v1", "kind": "RoleBinding", "metadata": {"name": f"{user}-{role}", "namespace": namespace},
                      "roleRef": {"apiGroup": RIGHTS, "kind": kind, "name": role},
                      "subjects": [{"kind": "User", "name": user, "apiGroup": RIGHTS}]})


def tried(user, write):
    """What the API server says to it; nothing where it lets it pass."""
    with client.impersonating(user):
        return written(write, check=False).stderr


def config_map(namespace, name, labels=OURS):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": namespace, "labels": labels}}


def pod_spec(image="pause"):
    secure = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "runAsUser": 65532,
              "seccompProfile": {"type": "RuntimeDefault"}}
    return {"restartPolicy": "Never", "containers": [{"name": "alembic", "image": image, "securityContext": secure}]}


def job(namespace, labels=OURS, of_pod=None, suspend=True):
    template = {"metadata": {"labels": of_pod or {}}, "spec": pod_spec()}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "forged", "namespace": namespace, "labels": labels},
            "spec": {"suspend": suspend, "backoffLimit": 0, "template": template}}


def pod(namespace, labels=OURS):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "forged", "namespace": namespace, "labels": labels}, "spec": pod_spec()}


def edits(namespace, name, plan):
    """What who may edit an object tries: a body that is merged into it."""
    said = lambda key, value: {"metadata": {"annotations": {f"{GROUP}/{key}": value}}}
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "bait", "uid": "7e7e7e7e-0000-4000-8000-000000000000"}
    return [
        said("approve", plan), said("accept-drift", plan),
        {"spec": {"policy": {"approvedPlan": plan}}}, {"spec": {"policy": {"approval": {"mode": "Auto"}}}},
        {"spec": {"policy": {"approval": None}}}, {"spec": {"policy": None}}, {"spec": {"policy": {"downgrade": "Allow"}}},
        {"spec": {"policy": {"hazards": {"allow": [{"code": "D02", "reason": "x"}]}}}},
        {"spec": {"drift": {"acceptedFingerprint": "a" * 16}}},
        {"spec": {"database": {"versionTable": "other"}}},
        # Its owner goes, and the garbage collector deletes it.
        {"metadata": {"ownerReferences": [owner]}},
    ]


def ways_round(namespace, name, plan, tenant):
    """Each way, with what the API server says to it: nothing where it lets the tenant pass."""
    forged = [(f"merge {body}", lambda body=body: client.merge("dbm", namespace, name, body)) for body in edits(namespace, name, plan)]
    spec = client.get("dbm", namespace, name)["spec"]
    again = lambda **spec_of: {"apiVersion": f"{GROUP}/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": "again", "namespace": namespace},
                               "spec": {**spec, **spec_of}}
    approved = again(policy={})
    approved["metadata"]["annotations"] = {f"{GROUP}/approve": plan}
    forged += [
        ("delete what demands an approval", lambda: client.delete("dbm", namespace, name)),
        ("delete all", lambda: client.write("DELETE", client.path("dbm", namespace), None)),
        ("another object that asks for none", lambda: client.create(again(policy={"approval": {"mode": "Auto"}}))),
        ("another object with its approval", lambda: client.create(approved)),
        ("another object that allows", lambda: client.create(again(policy={"hazards": {"allow": [{"code": "D02", "reason": "x"}]}}))),
        ("a status", lambda: client.write("PATCH", client.path("dbm", namespace, name) + "/status", {"status": {"current": "x"}}, "application/merge-patch+json")),
        ("an inspection", lambda: client.create(config_map(namespace, "alembic-inspection-forged", {**OURS, f"{GROUP}/inspection": "0123"}))),
        ("a label on a ConfigMap of one's own", lambda: client.merge("configmap", namespace, "own", {"metadata": {"labels": OURS}})),
        ("a Job", lambda: client.create(job(namespace))),
        ("a Job whose pod is taken for one of the operator's", lambda: client.create(job(namespace, {}, OURS, suspend=False))),
        ("a pod", lambda: client.create(pod(namespace))),
    ]
    for map_ in client.get("configmap", namespace, selector="app.kubernetes.io/managed-by=alembic-operator")["items"]:
        there = map_["metadata"]["name"]
        forged += [
            (f"the text of {there}", lambda there=there: client.merge("configmap", namespace, there, {"data": {"plan.sql": "SELECT 1"}})),
            (f"no label on {there}", lambda there=there: client.merge("configmap", namespace, there, {"metadata": {"labels": {next(iter(OURS)): None}}})),
            (f"delete {there}", lambda there=there: client.delete("configmap", namespace, there)),
        ]
    for made in client.get("job", namespace, selector="app.kubernetes.io/managed-by=alembic-operator")["items"]:
        there = made["metadata"]["name"]
        forged += [(f"the record of {there}", lambda there=there: client.merge("job", namespace, there, {"metadata": {"annotations": {f"{GROUP}/record": "{}"}}}))]
    return [(what, tried(tenant, write)) for what, write in forged]


def set_that_demands(namespace, name="hard"):
    """Nothing of it begins, and one approval is for both of its targets."""
    waves = [{"name": "canary", "upTo": "10%", "then": {"promotion": "Required"}}]
    spec = {"template": {"image": "app:1", "targetRevision": "head", "policy": {"approval": {"mode": "Always"}}}, "suspend": True,
            "servers": [{"name": "main", "urlFrom": {"secretKeyRef": {"name": "app-db", "key": "url"}}}], "rollout": {"waves": waves},
            "targets": [{"list": [{"name": "a"}, {"name": "b"}]}], "exclude": ["c", "d"], "perTarget": {"x": ["schema=$(name)"]}}
    return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "DatabaseMigrationSet", "metadata": {"name": name, "namespace": namespace}, "spec": spec}


def ways_round_set(namespace, plan, tenant):
    """The same of a set that demands an approval and a promotion."""
    said = lambda key, value: {"metadata": {"annotations": {f"{GROUP}/{key}": value}}}
    other = {"name": "main", "urlFrom": {"secretKeyRef": {"name": "other", "key": "url"}}}
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "bait", "uid": "7e7e7e7e-0000-4000-8000-000000000000"}
    bodies = [said("approve", plan), said("promote", "1/canary"), {"metadata": {"ownerReferences": [owner]}}] + [{"spec": spec} for spec in [
        {"template": {"policy": None}}, {"template": {"policy": {"downgrade": "Allow"}}}, {"template": {"database": {"versionTable": "other"}}},
        {"servers": [other]}, {"targets": [{"list": [{"name": "a"}, {"name": "z"}]}]}, {"exclude": ["c"]}, {"perTarget": None}, {"rollout": None}]]
    forged = [(f"merge {body}", lambda body=body: client.merge("dbmset", namespace, "hard", body)) for body in bodies]
    forged += [
        ("delete what demands an approval", lambda: client.delete("dbmset", namespace, "hard")),
        ("delete all", lambda: client.write("DELETE", client.path("dbmset", namespace), None)),
        ("another one with a policy", lambda: client.create(set_that_demands(namespace, "again"))),
        ("a status", lambda: client.write("PATCH", client.path("dbmset", namespace, "hard") + "/status", {"status": {"to": "x"}}, "application/merge-patch+json")),
    ]
    return [(what, tried(tenant, write)) for what, write in forged]


def beside_the_approval_of_set():
    """What the approver's role is not for, of a set."""
    return [
        {"spec": {"template": {"image": "evil:1"}}}, {"spec": {"template": {"podTemplate": {"spec": {"serviceAccountName": "x"}}}}},
        {"spec": {"template": {"policy": {"approvedPlan": "0123"}}}}, {"spec": {"suspend": False}}, {"spec": {"exclude": None}}, {"spec": {"rollout": None}},
        {"spec": {"targets": [{"list": [{"name": "z"}]}]}}, {"metadata": {"labels": {"team": "x"}}}, {"metadata": {"finalizers": ["example.com/never"]}},
        {"metadata": {"annotations": {f"{GROUP}/requestedAt": "now"}}}, {"metadata": {"annotations": {f"{GROUP}/approve": "0123", "other": "x"}}},
    ]


def beside_the_approval():
    """What the approver's role is not for: a body that is merged into an object."""
    return [
        {"spec": {"image": "evil:1"}}, {"spec": {"targetRevision": "base"}}, {"spec": {"podTemplate": {"spec": {"serviceAccountName": "x"}}}},
        {"spec": {"suspend": True}}, {"spec": {"policy": {"approval": {"mode": "Auto"}}}}, {"spec": {"policy": {"downgrade": "Allow"}}},
        {"spec": {"policy": None}}, {"spec": {"drift": {"mode": "Disabled", "onDrift": None}}}, {"spec": {"database": {"versionTable": "other"}}},
        {"metadata": {"labels": {"team": "x"}}}, {"metadata": {"annotations": {f"{GROUP}/requestedAt": "now"}}},
        {"metadata": {"annotations": {f"{GROUP}/approve": "0123", "other": "x"}}}, {"metadata": {"finalizers": ["example.com/never"]}},
        {"spec": {"policy": {"approvedPlan": "0123"}, "historyLimit": 7}},
    ]
