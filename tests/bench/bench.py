"""What the operator costs, beside what a user would pick instead: run by `make bench` on the local cluster.

Prints ratios of figures that were taken in one run; nothing here passes or fails."""
import base64
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import harness  # noqa: E402
from harness import CLUSTER, OPERATOR, ROOT, Space, apply, eventually, get, helm, items, kubectl, run  # noqa: E402

ROUNDS = int(os.environ.get("ROUNDS", "5"))
OBJECTS = int(os.environ.get("OBJECTS", "1000"))
DATABASES = 100


def install():
    harness.clear()
    reference = run(CLUSTER / "build-operator-image", ROOT / "target" / "release" / "alembic-operator").stdout.strip()
    repository, _, digest = reference.partition("@")
    helm("upgrade", "--install", OPERATOR, ROOT / "charts" / "alembic-operator", "--namespace", OPERATOR, "--create-namespace",
         "--set", f"image.repository={repository},image.digest={digest}", "--wait", "--timeout", "120s")


def space(name):
    kubectl("delete", "namespace", name, "--ignore-not-found")
    return Space(name)


class Watch:
    """A watch on one kind, open before anything happens, so that its start costs the figures nothing."""

    def __init__(self, kind, namespace):
        path = ROOT / "tests" / "cluster" / "kubectl"
        self.process = subprocess.Popen([path, "get", kind, "-n", namespace, "--watch", "-o", "json", "--output-watch-events"],
                                        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        time.sleep(0.5)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def until(self, done):
        """The moment at which it showed an object of which `done` holds."""
        for line in self.process.stdout:
            if done(json.loads(line)["object"]):
                return time.monotonic()
        raise RuntimeError("the watch ended")


def named(name, done):
    return lambda thing: thing["metadata"]["name"].startswith(name) and done(thing)


def pod_ended(pod):
    states = [c["state"] for c in pod.get("status", {}).get("containerStatuses", [])]
    return bool(states) and all("terminated" in s for s in states)


def is_ready(thing):
    conditions = {c["type"]: c for c in thing.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready")
    return bool(ready) and ready["status"] == "True" and ready["observedGeneration"] == thing["metadata"]["generation"]


def reset(place):
    place.sql(f"DROP OWNED BY {place.database} CASCADE")
    place.sql(f"GRANT ALL ON SCHEMA public TO {place.database}")


def plain_job(place, image, number):
    """The thing that people use today: a Job that runs `alembic upgrade head`."""
    reset(place)
    name = f"plain-{number}"
    pod = {"restartPolicy": "Never", "containers": [{
        "name": "alembic", "image": image, "command": ["alembic", "upgrade", "head"],
        "env": [{"name": "DATABASE_URL", "valueFrom": {"secretKeyRef": {"name": "app-db", "key": "url"}}}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True,
                            "seccompProfile": {"type": "RuntimeDefault"}}}]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": place.name},
           "spec": {"backoffLimit": 0, "template": {"spec": pod}}}
    with Watch("pods", place.name) as pods, Watch("jobs", place.name) as jobs:
        begun = time.monotonic()
        apply(job)
        ended = pods.until(named(name, pod_ended))
        complete = jobs.until(named(name, lambda j: any(c["type"] == "Complete" for c in j.get("status", {}).get("conditions", []))))
    assert place.rows(), "the plain Job applied nothing"
    return ended - begun, complete - begun


def operator_run(place, image, number):
    reset(place)
    name, twin = f"run-{number}", f"twin-{number}"
    with Watch("dbm", place.name) as objects:
        begun = time.monotonic()
        place.migration(image, name=name)
        ready = objects.until(named(name, is_ready)) - begun
        assert place.rows(), "Ready, and nothing applied"
        begun = time.monotonic()
        place.migration(image, name=twin)
        applied = time.monotonic()
        seen = objects.until(named(twin, is_ready))
        reached, after_apply = seen - begun, max(0.0, seen - applied)
    for each in (name, twin):
        kubectl("delete", "dbm", "-n", place.name, each)
    return ready, reached, after_apply


def latency():
    image = run(ROOT / "tests" / "shop", "2").stdout.strip()
    place = space("bench-latency")
    keeper = place.migration(image, name="keeper")
    keeper.wait_ready()  # the image is inspected, and pulled
    keeper.patch(suspend=True)
    ends, completes, readies, reached, after = [], [], [], [], []
    for number in range(ROUNDS):
        end, complete = plain_job(place, image, number)
        ready, twin, late = operator_run(place, image, number)
        for values, value in ((ends, end), (completes, complete), (readies, ready), (reached, twin), (after, late)):
            values.append(value)
    kubectl("delete", "namespace", place.name, "--wait=false")
    median = statistics.median
    print(f"\nAn upgrade of 8 revisions, from kubectl apply ({ROUNDS} rounds, alternating; medians, then all)")
    for what, values in (("plain Job: its pod has ended", ends), ("plain Job: Complete", completes), ("operator: Ready, rows read back", readies),
                         ("operator: Ready, target reached already", reached), ("  of that, after kubectl apply returned", after)):
        print(f"  {what:42} {median(values):5.2f} s   {' '.join(f'{v:.2f}' for v in values)}")
    print(f"  operator Ready / plain Job Complete        {median(readies) / median(completes):5.2f}")
    print(f"  operator Ready / plain Job's pod ended     {median(readies) / median(ends):5.2f}")


# ---- many objects

def operator_process():
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(b"/usr/bin/alembic-operator\0run"):
                return entry
        except OSError:
            continue
    return None


def memory():
    status = (operator_process() / "status").read_text()
    field = lambda name: int(re.search(rf"{name}:\s+(\d+)", status).group(1)) / 1024
    return field("VmRSS"), field("VmHWM")


POLL = """
import re, sys, time, urllib.request
address, name, least, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
end = time.monotonic() + seconds
while True:
    try:
        text = urllib.request.urlopen(address, timeout=2).read().decode()
        value = float(re.search(rf"^{name} (\\S+)$", text, re.M).group(1))
    except (OSError, AttributeError):
        value = 0.0
    if value >= least or time.monotonic() > end:
        break
    time.sleep(0.2)
print(value, time.monotonic())
"""


def metric(name, least=0.0, seconds=120):
    """A counter of the operator's and the moment at which it had reached `least`. One process polls, and gently: the machine
    that is measured is the one that measures."""
    pid = eventually("the operator runs", operator_process).name
    routes = pathlib.Path(f"/proc/{pid}/net/fib_trie").read_text()
    address = next(a for a in re.findall(r"(\d+\.\d+\.\d+\.\d+)\n\s+/32 host LOCAL", routes) if not a.startswith("127."))
    url = f"http://{address}:8080/metrics"
    value, moment = run(CLUSTER / "run", sys.executable, "-c", POLL, url, name, str(least), str(seconds)).stdout.split()
    return float(value), float(moment)


def restart():
    kubectl("rollout", "restart", "-n", OPERATOR, "deployment/alembic-operator")
    kubectl("rollout", "status", "-n", OPERATOR, "deployment/alembic-operator", "--timeout=60s")


def versions(namespace):
    return {i["metadata"]["name"]: i["metadata"]["resourceVersion"] for i in items("dbm", namespace)}


def many():
    image = run(ROOT / "tests" / "shop", "2").stdout.strip()
    place = space("bench-many")
    first = place.migration(image, name="first")
    first.wait_ready()
    restart()
    time.sleep(10)
    idle, _ = memory()
    secret = get("secret", place.name, "app-db")["data"]
    url = base64.b64decode(secret["url"]).decode().rpartition("/")[0]
    run(CLUSTER / "sql", "postgres", "postgres", stdin="".join(f'DROP DATABASE IF EXISTS bench_{n};\n' for n in range(DATABASES)))
    run(CLUSTER / "sql", "postgres", "postgres", stdin="".join(
        f'CREATE DATABASE bench_{n} TEMPLATE {place.database} OWNER {place.database};\n' for n in range(DATABASES)))
    documents = [{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": f"bench-{n}", "namespace": place.name},
                  "stringData": {"url": f"{url}/bench_{n}"}} for n in range(DATABASES)]
    documents += [{
        "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigration", "metadata": {"name": f"m{n}", "namespace": place.name},
        "spec": {"image": image, "targetRevision": "head", "database": {"urlFrom": {"secretKeyRef": {"name": f"bench-{n % DATABASES}", "key": "url"}}}},
    } for n in range(OBJECTS - 1)]
    print(f"  applying {OBJECTS} objects …", file=sys.stderr)
    kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}))
    eventually("every object is Ready", lambda: all(is_ready(i) for i in items("dbm", place.name)), 300)
    before = versions(place.name)
    kubectl("scale", "-n", OPERATOR, "deployment/alembic-operator", "--replicas=0")
    eventually("the operator has stopped", lambda: operator_process() is None)
    kubectl("scale", "-n", OPERATOR, "deployment/alembic-operator", "--replicas=1")
    process = eventually("the operator runs", operator_process)
    begun = time.monotonic()
    passes, moment = metric("alembic_operator_reconcile_total", OBJECTS)
    assert passes >= OBJECTS, f"only {passes} objects were looked at"
    took = moment - begun
    time.sleep(5)
    rss, peak = memory()
    passes, _ = metric("alembic_operator_reconcile_total")
    ticks = [int(v) for v in (process / "stat").read_text().rpartition(")")[2].split()[11:13]]
    written = sum(1 for name, version in versions(place.name).items() if before[name] != version)
    print(f"\nThe operator, restarted with {OBJECTS} unchanged objects on one server ({DATABASES} databases)")
    print(f"  every database read again within            {took:5.2f} s of its process's start ({passes:.0f} passes, {sum(ticks) / 100:.2f} s of CPU)")
    print(f"  objects written to                          {written:5d}")
    print(f"  memory with {OBJECTS} objects                   {rss:5.1f} MiB (peak {peak:.1f})")
    print(f"  memory with one object, idle                {idle:5.1f} MiB")
    kubectl("delete", "namespace", place.name, "--wait=false")
    run(CLUSTER / "sql", "postgres", "postgres", stdin="".join(f'DROP DATABASE bench_{n} WITH (FORCE);\n' for n in range(DATABASES)))


