"""After everything else has run: no password of any database is anywhere but in its Secret."""
import base64
import json
import urllib.parse

from harness import OPERATOR, get, items, kubectl


def test_no_password_outside_the_secrets(space, shop):
    space.migration(shop["1"]).wait_ready()
    spaces = [n["metadata"]["name"] for n in get("namespaces")["items"] if n["metadata"]["name"].startswith("e2e-")]
    searched = 0
    operator_log = kubectl("logs", "-n", OPERATOR, "deployment/alembic-operator").stdout
    for name in spaces:
        texts = [operator_log]
        for kind in ("dbm", "jobs", "pods", "configmaps", "events.events.k8s.io", "events"):
            texts.append(json.dumps(items(kind, name), ensure_ascii=False))
        for pod in items("pods", name):
            texts.append(kubectl("logs", "-n", name, pod["metadata"]["name"], check=False).stdout)
        for secret in items("secrets", name):
            value = secret["data"].get("password")
            if not value:
                continue
            password = base64.b64decode(value).decode()
            spellings = {password, urllib.parse.quote(password, safe=""), urllib.parse.quote_plus(password), value}
            for text in texts:
                for spelling in spellings:
                    assert spelling not in text, f"a password of {name}"
                    searched += 1
    assert searched > 0
