"""Images for the cluster, made of Debian and Python packages and pushed to its registry as OCI layouts."""
import compileall
import fcntl
import gzip
import hashlib
import io
import json
import os
import pathlib
import py_compile
import shutil
import sys
import tarfile
import tempfile

import registry
from lib import CACHE, HERE, REGISTRY, REPO, STATE, digest, fail, inside, say, sh

SUITE = "bookworm"
PYTHON = "3.11"
USER = 65532
IMAGES = CACHE / "images"


# ---- layers: compressed tar files, named by what they are made from, with their digests beside them

def layer(key, fill):
    """The layer with this key; `fill` gets the path of a tar file to write when it is not cached."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    done = IMAGES / f"{key}.json"
    if not done.exists():
        # Several tests may want the same one, and each needs the whole of it.
        with open(IMAGES / f"{key}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                make_layer(done, fill)
    return json.loads(done.read_text())


def make_layer(done, fill):
    with tempfile.TemporaryDirectory(dir=IMAGES) as scratch:
        tar = pathlib.Path(scratch) / "layer.tar"
        fill(tar)
        plain = hashlib.sha256()
        blob = pathlib.Path(scratch) / "layer.gz"
        with open(tar, "rb") as source, gzip.GzipFile(blob, "wb", compresslevel=1, mtime=0) as packed:
            while chunk := source.read(1 << 20):
                plain.update(chunk)
                packed.write(chunk)
        packed = hashlib.sha256(blob.read_bytes()).hexdigest()
        blob.rename(IMAGES / f"sha256-{packed}")
        about = {"diff": f"sha256:{plain.hexdigest()}", "digest": packed, "size": (IMAGES / f"sha256-{packed}").stat().st_size}
    part = done.with_suffix(".part")
    part.write_text(json.dumps(about))
    part.rename(done)


def tar_folder(target, folder, prefix, only=lambda path: True):
    """A reproducible tar of a folder: sorted, without times and owners."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(pathlib.Path(folder).rglob("*")):
            if not only(path):
                continue
            info = tar.gettarinfo(path, f"{prefix}/{path.relative_to(folder)}".lstrip("/"))
            info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
            info.mode |= 0o444 if info.isfile() else 0o555
            with open(path, "rb") if info.isfile() else io.BytesIO() as content:
                tar.addfile(info, content if info.isfile() else None)


def debian(target, packages, variant="minbase", customize=(), flags=()):
    say(f"  a Debian root file system with {packages}")
    trim = ["--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*"]
    hooks = [f"--customize-hook={hook}" for hook in customize]
    # No device nodes and no caches: both are useless in an image.
    sh("mmdebstrap", "--mode=root", "--skip=output/dev", f"--variant={variant}", f"--include={packages}", *flags, *trim, *hooks,
       "--customize-hook=rm -rf $1/var/cache/apt $1/var/lib/apt/lists", SUITE, target)


# ---- images

def push(name, layers, config):
    """Pushes an image of these layers and returns its reference with the digest."""
    image = {"architecture": architecture(), "os": "linux", "config": config,
             "rootfs": {"type": "layers", "diff_ids": [each["diff"] for each in layers]}}
    digest = registry.push(name, [{**each, "file": IMAGES / f"sha256-{each['digest']}"} for each in layers], image)
    return f"{REGISTRY}/{name.rpartition(':')[0]}@{digest}"


def architecture():
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def python_base():
    # A line in passwd, since some drivers ask for the user's name.
    hooks = [f"echo 'app:x:{USER}:{USER}::/tmp:/usr/sbin/nologin' >> $1/etc/passwd", "ln -sf python3 $1/usr/bin/python"]
    return layer(f"python-{digest('1', SUITE, hooks)}", lambda tar: debian(tar, "python3,ca-certificates,tzdata", customize=hooks))


