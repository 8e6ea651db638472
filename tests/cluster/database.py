"""PostgreSQL servers as pods, and databases in them with a Secret for each."""
import json
import pathlib
import secrets
import subprocess
import urllib.parse

from lib import KUBECONFIG, REGISTRY, STATE, fail, inside, say, wait_for
from node import program

# In every password, so that each URL has to be quoted rightly.
AWKWARD = "p@s:s/w%rd "
USER = 65532


def kubectl(*arguments, stdin=None, check=True):
    done = subprocess.run(inside(program(), "kubectl", f"--kubeconfig={KUBECONFIG}", *arguments), input=stdin, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if check and done.returncode != 0:
        fail(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
    return done


def get(kind, namespace, name):
    done = kubectl("get", kind, "-n", namespace, name, "-o", "json", check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def namespace(name):
    if kubectl("get", "namespace", name, check=False).returncode != 0:
        kubectl("create", "namespace", name)


def secret(space, name, **values):
    kubectl("apply", "-f", "-", stdin=json.dumps({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": space}, "stringData": values}))


def secret_value(space, name, key):
    import base64
    found = get("secret", space, name)
    return base64.b64decode(found["data"][key]).decode() if found else None


def server(space):
    """A PostgreSQL server in a namespace, reachable as postgres.NAMESPACE; its data outlives its pod."""
    namespace(space)
    if not get("secret", space, "postgres"):
        secret(space, "postgres", password=AWKWARD + secrets.token_hex(8))
    if not get("deployment", space, "postgres"):
        data = STATE / "volumes" / space
        data.mkdir(parents=True, exist_ok=True)
        data.chmod(0o777)
        kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests(space, data)}))
    kubectl("rollout", "status", "-n", space, "deployment/postgres", "--timeout=120s")


def manifests(space, data):
    volume = f"postgres-{space}"
    size = {"storage": "1Gi"}
    labels = {"app": "postgres"}
    container = {
        "name": "postgres", "image": f"{REGISTRY}/postgres:15",
        "env": [{"name": "POSTGRES_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "postgres", "key": "password"}}}],
        "ports": [{"containerPort": 5432}],
        "readinessProbe": {"exec": {"command": ["pg_isready", "-h", "127.0.0.1", "-U", "postgres"]}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}, {"name": "tmp", "mountPath": "/tmp"}],
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    pod = {
        "containers": [container], "terminationGracePeriodSeconds": 10, "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": USER, "fsGroup": USER, "seccompProfile": {"type": "RuntimeDefault"}},
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "postgres"}}, {"name": "tmp", "emptyDir": {}}],
    }
    meta = {"name": "postgres", "namespace": space, "labels": labels}
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": volume},
         "spec": {"capacity": size, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": str(data)}, "storageClassName": "",
                  "claimRef": {"namespace": space, "name": "postgres"}}},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta,
         "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeName": volume, "resources": {"requests": size}}},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta,
         "spec": {"replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": labels},
                  "template": {"metadata": {"labels": labels}, "spec": pod}}},
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": {"selector": labels, "ports": [{"port": 5432}]}},
    ]


def database(space, name, server_space="databases"):
    """A database with an owner of its own and a Secret NAME-db whose key `url` holds its SQLAlchemy URL."""
    namespace(space)
    if not get("deployment", server_space, "postgres"):
        say(f"starting PostgreSQL in namespace {server_space}")
    server(server_space)
    existing = secret_value(space, f"{name}-db", "password")
    password = existing or AWKWARD + secrets.token_hex(8)
    role = f"{space}_{name}".replace("-", "_")
    quoted = password.replace("'", "''")
    sql = (f"SELECT 'CREATE ROLE {role} LOGIN' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}')\\gexec\n"
           f"ALTER ROLE {role} PASSWORD '{quoted}';\n"
           f"SELECT 'CREATE DATABASE {role} OWNER {role}' WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = '{role}')\\gexec\n")
    psql(server_space, "postgres", sql)
    url = f"postgresql+psycopg2://{role}:{urllib.parse.quote(password, safe='')}@postgres.{server_space}:5432/{role}"
    secret(space, f"{name}-db", url=url, username=role, password=password, database=role)
    return f"{name}-db"


def psql(space, name, sql):
    """Runs SQL as the superuser inside the server's pod and returns what it prints."""
    own = f'PGPASSWORD="$POSTGRES_PASSWORD" psql -h 127.0.0.1 -U postgres -d {name} -X -q -A -t -v ON_ERROR_STOP=1'
    done = kubectl("exec", "-i", "-n", space, "deployment/postgres", "--", "sh", "-c", own, stdin=sql)
    return done.stdout
