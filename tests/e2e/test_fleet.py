"""Many schemas of one project: one plan for all, waves, a tenant that fails, a mended image, a tenant that joins, and the way back."""
import json

import requirements
from harness import ENV, apply, client, eventually, get, items, revision, table, written

TENANTS = ENV.replace("from sqlalchemy import create_engine", "from sqlalchemy import create_engine, text").replace("    context.configure(", """
    schema = context.get_x_argument(as_dictionary=True)["schema"]
    connection.execute(text('SET search_path TO "%s"' % schema))
    connection.commit()
    connection.dialect.default_schema_name = schema
    context.configure(""")
NAMES = [f"tenant_{number:02}" for number in range(30)]


class Set:
    """A DatabaseMigrationSet on the cluster."""

    def __init__(self, space):
        self.space = space

    def apply_databases(self, image, **more):
        """Every database of the server whose name begins as that of the space."""
        prefix = self.space.database + "_t"
        catalog = f"SELECT schema_name AS name, schema_name AS `database`, 1 AS tier FROM information_schema.schemata WHERE schema_name = '{prefix}0'"
        apply({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigrationSet",
            "metadata": {"name": "app", "namespace": self.space.name},
            "spec": {
                "template": {"image": image, "targetRevision": "head", "policy": {"approval": {"mode": "Auto"}}},
                "servers": [{"name": "main", "urlFrom": {"secretKeyRef": {"name": "app-db", "key": "url"}}}],
                "targets": [{"databases": {"server": "main", "matching": f"^{prefix}"}}, {"query": {"server": "main", "sql": catalog}}],
                "interval": "5s", **more,
            },
        })

    def apply(self, image, **rollout):
        waves = [{"name": "canary", "match": {"tier": "internal"}, "then": {"promotion": "Required"}}, {"name": "third", "upTo": "30%"}]
        apply({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigrationSet",
            "metadata": {"name": "app", "namespace": self.space.name},
            "spec": {
                "template": {"image": image, "targetRevision": "head", "policy": {"downgrade": "Allow", "approval": {"mode": "Always"}}},
                "servers": [{"name": "main", "urlFrom": {"secretKeyRef": {"name": "app-db", "key": "url"}}}],
                "targets": [{"schemas": {"server": "main", "matching": "^tenant_"}},
                            {"list": [{"name": NAMES[0], "schema": NAMES[0], "labels": {"tier": "internal"}}]}],
                "perTarget": {"x": ["schema=$(schema)"]},
                "exclude": ["tenant_old*"], "interval": "5s",
                "rollout": {"waves": waves, **rollout},
            },
        })

    @property
    def status(self):
        return (get("dbmset", self.space.name, "app") or {}).get("status", {})

    def wait(self, reason, true=lambda status: True, seconds=60):
        def is_so():
            thing = get("dbmset", self.space.name, "app")
            status = thing.get("status", {})
            ready = [c for c in status.get("conditions", []) if c["type"] == "Ready"]
            fresh = ready and ready[0]["observedGeneration"] == thing["metadata"]["generation"] and ready[0]["reason"] == reason
            return dict(status, message=ready[0]["message"]) if fresh and true(status) else None
        try:
            return eventually(f"the set is {reason}", is_so, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.status, indent=1)}") from None

    def annotate(self, key, value):
        written(lambda: client.merge("dbmset", self.space.name, "app", {"metadata": {"annotations": {f"alembic-operator.dev/{key}": value}}}))

    def approve_and_promote(self, count):
        """Approves the one plan, and lets the waves after the canary begin."""
        plan, = self.wait("AwaitingApproval", lambda status: status["rollout"]["plans"])["rollout"]["plans"]
        assert plan["targets"] == count and not plan["approved"]
        self.annotate("approve", plan["hash"])
        status = self.wait("AwaitingPromotion")
        assert [wave["done"] for wave in status["rollout"]["waves"]] == [1, 0, 0] and status["wave"] == "canary"
        self.annotate("promote", f"{status['rollout']['number']}/canary")
        return plan

    def lines(self):
        pages = items("configmaps", self.space.name, "alembic-operator.dev/set=app")
        return {line["name"]: line for page in pages for line in map(json.loads, page["data"]["targets"].splitlines())}


