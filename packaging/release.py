#!/usr/bin/env python3
"""release [--arch ARCH…] makes every file of a release in dist/ and publishes nothing; `make release-dry-run` calls it.

The machine's own architecture is built by cargo as it is; with --zig, and for others, cargo-zigbuild builds for an older glibc. Another
architecture needs Rust's target (`rustup target add`). With --built the programs are there already."""
import argparse
import datetime
import hashlib
import json
import os
import pathlib
import platform
import shutil
import subprocess
import tarfile
import tomllib

import image
import sbom

ROOT = pathlib.Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
NATIVE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
# The oldest glibc that the programs run on: Debian 11, RHEL 9.
GLIBC = "2.31"
ZIG = ["ziglang==0.17.1", "cargo-zigbuild==0.24.1"]
AIM = 30 << 20
FOREIGN = {"aarch64-apple-darwin": ("darwin", "arm64"), "x86_64-apple-darwin": ("darwin", "amd64"), "x86_64-pc-windows-msvc": ("windows", "amd64")}


def run(*command, **options):
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT, **options)


def output(*command):
    return subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout.strip()


def manifest():
    return tomllib.loads((ROOT / "Cargo.toml").read_text())


def programs():
    return [each["name"] for each in manifest().get("bin", [])]


def has_target(arch):
    return (pathlib.Path(output("rustc", "--print", "sysroot")) / "lib" / "rustlib" / sbom.TARGETS[arch]).exists()


