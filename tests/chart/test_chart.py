"""The chart as it is rendered: what each value makes, what the schema refuses, what an upgrade must not change."""
import json
import pathlib
import re
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "alembic-operator"
NAMES = {"app.kubernetes.io/name": "alembic-operator", "app.kubernetes.io/instance": "alembic-operator"}


def helm(values):
    """Renders the chart as `helm install` would; the values are given as JSON, which is YAML."""
    command = [ROOT / "tests" / "cluster" / "helm", "template", "alembic-operator", CHART, "--namespace", "alembic-operator",
               "--kube-version", "1.30.0", "--values", "-"]
    return subprocess.run(command, input=json.dumps(values), capture_output=True, text=True)


def objects_of(values):
    done = helm(values)
    assert done.returncode == 0, done.stderr
    return [each for each in yaml.safe_load_all(done.stdout) if each]


def render(**values):
    """The objects, by kind and name."""
    objects = objects_of(values)
    found = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    assert len(found) == len(objects), "two objects have one name"
    return found


def deployment(objects):
    return objects["Deployment", "alembic-operator"]


def pod(objects):
    return deployment(objects)["spec"]["template"]["spec"]


def kinds(objects):
    return {kind for kind, _ in objects}


@pytest.fixture(scope="module")
def plain():
    return render()


def test_what_an_upgrade_can_not_change(plain):
    """Names and selectors are those of the first chart: another selector would need the Deployment to be deleted."""
    assert deployment(plain)["spec"]["selector"]["matchLabels"] == NAMES
    assert plain["Service", "alembic-operator-metrics"]["spec"]["selector"] == NAMES
    assert {("ServiceAccount", "alembic-operator"), ("ClusterRole", "alembic-operator"), ("ClusterRoleBinding", "alembic-operator")} <= set(plain)
    crd = plain["CustomResourceDefinition", "databasemigrations.alembic-operator.dev"]
    assert crd["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_the_pod_fits_the_restricted_standard(plain):
    assert pod(plain)["securityContext"]["runAsNonRoot"] is True
    assert pod(plain)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    [container] = pod(plain)["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert "volumes" not in pod(plain)


def test_secrets_are_read_by_name_alone(plain):
    rules = plain["ClusterRole", "alembic-operator"]["rules"]
    assert [rule["verbs"] for rule in rules if "secrets" in rule["resources"]] == [["get"]]
    assert not any("*" in rule["resources"] + rule["verbs"] + rule["apiGroups"] for rule in rules)


def test_nothing_is_made_unasked(plain):
    approval = {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}
    rights = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    assert kinds(plain) == {"Deployment", "Service", "CustomResourceDefinition"} | rights | approval


def deployment_of(objects):
    [operator] = [each for each in objects if each["kind"] == "Deployment"]
    return operator


def test_one_namespace_needs_no_right_elsewhere():
    """And who has no rights in the cluster can install it, beside a CRD that is there."""
    objects = objects_of({"watchNamespaces": ["shop", "billing"], "rbac": {"aggregate": False}, "approval": {"restrict": False}, "crds": {"install": False}})
    assert all("namespace" in each["metadata"] for each in objects), {each["kind"] for each in objects}
    roles = {each["metadata"]["namespace"]: each["rules"] for each in objects if each["kind"] == "Role"}
    own = roles.pop(deployment_of(objects)["metadata"]["namespace"])
    assert list(roles) == ["shop", "billing"] and [rule["resources"] for rule in own] == [["leases"]]
    operator = deployment_of(objects)
    assert "--namespaces=shop,billing" in operator["spec"]["template"]["spec"]["containers"][0]["args"]


EVERYTHING = {
    "replicas": 2,
    "commonLabels": {"team": "data"},
    "podDisruptionBudget": {"enabled": True},
    "networkPolicy": {"enabled": True, "ingressFrom": [{"namespaceSelector": {}}]},
    "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule"}],
    "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}, "podMonitor": {"enabled": True},
                "prometheusRule": {"enabled": True, "runbookBase": "https://docs.example.com/"}},
}


