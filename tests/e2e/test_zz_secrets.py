"""After everything else has run: no password of any database is anywhere but in its Secret."""
import base64
import collections
import json
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from harness import OPERATOR, get, kubectl


def log_of(pod):
    metadata = pod["metadata"]
    return metadata["namespace"], kubectl("logs", "-n", metadata["namespace"], metadata["name"], check=False).stdout


def test_no_password_outside_the_secrets(space, shop):
    space.migration(shop["1"]).wait_ready()
    ours = lambda kind: [thing for thing in get(kind)["items"] if thing["metadata"]["namespace"].startswith("e2e-")]
    texts = collections.defaultdict(list)
    for kind in ("dbm", "jobs", "pods", "configmaps", "events.events.k8s.io", "events"):
        for thing in ours(kind):
            texts[thing["metadata"]["namespace"]].append(json.dumps(thing, ensure_ascii=False))
    with ThreadPoolExecutor(4) as pool:
        for name, log in pool.map(log_of, ours("pods")):
            texts[name].append(log)
    operator_log = kubectl("logs", "-n", OPERATOR, f"deployment/{OPERATOR}").stdout
    searched = 0
    for secret in ours("secrets"):
        value, name = secret["data"].get("password"), secret["metadata"]["namespace"]
        if not value:
            continue
        password = base64.b64decode(value).decode()
        for spelling in {password, urllib.parse.quote(password, safe=""), urllib.parse.quote_plus(password), value}:
            for text in [operator_log, *texts[name]]:
                assert spelling not in text, f"a password of {name}"
                searched += 1
    assert searched > 0
