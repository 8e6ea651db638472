"""What something else does to the version rows is seen, told, and handled by the same rules."""
from harness import eventually


def test_rows_changed_by_hand(space, shop):
    app = space.migration(shop["2"], target="27e5c8d90a14")
    app.wait_ready()
    assert app.condition("Drifted")["status"] == "False"

    # Newer than the target: a downgrade, which nobody allowed.
    space.sql("UPDATE alembic_version SET version_num = 'e90a7b3c51d6'")
    app.wait("DowngradeNotAllowed", seconds=20)
    drifted = app.condition("Drifted")
    assert (drifted["status"], drifted["reason"]) == ("True", "RevisionChanged")
    assert "from 27e5c8d90a14 to e90a7b3c51d6" in drifted["message"]
    assert space.told("RevisionChanged") and space.rows() == ["e90a7b3c51d6"]

    # Back where it was: the target is reached, and the drift is over.
    space.sql("UPDATE alembic_version SET version_num = '27e5c8d90a14'")
    app.wait("AtTarget", seconds=20)
    assert app.condition("Drifted")["status"] == "False"


def test_a_change_is_seen_at_once_when_asked(space, shop):
    source = {"urlFrom": {"secretKeyRef": {"name": "app-db", "key": "url"}}, "probe": {"interval": "1h"}}
    app = space.migration(shop["2"], target="27e5c8d90a14", database=source)
    app.wait_ready()
    space.sql("DROP INDEX ix_orders_customer_id; UPDATE alembic_version SET version_num = 'b41d9e6c2f83'")
    app.annotate("look")
    # Older than the target: an upgrade, which needs no permission.
    eventually("the run that follows", lambda: app.status["lastRun"]["number"] == 2, 20)
    assert app.wait_ready()["current"] == "27e5c8d90a14"
    assert space.told("RevisionChanged")


def test_a_revision_that_no_image_knows(space, shop):
    app = space.migration(shop["1"])
    app.wait_ready()
    space.sql("UPDATE alembic_version SET version_num = 'feedbeef0000'")
    app.wait("UnknownRevision", seconds=20)
    assert "feedbeef0000" in app.message() and app.condition("Drifted")["status"] == "True"