# ---- the planner

def planner():
    sys.path.insert(0, str(ROOT / "tests" / "runner"))
    from environments import NEWEST, python_of
    print("  building the planner's benchmark …", file=sys.stderr)
    ours = run("cargo", "bench", "--locked", "--quiet", "--manifest-path", ROOT / "Cargo.toml", "--bench", "planner").stdout
    theirs = run(python_of(NEWEST), ROOT / "tests" / "bench" / "planner.py").stdout
    print("\nPlanning 5,000 revisions up and down again, the graph loaded from its scripts (best of 20, and of 2)")
    for line, other in zip(ours.splitlines(), theirs.splitlines()):
        (shape, took), (_, alembic) = line.split(), other.split()
        print(f"  {shape:10} operator {float(took):8.2f} ms   Alembic {NEWEST} {float(alembic):8.2f} ms   {float(alembic) / float(took):6.0f} times")


def drift():
    import drift
    drift.main()


def fleet():
    import fleet as many_schemas
    many_schemas.main()


def hostile():
    import hostile
    hostile.main()
    print("\nMemory of reading, masking and packing what an image reports (the whole process)")
    print(run("cargo", "bench", "--locked", "--quiet", "--manifest-path", ROOT / "Cargo.toml", "--bench", "report").stdout, end="")


if __name__ == "__main__":
    parts = {"planner": planner, "drift": drift, "hostile": hostile, "fleet": fleet, "latency": latency, "many": many}
    wanted = sys.argv[1:] or list(parts)
    if not {"planner", "drift", "hostile", "fleet"}.issuperset(wanted):
        install()
    for name in wanted:
        parts[name]()
