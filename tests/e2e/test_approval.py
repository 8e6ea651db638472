"""A plan is seen with its dangers before it runs, and the dangerous ones wait for somebody."""
import json

import pytest

import client
from harness import OPERATOR, WITH_PYMYSQL, apply, eventually, get, revision
from ways_round import TENANT, beside_the_approval, beside_the_approval_of_set, config_map, give, job, set_that_demands, tried, ways_round, ways_round_set

GOODS = revision("aaaa1111", up="op.create_table('goods', sa.Column('id', sa.Integer, primary_key=True), sa.Column('price', sa.Integer),"
                 " sa.Column('name', sa.Text))", dn="op.drop_table('goods')")
ON_HAZARD = {"approval": {"mode": "OnHazard"}}
NEVER = {"approval": {"mode": "Never"}}


def drops(column, comment=""):
    return revision("bbbb2222", "aaaa1111", up=f"{comment}\nop.drop_column('goods', '{column}')",
                    dn=f"op.add_column('goods', sa.Column('{column}', sa.Integer))")


def columns(space):
    # A MariaDB server shows all of its databases there.
    where = f"table_name = 'goods' AND table_schema IN ('public', '{space.database}')"
    return set(space.sql(f"SELECT column_name FROM information_schema.columns WHERE {where}").split())


def shown(migration):
    return get("configmap", migration.space.name, migration.status["plan"]["configMap"])["data"]


@pytest.mark.parametrize("engine", ["space", "mariadb_space"])
def test_a_dropped_column_waits_for_an_approval_of_that_plan(engine, request, push):
    space = request.getfixturevalue(engine)
    release = lambda *revisions: push(*revisions, **({} if engine == "space" else {"requirements": WITH_PYMYSQL}))
    migration = space.migration(release(GOODS), policy=ON_HAZARD)
    migration.wait_ready()
    assert migration.condition("HazardFree")["reason"] == migration.condition("Approved")["reason"] == "NothingToDo"

    migration.patch(image=release(GOODS, drops("price")))
    status = migration.wait("AwaitingApproval")
    plan = status["plan"]
    assert plan["steps"] == [{"revision": "bbbb2222", "title": "revision bbbb2222", "reversible": "Clean"}]
    assert plan["hazardSummary"].startswith("1C") and plan["hazards"][0]["code"] == "D02"
    assert f"alembic-operator.dev/approve={plan['hash']}" in migration.message()
    conditions = {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}
    assert conditions["Approved"] == ("False", "Required") and conditions["HazardFree"] == ("False", "Critical")
    assert conditions["Reconciling"][0] == "True" and conditions["Stalled"][0] == "False"
    assert "DROP COLUMN price" in shown(migration)["plan.sql"] and "ADD COLUMN price" in shown(migration)["undo.sql"]
    assert json.loads(shown(migration)["plan.json"])["hash"] == plan["hash"]

    # Another content of the revision before somebody has approved: the old approval is void.
    migration.patch(image=release(GOODS, drops("name")))
    eventually("another plan", lambda: migration.status["plan"]["hash"] != plan["hash"], 40)
    migration.approve(plan["hash"])
    eventually("void", lambda: migration.condition("Approved")["reason"] == "Stale", 20)
    assert space.told("ApprovalStale")
    assert len(space.jobs("run")) == 1 and {"price", "name"} <= columns(space)
    migration.approve(migration.status["plan"]["hash"])
    migration.wait_ready()
    assert columns(space) == {"id", "price"} and migration.status["lastRun"]["planHash"] != plan["hash"]


def test_approval_in_git_and_a_downgrade_that_loses_data(space, push):
    image = push(GOODS)
    migration = space.migration(image, policy={**ON_HAZARD, "downgrade": "Allow"})
    migration.wait_ready()
    space.sql("INSERT INTO goods VALUES (1, 2, 'x')")
    migration.patch(targetRevision="base")
    status = migration.wait("AwaitingApproval")
    assert status["plan"]["hazards"][0]["code"] == "D01" and space.sql("SELECT count(*) FROM goods") == "1"
    first = status["plan"]["hash"]
    migration.patch(policy={"approvedPlan": first})
    assert migration.wait_ready()["lastRun"]["direction"] == "downgrade"
    # Up and down again is another plan: what was approved has run.
    migration.patch(targetRevision="head")
    migration.wait_ready()
    migration.patch(targetRevision="base")
    assert migration.wait("AwaitingApproval")["plan"]["hash"] != first
    assert migration.condition("Approved")["reason"] == "Required"
    migration.patch(policy={"approvedPlan": None, "approval": {"mode": "Never"}})
    migration.wait("PlanOnly")
    assert len(space.jobs("run")) == 3


def test_what_is_allowed_is_shown_and_does_not_wait(space, push):
    allow = [{"code": "D01", "reason": "none is dropped"}, {"code": "D02", "reason": "nobody reads it since 1.4"}]
    migration = space.migration(push(GOODS), policy={**ON_HAZARD, "hazards": {"allow": allow}})
    migration.wait_ready()
    migration.patch(policy=NEVER, image=push(GOODS, drops("price")))
    plan = migration.wait("PlanOnly")["plan"]
    assert plan["allowances"] == ["the allowance of D01 allows nothing in this plan", "D02 in bbbb2222 is allowed: nobody reads it since 1.4"]
    migration.patch(policy=ON_HAZARD)
    migration.wait_ready()
    assert "price" not in columns(space)


