"""Each thing that goes wrong has its own reason, says what to do, and passes by itself once it is mended."""
import base64
import json

import pytest

import requirements
from harness import ENV, apply, eventually, get, kubectl, revision, short, table


def secret(space, name, **values):
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": space.name}, "stringData": values})


def url_of(space):
    return base64.b64decode(get("secret", space.name, "app-db")["data"]["url"]).decode()


FROM_OTHER = {"urlFrom": {"secretKeyRef": {"name": "other", "key": "url"}}, "probe": {"interval": "3s", "timeout": "3s"}}


def test_a_failing_revision(space, push):
    good = revision("aaaa", **table("t"))
    app = space.migration(push(good, revision("bbbb", "aaaa", up="op.execute('INSERT INTO nowhere VALUES (1)')")))
    app.wait("MigrationFailed")
    assert "bbbb" in app.message() and 'relation "nowhere" does not exist' in app.message()
    assert app.status["lastRun"]["revision"] == "bbbb" and space.told("MigrationFailed")
    assert space.rows() is None, "PostgreSQL took all of it back"
    job = app.status["lastRun"]["job"]
    assert "nowhere" in kubectl("logs", "-n", space.name, f"job/{job}").stdout

    # Not repeated at the next looks, but when a person asks.
    app.stays(8, "lastRun")
    assert app.status["lastRun"]["number"] == 1 and len(space.jobs("run")) == 1
    app.annotate("again")
    eventually("a second run", lambda: app.status["lastRun"]["number"] == 2)
    app.wait("MigrationFailed")
    assert app.status["lastHandledReconcileAt"] == "again"

    space.migration(push(good, revision("bbbb", "aaaa", **table("u"))))
    assert app.wait_ready()["current"] == "bbbb"


def test_secrets_and_credentials(space, shop):
    app = space.migration(shop["1"], database=FROM_OTHER)
    app.wait("SecretNotFound")
    assert "other" in app.message()
    secret(space, "other", wrong="x")
    app.wait("SecretKeyMissing")
    secret(space, "other", url="not a url")
    app.wait("InvalidUrl")
    secret(space, "other", url=url_of(space).replace("postgresql+psycopg2", "oracle+oracledb"))
    app.wait("UnsupportedDialect")
    url = url_of(space)
    head, _, tail = url.partition("@")
    secret(space, "other", url=f"{head}wrong@{tail}")
    app.wait("AuthFailed")
    secret(space, "other", url=url.rpartition("/")[0] + "/nosuchdatabase")
    app.wait("NoSuchDatabase")
    secret(space, "other", url=f"{head}@nowhere.invalid:5432/{space.database}")
    app.wait("DatabaseUnreachable")
    secret(space, "other", url=f"{url}?sslmode=require")
    app.wait("TLSFailed")
    secret(space, "other", url=f"{url}?sslkey=/var/run/secrets/kubernetes.io/serviceaccount/token")
    app.wait("InvalidUrl")
    assert "sslkey" in app.message()
    assert space.jobs("inspect") == [] and space.rows() is None
    secret(space, "other", url=url)
    assert app.wait_ready()["current"] == "e90a7b3c51d6"


def test_a_connection_in_parts(space, shop):
    """The place from a Secret as well, as Crossplane writes it."""
    key = lambda name, secret="app-db": {"secretKeyRef": {"name": secret, "key": name}}
    secret(space, "place", endpoint="postgres.databases\n", port="5432")
    connection = {"dialect": "postgresql", "hostFrom": key("endpoint", "place"), "portFrom": key("port", "place"), "name": space.database,
                  "usernameFrom": key("username"), "passwordFrom": key("password")}
    app = space.migration(shop["1"], database={"connection": connection, "driver": "psycopg2"})
    assert app.wait_ready()["current"] == "e90a7b3c51d6"


RAISES = "raise RuntimeError('no settings')"
INSPECTIONS = {
    "EnvPyFailed": (dict(env=RAISES), "no settings"),
    "DriverMissing": (dict(requirements=requirements.ALEMBIC), "psycopg2"),
    "AlembicMissing": (dict(requirements=requirements.NO_ALEMBIC), "alembic"),
    "ConfigNotFound": ({"alembic.ini": "[other]\n"}, "spec.alembic.section"),
    "EnvPyDidNotRun": (dict(env="pass"), "run_migrations"),
}


@pytest.mark.parametrize("reason", INSPECTIONS)
def test_an_image_that_can_not_be_inspected(space, push, reason):
    options, word = INSPECTIONS[reason]
    app = space.migration(push(revision("aaaa"), **options))
    app.wait(reason)
    assert word in app.message() and space.jobs("run") == []
    app = space.migration(push(revision("aaaa", **table("t"))))
    app.wait_ready()


def test_revision_files_that_do_not_fit(space, push):
    app = space.migration(push("revision = 'aaaa'\ndown_revision = None\nimport nosuchmodule\n"))
    app.wait("RevisionFileFailed")
    assert "000.py" in app.message() and "nosuchmodule" in app.message()
    space.migration(push(revision("bbbb", "gone")))
    app.wait("RevisionGraphInvalid")
    assert "gone" in app.message()
    space.migration(push())
    app.wait("NoRevisions")
    fork = [revision("aaaa"), revision("bbbb", "aaaa"), revision("cccc", "aaaa")]
    space.migration(push(*fork, revision("dddd", ("bbbb", "aaaa", "cccc"))))
    app.wait("RedundantParent")
    assert "dddd" in app.message() and "aaaa" in app.message()
    irreversible = push(revision("aaaa", **table("t")), revision("bbbb", "aaaa", dn="raise NotImplementedError"))
    space.migration(irreversible)
    app.wait_ready()
    space.migration(irreversible, target="aaaa", policy={"downgrade": "Allow"})
    app.wait("IrreversibleRevision")
    assert "bbbb" in app.message() and space.rows() == ["bbbb"]


