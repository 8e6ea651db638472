"""The page of `kubectl dbmigration ui` in a real Chromium: the plugin's binary, an API server that answers from a file, no cluster.

The objects are those of the plugin's own tests (src/plugin/snapshots/objects.json). Pictures of each page go to target/page; with
UPDATE=1 to docs/src/pictures as well, where the book shows them.
"""

import base64
import http.server
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import threading
import urllib.error
import urllib.request
import zlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLUGIN = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "kubectl-dbmigration"
PICTURES = ROOT / "target" / "page"
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--enable-logging=stderr"]
OBJECTS = "/apis/alembic-operator.dev/v1alpha1"


def resources():
    """What the API server has, by path; lists are made of it."""
    found = json.loads((ROOT / "src" / "plugin" / "snapshots" / "objects.json").read_text())
    objects = {}
    for each in found["objects"]:
        meta = each["metadata"]
        objects[f"{OBJECTS}/namespaces/{meta['namespace']}/databasemigrations/{meta['name']}"] = each
    packed = base64.b64encode(zlib.compress(json.dumps(found["inspection"]).encode())).decode()
    inspection = {"metadata": {"name": "alembic-inspection-0123-1", "namespace": "demo", "labels": {"alembic-operator.dev/inspection": "0123"}},
                  "data": {"image": "registry.example.com/shop@sha256:72fa"}, "binaryData": {"inspection": packed}}
    maps = [dict(found["plan"], metadata=dict(found["plan"]["metadata"], namespace="demo")), inspection]
    for each in maps:
        objects[f"/api/v1/namespaces/demo/configmaps/{each['metadata']['name']}"] = each
    return objects


class ApiServer(http.server.BaseHTTPRequestHandler):
    """Answers GET, and remembers what was asked."""

    objects = resources()
    asked = []

    def do_GET(self):
        path = self.path.partition("?")[0]
        self.asked.append(path)
        if path in self.objects:
            return self.answer(200, self.objects[path])
        items = [each for name, each in sorted(self.objects.items()) if self.is_in(path, name)]
        if path.rsplit("/", 1)[-1] in ("databasemigrations", "configmaps", "events"):
            return self.answer(200, {"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items})
        return self.answer(404, {"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "not found", "metadata": {}})

    def do_POST(self):
        self.asked.append("POST " + self.path)
        self.answer(405, {"kind": "Status", "status": "Failure", "code": 405, "message": "no", "metadata": {}})

    do_PATCH = do_PUT = do_DELETE = do_POST

    @staticmethod
    def is_in(path, name):
        return name.rsplit("/", 1)[0] == path or re.sub(r"/namespaces/[^/]+", "", name).rsplit("/", 1)[0] == path

    def answer(self, code, body):
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def chromium():
    if not shutil.which("chromium"):
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        subprocess.run(["apt-get", "update", "-q"], check=True)
        subprocess.run(["apt-get", "install", "-qy", "--no-install-recommends", "chromium", "fonts-dejavu-core"], check=True, env=environment)
    return shutil.which("chromium")


@pytest.fixture(scope="session")
def page(tmp_path_factory):
    """The address of the page, served by the plugin."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ApiServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = tmp_path_factory.mktemp("kube") / "config"
    config.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "test", "user": {"token": "none"}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test", "namespace": "demo"}}]}))
    process = subprocess.Popen([PLUGIN, "ui", "-A", "--no-open", "--kubeconfig", config], stdout=subprocess.PIPE, text=True)
    yield process.stdout.readline().strip()
    process.terminate()
    process.wait(timeout=10)
    server.shutdown()


def colours(png):
    """How many pixels there are of each colour."""
    data, width, chunks, at = png.read_bytes(), 0, b"", 8
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if kind == b"IHDR":
            width, height, depth, form = struct.unpack(">IIBB", body[:10])
            assert depth == 8 and form in (2, 6)
            size = 3 if form == 2 else 4
        elif kind == b"IDAT":
            chunks += body
        at += length + 12
    raw, found, before = zlib.decompress(chunks), {}, bytearray(width * size)
    for y in range(height):
        start = y * (width * size + 1)
        line = unfiltered(raw[start], bytearray(raw[start + 1:start + 1 + width * size]), before, size)
        for x in range(0, len(line), size):
            colour = bytes(line[x:x + 3])
            found[colour] = found.get(colour, 0) + 1
        before = line
    return found


def unfiltered(kind, line, before, size):
    for i in range(len(line)):
        left = line[i - size] if i >= size else 0
        above, corner = before[i], before[i - size] if i >= size else 0
        guess = left + above - corner
        near = min((abs(guess - left), 0, left), (abs(guess - above), 1, above), (abs(guess - corner), 2, corner))[2]
        line[i] = (line[i] + (0, left, above, (left + above) // 2, near)[kind]) & 255
    return line


def shown(chromium, url, name, height, dark=False):
    """A picture of a page, and what the browser complained about."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = PICTURES / name
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    with tempfile.TemporaryDirectory() as profile:
        command = [chromium, *FLAGS, *scheme, f"--user-data-dir={profile}", f"--window-size=1200,{height}", f"--screenshot={picture}", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    if os.environ.get("UPDATE"):
        (ROOT / "docs" / "src" / "pictures").mkdir(exist_ok=True)
        shutil.copy(picture, ROOT / "docs" / "src" / "pictures" / name)
    return colours(picture), [line for line in done.stderr.splitlines() if "CONSOLE" in line]


GREEN, RED, WHITE, NIGHT = bytes.fromhex("1a7f37"), bytes.fromhex("cf222e"), bytes.fromhex("ffffff"), bytes.fromhex("0d1117")


@pytest.mark.parametrize("path, name, height", [("", "all", 430), ("demo/shop/", "shop", 1960)])
def test_a_page_is_drawn_without_complaint(chromium, page, path, name, height):
    light, complaints = shown(chromium, page + path, f"{name}.png", height)
    assert not complaints
    assert light.get(WHITE, 0) > 100_000 and light.get(GREEN, 0) > 50, "the page, and in it what is green"
    dark, complaints = shown(chromium, page + path, f"{name}-dark.png", height, dark=True)
    assert not complaints
    assert dark.get(NIGHT, 0) > 100_000 and dark.get(WHITE, 0) < 1_000


def test_the_graph_is_a_picture_by_itself(chromium, page):
    found, complaints = shown(chromium, page + "demo/shop/graph.svg", "graph.png", 300)
    assert not complaints and found.get(GREEN, 0) > 50


def status(url, **headers):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_only_who_has_the_address_is_let_in(page):
    base = page.rsplit("/", 2)[0]
    assert [status(page), status(page + "demo/shop/plan.sql"), status(page + "style.css")] == [200, 200, 200]
    assert [status(base + "/"), status(base + "/x/"), status(page, Host="evil.example")] == [404, 404, 404]


def test_nothing_was_asked_for_but_what_the_role_view_has(page):
    status(page + "demo/shop/")
    assert ApiServer.asked and not [path for path in ApiServer.asked if path.startswith("POST") or "secret" in path]