def pause():
    """A pause image of busybox: it sleeps, and ends when it is told to."""
    def fill(tar):
        with tempfile.TemporaryDirectory() as scratch:
            root = pathlib.Path(scratch)
            (root / "bin").mkdir()
            shutil.copy(shutil.which("busybox") or "/bin/busybox", root / "bin" / "busybox")
            tar_folder(tar, root, "")
    script = "trap exit TERM INT; while :; do /bin/busybox sleep 86400 & wait $!; done"
    return push("pause:1", [layer(f"pause-{digest('1')}", fill)], {"Entrypoint": ["/bin/busybox", "sh", "-c", script], "User": f"{USER}"})


def postgres():
    entry = HERE / "postgres-entrypoint"
    hooks = [f"echo 'app:x:{USER}:{USER}::/tmp:/usr/sbin/nologin' >> $1/etc/passwd", f"cp {entry} $1/usr/bin/postgres-entrypoint"]
    base = layer(f"postgres-{digest('1', SUITE, entry)}",
                 lambda tar: debian(tar, "postgresql,postgresql-contrib,ca-certificates", customize=hooks))
    return push("postgres:15", [base], {
        "Entrypoint": ["/usr/bin/postgres-entrypoint"], "User": f"{USER}:{USER}",
        "Env": ["PATH=/usr/lib/postgresql/15/bin:/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"]})


def mariadb():
    entry = HERE / "mariadb-entrypoint"
    hooks = [f"echo 'app:x:{USER}:{USER}::/tmp:/usr/sbin/nologin' >> $1/etc/passwd", f"cp {entry} $1/usr/bin/mariadb-entrypoint"]
    base = layer(f"mariadb-{digest('1', SUITE, entry)}", lambda tar: debian(tar, "mariadb-server,ca-certificates", customize=hooks))
    return push("mariadb:10.11", [base], {
        "Entrypoint": ["/usr/bin/mariadb-entrypoint"], "User": f"{USER}:{USER}",
        "Env": ["PATH=/usr/sbin:/usr/local/bin:/usr/bin:/bin", "LANG=C.UTF-8"]})


def basics():
    """What every cluster needs; a second's work when all of it is cached."""
    for make in (pause, postgres, mariadb):
        say(f"  image {make()}")
    python_base()


# ---- applications

