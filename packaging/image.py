"""The operator's image as an OCI layout, made of Debian's glibc, a CA bundle and the binary; network: Debian's packages."""
import hashlib
import io
import json
import pathlib
import re
import shutil
import sys
import tarfile
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "cluster"))

import images
from lib import digest, fail

KIND = "application/vnd.oci.image"
USER = "65532:65532"
# What an intruder looks for first.
SHELLS = {"sh", "bash", "dash", "ash", "busybox"}
# What the suite of the base has.
GLIBC = (2, 36)
MACHINES = {"amd64": 0x3E, "arm64": 0xB7}


def binary_layer(arch, binaries):
    def fill(tar):
        with tempfile.TemporaryDirectory() as scratch:
            folder = pathlib.Path(scratch) / "usr" / "bin"
            folder.mkdir(parents=True)
            for binary in binaries:
                shutil.copy(binary, folder)
            images.tar_folder(tar, scratch, "")
    return images.layer(f"release-binary-{arch}-{digest(*binaries)}", fill)


def check(arch, layers, binaries):
    """What a release promises of its image."""
    names = set()
    for each in layers:
        with tarfile.open(images.IMAGES / f"sha256-{each['digest']}") as tar:
            names |= {member.name.lstrip("./") for member in tar.getmembers()}
    shells = [name for name in names if pathlib.PurePath(name).name in SHELLS and "/bin/" in f"/{name}"]
    if shells:
        fail(f"the image has a shell: {shells}")
    if images.BUNDLE not in names:
        fail("the image has no CA certificates")
    for binary in binaries:
        content = binary.read_bytes()
        if content[:4] != b"\x7fELF" or int.from_bytes(content[18:20], "little") != MACHINES[arch]:
            fail(f"{binary} is no program for {arch}")
        newest = max((int(major), int(minor)) for major, minor in re.findall(rb"GLIBC_(\d+)\.(\d+)", content))
        if newest > GLIBC:
            fail(f"{binary} needs glibc {newest[0]}.{newest[1]}, and the image has {GLIBC[0]}.{GLIBC[1]}: build it with --zig")


class Layout:
    """An OCI layout in one tar file, with an image for each architecture."""

    def __init__(self, labels, created):
        self.labels, self.created, self.blobs, self.images = labels, created, {}, []

    def blob(self, kind, content):
        name = hashlib.sha256(content).hexdigest()
        self.blobs[name] = content
        return {"mediaType": f"{KIND}.{kind}", "digest": f"sha256:{name}", "size": len(content)}

    def add(self, arch, binaries):
        """Adds the image of an architecture and returns its size, packed."""
        layers = [*images.operator_layers(arch), binary_layer(arch, binaries)]
        check(arch, layers, binaries)
        config = {"architecture": arch, "os": "linux", "created": self.created,
                  "config": {"User": USER, "Entrypoint": ["/usr/bin/alembic-operator"], "Cmd": ["run"], "Env": ["PATH=/usr/bin"],
                             "Labels": self.labels},
                  "rootfs": {"type": "layers", "diff_ids": [each["diff"] for each in layers]}}
        described = [self.blob("layer.v1.tar+gzip", (images.IMAGES / f"sha256-{each['digest']}").read_bytes()) for each in layers]
        manifest = {"schemaVersion": 2, "mediaType": f"{KIND}.manifest.v1+json",
                    "config": self.blob("config.v1+json", encoded(config)), "layers": described, "annotations": self.labels}
        self.images.append({**self.blob("manifest.v1+json", encoded(manifest)), "platform": {"os": "linux", "architecture": arch}})
        return sum(each["size"] for each in described)

    def write(self, target, reference):
        index = {"schemaVersion": 2, "mediaType": f"{KIND}.index.v1+json", "manifests": self.images, "annotations": self.labels}
        top = self.blob("index.v1+json", encoded(index))
        names = {"org.opencontainers.image.ref.name": reference.rpartition(":")[2], "io.containerd.image.name": reference}
        with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
            put(tar, "oci-layout", encoded({"imageLayoutVersion": "1.0.0"}))
            put(tar, "index.json", encoded({"schemaVersion": 2, "manifests": [{**top, "annotations": names}]}))
            for name, content in sorted(self.blobs.items()):
                put(tar, f"blobs/sha256/{name}", content)
        return top["digest"]


def encoded(value):
    return json.dumps(value, sort_keys=True, indent=1).encode()


def put(tar, name, content):
    """A file without owner and time, so that the same release is the same bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), 0o644
    tar.addfile(info, io.BytesIO(content))
