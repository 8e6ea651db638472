"""Database servers as pods, and databases in them with a Secret for each."""
import base64
import pathlib
import re
import secrets
import subprocess
import time
import urllib.parse

import client
from client import get
from lib import REGISTRY, STATE, fail, say

# In every password, so that each URL has to be quoted rightly.
AWKWARD = "p@s:s/w%rd "
USER = 65532


def apply(manifest):
    try:
        client.apply(manifest)
    except client.Refused as refusal:
        fail(f"{manifest['kind']} {manifest['metadata']['name']}: {refusal}")


def namespace(name):
    if not get("namespace", name=name):
        apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def secret(space, name, **values):
    apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": space}, "stringData": values})


def secret_value(space, name, key):
    found = get("secret", space, name)
    return base64.b64decode(found["data"][key]).decode() if found else None


def wait_for(what, probe, seconds=180):
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > deadline:
            fail(f"not within {seconds} s: {what}")
        time.sleep(0.2)
    return answer


# ---- the processes of a server's pod, which are processes of this machine

# The first process of each container that was looked for.
FIRST = {}


def container(space, name):
    """The container of the server's pod, once it is ready."""
    def ready():
        pods = (get("pods", space, selector=f"app={name}") or {"items": []})["items"]
        states = [pod["status"].get("containerStatuses", []) for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        return next((state[0]["containerID"].rpartition("/")[2] for state in states if state and state[0]["ready"]), None)
    return wait_for(f"{name} in {space} is ready", ready)


def is_first_of(entry, container):
    """Whether a process is number 1 of the container; what a probe starts in it is not."""
    try:
        return container in (entry / "cgroup").read_text() and re.search(r"^NSpid:.*\t1$", (entry / "status").read_text(), re.M)
    except OSError:
        return False


def first_process(container):
    pid = FIRST.get(container)
    if not pid or not is_first_of(pathlib.Path("/proc", pid), container):
        found = (entry.name for entry in pathlib.Path("/proc").iterdir() if entry.name.isdigit() and is_first_of(entry, container))
        pid = FIRST[container] = next(found, None) or fail(f"no process of container {container}")
    return pid


PATH = "/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/sbin:/usr/bin:/bin"


def run_in(space, name, script, stdin, **environ):
    """Runs a shell script in the server's container as its user. An exec by the API would cost five processes and a third of a second."""
    pid = first_process(container(space, name))
    enter = ["/usr/bin/nsenter", "-t", pid, "-m", "-u", "-i", "-n", "-p", "-S", str(USER), "-G", str(USER), "--", "/bin/sh", "-c", script]
    return subprocess.run(enter, input=stdin, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": PATH, **environ})


class Engine:
    """A kind of database server: how it runs as a pod, and how a database with an owner of its own is made in it."""

    def __init__(self, name, image, port, password, ready, client, scheme, create, tls):
        self.name, self.image, self.port, self.password, self.ready = name, image, port, password, ready
        self.client, self.scheme, self.create, self.tls = client, scheme, create, tls

    def run(self, space, name, sql):
        """Runs SQL as the superuser inside the server's pod and returns what it prints."""
        password = {self.password: secret_value(space, self.name, "password")}
        done = run_in(space, self.name, self.client.format(name=name), sql, **password)
        return done.stdout if done.returncode == 0 else fail(f"{self.name}: {done.stderr.strip()}")


def create_postgres(role, password):
    quoted = password.replace("'", "''")
    return (f"SELECT 'CREATE ROLE {role} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')\\gexec\n"
            f"ALTER ROLE {role} PASSWORD '{quoted}';\n"
            f"SELECT 'CREATE DATABASE {role} OWNER {role}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{role}')\\gexec\n")


def create_mariadb(role, password):
    quoted = password.replace("'", "''")
    return (f"CREATE DATABASE IF NOT EXISTS {role};\nCREATE USER IF NOT EXISTS {role};\n"
            f"ALTER USER {role} IDENTIFIED BY '{quoted}';\nGRANT ALL ON {role}.* TO {role};\n")


# A client asks for the password of the pod's own environment.
POSTGRES = Engine("postgres", "postgres:15", 5432, "POSTGRES_PASSWORD", ["pg_isready", "-h", "127.0.0.1", "-U", "postgres"],
                  'PGPASSWORD="$POSTGRES_PASSWORD" psql -h 127.0.0.1 -U postgres -d {name} -X -q -A -t -v ON_ERROR_STOP=1',
                  "postgresql+psycopg2", create_postgres,
                  ["-c", "ssl=on", "-c", "ssl_cert_file=/tls/tls.crt", "-c", "ssl_key_file=/tls/tls.key"])
MARIADB = Engine("mariadb", "mariadb:10.11", 3306, "MARIADB_PASSWORD", ["mariadb-admin", "--socket=/tmp/mysqld.sock", "ping"],
                 'MYSQL_PWD="$MARIADB_PASSWORD" mariadb --no-defaults --socket=/tmp/mysqld.sock -u root -D {name} -N -B',
                 "mysql+pymysql", create_mariadb, ["--ssl-cert=/tls/tls.crt", "--ssl-key=/tls/tls.key"])
ENGINES = {engine.name: engine for engine in (POSTGRES, MARIADB)}


def server(space, engine=POSTGRES):
    """A server in a namespace, reachable as ENGINE.NAMESPACE; its data outlives its pod. It speaks TLS when the namespace has
    a Secret ENGINE-tls."""
    namespace(space)
    if not get("secret", space, engine.name):
        secret(space, engine.name, password=AWKWARD + secrets.token_hex(8))
    if not get("deployment", space, engine.name):
        say(f"starting {engine.name} in namespace {space}")
        data = STATE / "volumes" / f"{space}-{engine.name}"
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o777)
        for manifest in manifests(space, data, engine):
            apply(manifest)
    container(space, engine.name)


def manifests(space, data, engine):
    volume = f"{engine.name}-{space}"
    size = {"storage": "1Gi"}
    labels = {"app": engine.name}
    container = {
        "name": engine.name, "image": f"{REGISTRY}/{engine.image}",
        "env": [{"name": engine.password, "valueFrom": {"secretKeyRef": {"name": engine.name, "key": "password"}}}],
        "ports": [{"containerPort": engine.port}],
        "readinessProbe": {"exec": {"command": engine.ready}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "containers": [container], "terminationGracePeriodSeconds": 10, "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "fsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": engine.name}}, {"name": "tmp", "emptyDir": {}}],
    }
    if get("secret", space, f"{engine.name}-tls"):
        container["args"] = engine.tls
        container["volumeMounts"].append({"name": "tls", "mountPath": "/tls"})
        pod["volumes"].append({"name": "tls", "secret": {"secretName": f"{engine.name}-tls", "defaultMode": 0o640}})
    meta = {"name": engine.name, "namespace": space, "labels": labels}
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
         "spec": {"capacity": size, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(data)}, "storageClassName": "",
                  "claimRef": {"namespace": space, "name": engine.name}}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta,
         "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": volume, "resources": {"requests": size}}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
         "spec": {"replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": labels},
                  "template": {"metadata": {"labels": labels}, "spec": pod}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": labels, "ports": [{"port": engine.port}]}},
    ]


def database(space, name, server_space="databases", engine="postgres"):
    """A database with an owner of its own and a Secret NAME-db whose key `url` holds its SQLAlchemy URL."""
    engine = ENGINES.get(engine) or fail(f"{engine} is none of {', '.join(ENGINES)}")
    namespace(space)
    server(server_space, engine)
    password = secret_value(space, f"{name}-db", "password") or AWKWARD + secrets.token_hex(8)
    role = f"{space}_{name}".replace("-", "_")
    engine.run(server_space, "mysql" if engine is MARIADB else "postgres", engine.create(role, password))
    url = f"{engine.scheme}://{role}:{urllib.parse.quote(password, safe='')}@{engine.name}.{server_space}:{engine.port}/{role}"
    secret(space, f"{name}-db", url=url, username=role, password=password, database=role)
    return f"{name}-db"
