"""What Flux's own helm-controller, which is Helm 3, does with a chart that has its migration beside the Deployment (examples/helm-app)."""
import hashlib
import pathlib
import shutil

from controller import HELM, apply, publish, ready, running
from harness import CLUSTER, ROOT, Migration, eventually, get, revision, run, table
from harness import apply as create

COMMAND = ["python3", "-c", "import time; time.sleep(3600)"]


def chart(folder):
    """The example as a package, with the gate's chart that it depends on."""
    for part in ("examples/helm-app", "charts/alembic-gate"):
        shutil.copytree(ROOT / part, folder / part)
    run(CLUSTER / "helm", "package", "--dependency-update", folder / "examples/helm-app", "--destination", folder)
    return pathlib.Path(folder, "shop-0.1.0.tgz").read_bytes()


def test_a_release_is_upgraded_rolled_back_and_reverted(space, push, tmp_path):
    first = revision("aaaa1111", **table("goods"))
    broken = push(first, revision("bbbb2222", "aaaa1111", up="op.execute('SELECT * FROM nowhere')"))
    old, new = push(first), push(first, revision("cccc3333", "aaaa1111", **table("orders")))
    url = {"data": {"DATABASE_URL": space.secret("app-db")["url"]}}
    create({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop-db", "namespace": space.name}, **url})
    shop = Migration(space, "shop")

    def release(image):
        repository, _, tag = image.rpartition(":")
        values = {"image": {"repository": repository, "tag": tag}, "replicas": 1, "command": COMMAND, "migration": {"approval": "Auto"}}
        apply(space.name, "HelmRelease", "helm.toolkit.fluxcd.io/v2", "shop", interval="10s", timeout="30s", values=values,
              chartRef={"kind": "OCIRepository", "name": "shop"}, upgrade={"remediation": {"retries": 0, "remediateLastFailure": True}})

    def ended():
        told = ready(space.name, "helmrelease", "shop")
        return told if told[0] in ("True", "False") else None

    def deployed():
        deployment = get("deployment", space.name, "shop")
        assert deployment["status"].get("readyReplicas") == 1
        return deployment["spec"]["template"]["spec"]["containers"][0]["image"]

    with running(HELM, space.name, tmp_path):
        apply(space.name, "OCIRepository", "source.toolkit.fluxcd.io/v1", "shop", url="oci://registry.example.com/charts/shop", interval="1h")
        package = chart(tmp_path / "tree")
        publish(space.name, tmp_path, "ocirepository/shop", "shop", f"0.1.0@sha256:{hashlib.sha256(package).hexdigest()}", package)
        release(old)
        status, reason, message = eventually("the release is installed", ended, 60)
        assert status == "True", message
        assert (space.rows(), deployed()) == (["aaaa1111"], old)

        # The new pods wait at the gate until the time is over; the database was left as it was.
        release(broken)
        status, reason, message = eventually("the release is rolled back", lambda: (told := ended()) and told[1] == "RollbackSucceeded" and told, 90)
        assert status == "False", message
        shop.wait_ready()
        assert (space.rows(), deployed()) == (["aaaa1111"], old)

        release(new)
        status, reason, message = eventually("the release is upgraded", lambda: (told := ended()) and told[0] == "True" and told, 60)
        assert (space.rows(), deployed()) == (["cccc3333"], new), message

        # A revert in Git is one more upgrade of the chart, and a downgrade of the database, which its policy allows.
        release(old)
        eventually("the database is back", lambda: space.rows() == ["aaaa1111"], 60)
        shop.wait_ready()
        eventually("the release is there again", lambda: (ended() or [""])[0] == "True", 60)
        assert deployed() == old