def test_everything_at_once():
    objects = render(**EVERYTHING)
    assert {"PodDisruptionBudget", "NetworkPolicy", "ServiceMonitor", "PodMonitor", "PrometheusRule", "ValidatingAdmissionPolicy"} <= kinds(objects)
    assert all(each["metadata"]["labels"]["team"] == "data" for each in objects.values()), "commonLabels are on every object"
    labels = deployment(objects)["spec"]["template"]["metadata"]["labels"]
    selectors = [objects["PodDisruptionBudget", "alembic-operator"]["spec"]["selector"]["matchLabels"],
                 objects["NetworkPolicy", "alembic-operator"]["spec"]["podSelector"]["matchLabels"],
                 objects["PodMonitor", "alembic-operator"]["spec"]["selector"]["matchLabels"],
                 pod(objects)["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"]]
    assert selectors == [NAMES] * 4 and NAMES.items() <= labels.items()
    assert objects["ServiceMonitor", "alembic-operator"]["metadata"]["labels"]["release"] == "prometheus"
    service = objects["Service", "alembic-operator-metrics"]
    monitor = objects["ServiceMonitor", "alembic-operator"]["spec"]
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert {each["port"] for each in monitor["endpoints"]} == {each["name"] for each in service["spec"]["ports"]}
    assert "--leader-election" in pod(objects)["containers"][0]["args"]
    assert deployment(objects)["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_settings_for_every_object_are_mounted():
    values = {"defaults": {"policy": {"approval": {"mode": "Always"}}}, "enforce": ["Approval"]}
    objects = render(**values)
    mounted = yaml.safe_load(objects["ConfigMap", "alembic-operator-defaults"]["data"]["defaults.yaml"])
    assert mounted == values
    [container] = pod(objects)["containers"]
    assert "--defaults=/etc/alembic-operator/defaults.yaml" in container["args"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/etc/alembic-operator"]
    [volume] = pod(objects)["volumes"]
    assert volume["configMap"] == {"name": "alembic-operator-defaults"}
    checksum = lambda objects: deployment(objects)["spec"]["template"]["metadata"]["annotations"]["checksum/defaults"]
    assert checksum(objects) != checksum(render(defaults=values["defaults"])), "another setting starts another pod"
    both = render(**values, extraVolumes=[{"name": "more", "emptyDir": {}}], extraVolumeMounts=[{"name": "more", "mountPath": "/more"}])
    assert [volume["name"] for volume in pod(both)["volumes"]] == ["defaults", "more"]


def test_restricted_approval_is_in_the_policies_and_told_to_the_operator():
    """They are there without being asked for."""
    free = render(approval={"restrict": False})
    assert "--approval-restricted" not in pod(free)["containers"][0]["args"]
    assert not any("approv" in name or kind.startswith("ValidatingAdmissionPolicy") for kind, name in free)
    assert ("ClusterRole", "alembic-operator-approver") in render()
    objects = render(approval={"trustedUsers": ["kueue"]}, watchNamespaces=["shop"])
    assert "--approval-restricted" in pod(objects)["containers"][0]["args"]
    own = "system:serviceaccount:alembic-operator:alembic-operator"
    policies = {name: each["spec"] for (kind, name), each in objects.items() if kind == "ValidatingAdmissionPolicy"}
    assert set(policies) == {f"alembic-operator-{name}" for name in ("approval", "approval-sets", "made", "jobs")}
    for name, policy in policies.items():
        assert policy["failurePolicy"] == "Fail" and own in policy["matchConditions"][0]["expression"] and "'kueue'" in policy["matchConditions"][0]["expression"]
        binding = objects["ValidatingAdmissionPolicyBinding", name]["spec"]
        assert binding["matchResources"]["namespaceSelector"]["matchExpressions"][0]["values"] == ["shop"]


def variables_of(objects, name):
    return {each["name"]: each["expression"] for each in objects["ValidatingAdmissionPolicy", f"alembic-operator-{name}"]["spec"]["variables"]}


def test_a_set_is_asked_about_as_an_object_is(plain):
    """Who may approve changes nothing else, who may not changes none of what an approval is for, and neither deletes and creates again."""
    policies = {name: plain["ValidatingAdmissionPolicy", f"alembic-operator-{name}"]["spec"] for name in ("approval", "approval-sets")}
    rules = {name: policy["matchConstraints"]["resourceRules"] for name, policy in policies.items()}
    assert json.loads(json.dumps(rules["approval"]).replace("databasemigrations", "databasemigrationsets")) == rules["approval-sets"]
    asked = [[each["expression"] for each in policy["validations"]] for policy in policies.values()]
    assert asked[0] == asked[1] and len(asked[0]) == 4
    one, sets = variables_of(plain, "approval"), variables_of(plain, "approval-sets")
    assert set(sets) == {*one, "promotes"}
    for name in ("mayApprove", "mayEdit"):
        assert sets[name] == one[name].replace("'databasemigrations'", "'databasemigrationsets'"), "the right is one of its own"
    assert sets["approval"] == one["approval"].replace("was.?policy", "was.?template.?policy")
    assert all(word in sets["same"] for word in ("'servers', 'targets', 'perTarget'", "exclude", "rollout", "template.?policy", "template.?database"))
    assert "variables.is == variables.was" in sets["approves"] and "requestedAt" not in sets["approves"]
    used = {word for expressions in (asked[1], sets.values()) for each in expressions for word in re.findall(r"variables\.(\w+)", each)}
    assert used == set(sets), "each is defined, and asked for"


@pytest.mark.parametrize("approval, strictness", [({}, 2), ({"mode": "Auto"}, 0), ({"threshold": "Critical"}, 1), ({"mode": "OnHazard", "threshold": "Low"}, 4),
                                                  ({"mode": "Always"}, 5)])
def test_what_an_object_demands_is_more_than_the_defaults_do(approval, strictness):
    """Or it could be deleted and created again without its demands."""
    objects = render(defaults={"policy": {"approval": approval}} if approval else {})
    for name in ("approval", "approval-sets"):
        variables = variables_of(objects, name)
        assert variables["demands"].startswith(f"variables.strictness > {strictness} ")
        assert f"orValue('{approval.get('mode', 'OnHazard')}')" in variables["mode"]
        assert f": '{approval.get('threshold', 'High')}')" in variables["threshold"]


def test_hosts_are_handed_on():
    hosts = ["10.0.0.0/8", "*.databases.svc"]
    [container] = pod(render(allowHosts=hosts))["containers"]
    assert "--allow-hosts=10.0.0.0/8,*.databases.svc" in container["args"]


def test_the_dashboard_asks_for_metrics_that_there_are():
    objects = render(metrics={"dashboard": {"enabled": True}})
    (config,) = [each for (kind, name), each in objects.items() if kind == "ConfigMap" and name.endswith("-dashboard")]
    assert config["metadata"]["labels"]["grafana_dashboard"] == "1"
    dashboard = json.loads(config["data"]["alembic-operator.json"])
    told = (ROOT / "docs" / "src" / "metrics.md").read_text()
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = render(**EVERYTHING)["PrometheusRule", "alembic-operator"]["spec"]["groups"][0]["rules"]
    for expression in asked + [rule["expr"] for rule in rules]:
        for name in re.findall(r"alembic_operator_\w+", expression):
            assert re.sub("_bucket$", "", name) in told, f"{name} is in no document"


def test_alerts_are_whole():
    rule = render(**EVERYTHING)["PrometheusRule", "alembic-operator"]
    for alert in rule["spec"]["groups"][0]["rules"]:
        assert alert["expr"] and alert["for"] and alert["labels"]["severity"], alert
        page, _, anchor = alert["annotations"]["runbook_url"].partition("#")
        assert page in {f"https://docs.example.com/{name}.html" for name in ("metrics", "reasons", "drift")}
        assert anchor in {"alerts", "{{ $labels.reason | toLower }}", "awaitingapproval", ""}
        assert "{{" not in alert["annotations"]["summary"]


def test_the_pods_other_settings():
    objects = render(
        extraVolumes=[{"name": "ca", "secret": {"secretName": "ca"}}], extraVolumeMounts=[{"name": "ca", "mountPath": "/etc/ssl/certs"}],
        extraContainers=[{"name": "proxy", "image": "proxy:1"}], hostAliases=[{"ip": "10.0.0.1", "hostnames": ["db"]}],
        dnsPolicy="None", dnsConfig={"nameservers": ["10.0.0.2"]}, startupProbe={"failureThreshold": 30}, livenessProbe={"timeoutSeconds": 5},
        strategy={"type": "Recreate"}, revisionHistoryLimit=1, priorityClassName="high", runtimeClassName="gvisor", podLabels={"a": "b"},
        namespaceOverride="elsewhere")
    spec = pod(objects)
    operator, proxy = spec["containers"]
    assert proxy["name"] == "proxy" and operator["volumeMounts"] == [{"name": "ca", "mountPath": "/etc/ssl/certs"}]
    assert operator["startupProbe"] == {"httpGet": {"path": "/healthz", "port": "http"}, "failureThreshold": 30}
    assert operator["livenessProbe"]["timeoutSeconds"] == 5 and spec["dnsConfig"] == {"nameservers": ["10.0.0.2"]}
    assert (spec["priorityClassName"], spec["runtimeClassName"], spec["hostAliases"][0]["ip"]) == ("high", "gvisor", "10.0.0.1")
    assert deployment(objects)["spec"]["revisionHistoryLimit"] == 1
    namespaced = [each for each in objects.values() if "namespace" in each["metadata"]]
    assert {each["metadata"]["namespace"] for each in namespaced} == {"elsewhere"}
    assert objects["ClusterRoleBinding", "alembic-operator"]["subjects"][0]["namespace"] == "elsewhere"


def test_extra_objects_and_the_test_of_the_release():
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-two'}"
    objects = render(extraObjects=[{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}}, text], test={"image": "busybox:1"})
    assert {("ConfigMap", "one"), ("ConfigMap", "alembic-operator-two")} <= set(objects)
    assert objects["Pod", "alembic-operator-test"]["metadata"]["annotations"]["helm.sh/hook"] == "test"


def test_an_image_by_digest():
    digest = "sha256:" + "0" * 64
    [container] = pod(render(image={"repository": "registry.example.com/operator", "tag": "1", "digest": digest}))["containers"]
    assert container["image"] == f"registry.example.com/operator@{digest}"


@pytest.mark.parametrize("values", [
    {"replica": 2}, {"replicas": 0}, {"image": {"digest": "latest"}}, {"metrics": {"serviceMonitor": {"enable": True}}},
    {"podDisruptionBudget": {"maxUnavailable": "most"}}, {"dnsPolicy": "Nobody"}, {"extraVolumes": [{"secret": {}}]}, {"strategy": {"kind": "Recreate"}},
    {"commonLabels": {"a": 1}}, {"log": {"format": "xml"}}, {"watchNamespaces": ["a", "a"]}])
def test_what_the_schema_refuses(values):
    done = helm(values)
    assert done.returncode != 0 and "values don't meet the specifications" in done.stderr, done.stderr
