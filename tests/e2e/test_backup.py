"""Backups come before runs and can be restored; what does not verify is not Ready, and goes back where that is asked for."""
import base64
import json
import re

import pytest

from conftest import BINARY, install
from harness import CLUSTER, ROOT, WITH_PYMYSQL, Migration, apply, eventually, get, items, kubectl, revision, run, table
from test_drift import server_image

ONE, TWO, THREE = "aaaa1111", "bbbb2222", "cccc3333"
GOODS = revision(ONE, up="""
    op.create_table('goods', sa.Column('id', sa.Integer, primary_key=True), sa.Column('note', sa.String(100), index=True))
    op.execute("INSERT INTO goods (id, note) VALUES (1, 'first'), (2, 'sec''ond'), (3, NULL)")
""", dn="op.drop_table('goods')")
# Takes the notes away for good.
LOSES = revision(TWO, ONE, up="op.drop_index('ix_goods_note', 'goods'); op.drop_column('goods', 'note')", dn="pass")
NOTES = "SELECT id, note FROM goods ORDER BY id"


def volume(space, folder):
    """A claim named shop-backups over a folder of this machine."""
    folder.mkdir()
    folder.chmod(0o777)
    size = {"storage": "1Gi"}
    spec = {"accessModes": ["ReadWriteOnce"], "storageClassName": ""}
    apply({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": space.name},
           "spec": {**spec, "capacity": size, "hostPath": {"path": str(folder)}, "claimRef": {"namespace": space.name, "name": "shop-backups"}}})
    apply({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "shop-backups", "namespace": space.name},
           "spec": {**spec, "volumeName": space.name, "resources": {"requests": size}}})


def example(file, space, image):
    """An example as a user adapts it: the image, the Secret, and the server's image as this cluster has it."""
    text = (ROOT / "examples" / file).read_text()
    restore = re.search(r"^#   ((?:pg_restore|mariadb) .*)$", text, re.M).group(1)
    made = json.loads(kubectl("create", "--dry-run=client", "-o", "json", "-f", ROOT / "examples" / file).stdout)
    made = json.loads(json.dumps(made).replace("shop-db", "app-db"))
    made["spec"]["backup"]["job"]["template"]["spec"]["containers"][0]["image"] = server_image(space.engine)
    made["metadata"]["namespace"] = space.name
    made["spec"]["image"] = image
    return made, restore


def fingerprint(space, secret):
    """The schema of a database in one text, read from outside."""
    url = base64.b64decode(space.secret(secret)["url"]).decode()
    address = get("service", space.server, space.engine)["spec"]["clusterIP"]
    url = url.replace(f"@{space.engine}.{space.server}:", f"@{address}:")
    return run(CLUSTER / "run", "env", f"URL={url}", BINARY, "fingerprint", "--url-env", "URL", "--format", "json").stdout


def restored(space, made, restore, file):
    """The dump, restored by the example's own command into another database."""
    run(CLUSTER / "database", space.name, "copy", space.server, space.engine)
    pod = made["spec"]["backup"]["job"]["template"]["spec"]
    pod = json.loads(json.dumps(pod).replace("app-db", "copy-db"))
    command = re.sub(r"/backups/PLAN-TIME\.\w+", f"/backups/{file}", restore)
    container = pod["containers"][0] | {"args": [command], "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}}
    security = {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}}
    apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "restore", "namespace": space.name},
           "spec": {"backoffLimit": 0, "template": {"spec": {**pod, "containers": [container], "restartPolicy": "Never", "securityContext": security}}}})
    ended = lambda: [c["type"] for c in get("job", space.name, "restore").get("status", {}).get("conditions", [])]
    eventually("the restore has ended", lambda: {"Complete", "Failed"} & set(ended()), 120)
    assert "Complete" in ended(), kubectl("logs", "-n", space.name, "job/restore").stdout


