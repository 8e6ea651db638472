"""Several operator pods: one leads, another takes over, and never two at once."""
import json
import subprocess

import pytest

from conftest import install
from harness import CLUSTER, OPERATOR, eventually, get, items, kubectl, revision, table


@pytest.fixture
def two_replicas():
    install("--set", "replicas=2")
    yield
    install("--set", "replicas=1")


def holder():
    return ((get("lease", "-n", OPERATOR, OPERATOR) or {}).get("spec") or {}).get("holderIdentity")


def pods():
    return [pod["metadata"]["name"] for pod in items("pods", OPERATOR) if not pod["metadata"].get("deletionTimestamp")]


def test_another_one_takes_over(space, push, two_replicas):
    leader = eventually("one leads", lambda: holder() in pods() and holder(), 40)
    migration = space.migration(push(revision("aaaa1111", **table("one")), revision("bbbb2222", "aaaa1111", **table("two"))),
                                target="aaaa1111")
    migration.wait_ready()
    # Killed, it gives nothing back: the Lease has to run out.
    kubectl("delete", "pod", "-n", OPERATOR, leader, "--grace-period=0", "--force")
    migration.patch(targetRevision="bbbb2222")
    migration.wait_ready(60)
    assert holder() != leader and space.rows() == ["bbbb2222"] and len(space.jobs("run")) == 2

    # In a rollout each one gives the Lease back before the next one begins.
    before = set(pods())
    followed = [kubectl_logs(pod) for pod in before]
    kubectl("rollout", "restart", "-n", OPERATOR, f"deployment/{OPERATOR}")
    kubectl("rollout", "status", "-n", OPERATOR, f"deployment/{OPERATOR}", "--timeout=120s")
    eventually("a new one leads", lambda: holder() in set(pods()) - before, 40)
    ends = [json.loads(line) for follow in followed for line in follow().splitlines() if "leadership is given back" in line]
    begins = [json.loads(line) for pod in pods() for line in kubectl("logs", "-n", OPERATOR, pod).stdout.splitlines() if '"leading"' in line]
    assert ends and begins, "the old leader gave back and a new one began"
    assert min(line["timestamp"] for line in begins) >= max(line["timestamp"] for line in ends)
    migration.patch(targetRevision="aaaa1111", policy={"downgrade": "Allow"})
    migration.wait_ready(60)
    assert space.rows() == ["aaaa1111"]


def kubectl_logs(pod):
    """Follows a pod's log, which is gone with the pod; returns what reads it to its end."""
    process = subprocess.Popen([CLUSTER / "kubectl", "logs", "-f", "-n", OPERATOR, pod], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return lambda: process.communicate(timeout=60)[0]
