"""Several operator pods: one leads, another takes over, and never two at once."""
import itertools
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
    return ((get("lease", OPERATOR, OPERATOR) or {}).get("spec") or {}).get("holderIdentity")


def pods():
    return [pod["metadata"]["name"] for pod in items("pods", OPERATOR) if not pod["metadata"].get("deletionTimestamp")]


@pytest.mark.serial
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

    # In a rollout the old leader gives the Lease back, and only then a new one begins.
    old, before = holder(), set(pods())
    seen = lease_holders()
    kubectl("rollout", "restart", "-n", OPERATOR, f"deployment/{OPERATOR}")
    kubectl("rollout", "status", "-n", OPERATOR, f"deployment/{OPERATOR}", "--timeout=120s")
    eventually("a new one leads", lambda: holder() in set(pods()) - before, 40)
    holders = seen()
    assert holders[0] == old and holders[-1] not in before
    assert all("" in pair for pair in zip(holders, holders[1:])), f"each one gave it back: {holders}"
    migration.patch(targetRevision="aaaa1111", policy={"downgrade": "Allow"})
    migration.wait_ready(60)
    assert space.rows() == ["aaaa1111"]


def lease_holders():
    """Watches the Lease from now on; returns what ends the watch and gives everyone who held it, one after the other, "" for nobody."""
    command = [CLUSTER / "kubectl", "get", "lease", "-n", OPERATOR, OPERATOR, "--watch", "-o", "jsonpath=[{.spec.holderIdentity}]{'\\n'}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    first = process.stdout.readline()

    def ended():
        process.terminate()
        return [line.strip("[]") for line, _ in itertools.groupby([first.strip(), *process.communicate()[0].splitlines()])]

    return ended
