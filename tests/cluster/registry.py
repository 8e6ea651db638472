"""The cluster's registry by its HTTP interface: blobs are kept once, an image only names them; network: the cluster's."""
import hashlib
import http.client
import json
import urllib.parse

from client import cluster_network
from lib import NODE_IP, REGISTRY, fail

# The repository that has every blob first; the others mount it from there.
BLOBS = "blobs"
KIND = "application/vnd.oci.image"


def call(connection, method, path, expected, body=None, **headers):
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status not in expected:
        fail(f"{REGISTRY}: {method} {path}: {answer.status} {text[:300]!r}")
    return answer


def store(connection, digest, size, content):
    """A blob, unless it is there; `content` gives its bytes or an open file."""
    if call(connection, "HEAD", f"/v2/{BLOBS}/blobs/{digest}", (200, 404)).status == 200:
        return
    begun = call(connection, "POST", f"/v2/{BLOBS}/blobs/uploads/", (202,), **{"Content-Length": "0"})
    where = urllib.parse.urlsplit(begun.getheader("Location"))
    path = f"{where.path}?{where.query}&digest={digest}" if where.query else f"{where.path}?digest={digest}"
    call(connection, "PUT", path, (201,), content(), **{"Content-Length": str(size), "Content-Type": "application/octet-stream"})


def push(name, layers, image):
    """Pushes an image (its configuration, and its layers with digest, size and file); returns the manifest's digest."""
    repository, _, tag = name.rpartition(":")
    config = json.dumps(image, sort_keys=True).encode()
    blobs = [(f"sha256:{hashlib.sha256(config).hexdigest()}", len(config), lambda: config)]
    blobs += [(f"sha256:{each['digest']}", each["size"], lambda file=each["file"]: open(file, "rb")) for each in layers]
    connection = http.client.HTTPConnection(NODE_IP, REGISTRY.rpartition(":")[2], timeout=120)
    with cluster_network():
        connection.connect()
    try:
        for digest, size, content in blobs:
            store(connection, digest, size, content)
            call(connection, "POST", f"/v2/{repository}/blobs/uploads/?mount={digest}&from={BLOBS}", (201,), **{"Content-Length": "0"})
        describe = lambda kind, blob: {"mediaType": f"{KIND}.{kind}", "digest": blob[0], "size": blob[1]}
        manifest = json.dumps({"schemaVersion": 2, "mediaType": f"{KIND}.manifest.v1+json", "config": describe("config.v1+json", blobs[0]),
                               "layers": [describe("layer.v1.tar+gzip", blob) for blob in blobs[1:]]}, sort_keys=True).encode()
        call(connection, "PUT", f"/v2/{repository}/manifests/{tag}", (201,), manifest, **{"Content-Type": f"{KIND}.manifest.v1+json"})
    finally:
        connection.close()
    return f"sha256:{hashlib.sha256(manifest).hexdigest()}"