def test_thirty_tenants(space, push):
    schemas = "".join(f"CREATE SCHEMA {name} AUTHORIZATION {space.database}; " for name in [*NAMES, "tenant_old_1"])
    space.sql(schemas)
    rows = lambda: {name: space.sql(f"SELECT string_agg(version_num, ',') FROM {name}.alembic_version") for name in NAMES}
    first = push(revision("aaaa", **table("goods")), env=TENANTS)
    fleet = Set(space)
    fleet.apply(first)
    fleet.approve_and_promote(30)
    status = fleet.wait("AtTarget")
    assert status["targets"] == {"total": 30, "atTarget": 30, "pending": 0, "running": 0, "failed": 0}
    assert set(rows().values()) == {"aaaa"} and status["to"] == "aaaa" and "wave" not in status
    assert space.sql("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'tenant_old_1'") == "0"
    assert status["settled"]["revisions"] == ["aaaa"] and {wave["state"] for wave in status["rollout"]["waves"]} == {"Passed"}

    # One tenant has what the second revision makes, and pauses its wave.
    poisoned = next(name for name, line in fleet.lines().items() if line["wave"] == "third")
    space.sql(f"CREATE TABLE {poisoned}.prices (id integer)")
    second = push(revision("aaaa", **table("goods")), revision("bbbb", "aaaa", **table("prices")), env=TENANTS)
    fleet.apply(second)
    plan = fleet.approve_and_promote(30)
    status = fleet.wait("WaveFailed")
    failure, = status["failures"]
    assert (failure["target"], failure["reason"], failure["revision"]) == (poisoned, "MigrationFailed", "bbbb"), failure
    assert "already exists" in failure["message"] and poisoned in status["message"] and status["wave"] == "third"
    rest = [name for name, line in fleet.lines().items() if line["wave"] == "rest"]
    assert rest and {rows()[name] for name in rest} == {"aaaa"}, "nothing of a later wave has begun"

    # Mended and tried again; a tenant has joined meanwhile.
    space.sql(f"DROP TABLE {poisoned}.prices; CREATE SCHEMA tenant_99 AUTHORIZATION {space.database}")
    fleet.annotate("requestedAt", "once more")
    plans = fleet.wait("AwaitingApproval", lambda status: status["targets"]["total"] == 31)["rollout"]["plans"]
    joined, = [plan for plan in plans if plan["from"] == []]
    assert joined["targets"] == 1 and space.sql("SELECT to_regclass('tenant_99.goods') IS NULL") == "t", "nobody has approved this plan"
    fleet.annotate("approve", f"{plan['hash']},{joined['hash']}")
    fleet.wait("AtTarget", lambda status: status["targets"]["atTarget"] == 31)

    # The commit is reverted: the image of before does not know the revision, and another one is remembered that does.
    fleet.apply(first)
    fleet.approve_and_promote(31)
    fleet.wait("AtTarget", lambda status: status["to"] == "aaaa" and status["targets"]["atTarget"] == 31)
    assert set(rows().values()) == {"aaaa"}
    number = lambda job: json.loads(job["metadata"]["annotations"]["alembic-operator.dev/record"])["number"]
    ran = [job for job in items("jobs", space.name, "alembic-operator.dev/action=batch") if job["status"].get("succeeded")]
    assert max(ran, key=number)["spec"]["template"]["spec"]["containers"][0]["image"] == second

    # Gone without a trace, but for the databases.
    client.request("DELETE", client.path("dbmset", space.name, "app"))
    eventually("the set is gone with its Jobs and pages", lambda: not get("dbmset", space.name, "app")
               and not items("jobs", space.name) and not items("configmaps", space.name, "alembic-operator.dev/set=app"))
    assert set(rows().values()) == {"aaaa"}


def test_databases_of_mariadb(mariadb_space, push):
    """The databases of a server that rolls nothing back: one that fails in the middle is held for a person, and the others go on."""
    space = mariadb_space
    names = [f"{space.database}_t{number}" for number in range(4)]
    space.sql("".join(f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}; GRANT ALL ON {name}.* TO {space.database};" for name in names))
    space.sql(f"CREATE TABLE {names[1]}.prices (id INT)")
    image = push(revision("aaaa", **table("goods")), revision("bbbb", "aaaa", **table("prices")), requirements=requirements.PYMYSQL)
    fleet = Set(space)
    fleet.apply_databases(image, rollout={"failureBudget": 2, "waves": [{"name": "canary", "match": {"tier": "1"}}]})
    status = fleet.wait("TargetsFailed")
    assert [wave["total"] for wave in status["rollout"]["waves"]] == [1, 3]
    failure, = status["failures"]
    # It has a table and no version row, so nothing was begun.
    assert (failure["target"], failure["reason"]) == (names[1], "DatabaseUnmanaged"), failure
    assert status["targets"]["atTarget"] == 3 and space.sql(f"SELECT version_num FROM {names[3]}.alembic_version") == "bbbb"
    # Made as the first revision leaves it, it fails at the second.
    space.sql(f"CREATE TABLE {names[1]}.alembic_version (version_num VARCHAR(32) PRIMARY KEY); INSERT INTO {names[1]}.alembic_version VALUES ('aaaa');")
    status = fleet.wait("TargetsFailed", lambda status: status["failures"][0]["reason"] != "DatabaseUnmanaged")
    failure, = status["failures"]
    # The statement that failed was the step's first, so nothing of it stays.
    assert (failure["reason"], failure["revision"]) == ("MigrationFailed", "bbbb") and "already exists" in failure["message"], failure
    space.sql(f"DROP TABLE {names[1]}.prices")
    fleet.annotate("requestedAt", "mended")
    fleet.wait("AtTarget")
    space.sql("".join(f"DROP DATABASE {name};" for name in names))
