"""Makes ready what needs no operator and no Rust: servers and Python environments of the runner's tests, the cluster, every image's
packages on the node, the sample application, the database servers in pods, the libraries of Argo CD, Flux and Kustomize."""
import concurrent.futures
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tests" / folder) for folder in ("cluster", "e2e", "runner")]

import database
import environments
import images
import mariadb
import postgres
from lib import RUN, inside, say, sh
from requirements import ALL


def packages(name):
    """An image of these packages alone, unpacked on the node: those of the tests share its layers."""
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "requirements.txt").write_text(ALL[name])
        reference = images.push_application(folder, f"packages-{name.lower().replace('_', '-')}:1")
    sh(*inside("ctr", "--address", f"{RUN}/containerd.sock", "--namespace", "k8s.io", "images", "pull", "--plain-http", reference))
    return name


def environment(name):
    environments.python_of(name)
    return f"environment {name}"


def server(engine):
    database.server("databases", engine)
    return engine.name


def gitops():
    subprocess.run([ROOT / "tests" / "gitops" / "run", "--build"], check=True)
    return "tests of Argo CD, Flux and Kustomize"


def shop(number):
    subprocess.run([ROOT / "tests" / "shop", number], check=True, stdout=subprocess.DEVNULL)
    return f"shop {number}"


if __name__ == "__main__":
    postgres.binaries()
    for release in postgres.PACKAGES:
        postgres.packaged(release)
    mariadb.installed()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for done in pool.map(environment, environments.REQUIREMENTS):
            say(f"  made {done}")
    subprocess.run([ROOT / "tests" / "cluster" / "up"], check=True)
    jobs = [(packages, name) for name in ALL] + [(server, engine) for engine in database.ENGINES.values()] + [(shop, "1"), (shop, "2")]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for done in concurrent.futures.as_completed([pool.submit(images.operator_base), pool.submit(gitops), *(pool.submit(make, of) for make, of in jobs)]):
            say(f"  made {done.result()}")
    say("everything that the tests need is there, but for the operator")