@pytest.mark.parametrize("engine", ["postgres", "mariadb"])
def test_an_example_is_applied_and_its_backup_restored(request, push, tmp_path, engine):
    space = request.getfixturevalue("space" if engine == "postgres" else "mariadb_space")
    options = {} if engine == "postgres" else {"requirements": WITH_PYMYSQL}
    first, second = push(GOODS, **options), push(GOODS, LOSES, **options)
    volume(space, tmp_path / "backups")
    file = {"postgres": "backup-postgresql.yaml", "mariadb": "backup-mariadb.yaml"}[engine]
    made, restore = example(file, space, first)
    apply(made)
    app = Migration(space, "shop")
    assert app.wait_ready(90)["current"] == ONE
    of_empty = app.status["backup"]
    notes, before = space.sql(NOTES), fingerprint(space, "app-db")
    assert "first" in notes

    app.patch(image=second)
    app.approve(app.wait("AwaitingApproval", 90)["plan"]["hash"])
    status = app.wait_ready(90)
    assert status["current"] == TWO and fingerprint(space, "app-db") != before
    backup = status["backup"]
    assert backup["result"] == "Succeeded" and backup["method"] == "Job" and backup["planHash"] == status["lastRun"]["planHash"]
    assert backup["job"] != of_empty["job"] and backup["finishedAt"] <= status["lastRun"]["startedAt"]
    assert (app.condition("BackedUp")["status"], app.condition("BackedUp")["reason"]) == ("True", "Succeeded")
    assert len(space.told("BackupStarted", 2)) == 2 and len(space.told("BackupSucceeded", 2)) == 2
    [dump] = [path.name for path in (tmp_path / "backups").iterdir() if path.name.startswith(backup["planHash"])]
    assert not dump.endswith(".part")

    restored(space, made, restore, dump)
    assert fingerprint(space, "copy-db") == before
    copy = space.database.removesuffix("_app") + "_copy"
    assert run(CLUSTER / "sql", engine, copy, space.server, stdin=NOTES).stdout.strip() == notes


def dump(script, when="Always", **spec):
    container = {"name": "dump", "image": server_image("postgres"), "command": ["sh", "-c", script]}
    return {"when": when, "job": {"template": {"spec": {"containers": [container], **spec}}}}


def test_a_failing_backup_blocks(space, push):
    image = push(revision(ONE, **table("one")))
    app = space.migration(image, backup=dump("echo $ALEMBIC_OPERATOR_OBJECT from $ALEMBIC_OPERATOR_FROM: disk full; exit 3"))
    app.wait("BackupFailed")
    assert f"{space.name}/app from : disk full" in app.message() and "exit code 3" in app.message() and "requestedAt" in app.message()
    assert app.status["backup"]["result"] == "Failed" and app.condition("BackedUp")["reason"] == "Failed"
    assert app.condition("Stalled")["status"] == "True" and space.told("BackupFailed")
    app.annotate("again")
    eventually("a second backup", lambda: len(space.jobs("backup")) == 2)
    app.wait("BackupFailed")
    assert space.rows() is None and space.jobs("run") == []

    app.patch(backup=dump("sleep 60") | {"timeout": "3s"})
    app.wait("BackupFailed")
    assert "DeadlineExceeded" in app.message()
    app.patch(backup=dump("exit 0") | {"timeout": "1m"})
    assert app.wait_ready()["current"] == ONE
    assert app.status["backup"]["planHash"] == app.status["lastRun"]["planHash"]


