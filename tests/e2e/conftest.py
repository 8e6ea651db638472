"""Brings up the cluster and installs the operator by its chart; `ALEMBIC_OPERATOR_BINARY` names the binary to test."""
import os

import pytest

import harness
from harness import CLUSTER, OPERATOR, ROOT, Space, helm, kubectl, run, space_name

BINARY = os.environ.get("ALEMBIC_OPERATOR_BINARY", ROOT / "target" / "release" / "alembic-operator")


def install(*settings):
    """Installs or upgrades the chart as the README says."""
    reference = run(CLUSTER / "build-operator-image", BINARY).stdout.strip()
    repository, _, digest = reference.partition("@")
    return helm("upgrade", "--install", OPERATOR, ROOT / "charts" / "alembic-operator", "--namespace", OPERATOR, "--create-namespace",
                "--set", f"image.repository={repository},image.digest={digest}", "--wait", "--timeout", "120s", *settings)


@pytest.fixture(scope="session", autouse=True)
def operator():
    run(CLUSTER / "up")
    harness.clear()
    labels = "pod-security.kubernetes.io/enforce=restricted"
    kubectl("create", "namespace", OPERATOR, check=False)
    kubectl("label", "--overwrite", "namespace", OPERATOR, labels)
    install()
    yield


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
        return harness.push(tmp_path / str(count), tag or f"app{count}-{os.getpid()}:1", revisions, **options)
    return push
