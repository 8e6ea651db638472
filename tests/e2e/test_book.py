"""The kubectl lines of the README and the book, as they are printed: in the test's own namespace, with an object and a set called shop."""
import concurrent.futures
import os
import pathlib
import re
import shlex

from conftest import BINARY
from harness import ROOT, apply, eventually, get, run
from node import inside, kubectl_command
from lib import KUBECONFIG

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "src").rglob("*.md"))]
# What is not run here, and why.
LEFT_OUT = {
    r"patch configmap argocd-cm": "needs Argo CD; its own code reads the file in tests/gitops",
    r"delete (crd|dbmigrations)": "would end every other test",
    r"dbmigration revision": "tests/e2e/test_next_revision.py does it",
}
# These are only tried: two pages may write the same, and another shard would leave the object alone. A Deployment is made, since the next
# line changes it.
TRIED = re.compile(r"kubectl (-n \S+ )?(apply|label|create (?!deployment))")


def printed(page):
    """The command lines of a page's code blocks, those in several lines as one."""
    fence, language, lines = False, "", []
    for line in page.read_text().splitlines():
        if found := re.match(r"\s*```(\w*)", line):
            fence, language = not fence, found[1]
        elif fence and language in ("", "text"):
            lines.append(line.strip().removeprefix("$ "))
    text = "\n".join(lines).replace("\\\n", " ")
    return [line for line in text.splitlines() if line.startswith("kubectl ")]


def test_every_command_of_the_book_works(space, shop, tmp_path):
    migration = space.migration(shop["1"], name="shop", policy={"approval": {"mode": "Always"}}, drift={"interval": "5s"})
    migration.approve(migration.wait("AwaitingApproval")["plan"]["hash"])
    migration.merge({"metadata": {"labels": {"app": "shop"}}})
    migration.wait_ready()
    space.sql("CREATE INDEX hotfix ON orders (customer_id)")
    migration.patch(image=shop["2"])
    migration.wait("AwaitingApproval")
    # The same database by a set, beside one that is not there.
    apply({
        "apiVersion": "alembic-operator.dev/v1alpha1", "kind": "DatabaseMigrationSet", "metadata": {"name": "shop", "namespace": space.name},
        "spec": {"template": {"image": shop["2"], "targetRevision": "head", "policy": {"approval": {"mode": "Always"}}},
                 "servers": [{"name": "main", "urlFrom": {"secretKeyRef": {"name": "app-db", "key": "url"}}}],
                 "targets": [{"list": [{"name": "shop"}, {"name": "gone", "database": "nowhere"}]}], "interval": "5s"},
    })
    plans = eventually("the set has a plan", lambda: get("dbmset", space.name, "shop").get("status", {}).get("rollout", {}).get("plans"), 60)
    drift = eventually("the drift is seen", lambda: (d := migration.status.get("drift", {})).get("unexpected") and d, 30)

    # A kubectl for this namespace, and the plugin beside it.
    plugin = pathlib.Path(BINARY).with_name("kubectl-dbmigration")
    own, ours = (shlex.join(map(str, [*command, "-n", space.name])) for command in (kubectl_command(), inside(plugin, f"--kubeconfig={KUBECONFIG}")))
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(f'#!/bin/bash\nif [ "$1" = dbmigration ]; then shift; exec {ours} "$@"; fi\nexec {own} "$@"\n')
    kubectl.chmod(0o755)
    (tmp_path / "shop.yaml").write_text(re.search(r"```yaml\n(.*?)```", PAGES[0].read_text(), re.S)[1])
    path = f"{tmp_path}:{os.environ['PATH']}"

    plan, job = migration.status["plan"]["hash"], space.jobs("run")[0]["metadata"]["name"]
    placeholders = [(r"(-n|--namespace)[ =](demo|shop)\b", rf"\1 {space.name}"), (r"\bshop-schema-\w+", drift["configMap"]),
                    (r"/accept-drift=\S+", f"/accept-drift={drift['fingerprint']}"), (r"(dbmset shop \S+/approve)=\S+", rf"\1={plans[0]['hash']}"),
                    (r"(databasemigration shop \S+/approve)=\S+", rf"\1={plan}"),
                    (r"\bset/tenants\b", "set/shop"), (r"(set/shop --plan) \w+", rf"\1 {plans[0]['hash']}"), (r"\bjob/NAME", f"job/{job}"),
                    (r"dbmigration (history|drift) \w+", r"dbmigration \1 shop"), (r"(dbmigration approve .*)", r"\1 --yes --no-follow"), (r"--timeout=\w+", "--timeout=2m")]

    def works(place, line):
        for placeholder, here in placeholders:
            line = re.sub(placeholder, here, line)
        if TRIED.match(line):
            line += " --dry-run=server"
        done = run("env", "-C", tmp_path, f"PATH={path}", "bash", "-c", line, check=False)
        # The plugin's exit code tells the state of what is shown; 2 is an error. The tests' platform adds no settings.
        known = (0, 1, 3, 4) if " dbmigration " in line else (0,)
        quiet = ".status.defaults" in line
        return None if done.returncode in known and (done.stdout.strip() or quiet) else f"{place}: {line}\n{done.returncode} {done.stdout}{done.stderr}"

    def all_of(page, kind):
        """The lines of a page, one after the other: a line may need what the one before it has made."""
        return [failure for line in pages[page] if kind(line) and (failure := works(page, line))]

    pages = {page.relative_to(ROOT): [line for line in printed(page) if not any(re.search(each, line) for each in LEFT_OUT)] for page in PAGES}
    # First what shows a plan that waits, then what approves it, and then what waits for the end.
    kinds = [lambda line: not says(line) and not waits(line), says, waits]
    assert sum(map(len, pages.values())) > 40
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        failed = [each for kind in kinds for found in pool.map(lambda page: all_of(page, kind), pages) for each in found]
    assert not failed, "\n".join(failed)


def says(line):
    return "annotate" in line or "dbmigration approve" in line


def waits(line):
    return line.startswith("kubectl wait")
