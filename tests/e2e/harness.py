"""The real cluster as the tests see it: namespaces with a database, objects to apply, states to wait for, images to push."""
import base64
import itertools
import json
import os
import pathlib
import re
import subprocess
import sys
import textwrap
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "tests" / "cluster"
sys.path.append(str(CLUSTER))

import client
import database
import images
from client import get, logs, path as address, request
from node import kubectl_command
from requirements import ALL, PSYCOPG2 as REQUIREMENTS, PYMYSQL as WITH_PYMYSQL  # noqa: F401

OPERATOR = "alembic-operator"
# A busy machine is slow, and a test that passes does not wait for the end of its time: each limit is so many times longer.
PATIENCE = 4
# Of all tests that run side by side, by pytest-xdist's name of the process.
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]


def run(*command, stdin=None, check=True):
    done = subprocess.run([str(c) for c in command], input=stdin, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done


def kubectl(*arguments, stdin=None, check=True):
    return run(*kubectl_command(*arguments), stdin=stdin, check=check)


def helm(*arguments):
    return run(CLUSTER / "helm", *arguments).stdout


def items(kind, namespace, selector=None):
    return (get(kind, namespace, selector=selector) or {"items": []})["items"]


class Done:
    """How a write ended, in kubectl's terms."""

    def __init__(self, refusal=""):
        self.returncode, self.stderr = int(bool(refusal)), refusal


def written(write, check=True):
    try:
        write()
        return Done()
    except client.Refused as refusal:
        if check:
            raise AssertionError(refusal) from None
        return Done(str(refusal))


def apply(manifest, check=True):
    return written(lambda: client.apply(manifest), check)


def eventually(what, probe, seconds=60):
    """The first true answer of a probe; fails when there is none in time."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    while True:
        answer = probe()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.2)


def clear():
    """Objects of earlier tests, benchmarks and demos would be noise: the operator looks after them too."""
    there = lambda: [n["metadata"]["name"] for n in get("namespaces")["items"] if n["metadata"]["name"].startswith(("e2e-", "bench-", "demo"))]
    for name in there():
        request("DELETE", address("namespace", name=name))
    eventually("the namespaces of earlier tests are gone", lambda: not there(), 100)


COUNT = itertools.count(1)


def space_name(request):
    """Unique, so that nothing of an earlier run is met."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.originalname.removeprefix("test_"))[:30].strip("-")
    return f"e2e-{name}-{WORKER}{next(COUNT):02}-{os.getpid() % 10000}"


class Space:
    """A namespace under the restricted Pod Security Standard with a database of its own."""

    # The namespaces of the test that runs.
    made = set()

    def __init__(self, name, server="databases", engine="postgres"):
        self.name, self.server, self.engine = name, server, engine
        labels = {"pod-security.kubernetes.io/enforce": "restricted"}
        self.made |= {name, server} - {"databases"}
        apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
        database.database(name, "app", server, engine)

    @property
    def database(self):
        return f"{self.name}_app".replace("-", "_")

    def sql(self, text):
        try:
            return database.ENGINES[self.engine].run(self.server, self.database, text).strip()
        except SystemExit as error:
            raise AssertionError(error) from None

    @property
    def password(self):
        return base64.b64decode(self.secret("app-db")["password"]).decode()

    def secret(self, name):
        return get("secret", self.name, name)["data"]

    def has_table(self, name):
        where = "table_schema = DATABASE()" if self.engine == "mariadb" else "table_schema = ANY (current_schemas(false))"
        return self.sql(f"SELECT count(*) FROM information_schema.tables WHERE {where} AND table_name = '{name}'") == "1"

    def rows(self):
        if not self.has_table("alembic_version"):
            return None
        return sorted(self.sql("SELECT version_num FROM alembic_version").split())

    def migration(self, image, target="head", name="app", annotations=None, database=None, check=True, **spec):
        """Applies an object and returns it as a handle. Its plans wait for nobody, unless the test says so."""
        spec["policy"] = {"approval": {"mode": "Auto"}, **spec.get("policy", {})}
        source = {"urlFrom": {"secretKeyRef": {"name": "app-db", "key": "url"}}, "probe": {"interval": "5s"}}
        done = apply({
            "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration",
            "metadata": {"name": name, "namespace": self.name, "annotations": annotations or {}},
            "spec": {"image": image, "targetRevision": target, "database": database or source, **spec},
        }, check)
        return Migration(self, name) if check else done

    def jobs(self, action):
        return items("jobs", self.name, f"alembic-operator.dev/action={action}")

    def evict(self, action):
        """Evicts a pod while it runs, as a drain does, and returns its name."""
        pods = lambda: [p for p in items("pods", self.name, f"alembic-operator.dev/action={action}") if p["status"].get("phase") == "Running"]
        pod = eventually(f"a pod at {action} runs", pods)[0]["metadata"]["name"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod, "namespace": self.name}}
        kubectl("create", "--raw", f"/api/v1/namespaces/{self.name}/pods/{pod}/eviction", "-f", "-", stdin=json.dumps(eviction))
        return pod

    def events(self, reason):
        return [e for e in items("events.events.k8s.io", self.name) if e["reason"] == reason]

    def told(self, reason, times=1):
        """The events with this reason, at least so many; an event comes after the status, which does not wait for it."""
        return eventually(f"{reason} is told", lambda: len(found := self.events(reason)) >= times and found, 20)


