"""A schema that was changed by hand is told object by object, under no other circumstances, and blocks where it is asked to."""
import json
import time

import pytest

from harness import OPERATOR, WITH_PYMYSQL, eventually, get, kubectl, revision, table

ONE, TWO, THREE = "aaaa1111", "bbbb2222", "cccc3333"
FAST = {"interval": "2s"}


def drifted(migration, status, reason, seconds=20):
    is_so = lambda: (lambda found: found["status"] == status and found["reason"] == reason and found)(migration.condition("Drifted"))
    try:
        return eventually(f"Drifted is {status}, {reason}", is_so, seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{json.dumps(migration.status, indent=1)}") from None


def never_drifted(migration, seconds):
    """Several comparisons go by, and none finds anything."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert migration.condition("Drifted")["status"] != "True", migration.condition("Drifted")
        time.sleep(0.5)


def report(migration):
    return get("configmap", migration.space.name, migration.status["drift"]["configMap"])["data"]


def test_a_change_by_hand_is_told_and_goes_again(space, shop):
    app = space.migration(shop["1"], drift=FAST)
    app.wait_ready()
    assert "after run 1" in drifted(app, "False", "InSync")["message"]

    space.sql(f"SET ROLE {space.database}; CREATE INDEX by_hand ON orders (customer_id); ALTER TABLE customers ALTER name TYPE varchar(222)")
    found = drifted(app, "True", "Unexpected")
    assert "unexpected index public.by_hand" in found["message"] and app.is_at("AtTarget"), "Report leaves Ready alone"
    drift = app.status["drift"]
    assert (drift.get("missing"), drift["unexpected"], drift["modified"]) == (0, 1, 1)
    changed = [entry for entry in drift["objects"] if entry["change"] == "Modified"][0]
    assert changed["object"] == "column public.customers.name" and changed["actual"].startswith("character varying(222)")
    assert changed["expected"] != changed["actual"]
    assert "+ index public.by_hand CREATE INDEX by_hand ON public.orders" in report(app)["drift.diff"]
    assert json.loads(report(app)["drift.json"])["fingerprint"] == drift["fingerprint"]
    assert len(space.told("DriftDetected")) == 1

    # A release on top: what it did not touch is still drift, and what it made is none.
    app.patch(image=shop["2"])
    app.wait_ready()
    assert "by_hand" in drifted(app, "True", "Unexpected")["message"] and app.status["drift"]["unexpected"] == 1

    space.sql(f"SET ROLE {space.database}; DROP INDEX by_hand; ALTER TABLE customers ALTER name TYPE {changed['expected'].removesuffix(' not null')}")
    assert "after run 2" in drifted(app, "False", "InSync")["message"]
    assert "drift.diff" not in report(app) and len(space.told("DriftResolved")) == 1 and len(space.events("DriftDetected")) == 1


@pytest.mark.serial
def test_what_is_no_drift(space, shop):
    app = space.migration(shop["2"], drift=FAST)
    app.wait_ready()
    drifted(app, "False", "InSync")
    role = f"SET ROLE {space.database};"
    space.sql("VACUUM FULL; ANALYZE;")
    space.sql(f"{role} REINDEX TABLE orders; INSERT INTO customers (name, email, email_key) SELECT 'n' || g, 'e' || g, 'e' || g FROM generate_series(1, 2000) g; SELECT * INTO TEMP x FROM customers")
    space.sql(f"ALTER DATABASE {space.database} SET work_mem = '8MB'; ALTER ROLE {space.database} IN DATABASE {space.database} SET lock_timeout = '5s'")
    never_drifted(app, 6)
    # Down and up again, and the operator killed in between: the runs of the operator itself are no drift either.
    app.patch(targetRevision="base", policy={"downgrade": "Allow"})
    kubectl("delete", "pod", "-n", OPERATOR, "-l", "app.kubernetes.io/name=alembic-operator", "--wait=false")
    app.wait_ready(120)
    app.patch(targetRevision="head")
    app.wait_ready()
    never_drifted(app, 5)
    assert "after run 3" in drifted(app, "False", "InSync")["message"] and not space.events("DriftDetected")


def test_drift_blocks_until_it_is_accepted(space, push):
    first = push(revision(ONE, **table("one")))
    second = push(revision(ONE, **table("one")), revision(TWO, ONE, **table("two")))
    refused = space.migration(first, name="odd", drift={"mode": "Disabled", "onDrift": "Block"}, check=False)
    assert "drift.onDrift Block needs something" in refused.stderr
    app = space.migration(first, drift={**FAST, "onDrift": "Block", "exclude": ["public.scratch*"]})
    app.wait_ready()
    space.sql(f"SET ROLE {space.database}; CREATE TABLE scratch_1 (id int)")
    never_drifted(app, 5)
    space.sql(f"SET ROLE {space.database}; ALTER TABLE one ADD COLUMN by_hand int")
    app.wait("DriftBlocked")
    app.patch(image=second)
    app.wait("DriftBlocked")
    assert space.rows() == [ONE] and "column public.one.by_hand" in app.message()

    app.annotate("0123", "accept-drift")
    eventually("what was accepted is not this", lambda: "0123" in app.condition("Drifted")["message"])
    assert space.rows() == [ONE]
    fingerprint = app.status["drift"]["fingerprint"]
    app.annotate(fingerprint, "accept-drift")
    app.wait_ready()
    assert space.rows() == [TWO] and space.told("DriftAccepted")
    never_drifted(app, 4)


@pytest.mark.serial
def test_drift_is_found_by_an_operator_that_was_started_again(space, shop):
    app = space.migration(shop["1"], drift={"interval": "10s"})
    app.wait_ready()
    drifted(app, "False", "InSync")
    kubectl("delete", "pod", "-n", OPERATOR, "-l", "app.kubernetes.io/name=alembic-operator")
    space.sql(f"SET ROLE {space.database}; DROP INDEX ix_orders_customer_id")
    assert "missing index public.ix_orders_customer_id" in drifted(app, "True", "Missing", 60)["message"]


def test_mariadb_and_what_a_failed_run_has_left(mariadb_space, push):
    space = mariadb_space
    fails = revision(TWO, ONE, up="op.create_table('two', sa.Column('id', sa.Integer))\nop.execute('SELECT nothing')", dn="op.drop_table('two')")
    first, broken = push(revision(ONE, **table("one")), requirements=WITH_PYMYSQL), push(revision(ONE, **table("one")), fails, requirements=WITH_PYMYSQL)
    app = space.migration(first, drift=FAST)
    app.wait_ready()
    drifted(app, "False", "InSync")
    space.sql("ALTER TABLE one ADD COLUMN by_hand INT")
    assert "unexpected column one.by_hand" in drifted(app, "True", "Unexpected")["message"]
    space.sql("ALTER TABLE one DROP COLUMN by_hand")
    drifted(app, "False", "InSync")

    app.patch(image=broken)
    app.wait("PartiallyApplied")
    assert "unexpected table two" in drifted(app, "True", "Unexpected")["message"], "the leftovers, by name"
    # Mended so that the next one takes the table over: it belongs to the revision then.
    mended = push(revision(ONE, **table("one")), revision(TWO, ONE, **{**table("two"), "up": "op.execute('CREATE TABLE IF NOT EXISTS two (id INT)')"}), requirements=WITH_PYMYSQL)
    app.patch(image=mended)
    app.wait_ready()
    assert drifted(app, "False", "InSync") and space.rows() == [TWO]


def test_a_migration_by_somebody_else(space, push):
    """The schema is known for the version rows that this operator led to, and for no others."""
    app = space.migration(push(revision(ONE, **table("one")), revision(TWO, ONE, **table("two"))), target=ONE, drift=FAST)
    app.wait_ready()
    drifted(app, "False", "InSync")
    space.sql(f"SET ROLE {space.database}; BEGIN; CREATE TABLE two (id int); UPDATE alembic_version SET version_num = '{TWO}'; COMMIT")
    app.patch(targetRevision=TWO)
    app.wait_ready()
    assert "something else than this object" in drifted(app, "Unknown", "NoBaseline")["message"]


def server_image(engine):
    """The image that the test's own server runs: a scratch server of the same version."""
    return get("deployment", "databases", engine)["spec"]["template"]["spec"]["containers"][0]["image"]


def replaying(engine, **more):
    return {"drift": {"mode": "Replay", **FAST, **more}, "scratch": {"image": server_image(engine)}}


def test_drift_that_is_older_than_the_operator(space, push):
    role = f"SET ROLE {space.database};"
    line = [revision(ONE, **table("one")), revision(TWO, ONE, up="op.add_column('one', sa.Column('name', sa.Text(), nullable=False, server_default='x'))",
                                                    dn="op.drop_column('one', 'name')")]
    # Made before there was an operator, and changed by hand since.
    space.sql(f"{role} CREATE TABLE one (id serial PRIMARY KEY, name text); CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY); INSERT INTO alembic_version VALUES ('{TWO}')")
    app = space.migration(push(*line), **replaying("postgres"))
    app.wait_ready()
    message = drifted(app, "True", "Modified", 60)["message"]
    assert "against what the revisions make" in message and "column public.one.name" in message
    assert "- column public.one.name text not null default 'x'::text\n+ column public.one.name text\n" in report(app)["drift.diff"]
    space.sql(f"{role} ALTER TABLE one ALTER name SET DEFAULT 'x', ALTER name SET NOT NULL")
    drifted(app, "False", "InSync")
    assert len(space.jobs("replay")) == 1, "once for each history"

    # An old revision file that was edited makes another schema than the one that is there.
    line[0] = revision(ONE, up="op.create_table('one', sa.Column('id', sa.Integer, primary_key=True), sa.Column('forgotten', sa.Integer))", dn="op.drop_table('one')")
    app.patch(image=push(*line))
    assert "missing column public.one.forgotten" in drifted(app, "True", "Missing", 60)["message"]
    assert app.is_at("AtTarget") and space.rows() == [TWO]
    # One that does not run at all is told, and is no drift.
    line[0] = revision(ONE, up="op.execute('SELECT nothing')")
    app.patch(image=push(*line))
    eventually("why it does not run", lambda: "nothing" in drifted(app, "Unknown", "NoBaseline", 60)["message"], 60)


def test_the_history_on_mariadb(mariadb_space, push):
    space = mariadb_space
    app = space.migration(push(revision(ONE, **table("one")), requirements=WITH_PYMYSQL), **replaying("mariadb"))
    app.wait_ready()
    assert "what the revisions make" in drifted(app, "False", "InSync", 90)["message"]
    space.sql("CREATE INDEX by_hand ON one (id)")
    assert "unexpected index one.by_hand" in drifted(app, "True", "Unexpected")["message"]


def test_a_database_that_only_jobs_reach(mariadb_space, push):
    space = mariadb_space
    source = {"urlFrom": {"secretKeyRef": {"name": "app-db", "key": "url"}}, "probe": {"mode": "Job", "interval": "3s"}}
    app = space.migration(push(revision(ONE, **table("one")), requirements=WITH_PYMYSQL), database=source, drift=FAST)
    app.wait_ready()
    assert "after run 1" in drifted(app, "False", "InSync", 60)["message"]
    space.sql("ALTER TABLE one ADD COLUMN by_hand INT")
    assert "unexpected column one.by_hand" in drifted(app, "True", "Unexpected", 60)["message"]
    space.sql("ALTER TABLE one DROP COLUMN by_hand")
    drifted(app, "False", "InSync", 60)