def test_an_id_that_does_not_fit_into_the_version_table(space, push):
    long = "a_revision_id_that_somebody_wrote_by_hand"
    app = space.migration(push(revision("aaaa", **table("t")), revision(long, "aaaa", **table("u"))))
    app.wait("RevisionIdTooLong")
    assert long in app.message() and not space.jobs("run")
    app.patch(targetRevision="aaaa")
    app.wait_ready()
    space.sql("ALTER TABLE alembic_version ALTER version_num TYPE varchar(64)")
    app.patch(targetRevision="head")
    app.wait_ready()
    assert space.rows() == [long]


def test_a_target_that_only_another_image_has(space, push):
    first, second = revision("aaaa", **table("t")), revision("bbbb", "aaaa", **table("u"))
    newer, older = push(first, second), push(first)
    app = space.migration(newer, target="aaaa")
    app.wait_ready()
    app.patch(image=older, targetRevision="bbbb")
    app.wait("RevisionNotInImage")
    assert short(newer) in app.message() and space.rows() == ["aaaa"]


def test_an_env_py_whose_work_would_be_rolled_back(space, push):
    """Exit code 0, and nothing applied: the trap of SQLAlchemy 2."""
    select = ENV.replace("    context.configure", "    connection.exec_driver_sql('SELECT 1')\n    context.configure")
    app = space.migration(push(revision("aaaa", **table("t")), env=select))
    app.wait("RolledBack")
    assert "context.configure()" in app.message() and space.rows() is None
    begun = ENV.replace(".connect()", ".begin()")
    space.migration(push(revision("aaaa", **table("t")), env=begun))
    app.wait_ready()


def test_an_image_that_does_not_exist(space, push):
    app = space.migration(f"198.18.0.1:5000/missing-{space.name}:1")
    app.wait("ImagePullFailed", seconds=30)
    # It may still be pushed.
    assert space.name in app.message() and app.condition("Reconciling")["status"] == "True"
    push(revision("aaaa", **table("t")), tag=f"missing-{space.name}:1")
    app.wait_ready(seconds=90)


def test_a_volume_that_comes_later(space, shop):
    """The kubelet tells in an event alone why a pod on a node does not start."""
    volume = {"name": "settings", "configMap": {"name": "app-settings"}}
    # The kubelet waits for those volumes alone that a container mounts.
    container = {"name": "alembic", "volumeMounts": [{"name": "settings", "mountPath": "/settings"}]}
    app = space.migration(shop["1"], podTemplate={"spec": {"volumes": [volume], "containers": [container]}})
    app.wait("PodStuck", seconds=60)
    assert "app-settings" in app.message() and app.condition("Reconciling")["status"] == "True"
    apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app-settings", "namespace": space.name}, "data": {}})
    app.wait_ready(seconds=180)


def test_an_init_container_that_fails(space, shop):
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    fails = "import sys; print('no route to the database'); sys.exit(7)"
    wait = {"name": "wait-for-db", "image": shop["1"], "command": ["python3", "-c", fails], "securityContext": security}
    app = space.migration(shop["1"], podTemplate={"spec": {"initContainers": [wait]}})
    app.wait("InitContainerFailed", seconds=60)
    assert "wait-for-db ended with exit code 7" in app.message() and "no route to the database" in app.message()
    app.patch(podTemplate=None)
    app.wait_ready(seconds=90)


def test_pods_that_are_refused(space, shop):
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none", "namespace": space.name}, "spec": {"hard": {"pods": "0"}}}
    apply(quota)
    eventually("the quota counts", lambda: (get("quota", space.name, "none")["status"] or {}).get("hard"))
    app = space.migration(shop["1"])
    app.wait("PodRejected", seconds=15)
    assert "quota" in app.message()
    kubectl("delete", "quota", "-n", space.name, "none")
    app.patch(podTemplate={"spec": {"hostNetwork": True}})
    eventually("admission refuses", lambda: app.is_at("PodRejected") and "PodSecurity" in app.message(), 30)
    app.patch(podTemplate={"spec": {"hostNetwork": None, "containers": "x"}})
    app.wait("InvalidSpec")
    app.patch(podTemplate=None)
    app.wait_ready()


def test_a_command_that_is_not_there(space, shop):
    app = space.migration(shop["1"], alembic={"command": ["uv", "run", "python"]})
    app.wait("PodFailed")
    assert "uv" in app.message() and "spec.alembic.command" in app.message()
    space.migration(shop["1"], alembic={"command": ["/usr/bin/python3"]})
    app.wait_ready()


def test_a_tag_that_moves(space, push):
    """An approval by tag would run other files than those that were planned."""
    tag = f"moving-{space.name}:1"
    # Like no other image: the node knows an image by its content, under the name by which it came first.
    first = revision("aaaa", **table(space.name.replace("-", "_")))
    push(first, tag=tag)
    app = space.migration(f"198.18.0.1:5000/{tag}", imagePullPolicy="Always")
    app.wait_ready()
    push(first, revision("bbbb", "aaaa", **table("u")), tag=tag)
    app.annotate("the tag has moved")
    eventually("the new revision", lambda: app.status.get("current") == "bbbb")
    assert json.dumps(app.status["lastRun"]["image"]).count("@sha256:") == 1