def leaks(namespace):
    """Where a password of a namespace stands, but for its Secret: in its objects, in its pods' logs, and in the operator's."""
    found = {secret.get("data", {}).get("password") for secret in items("secrets", namespace)} - {None}
    passwords = {base64.b64decode(value).decode() for value in found}
    kinds = ("dbm", "dbmset", "jobs", "pods", "configmaps", "events.events.k8s.io", "events")
    texts = {kind: json.dumps(items(kind, namespace), ensure_ascii=False) for kind in kinds}
    texts |= {pod["metadata"]["name"]: logs(pod) for where in (namespace, OPERATOR) for pod in items("pods", where)}
    return [f"{namespace}: {place}" for place, text in texts.items() if any(is_in(text, password) for password in passwords)]


def is_in(text, password):
    quoted = urllib.parse.quote(password, safe=""), urllib.parse.quote_plus(password), base64.b64encode(password.encode()).decode()
    return any(spelling in text for spelling in (password, *quoted))


def tidy():
    """Takes away what a test made, since the operator and the node would go on looking after it; fails where a password stood."""
    found = [leak for namespace in Space.made for leak in leaks(namespace)]
    for namespace in Space.made:
        request("DELETE", address("namespace", name=namespace))
    Space.made.clear()
    assert not found, found


class Migration:
    """A DatabaseMigration on the cluster."""

    def __init__(self, space, name):
        self.space, self.name = space, name

    def get(self):
        return get("dbm", self.space.name, self.name)

    @property
    def status(self):
        return (self.get() or {}).get("status", {})

    def condition(self, type_="Ready"):
        found = [c for c in self.status.get("conditions", []) if c["type"] == type_]
        return found[0] if found else None

    def message(self):
        return self.condition()["message"]

    def fresh(self, field, value):
        """The status, when the Ready condition of this generation has this value."""
        thing = self.get() or {}
        ready = [c for c in thing.get("status", {}).get("conditions", []) if c["type"] == "Ready"]
        is_so = ready and ready[0]["observedGeneration"] == thing["metadata"]["generation"] and ready[0][field] == value
        return thing["status"] if is_so else None

    def is_at(self, reason):
        return self.fresh("reason", reason)

    def until(self, field, value, seconds):
        try:
            return eventually(f"{self.name} is {value}", lambda: self.fresh(field, value), seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.status, indent=1)}") from None

    def wait(self, reason, seconds=60):
        return self.until("reason", reason, seconds)

    def wait_ready(self, seconds=60):
        """As `kubectl wait --for=condition=Ready` does, without a process for each."""
        return self.until("status", "True", seconds)

    def stays(self, seconds, *fields):
        """Several looks at the database go by, and the fields of the status stay as they are."""
        of = lambda: [self.status.get(field) for field in fields]
        before, deadline = of(), time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert of() == before
            time.sleep(0.5)

    def annotate(self, value, key="requestedAt", check=True, user=()):
        key = f"alembic-operator.dev/{key}"
        if user:
            return kubectl("annotate", "--overwrite", "-n", self.space.name, f"dbm/{self.name}", f"{key}={value}", *user, check=check)
        return self.merge({"metadata": {"annotations": {key: value}}}, check)

    def approve(self, plan):
        self.annotate(plan, "approve")

    def patch(self, **spec):
        self.merge({"spec": spec})

    def merge(self, body, check=True):
        return written(lambda: client.merge("dbm", self.space.name, self.name, body), check)


# ---- images of small projects

ENV = """
import os
from alembic import context
from sqlalchemy import create_engine
with create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


def revision(id, down=None, up="pass", dn="pass", labels=None, depends=None):
    """The text of a revision file."""
    indent = lambda text: textwrap.indent(textwrap.dedent(text).strip(), "    ")
    return (f'"""revision {id}"""\nfrom alembic import op\nimport sqlalchemy as sa\n\nrevision = {id!r}\ndown_revision = {down!r}\n'
            f"branch_labels = {labels!r}\ndepends_on = {depends!r}\n\n\ndef upgrade():\n{indent(up)}\n\n\ndef downgrade():\n{indent(dn)}\n")


def table(name):
    """Bodies of upgrade and downgrade that make and drop a table."""
    return {"up": f"op.create_table({name!r}, sa.Column('id', sa.Integer, primary_key=True))", "dn": f"op.drop_table({name!r})"}


def short(image):
    """An image as messages name it: repository and twelve characters of the digest."""
    name, digest = image.rsplit("/", 1)[-1].split("@sha256:")
    return f"{name} ({digest[:12]})"


def push(folder, name, revisions, env=ENV, requirements=REQUIREMENTS, **files):
    """Builds and pushes an image with these revision files; returns its reference with the digest."""
    folder = pathlib.Path(folder) / name.replace(":", "-")
    (folder / "versions").mkdir(parents=True)
    texts = {"alembic.ini": "[alembic]\nscript_location = %(here)s\n", "env.py": env, "requirements.txt": requirements, **files}
    texts |= {f"versions/{i:03}.py": text for i, text in enumerate(revisions)}
    for path, text in texts.items():
        (folder / path).write_text(text)
    assert requirements is None or requirements in ALL.values(), "tests/e2e/requirements.py names what is made before the first test"
    return images.push_application(folder, name)
