"""What the cluster scripts share: where things are, running commands, processes that are ended by their own pid."""
import contextlib
import fcntl
import hashlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
REPO = HERE.parent.parent
CACHE = pathlib.Path(
    os.environ.get("ALEMBIC_OPERATOR_CACHE")
    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "alembic-operator"
)
# One cluster on a machine, whichever clone starts it: it needs most of a small machine.
NAME = "alembic-operator"
STATE = CACHE / "cluster"
# Sockets live here since their paths may have no more than 107 characters.
RUN = pathlib.Path("/run") / NAME
NETNS = pathlib.Path("/run/netns") / NAME
# The benchmarking range: nothing else uses it, and nothing routes it.
NODE_IP = "198.18.0.1"
REGISTRY = f"{NODE_IP}:5000"
KUBECONFIG = STATE / "kubeconfig" / "admin"
STARTED = time.monotonic()


def say(text):
    print(f"[{time.monotonic() - STARTED:5.1f} s] {text}", file=sys.stderr, flush=True)


def fail(text):
    raise SystemExit(f"{pathlib.Path(sys.argv[0]).name}: {text}")


def sh(*command, **options):
    """Runs a command to its end; its output is shown only when it fails."""
    done = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    if done.returncode != 0:
        print(done.stdout, file=sys.stderr)
        fail(f"{' '.join(str(c) for c in command[:4])} … ended with {done.returncode}")
    return done.stdout


def inside(*command):
    """A command line that runs in the cluster's network. Not `ip netns exec`, which hides the cgroups."""
    return ["nsenter", f"--net={NETNS}", *(str(c) for c in command)]


def digest(*parts):
    total = hashlib.sha256()
    for part in parts:
        data = part.read_bytes() if isinstance(part, pathlib.Path) else str(part).encode()
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()[:16]


PACKAGES = {
    "containerd": "containerd", "runc": "runc", "/usr/lib/cni/bridge": "containernetworking-plugins", "iptables": "iptables",
    "nft": "nftables", "conntrack": "conntrack", "ip": "iproute2", "mmdebstrap": "mmdebstrap", "docker-registry": "docker-registry",
    "buildah": "buildah", "openssl": "openssl", "nsenter": "util-linux", "/usr/share/doc/busybox-static": "busybox-static",
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
}


def install_packages():
    """Installs what the harness needs from Debian; a no-op when all of it is there."""
    there = lambda what: os.path.exists(what) if what.startswith("/") else shutil.which(what)
    missing = sorted({package for what, package in PACKAGES.items() if not there(what)})
    if not missing:
        return
    say(f"installing {' '.join(missing)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    sh("apt-get", "update", env=env)
    # Services that Debian would start are not wanted: everything here starts its own.
    policy = pathlib.Path("/usr/sbin/policy-rc.d")
    own = not policy.exists()
    if own:
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
    try:
        sh("apt-get", "install", "-y", "--no-install-recommends", *missing, env=env)
    finally:
        if own:
            policy.unlink()


@contextlib.contextmanager
def locked():
    """One script at a time changes the cluster."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "cluster.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


# ---- processes

def start_time(pid):
    """Tells a process from a later one with the same pid."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


def spawn(name, command, env=None):
    """Starts a component in the cluster's network, with its own log and session, and records who it is."""
    for folder in ("pid", "log"):
        (STATE / folder).mkdir(parents=True, exist_ok=True)
    with open(STATE / "log" / name, "ab") as log:
        process = subprocess.Popen(
            inside(*command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            env={**os.environ, **(env or {})},
        )
    (STATE / "pid" / name).write_text(f"{process.pid} {start_time(process.pid)}\n")


def recorded(name):
    """The pid of a component while it is alive and still the process that was started."""
    try:
        pid, since = (STATE / "pid" / name).read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if start_time(pid) == since else None


def gone(pid):
    """Whether nothing of a process is left but its exit status: a thread that still ends holds its sockets open (proc(5))."""
    try:
        return [int(task) for task in os.listdir(f"/proc/{pid}/task")] == [pid] and start_time(pid) is None
    except OSError:
        return True


def end(name, number, seconds):
    """Sends a signal to a component and waits; says whether it is gone."""
    pid = recorded(name)
    if not pid:
        return True
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    deadline = time.monotonic() + seconds
    while not gone(pid) and time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)
    return gone(pid)


def stop(name):
    end(name, signal.SIGTERM, 10) or end(name, signal.SIGKILL, 5)
    (STATE / "pid" / name).unlink(missing_ok=True)


def wait_for(what, ready, component=None, seconds=90):
    """Polls until something is so; ends with the guilty component's last words when it does not come to be."""
    deadline = time.monotonic() + seconds
    while not ready():
        died = component and not recorded(component)
        if died or time.monotonic() > deadline:
            if component:
                print((STATE / "log" / component).read_text(errors="replace")[-3000:], file=sys.stderr)
            fail(f"{component} has died" if died else f"{what}: not within {seconds} s")
        time.sleep(0.1)
