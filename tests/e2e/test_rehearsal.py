"""A plan is tried on a scratch database first: its locks and times are shown, and what fails there never reaches the database."""
import json

import pytest

import harness
from harness import WITH_PYMYSQL, items, revision
from test_drift import server_image

ONE, TWO = "aaaa1111", "bbbb2222"
GOODS = revision(ONE, up="op.create_table('goods', sa.Column('id', sa.Integer, primary_key=True), sa.Column('name', sa.String(50)))",
                 dn="op.drop_table('goods')")
INDEX = revision(TWO, ONE, up="op.create_index('goods_name', 'goods', ['name'])", dn="op.drop_index('goods_name', 'goods')")
# On the way back something is missing.
BROKEN = INDEX.replace("op.drop_index('goods_name', 'goods')", "op.drop_index('goods_nam', 'goods')")


@pytest.mark.parametrize("engine,source", [("postgres", "Dump"), ("postgres", "History"), ("mariadb", "Dump")])
def test_a_plan_is_rehearsed_before_it_runs(request, push, engine, source):
    space = request.getfixturevalue("space" if engine == "postgres" else "mariadb_space")
    release = lambda *revisions: push(*revisions, **({} if engine == "postgres" else {"requirements": WITH_PYMYSQL}))
    # The first plan of a new database has no version table to copy.
    migration = space.migration(release(GOODS), rehearsal={"when": "Always", "source": source}, scratch={"image": server_image(engine)})
    assert migration.wait_ready(150)["rehearsal"]["result"] == "Succeeded"
    migration.patch(image=release(GOODS, BROKEN))
    migration.wait("RehearsalFailed", 150)
    assert "downgrade" in migration.message() and "goods_nam" in migration.message()
    assert space.rows() == [ONE] and len(space.jobs("run")) == 1, "nothing ran on the database"

    migration.patch(image=release(GOODS, INDEX))
    status = migration.wait_ready(150)
    assert space.rows() == [TWO]
    found = status["rehearsal"]
    assert found["result"] == "Succeeded" and found["reversible"] and found["planHash"] == status["lastRun"]["planHash"], found
    phases = [step["phase"] for step in found["steps"]]
    assert phases == ["upgrade", "downgrade", "upgrade again"] and "residue" not in found, found
    step = found["steps"][0]
    if engine == "postgres":
        assert any("goods ShareLock" in lock for lock in step["locks"]), step
    else:  # MariaDB commits by itself, so its locks are sampled, and one of a few microseconds may be missed
        assert step["sampled"] and all(lock.startswith("goods ") for lock in step["locks"]), step
    assert space.told("RehearsalSucceeded") and not space.events("Rehearsing")
    name = items("configmaps", space.name, "alembic-operator.dev/object=app")
    shown = [m["data"]["rehearsal.json"] for m in name if "rehearsal.json" in m.get("data", {})]
    assert len(shown) == 1 and [p["name"] for p in json.loads(shown[0])["phases"]] == phases


def test_a_rehearsal_leaves_the_live_database_alone(space, push):
    """An env.py that takes its URL from somewhere else than it is told would run it there."""
    env = harness.ENV.replace('os.environ["DATABASE_URL"]', 'os.environ["SHOP_URL"]')
    secret = {"name": "SHOP_URL", "valueFrom": {"secretKeyRef": {"name": "app-db", "key": "url"}}}
    pod = {"spec": {"containers": [{"name": "alembic", "env": [secret]}]}}
    migration = space.migration(push(GOODS, env=env), podTemplate=pod)
    migration.wait_ready()
    space.sql("INSERT INTO goods VALUES (1, 'x')")
    migration.patch(image=push(GOODS, INDEX, env=env), rehearsal={"when": "Always"}, scratch={"image": server_image("postgres")})
    migration.wait("RehearsalFailed", 150)
    assert "another database than the scratch database" in migration.message()
    assert space.rows() == [ONE] and space.sql("SELECT count(*) FROM goods") == "1"


def test_why_a_copy_failed(space, push):
    migration = space.migration(push(GOODS))
    migration.wait_ready()
    # It is the server's own word that is told.
    space.sql("CREATE TABLE hidden (id int); REVOKE ALL ON hidden FROM PUBLIC")
    migration.patch(image=push(GOODS, INDEX), rehearsal={"when": "Always"}, scratch={"image": server_image("postgres")})
    migration.wait("RehearsalFailed", 150)
    assert "live-schema failed" in migration.message() and "hidden" in migration.message()
