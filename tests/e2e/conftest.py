"""Brings up the cluster and installs the operator by its chart; `ALEMBIC_OPERATOR_BINARY` names the binary to test."""
import fcntl
import functools
import os

import pytest

import harness
from harness import CLUSTER, OPERATOR, ROOT, Space, helm, kubectl, run, space_name

BINARY = os.environ.get("ALEMBIC_OPERATOR_BINARY", ROOT / "target" / "release" / "alembic-operator")


def pytest_configure(config):
    config.addinivalue_line("markers", "serial: kills or changes what all tests share, and so runs while no other test does")


def pytest_runtest_logreport(report):
    """Why a test failed is told when it fails, not when everything is over."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        print(f"\n{report.longreprtext[-4000:]}\n", flush=True)


@functools.cache
def operator_image():
    return run(CLUSTER / "build-operator-image", BINARY).stdout.strip()


def install(*settings):
    """Installs or upgrades the chart as the README says."""
    reference = operator_image()
    repository, _, digest = reference.partition("@")
    # Helm 4.0 conflicts with itself over an object that an upgrade left out and a later one made again.
    return helm("upgrade", "--install", OPERATOR, ROOT / "charts" / "alembic-operator", "--namespace", OPERATOR, "--create-namespace", "--force-conflicts",
                "--set", f"image.repository={repository},image.digest={digest}", "--wait", "--timeout", "120s", *settings)


@pytest.fixture(scope="session", autouse=True)
def operator(tmp_path_factory):
    """Done once, by the first of the processes that test side by side."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return set_up()
    shared = tmp_path_factory.getbasetemp().parent
    with open(shared / "operator.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "operator").exists():
            set_up()
            (shared / "operator").touch()


def set_up():
    run(CLUSTER / "up")
    harness.clear()
    labels = "pod-security.kubernetes.io/enforce=restricted"
    kubectl("create", "namespace", OPERATOR, check=False)
    kubectl("label", "--overwrite", "namespace", OPERATOR, labels)
    install()


@pytest.fixture(autouse=True)
def tidy():
    yield
    harness.tidy()


@pytest.fixture(scope="session")
def shop():
    """The sample application's releases by number."""
    return {number: run(ROOT / "tests" / "shop", number).stdout.strip() for number in ("1", "2")}


@pytest.fixture
def space(request):
    """A namespace of the test's own, named after it."""
    return Space(space_name(request))


@pytest.fixture
def mariadb_space(request):
    """The same, with its database on MariaDB."""
    return Space(space_name(request), engine="mariadb")


@pytest.fixture
def push(tmp_path):
    """Pushes an image of a small project; names are unique, so that no node's copy of an older one is used."""
    def push(*revisions, tag=None, **options):
        count = next(harness.COUNT)
        return harness.push(tmp_path / str(count), tag or f"app{harness.WORKER}-{count}-{os.getpid()}:1", revisions, **options)
    return push
