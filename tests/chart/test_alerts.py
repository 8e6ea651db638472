"""The chart's alerts, checked and run by Prometheus' own promtool over made-up series."""
import pathlib
import shutil
import subprocess

import pytest
import yaml
from test_chart import render

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def promtool(tmp_path_factory):
    """Debian's, unpacked and not installed: its package would start a server."""
    if shutil.which("promtool"):
        return shutil.which("promtool")
    folder = tmp_path_factory.mktemp("prometheus")
    subprocess.run(["apt-get", "update", "-q"], check=True)
    subprocess.run(["apt-get", "download", "-q", "prometheus"], cwd=folder, check=True)
    (package,) = folder.glob("prometheus_*.deb")
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    return folder / "usr" / "bin" / "promtool"


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    rule = render(metrics={"prometheusRule": {"enabled": True, "runbookBase": "https://docs.example.com"}})["PrometheusRule", "alembic-operator"]
    folder = tmp_path_factory.mktemp("rules")
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": rule["spec"]["groups"]}))
    shutil.copy(HERE / "alerts.yaml", folder)
    return folder


def test_the_rules_are_read_by_prometheus(promtool, rules):
    done = subprocess.run([promtool, "check", "rules", rules / "rules.yaml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_says_what_and_where(promtool, rules):
    done = subprocess.run([promtool, "test", "rules", "alerts.yaml"], cwd=rules, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