def test_what_is_seen_and_what_is_not(space, push):
    """Values are masked, what reads the database is opaque, and a short lock is none."""
    migration = space.migration(push(GOODS), policy=ON_HAZARD)
    migration.wait_ready()
    data = revision("bbbb2222", "aaaa1111", up="""
        op.execute("INSERT INTO goods (id, price, name) VALUES (1, 4111, 'hunter2')")
        for row in op.get_bind().execute(sa.text("SELECT id FROM goods")):
            print(row)
        """)
    migration.patch(policy=NEVER, image=push(GOODS, data))
    plan = migration.wait("PlanOnly")["plan"]
    assert "reads the database" in " ".join(plan["steps"][0]["opaque"]), plan
    assert {hazard["code"] for hazard in plan["hazards"]} >= {"O01"}
    everything = json.dumps([shown(migration), migration.get()])
    assert "hunter2" not in everything and "4111" not in everything
    assert migration.condition("HazardFree")["status"] != "True"

    index = revision("bbbb2222", "aaaa1111", up="op.create_index('goods_name', 'goods', ['name'])", dn="op.drop_index('goods_name')")
    image = push(GOODS, index)
    migration.patch(image=image)
    small = eventually("small", lambda: (p := migration.status.get("plan")) and p["hazards"] and p["hazards"][0]["code"] == "B01" and p, 40)
    assert small["hazards"][0]["severity"] == "low" and small["hazardSummary"] == "1L"
    space.sql("INSERT INTO goods SELECT n, n, 'x' FROM generate_series(1, 200000) AS n; ANALYZE goods")
    eventually("large", lambda: migration.status["plan"]["hazards"][0]["severity"] == "high", 40)
    with pytest.raises(AssertionError, match="duplicat"):
        space.sql("CREATE UNIQUE INDEX CONCURRENTLY left_over ON goods (name)")
    eventually("what a failed build left", lambda: "left_over" in json.dumps(migration.status["plan"]["hazards"]), 40)
    migration.patch(policy=ON_HAZARD)
    migration.wait("AwaitingApproval")


def test_senseless_combinations_are_refused(space):
    def refusal(**policy):
        done = space.migration("app:1", check=False, policy=policy)
        assert done.returncode != 0
        return done.stderr

    assert "threshold is for" in refusal(approval={"mode": "Auto", "threshold": "Low"})
    assert "approvedPlan approves nothing" in refusal(approval={"mode": "Never"}, approvedPlan="abc")
    assert "approvedPlan" in refusal(approvedPlan="Not a hash")
    assert "code" in refusal(hazards={"allow": [{"code": "Z99", "reason": "x"}]})
    assert "reason" in refusal(hazards={"allow": [{"code": "D02"}]})


def test_only_those_who_may_approve(space, push):
    """Users on the real API server: one edits, one approves, and one writes whatever the operator makes and tries each way round."""
    give(space.name, "ed", f"{OPERATOR}-edit", f"{OPERATOR}-view", rules=TENANT)
    give(space.name, "ann", f"{OPERATOR}-approver")
    migration = space.migration(push(GOODS), policy=ON_HAZARD)
    migration.wait_ready()
    migration.patch(image=push(GOODS, drops("price", "# op: allow D02 \"nobody reads it\"")), policy={"approval": {"mode": "Always"}})
    status = migration.wait("AwaitingApproval")
    plan = status["plan"]["hash"]
    # Whoever writes a revision file need not be somebody who may approve.
    assert status["plan"]["hazards"][0]["code"] == "D02"
    assert status["plan"]["allowances"][0].startswith("D02 in bbbb2222 is not allowed by the comment"), status["plan"]
    apply(config_map(space.name, "own", {}))

    patch = lambda user, body, dry_run=False: tried(user, lambda: client.merge("dbm", space.name, migration.name, body, dry_run))
    patch_set = lambda user, body: tried(user, lambda: client.merge("dbmset", space.name, "hard", body, True))
    # An API server takes its time to see a policy; until then the answer is yes.
    made = lambda: all(tried("ed", lambda: client.create(each, dry_run=True)) for each in (config_map(space.name, "x"), job(space.name)))
    approved = lambda: patch("ed", {"spec": {"policy": {"approval": {"mode": "Auto"}}}}, dry_run=True)
    eventually("the policies hold", lambda: made() and approved(), 60)

    refused = lambda said: "may not" in said or "field is immutable" in said
    tries = ways_round(space.name, migration.name, plan, "ed")
    apply(set_that_demands(space.name))
    tries += ways_round_set(space.name, plan, "ed")
    passed = [(what, said) for what, said in tries if not refused(said)]
    assert not passed
    assert not patch("ed", {"spec": {"historyLimit": 5}}), "what is no approval goes on as before"
    assert not patch_set("ed", {"spec": {"template": {"image": "app:2"}, "exclude": ["c", "d", "e"]}})
    passed = [body for body in beside_the_approval() if "may approve and reject plans" not in patch("ann", body)]
    passed += [body for body in beside_the_approval_of_set() if "may approve, reject and promote" not in patch_set("ann", body)]
    assert not passed
    assert not patch_set("ann", {"metadata": {"annotations": {f"alembic-operator.dev/{key}": "1" for key in ("approve", "promote", "reject", "reason")}}})
    assert migration.wait("AwaitingApproval") and "price" in columns(space)
    assert not patch("ann", {"metadata": {"annotations": {"alembic-operator.dev/approve": plan}}})
    migration.wait_ready()
    assert "price" not in columns(space)
