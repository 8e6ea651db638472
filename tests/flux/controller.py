"""Flux's own kustomize-controller, compiled from the Go module proxy, as a process beside the cluster; and a source that it reads."""
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
SOURCES = "github.com/fluxcd/source-controller@v1.9.5"
PORT = 18080
GO = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false"}


def go(*arguments, **options):
    return subprocess.run(["go", *arguments], cwd=HERE, env=GO, check=True, **options)


def program():
    """Path of the controller. It takes minutes to compile, and is kept for each go.sum."""
    binary = CACHE / "bin" / f"kustomize-controller-{digest(HERE / 'go.mod', HERE / 'go.sum')}"
    if not binary.exists():
        say("compiling Flux's kustomize-controller: 3 to 10 minutes, this once")
        binary.parent.mkdir(parents=True, exist_ok=True)
        part = binary.with_suffix(".part")
        go("build", "-trimpath", "-ldflags", "-s -w", "-o", part, "github.com/fluxcd/kustomize-controller")
        part.rename(binary)
    return binary


def definitions():
    """The CustomResourceDefinitions of Flux, out of its modules."""
    own = go("list", "-m", "-f", "{{.Dir}}", "github.com/fluxcd/kustomize-controller", capture_output=True, text=True).stdout.strip()
    sources = json.loads(go("mod", "download", "-json", SOURCES, capture_output=True, text=True).stdout)["Dir"]
    return [argument for module in (own, sources) for argument in ("-f", f"{module}/config/crd/bases")]


@contextlib.contextmanager
def running(namespace, files):
    """The controller for one namespace, and a server of the artifacts in a folder."""
    kubectl("apply", "--server-side", *definitions())
    arguments = ["--watch-all-namespaces=false", "--events-addr=", "--metrics-addr=127.0.0.1:0", "--health-addr=127.0.0.1:0", "--requeue-dependency=1s"]
    environment = {**os.environ, "KUBECONFIG": str(KUBECONFIG), "RUNTIME_NAMESPACE": namespace}
    with open(files / "controller.log", "w") as log:
        server = ["python3", "-m", "http.server", PORT, "--bind", "127.0.0.1", "--directory", files]
        processes = [subprocess.Popen([str(part) for part in inside(*command)], env=environment, stdout=log, stderr=log)
                     for command in (server, [program(), *arguments])]
        try:
            yield
        finally:
            for process in processes:
                process.terminate()
                process.wait()
            # Nobody is left who would do it.
            for name in kubectl("get", "kustomizations", "-n", namespace, "-o", "name").stdout.split():
                kubectl("patch", "-n", namespace, name, "--type=merge", "-p", '{"metadata": {"finalizers": null}}')


def commit(namespace, files, name, texts):
    """What source-controller would make of a commit: an artifact, and where it is."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, text in texts.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(text.encode()), 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    content = buffer.getvalue()
    (files / f"{name}.tar.gz").write_bytes(content)
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    artifact = {"url": f"http://127.0.0.1:{PORT}/{name}.tar.gz", "path": f"{name}.tar.gz", "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
                "revision": f"main@sha1:{hashlib.sha1(name.encode()).hexdigest()}", "lastUpdateTime": now, "size": len(content)}
    ready = {"type": "Ready", "status": "True", "reason": "Succeeded", "message": name, "lastTransitionTime": now, "observedGeneration": 1}
    status = json.dumps({"status": {"artifact": artifact, "observedGeneration": 1, "conditions": [ready]}})
    kubectl("patch", "gitrepository", "shop", "-n", namespace, "--subresource=status", "--type=merge", "-p", status)