def build(arch, zig, built):
    """The programs for an architecture."""
    if built:
        lacking = [name for name in programs() if not (built / name).is_file()]
        if lacking:
            raise SystemExit(f"{built} lacks {', '.join(lacking)}")
        return [built / name for name in programs()]
    if arch == NATIVE and not zig:
        run("cargo", "build", "--release", "--locked", "--bins")
        return [TARGET / "release" / name for name in programs()]
    if not has_target(arch):
        raise SystemExit(f"{arch}: Rust's target is not installed: rustup target add {sbom.TARGETS[arch]}")
    run("tests/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *ZIG)
    folder = output("tests/python", "-c", "import ziglang, os; print(os.path.dirname(ziglang.__file__))")
    scripts = output("tests/python", "-c", "import sysconfig; print(sysconfig.get_path('scripts'))")
    path = f"{scripts}:{folder}:{os.environ['PATH']}"
    target = sbom.TARGETS[arch]
    run("cargo-zigbuild", "zigbuild", "--release", "--locked", "--bins", "--target", f"{target}.{GLIBC}", env={**os.environ, "PATH": path})
    return [TARGET / target / "release" / name for name in programs()]


def archive(version, system, arch, binary):
    """One program with its licence, as krew and people take it."""
    file = DIST / f"{binary.stem}_{version}_{system}_{arch}.tar.gz"
    with tarfile.open(file, "w:gz") as tar:
        for path in (binary, ROOT / "LICENSE"):
            tar.add(path, path.name)
    return file


def foreign_plugins(folder):
    """The plugin for other systems, which only they can link: a folder for each target."""
    for target, (system, arch) in FOREIGN.items():
        found = [path for path in (folder / target).glob("kubectl-dbmigration*") if path.suffix in ("", ".exe")]
        if len(found) != 1:
            raise SystemExit(f"{folder} lacks {target}/kubectl-dbmigration")
        yield system, arch, found[0]


def chart(version):
    run("tests/cluster/helm", "package", "charts/alembic-operator", "--version", version, "--app-version", version, "--destination", DIST,
        stdout=subprocess.DEVNULL)
    with open(DIST / "install.yaml", "w") as file:
        run("tests/cluster/helm", "template", "alembic-operator", "charts/alembic-operator", "--namespace", "alembic-operator",
            "--kube-version", "1.30.0", stdout=file)
    texts = [path.read_text().removeprefix("---\n") for path in sorted((ROOT / "crds").glob("*.yaml"))]
    (DIST / "crds.yaml").write_text("---\n".join(texts))


def krew(version, archives, url):
    """The plugin's manifest for krew."""
    platforms = [{"selector": {"matchLabels": {"os": system, "arch": arch}}, "uri": f"{url}/{file.name}", "sha256": sha256(file),
                  "bin": "kubectl-dbmigration.exe" if system == "windows" else "kubectl-dbmigration"}
                 for (system, arch), file in archives.items()]
    if platforms:
        plugin = {"apiVersion": "krew.googlecontainertools.github.com/v1alpha2", "kind": "Plugin", "metadata": {"name": "dbmigration"},
                  "spec": {"version": f"v{version}", "shortDescription": "Plan, approve and follow Alembic migrations",
                           "description": "Shows and approves the plans of DatabaseMigrations, and what came of them.", "platforms": platforms}}
        # JSON is YAML.
        (DIST / "krew.yaml").write_text(json.dumps(plugin, indent=2) + "\n")


def sha256(file):
    return hashlib.sha256(file.read_bytes()).hexdigest()


def checksums():
    files = sorted(file for file in DIST.iterdir() if file.name != "checksums.txt")
    (DIST / "checksums.txt").write_text("".join(f"{sha256(file)}  {file.name}\n" for file in files))
    return files


def labels(version, created):
    prefix = "org.opencontainers.image"
    return {f"{prefix}.title": "alembic-operator", f"{prefix}.description": manifest()["package"]["description"], f"{prefix}.version": version,
            f"{prefix}.revision": output("git", "rev-parse", "HEAD"), f"{prefix}.licenses": "Apache-2.0", f"{prefix}.created": created}


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--arch", nargs="+", choices=sorted(sbom.TARGETS), default=[NATIVE])
    arguments.add_argument("--image", default="alembic-operator", help="the image's name, without a tag")
    arguments.add_argument("--url", default="RELEASE_URL", help="where the files of the release will be")
    arguments.add_argument("--zig", action="store_true", help="build every architecture with zig")
    arguments.add_argument("--plugins", type=pathlib.Path, help="a folder with the kubectl plugin for macOS and Windows, by Rust's target")
    arguments.add_argument("--built", type=pathlib.Path, help="a folder with the programs for this machine, made before")
    wanted = arguments.parse_args()
    if wanted.built and wanted.arch != [NATIVE]:
        raise SystemExit(f"--built has the programs for {NATIVE} alone")
    version = manifest()["package"]["version"]
    seconds = int(output("git", "show", "-s", "--format=%ct", "HEAD"))
    created = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    layout, plugins = image.Layout(labels(version, created), created), {}
    for arch in wanted.arch:
        binaries = build(arch, wanted.zig, wanted.built)
        archives = {binary.name: archive(version, "linux", arch, binary) for binary in binaries}
        plugins |= {("linux", arch): file for name, file in archives.items() if name == "kubectl-dbmigration"}
        size = layout.add(arch, [binary for binary in binaries if binary.name == "alembic-operator"])
        print(f"image for {arch}: {size / (1 << 20):.1f} MiB packed{'' if size < AIM else ', above the aim of 30'}")
        (DIST / f"sbom_{version}_linux_{arch}.cdx.json").write_text(json.dumps(sbom.bom(version, arch, created), indent=1) + "\n")
    name = DIST / f"alembic-operator_{version}_image.tar"
    print(f"image index {layout.write(name, f'{wanted.image}:{version}')}")
    chart(version)
    if wanted.plugins:
        plugins |= {(system, arch): archive(version, system, arch, binary) for system, arch, binary in foreign_plugins(wanted.plugins)}
    krew(version, plugins, wanted.url)
    shutil.copy(ROOT / "packaging" / "k9s.yaml", DIST / "k9s.yaml")
    for file in checksums():
        print(f"{file.stat().st_size:>12}  {file.name}")


if __name__ == "__main__":
    main()
