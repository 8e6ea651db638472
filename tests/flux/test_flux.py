"""What Flux's own kustomize-controller does with a migration in one Kustomization and the application in another that depends on it."""
from controller import KUSTOMIZE, apply, commit, ready, running
from harness import Migration, eventually, get, kubectl

MIGRATION = """apiVersion: alembic-operator.dev/v1alpha1
kind: DatabaseMigration
metadata: {{name: shop}}
spec:
  image: {image}
  targetRevision: head
  policy: {{approval: {{mode: {approval}}}}}
  database: {{urlFrom: {{secretKeyRef: {{name: app-db, key: url}}}}}}
"""
# Stands for the Deployment: applied, and no pod is needed.
APPLICATION = "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: application}}\ndata: {{image: '{image}'}}\n"


def test_the_application_waits_for_its_migration(space, shop, tmp_path):
    old, new = shop["1"], shop["2"]

    def push(name, image, approval):
        commit(space.name, tmp_path, name, {"migration/shop.yaml": MIGRATION.format(image=image, approval=approval), "app/app.yaml": APPLICATION.format(image=image)})

    def kustomization(name, **more):
        apply(space.name, "Kustomization", "kustomize.toolkit.fluxcd.io/v1", name, path=f"./{name}", sourceRef={"kind": "GitRepository", "name": "shop"},
              targetNamespace=space.name, prune=True, interval="10s", retryInterval="2s", wait=True, timeout="30s", **more)

    def is_ready(name):
        return ready(space.name, "kustomization", name)

    def deployed():
        application = get("configmap", space.name, "application")
        return application and application["data"]["image"]

    with running(KUSTOMIZE, space.name, tmp_path):
        apply(space.name, "GitRepository", "source.toolkit.fluxcd.io/v1", "shop", url="https://git.example.com/shop.git", interval="1h")
        push("first", old, "Auto")
        kustomization("migration")
        kustomization("app", dependsOn=[{"name": "migration"}])
        eventually("the application is applied after its migration", lambda: deployed() == old, 30)
        migration = Migration(space, "shop")
        assert migration.condition()["status"] == "True"

        # A plan that waits: Flux waits for its timeout, which is 30 s at least, and the application stays as it is.
        push("second", new, "Always")
        plan = migration.wait("AwaitingApproval")["plan"]["hash"]
        _, _, message = eventually("Flux gave up for now", lambda: (told := is_ready("migration"))[0] == "False" and told, 40)
        assert "shop status: 'InProgress'" in message and deployed() == old
        migration.approve(plan)
        eventually("it goes on by itself", lambda: deployed() == new, 30)
        assert is_ready("migration")[0] == "True" and migration.status["current"] == "f06d8c51e2a7"

        # What nobody waits for fails at once.
        push("third", old, "Auto")
        _, _, message = eventually("the revert is refused", lambda: (told := is_ready("migration"))[0] == "False" and told, 20)
        assert "shop status: 'Failed'" in message and deployed() == new
        assert migration.condition()["reason"] == "DowngradeNotAllowed"
