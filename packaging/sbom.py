"""What is in a release, as CycloneDX: the crates that are linked and the Debian packages of the image; network: Debian's lists."""
import json
import subprocess

TARGETS = {"amd64": "x86_64-unknown-linux-gnu", "arm64": "aarch64-unknown-linux-gnu"}
BASE = ["libc6", "libgcc-s1", "ca-certificates"]


def linked(metadata, root):
    """The packages that are linked into the program, by the graph of normal dependencies."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    found, left = set(), [root]
    while left:
        package = left.pop()
        if package in found:
            continue
        found.add(package)
        for dependency in nodes[package]["deps"]:
            if any(kind["kind"] is None for kind in dependency["dep_kinds"]):
                left.append(dependency["pkg"])
    return found - {root}


def crates(arch):
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", TARGETS[arch]]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    [root] = [package["id"] for package in metadata["packages"] if package["name"] == "alembic-operator"]
    wanted = linked(metadata, root)
    for package in sorted(metadata["packages"], key=lambda each: (each["name"], each["version"])):
        if package["id"] in wanted:
            name, version = package["name"], package["version"]
            licence = [{"expression": package["license"].replace("/", " OR ")}] if package["license"] else []
            yield {"type": "library", "name": name, "version": version, "purl": f"pkg:cargo/{name}@{version}", "licenses": licence}


def debian():
    for name in BASE:
        shown = subprocess.run(["apt-cache", "show", "--no-all-versions", name], capture_output=True, text=True).stdout
        versions = [line.partition(": ")[2] for line in shown.splitlines() if line.startswith("Version: ")]
        if versions:
            yield {"type": "library", "name": name, "version": versions[0], "purl": f"pkg:deb/debian/{name}@{versions[0]}"}


def bom(version, arch, created):
    component = {"type": "application", "name": "alembic-operator", "version": version, "licenses": [{"license": {"id": "Apache-2.0"}}],
                 "purl": f"pkg:cargo/alembic-operator@{version}"}
    return {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": {"timestamp": created, "component": component},
            "components": [*crates(arch), *debian()]}
