"""A database follows its object: up, down, and back again after a reverted commit."""
from harness import get, items, kubectl, revision, short, table


def test_release_upgrade_and_reverted_commit(space, shop):
    app = space.migration(shop["1"])
    status = app.wait_ready()
    assert status["current"] == status["target"] == "e90a7b3c51d6"
    assert space.rows() == ["e90a7b3c51d6"]
    assert len(space.jobs("run")) == 1 and space.jobs("inspect") == [], "the inspect Job goes once its result is kept"

    app = space.migration(shop["2"], policy={"downgrade": "Allow"})
    status = app.wait_ready()
    assert space.rows() == [status["current"]] == ["f06d8c51e2a7"]
    assert status["lastRun"]["direction"] == "upgrade" and status["history"][0]["number"] == 1
    space.sql("INSERT INTO customers (name, email, email_key) VALUES ('a', 'A@b', 'a@b')")

    # The commit is reverted: the image that is deployed again does not know where the database is.
    app = space.migration(shop["1"], policy={"downgrade": "Allow"})
    status = app.wait_ready()
    assert space.rows() == ["e90a7b3c51d6"]
    run = status["lastRun"]
    assert (run["direction"], run["result"], run["image"]) == ("downgrade", "Succeeded", shop["2"])
    assert space.sql("SELECT count(*) FROM information_schema.columns WHERE column_name IN ('total', 'stock', 'discount')") == "0"
    assert space.sql("SELECT email FROM customers") == "A@b"
    assert space.told("MigrationStarted", 3) and space.told("MigrationSucceeded", 3)


def test_targets(space, shop):
    """Every absolute form, downgrades refused until they are allowed."""
    app = space.migration(shop["2"], target="27e5c8")
    assert app.wait_ready()["current"] == "27e5c8d90a14"
    space.migration(shop["2"], target="b41d9e6c2f83")
    app.wait("DowngradeNotAllowed")
    assert "spec.policy.downgrade: Allow" in app.message() and "27e5c8d90a14" in app.message()
    assert app.condition("Stalled")["status"] == "True" and space.rows() == ["27e5c8d90a14"]
    space.migration(shop["2"], target="b41d9e6c2f83", policy={"downgrade": "Allow"})
    assert app.wait_ready()["current"] == "b41d9e6c2f83"
    space.migration(shop["2"], target="doesnotexist")
    app.wait("UnknownTarget")
    assert "doesnotexist" in app.message() and app.status["target"] == "doesnotexist" and not app.status.get("targetRevisions")
    space.migration(shop["2"], target="heads")
    assert app.wait_ready()["current"] == "f06d8c51e2a7"
    space.migration(shop["2"], target="base", policy={"downgrade": "Allow"})
    assert app.wait_ready()["current"] == "base"
    assert space.rows() == []
    assert len(space.jobs("run")) == 3, "older runs go at the history limit"
    assert app.status["lastRun"]["number"] == 4


def test_branches(space, push):
    image = push(
        revision("aaaa", **table("root")),
        revision("bbbb", "aaaa", labels=("left",), **table("l")),
        revision("cccc", "aaaa", labels=("right",), **table("r")),
    )
    app = space.migration(image)
    app.wait("MultipleHeads")
    assert "bbbb" in app.message() and "cccc" in app.message()
    assert app.condition("SingleHead")["status"] == "False" and app.condition("Stalled")["status"] == "True"
    assert space.jobs("run") == [] and space.rows() is None
    space.migration(image, target="left@head")
    assert app.wait_ready()["current"] == "bbbb"
    space.migration(image, target="heads")
    assert app.wait_ready()["current"] == "bbbb,cccc"
    assert app.condition("SingleHead")["reason"] == "BranchesDeclared"
    space.migration(image, target="right@aaaa", policy={"downgrade": "Allow"})
    assert app.wait_ready()["current"] == "bbbb"


def test_a_reached_target_costs_no_pod(space, shop):
    space.migration(shop["1"]).wait_ready()
    before = len(items("pods", space.name))
    twin = space.migration(shop["1"], name="twin")
    twin.wait("AtTarget", seconds=5)
    assert len(items("pods", space.name)) == before and "lastRun" not in twin.status
    owners = [set(o["name"] for o in m["metadata"]["ownerReferences"])
              for m in items("configmaps", space.name, "alembic-operator.dev/inspection")]
    assert owners == [{"app", "twin"}], "both own what they share"
    kubectl("delete", "dbm", "-n", space.name, "twin")
    assert items("configmaps", space.name, "alembic-operator.dev/inspection")


def test_a_database_ahead_of_every_known_image(space, shop, push):
    space.migration(shop["2"]).wait_ready()
    kubectl("delete", "dbm", "-n", space.name, "app")
    other = push(revision("aaaa", **table("t")))
    app = space.migration(other)
    app.wait("DatabaseAhead")
    assert "f06d8c51e2a7" in app.message() and short(other) in app.message()
    assert space.rows() == ["f06d8c51e2a7"] and get("dbm", space.name, "app")
