"""The cluster's API server over a kept connection, where each kubectl would be a process; network: the cluster's."""
import base64
import contextlib
import ctypes
import http.client
import json
import ssl
import threading
import time
import urllib.parse

from lib import NETNS, NODE_IP, STATE

CLONE_NEWNET = 0x40000000
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
# Seconds for which a server that is being started again is waited for.
PATIENCE = 120
LIBC = ctypes.CDLL(None, use_errno=True)


def enter(namespace):
    if LIBC.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


@contextlib.contextmanager
def cluster_network():
    """This thread is in the cluster's network; a socket that is made there stays in it (network_namespaces(7))."""
    with open("/proc/thread-self/ns/net") as own, open(NETNS) as cluster:
        enter(cluster.fileno())
        try:
            yield
        finally:
            enter(own.fileno())


class Connection(http.client.HTTPSConnection):
    def __init__(self):
        pki = STATE / "pki"
        context = ssl.create_default_context(cafile=pki / "ca.crt")
        # Newer Pythons want key identifiers of a certificate authority, which this one has not.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        super().__init__(NODE_IP, 6443, timeout=30, context=context)

    def connect(self):
        with cluster_network():
            super().connect()


THREAD = threading.local()


@contextlib.contextmanager
def impersonating(user):
    """What this thread asks meanwhile is asked as somebody else, who has the rights of a user without groups."""
    THREAD.user = user
    try:
        yield
    finally:
        del THREAD.user


def request(method, path, body=None, content="application/json", accept="application/json"):
    """Status code and text of the answer; raises OSError or HTTPException where there is none."""
    fresh = not hasattr(THREAD, "connection")
    if fresh:
        THREAD.connection = Connection()
    try:
        headers = {"Content-Type": content, "Accept": accept}
        if hasattr(THREAD, "user"):
            headers["Impersonate-User"] = THREAD.user
        THREAD.connection.request(method, path, json.dumps(body) if body is not None else None, headers)
        answer = THREAD.connection.getresponse()
        return answer.status, answer.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        del THREAD.connection
        # The server may have closed it, or is another process by now. What creates may not be asked twice.
        if fresh or method == "POST":
            raise
        return request(method, path, body, content, accept)


RESOURCES = {}


def discover():
    """Fills in what kubectl calls the resources: plural, singular and short names, with the group or without."""
    for root in ("/api", "/apis"):
        for group in json.loads(request("GET", root, accept=DISCOVERY)[1])["items"]:
            group_name = group["metadata"].get("name", "")
            version = group["versions"][0]
            base = "/".join(filter(None, [root, group_name, version["version"]]))
            for resource in version["resources"]:
                plural = resource["resource"]
                RESOURCES.setdefault((group_name, resource["responseKind"]["kind"]), (base, plural))
                names = [plural, f"{plural}.{group_name}", resource.get("singularResource"), *resource.get("shortNames", [])]
                for name in names:
                    RESOURCES.setdefault(name, (base, plural))


def path(kind, namespace=None, name=None, selector=None):
    """Where a resource is; a kind that is not known yet may have come since."""
    if kind not in RESOURCES:
        discover()
    base, plural = RESOURCES[kind]
    parts = [base, *(["namespaces", namespace] if namespace else []), plural, *([name] if name else [])]
    return "/".join(parts) + (f"?labelSelector={urllib.parse.quote(selector)}" if selector else "")


def get(kind, namespace=None, name=None, selector=None):
    """An object or a list of objects as the API server has it; None where there is no such thing. It waits for a server that does not answer."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            status, answer = request("GET", path(kind, namespace, name, selector))
            if status == 200:
                return json.loads(answer)
            if status == 404:
                return None
            failure = f"{status} {answer[:300]}"
        except KeyError:
            return None
        except (OSError, ValueError, http.client.HTTPException) as error:
            failure = repr(error)
        if time.monotonic() > deadline:
            raise TimeoutError(f"no answer for {kind} {namespace}/{name}: {failure}")
        time.sleep(0.2)


def logs(pod):
    """What all containers of a pod printed."""
    meta, spec = pod["metadata"], pod["spec"]
    where = f"{path('pods', meta['namespace'], meta['name'])}/log?container="
    names = [container["name"] for container in spec.get("initContainers", []) + spec["containers"]]
    return "\n".join(request("GET", where + name)[1] for name in names)


class Refused(Exception):
    """What the API server answers to a write that it does not take."""


def write(method, path, body, content="application/json"):
    """The object as the API server has it now; raises Refused with its message."""
    status, answer = request(method, path, body, content)
    if status >= 300:
        try:
            answer = json.loads(answer)["message"]
        except (ValueError, KeyError):
            pass
        raise Refused(answer)
    return json.loads(answer)


def apply(manifest):
    """Server-side apply by a manager that wins, with every unknown field refused."""
    manifest = dict(manifest)
    if "stringData" in manifest:
        # A key that is left out goes only where it is known as data.
        manifest["data"] = {key: base64.b64encode(value.encode()).decode() for key, value in manifest.pop("stringData").items()}
    kind = manifest["apiVersion"].rpartition("/")[0], manifest["kind"]
    where = path(kind, manifest["metadata"].get("namespace"), manifest["metadata"]["name"])
    return write("PATCH", f"{where}?fieldManager=tests&force=true&fieldValidation=Strict", manifest, "application/apply-patch+yaml")


def create(manifest, dry_run=False):
    kind = manifest["apiVersion"].rpartition("/")[0], manifest["kind"]
    return write("POST", path(kind, manifest["metadata"]["namespace"]) + ("?dryRun=All" if dry_run else ""), manifest)


def delete(kind, namespace, name):
    return write("DELETE", path(kind, namespace, name), None)


def merge(kind, namespace, name, body, dry_run=False):
    """Merges into an object as `kubectl patch --type=merge` does."""
    return write("PATCH", f"{path(kind, namespace, name)}?fieldValidation=Strict{'&dryRun=All' if dry_run else ''}", body, "application/merge-patch+json")