def requirements_layer(file):
    """The packages of a requirements.txt, as pip installs them for the base image's Python."""
    def fill(tar):
        say(f"  packages of {file}")
        with tempfile.TemporaryDirectory() as scratch:
            site = pathlib.Path(scratch) / f"usr/local/lib/python{PYTHON}/dist-packages"
            platforms = [f"--platform={p}_{os.uname().machine}" for p in ("manylinux_2_17", "manylinux2014", "manylinux_2_28")]
            sh(REPO / "tests" / "python", "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", "--root-user-action=ignore",
               "--target", site, "--python-version", PYTHON, "--implementation", "cp", "--only-binary=:all:", *platforms, "-r", file)
            programs(site, pathlib.Path(scratch) / "usr/local/bin")
            if compiled:
                # As pip does where it installs for itself; without it each pod would compile SQLAlchemy anew.
                compileall.compile_dir(site, quiet=2, stripdir=scratch, prependdir="/", invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
            tar_folder(tar, scratch, "")
    # Only the same Python can.
    compiled = PYTHON == f"{sys.version_info.major}.{sys.version_info.minor}"
    return layer(f"requirements-{digest('4', SUITE, compiled, file)}", fill)


def programs(site, folder):
    """The packages' commands: programs as they are, scripts started by the image's own Python, since pip's name this machine's."""
    folder.mkdir(parents=True)
    for program in (site / "bin").glob("*"):
        if program.read_bytes()[:2] != b"#!":
            shutil.copy2(program, folder)
    shutil.rmtree(site / "bin", ignore_errors=True)
    for entry_points in site.glob("*.dist-info/entry_points.txt"):
        text = entry_points.read_text().partition("[console_scripts]")[2].partition("\n[")[0]
        for line in filter(None, map(str.strip, text.splitlines())):
            name, _, where = line.partition("=")
            module, _, function = where.split("[")[0].strip().partition(":")
            script = folder / name.strip()
            script.write_text(f"#!/usr/bin/python3\nimport sys\nfrom {module} import {function.split('.')[0]}\nsys.exit({function}())\n")
            script.chmod(0o755)


def push_application(folder, name):
    """Lays a folder over the Python base image at /app."""
    folder = pathlib.Path(folder).resolve()
    if not folder.is_dir():
        fail(f"{folder} is not a folder")
    layers = [python_base()]
    requirements = folder / "requirements.txt"
    if requirements.exists():
        layers.append(requirements_layer(requirements))
    wanted = lambda path: "__pycache__" not in path.parts and ".git" not in path.parts
    of_path = lambda path: digest(str(path.relative_to(folder)), path.stat().st_mode, path if path.is_file() else "")
    content = digest(*(of_path(path) for path in sorted(folder.rglob("*")) if wanted(path)))
    layers.append(layer(f"app-{content}", lambda tar: tar_folder(tar, folder, "app", wanted)))
    name = name if ":" in name else f"{name}:latest"
    return push(name, layers, {"User": f"{USER}:{USER}", "WorkingDir": "/app", "Cmd": ["python3"],
                               "Env": ["PATH=/usr/local/bin:/usr/bin:/bin", "PYTHONUNBUFFERED=1", "LANG=C.UTF-8"]})


# ---- the operator

BUNDLE = "etc/ssl/certs/ca-certificates.crt"


def operator_layers(arch):
    """glibc and the CA bundle, nothing else: no shell, and nothing of this machine."""
    return [layer(f"glibc-{arch}-{digest('1', SUITE)}", lambda tar: glibc(tar, arch)),
            layer(f"certificates-{digest('1', pathlib.Path('/') / BUNDLE)}", certificates)]


def glibc(target, arch):
    """The libraries out of Debian's packages; hooks of mmdebstrap don't run where packages are only unpacked."""
    with tempfile.TemporaryDirectory() as scratch:
        whole = pathlib.Path(scratch) / "whole.tar"
        debian(whole, "libc6,libgcc-s1", variant="extract", flags=[] if arch == architecture() else [f"--architectures={arch}"])
        with tarfile.open(whole) as source, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
            for member in source:
                path = pathlib.PurePath(member.name)
                if path.parts[:1] in (("lib",), ("lib64",)) or (path.parts[:2] == ("usr", "lib") and "gconv" not in path.parts):
                    member.name, member.mtime = str(path), 0
                    tar.addfile(member, source.extractfile(member) if member.isfile() else None)


def certificates(target):
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        tar.addfile(folder)
        content = (pathlib.Path("/") / BUNDLE).read_bytes()
        bundle = tarfile.TarInfo(BUNDLE)
        bundle.size, bundle.mode = len(content), 0o644
        tar.addfile(bundle, io.BytesIO(content))


def operator_base():
    return push("operator-base:1", operator_layers(architecture()), {"Env": ["PATH=/usr/bin:/bin"]})


def build_operator(binary, name="alembic-operator:dev"):
    """Builds the repository's Dockerfile with buildah over a base that is made here, and pushes the result."""
    base = operator_base()
    storage = ["--root", str(CACHE / "buildah"), "--runroot", str(STATE / "buildah"), "--storage-driver", "vfs"]
    target = f"{REGISTRY}/{name}"
    with tempfile.TemporaryDirectory() as context:
        shutil.copy(binary, pathlib.Path(context) / "alembic-operator")
        shutil.copy(REPO / "Dockerfile", context)
        sh(*inside("buildah", *storage, "bud", "--isolation", "chroot", "--network", "host", "--tls-verify=false",
                   "--build-arg", f"BASE={base}", "--tag", target, context))
        digest_file = pathlib.Path(context) / "digest"
        sh(*inside("buildah", *storage, "push", "--tls-verify=false", "--digestfile", digest_file, target, f"docker://{target}"))
        return f"{target.rpartition(':')[0]}@{digest_file.read_text().strip()}"