def test_what_the_api_server_refuses(space, shop):
    refused = lambda **spec: space.migration(shop["1"], check=False, **spec).stderr
    back = {"when": "Always", "command": ["true"], "onFailure": "Downgrade"}
    assert "backup.when needs a method" in refused(backup={"when": "Always"})
    assert "only one of backup.job and backup.cnpg" in refused(backup=dump("true") | {"cnpg": {"cluster": "main"}})
    assert "containers" in refused(backup={"when": "Always", "job": {"template": {"spec": {"containers": []}}}})
    assert "pluginName" in refused(backup={"when": "Always", "cnpg": {"cluster": "main", "method": "plugin"}})
    assert "verify needs command or args" in refused(verify={"when": "Always", "image": "i"})
    assert "needs policy.downgrade: Allow" in refused(verify=back)
    assert "needs policy.downgrade: Allow" in refused(verify=back, policy={"downgrade": "Deny"})
    # A stage that would be ignored.
    for stage in ({"backup": {"timeout": "1m"}}, {"verify": {"command": ["true"]}}, {"rehearsal": {"source": "History"}}):
        assert "when: Required value" in refused(**stage), stage
    assert "scratch is for rehearsal and for drift.mode Replay alone" in refused(scratch={"image": "postgres:15"})


CHECK = """
import os, sys, sqlalchemy as sa
tables = sa.inspect(sa.create_engine(os.environ["DATABASE_URL"])).get_table_names()
print(tables)
if "two" in tables and "three" not in tables:
    sys.exit("the shop can't sell: " + os.environ["DATABASE_URL"])
"""


def test_what_does_not_verify_goes_back(space, push):
    line = [revision(ONE, **table("one")), revision(TWO, ONE, **table("two")), revision(THREE, TWO, **table("three"))]
    first, second, third = push(*line[:1]), push(*line[:2]), push(*line)
    app = space.migration(first, policy={"downgrade": "Allow"},
                          verify={"when": "Always", "command": ["python3", "-c", CHECK], "onFailure": "Downgrade"})
    status = app.wait_ready()
    assert status["verify"]["result"] == "Succeeded" and status["verify"]["run"] == 1
    assert "one" in kubectl("logs", "-n", space.name, f"job/{status['verify']['job']}").stdout

    app.patch(image=second)
    app.wait("VerifyFailed")
    eventually("it is rolled back", lambda: "rolled back to aaaa1111" in app.message())
    assert "the shop can't sell" in app.message() and space.password not in json.dumps(app.get()), app.message()
    assert space.rows() == [ONE] and not space.has_table("two")
    assert [run["direction"] for run in [app.status["lastRun"], *app.status["history"]]] == ["downgrade", "upgrade", "upgrade"]
    assert app.status["lastRun"]["rollsBack"] == 2
    assert app.status["lastRun"]["number"] == 3
    app.stays(8, "lastRun")  # nothing goes up again by itself

    app.patch(image=third)
    assert app.wait_ready()["current"] == THREE and app.status["verify"]["run"] == 4
    # What its command printed on purpose stands in its own pods, and nowhere else.
    kubectl("delete", "jobs", "-n", space.name, "-l", "alembic-operator.dev/action=verify")
    eventually("its pods are gone", lambda: not items("pods", space.name, "alembic-operator.dev/action=verify"))


def test_what_does_not_verify_is_held(space, push):
    app = space.migration(push(revision(ONE, **table("one"))), verify={"when": "Always", "command": ["sh", "-c", "echo no; exit 1"]})
    app.wait("VerifyFailed")
    assert "exit code 1" in app.message() and app.condition("Stalled")["status"] == "True" and space.rows() == [ONE]
    app.patch(verify={"when": "Always", "command": ["sh", "-c", "true"]})
    assert app.wait_ready()["verify"]["result"] == "Succeeded" and len(space.jobs("run")) == 1


