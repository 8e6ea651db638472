"""An application's chart with its DatabaseMigration (examples/helm-app): what helm waits for, when it fails, where a rollback leads."""
import shutil

from harness import CLUSTER, ROOT, Migration, apply, get, revision, run, table

COMMAND = "{python3,-c,import time; time.sleep(3600)}"


def chart(folder):
    """The example as it is, with the gate's chart that it depends on beside it."""
    for part in ("examples/helm-app", "charts/alembic-gate"):
        shutil.copytree(ROOT / part, folder / part)
    run(CLUSTER / "helm", "dependency", "update", folder / "examples/helm-app")
    return folder / "examples/helm-app"


def test_a_release_with_its_migration(space, push, tmp_path):
    first = revision("aaaa1111", **table("goods"))
    broken = push(first, revision("bbbb2222", "aaaa1111", up="op.execute('SELECT * FROM nowhere')"))
    old, new = push(first), push(first, revision("cccc3333", "aaaa1111", **table("orders")))
    url = {"data": {"DATABASE_URL": space.secret("app-db")["url"]}}
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "shop-db", "namespace": space.name}, **url})
    shop, source = Migration(space, "shop"), chart(tmp_path / "tree")

    def helm(*arguments, seconds=90, check=True):
        return run(CLUSTER / "helm", *arguments, "--namespace", space.name, "--timeout", f"{seconds}s", check=check)

    def upgrade(image, *flags, **options):
        repository, _, tag = image.rpartition(":")
        settings = f"image.repository={repository},image.tag={tag},replicas=1,migration.approval=Auto,command={COMMAND}"
        return helm("upgrade", "--install", "shop", source, "--set", settings, *flags, **options)

    def deployed():
        deployment = get("deployment", space.name, "shop")
        assert deployment["status"].get("readyReplicas") == 1
        return deployment["spec"]["template"]["spec"]["containers"][0]["image"]

    upgrade(old, "--wait")
    assert (space.rows(), deployed()) == (["aaaa1111"], old), "helm ends when the database is there and the pods are ready"

    # The migration fails: helm waits to the end of its time, names what is not ready, and everything is as before.
    done = upgrade(broken, "--rollback-on-failure", seconds=20, check=False)
    assert done.returncode != 0 and "kind: DatabaseMigration, status: Failed" in done.stderr, done.stderr
    assert (space.rows(), deployed()) == (["aaaa1111"], old)
    shop.wait_ready()

    # As Helm 3 waits: for the pods, which the gate holds back until the database is there.
    upgrade(new, "--wait=legacy")
    assert (space.rows(), deployed()) == (["cccc3333"], new)
    helm("rollback", "shop", "1", "--wait")
    assert (space.rows(), deployed()) == (["aaaa1111"], old), "the database went back, in the image that knows the way"
