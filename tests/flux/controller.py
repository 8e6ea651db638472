"""Flux's own controllers, compiled from the Go module proxy, as processes beside the cluster; and the sources that they read."""
import contextlib
import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile
import time

from harness import kubectl
from lib import CACHE, KUBECONFIG, digest, say
from node import inside

HERE = pathlib.Path(__file__).resolve().parent
# Where the go.mod of each is, and what it works on. They need other versions of the same libraries.
KUSTOMIZE, HELM = "kustomize-controller", "helm-controller"
FOLDERS = {KUSTOMIZE: HERE, HELM: HERE / "helm"}
KINDS = {KUSTOMIZE: "kustomizations", HELM: "helmreleases"}
SOURCES = "github.com/fluxcd/source-controller@v1.9.5"
PORT = 18080
GO = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false"}


def go(controller, *arguments, **options):
    return subprocess.run(["go", *arguments], cwd=FOLDERS[controller], env=GO, check=True, **options)


def program(controller):
    """Path of the controller. It takes minutes to compile, and is kept for each go.sum."""
    folder = FOLDERS[controller]
    binary = CACHE / "bin" / f"{controller}-{digest(folder / 'go.mod', folder / 'go.sum')}"
    if not binary.exists():
        say(f"compiling Flux's {controller}: 3 to 10 minutes, this once")
        binary.parent.mkdir(parents=True, exist_ok=True)
        part = binary.with_suffix(".part")
        go(controller, "build", "-trimpath", "-ldflags", "-s -w", "-o", part, f"github.com/fluxcd/{controller}")
        part.rename(binary)
    return binary


def definitions(controller):
    """The CustomResourceDefinitions of a controller and of its sources, out of their modules."""
    own = go(controller, "list", "-m", "-f", "{{.Dir}}", f"github.com/fluxcd/{controller}", capture_output=True, text=True).stdout.strip()
    sources = json.loads(go(KUSTOMIZE, "mod", "download", "-json", SOURCES, capture_output=True, text=True).stdout)["Dir"]
    return [argument for module in (own, sources) for argument in ("-f", f"{module}/config/crd/bases")]


@contextlib.contextmanager
def running(controller, namespace, files):
    """A controller for one namespace, and a server of the artifacts in a folder."""
    kubectl("apply", "--server-side", *definitions(controller))
    kubectl("wait", "--for=condition=Established", "--timeout=30s", *definitions(controller))
    arguments = ["--watch-all-namespaces=false", "--events-addr=", "--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0", "--requeue-dependency=1s"]
    environment = {**os.environ, "KUBECONFIG": str(KUBECONFIG), "RUNTIME_NAMESPACE": namespace}
    with open(files / "controller.log", "w") as log:
        server = ["python3", "-m", "http.server", PORT, "--bind", "127.0.0.1", "--directory", files]
        processes = [subprocess.Popen([str(part) for part in inside(*command)], env=environment, stdout=log, stderr=log)
                     for command in (server, [program(controller), *arguments])]
        try:
            yield
        finally:
            for process in processes:
                process.terminate()
                process.wait()
            # Nobody is left who would do it.
            for name in kubectl("get", KINDS[controller], "-n", namespace, "-o", "name").stdout.split():
                kubectl("patch", "-n", namespace, name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')


def apply(namespace, kind, version, name, **spec):
    """An object of Flux."""
    body = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": namespace}, "spec": spec}
    kubectl("apply", "-f", "-", stdin=json.dumps(body))


def ready(namespace, kind, name):
    """Status, reason and message of its Ready condition, once it is about the spec as it is now."""
    found = json.loads(kubectl("get", kind, name, "-n", namespace, "-o", "json").stdout)
    for each in found.get("status", {}).get("conditions", []):
        if each["type"] == "Ready" and each.get("observedGeneration") == found["metadata"]["generation"]:
            return each["status"], each["reason"], each["message"]
    return None, "", ""


def publish(namespace, files, source, name, revision, content):
    """What source-controller would make of something new: an artifact, and where it is."""
    (files / f"{name}.tgz").write_bytes(content)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    artifact = {"url": f"http://127.0.0.1:{PORT}/{name}.tgz", "path": f"{name}.tgz", "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
                "revision": revision, "lastUpdateTime": now, "size": len(content)}
    told = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": name, "lastTransitionTime": now, "observedGeneration": 1}
    status = json.dumps({"status": {"artifact": artifact, "observedGeneration": 1, "conditions": [told]}})
    kubectl("patch", source, "-n", namespace, "--subresource=status", "--type=merge", "-p", status)


def commit(namespace, files, name, texts):
    """A commit of these files to the GitRepository shop."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, text in texts.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(text.encode()), 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    publish(namespace, files, "gitrepository/shop", name, f"main@sha1:{hashlib.sha1(name.encode()).hexdigest()}", buffer.getvalue())