def test_what_is_evicted_is_begun_again(space, push):
    """A drained node says nothing about a plan, and least of all that the database is to go back."""
    patient = "trap 'exit 1' TERM; sleep 5 & wait"
    up = "op.execute('SELECT pg_sleep(3)')"
    app = space.migration(push(revision(ONE, up=up, dn="pass")), backup=dump(patient), policy={"downgrade": "Allow"},
                          verify={"when": "Always", "command": ["sh", "-c", patient], "onFailure": "Downgrade"},
                          rehearsal={"when": "Always", "source": "History"}, scratch={"image": server_image("postgres")})
    evicted = {action: space.evict(action) for action in ("rehearse", "backup", "verify")}
    status = app.wait_ready(120)
    for action, pod in evicted.items():
        assert [p for p in items("pods", space.name, f"alembic-operator.dev/action={action}") if p["metadata"]["name"] != pod], action
        assert len(space.jobs(action)) == 1, action
    assert {status[stage]["result"] for stage in ("rehearsal", "backup", "verify")} == {"Succeeded"}
    for stage in ("rehearsal", "backup", "verify"):
        assert status[stage]["planHash"] == status["lastRun"]["planHash"], stage
        assert status[stage]["startedAt"] <= status[stage]["finishedAt"], stage
    assert status["lastRun"]["number"] == 1 and space.rows() == [ONE]


BACKUPS = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "backups.postgresql.cnpg.io"},
    "spec": {
        "group": "postgresql.cnpg.io", "scope": "Namespaced",
        "names": {"plural": "backups", "singular": "backup", "kind": "Backup", "listKind": "BackupList"},
        "versions": [{"name": "v1", "served": True, "storage": True, "subresources": {"status": {}}, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {
                "spec": {"type": "object", "required": ["cluster"], "properties": {
                    "cluster": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
                    "method": {"type": "string", "enum": ["barmanObjectStore", "volumeSnapshot", "plugin"]},
                    "pluginConfiguration": {"type": "object", "properties": {"name": {"type": "string"}}}}},
                "status": {"type": "object", "properties": {"phase": {"type": "string"}, "error": {"type": "string"}}}}}}}],
    },
}


@pytest.fixture
def cnpg():
    """The right to use CloudNativePG, and afterwards everything as it was."""
    kubectl("delete", "crd", "backups.postgresql.cnpg.io", "--ignore-not-found")
    yield lambda: install("--set", "backup.cnpg=true")
    kubectl("delete", "crd", "backups.postgresql.cnpg.io", "--ignore-not-found")
    install()


@pytest.mark.serial
def test_a_backup_by_cloudnativepg(space, push, cnpg):
    first, second = push(revision(ONE, **table("one"))), push(revision(ONE, **table("one")), revision(TWO, ONE, **table("two")))
    app = space.migration(first, backup={"when": "Always", "cnpg": {"cluster": "main", "method": "plugin", "pluginName": "barman-cloud.cloudnative-pg.io"}})
    app.wait("Forbidden")
    assert "backup.cnpg" in app.message()
    cnpg()
    app.wait("BackupFailed", 90)
    assert "install CloudNativePG" in app.message() and space.rows() is None
    apply(BACKUPS)  # the operator tries again by itself; asked beside that, it would make a second one
    backups = lambda: items("backups.postgresql.cnpg.io", space.name)
    [backup] = eventually("a Backup", backups, 90)
    assert backup["spec"] == {"cluster": {"name": "main"}, "method": "plugin", "pluginConfiguration": {"name": "barman-cloud.cloudnative-pg.io"}}
    assert "ownerReferences" not in backup["metadata"] and backup["metadata"]["labels"]["alembic-operator.dev/object"] == "app"
    app.wait("BackingUp")
    tell = lambda name, **status: kubectl("patch", "backups.postgresql.cnpg.io", "-n", space.name, name, "--subresource=status", "--type=merge",
                                          "-p", json.dumps({"status": status}))
    tell(backup["metadata"]["name"], phase="running")
    assert space.jobs("run") == []
    tell(backup["metadata"]["name"], phase="completed")
    assert app.wait_ready()["backup"]["method"] == "CloudNativePG"

    app.patch(image=second)
    newer = eventually("a second Backup", lambda: [b for b in backups() if b["metadata"]["name"] != backup["metadata"]["name"]])
    tell(newer[0]["metadata"]["name"], phase="failed", error="no space left in the bucket")
    app.wait("BackupFailed")
    assert "no space left in the bucket" in app.message() and space.rows() == [ONE]
    kubectl("delete", "-n", space.name, "dbm/app")
    assert len(backups()) == 2
