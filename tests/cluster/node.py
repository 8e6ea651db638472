"""The node: its network, certificates and components, started and ended. See README.md."""
import json
import os
import pathlib
import shutil
import subprocess
import time

from lib import (CACHE, HERE, KUBECONFIG, NAME, NETNS, NODE_IP, REGISTRY, RUN, STATE, digest, fail, inside, install_packages,
                 recorded, say, sh, spawn, stop, wait_for)

POD_CIDR = "198.18.128.0/17"
SERVICE_CIDR = "198.19.0.0/20"
SERVICE_IP = "198.19.0.1"
NODE = "node"
# In the order in which they are started; stopped in the order of STOP_ORDER.
COMPONENTS = ["registry", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "containerd", "kubelet",
              "kube-proxy", "coredns"]


# ---- the one program that holds every Kubernetes component

VERSION = "v1.34.4"
FLAGS = ("-s -w -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34 "
         f"-X k8s.io/component-base/version.gitVersion={VERSION}")


def program():
    """Path of the program; built once for each go.sum, which takes minutes, and says so."""
    source = HERE / "node"
    binary = CACHE / "bin" / f"node-{digest(source / 'go.mod', source / 'go.sum', source / 'main.go')}"
    if binary.exists():
        return binary
    if not shutil.which("go"):
        fail("Go is needed to build the cluster's program; install it and try again")
    say(f"building Kubernetes {VERSION} from source: 5 to 15 minutes on 2 cores, this once")
    binary.parent.mkdir(parents=True, exist_ok=True)
    log = CACHE / "bin" / "build.log"
    part = binary.with_suffix(".part")
    env = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false", "GOTOOLCHAIN": "local"}
    with open(log, "w") as out:
        build = subprocess.Popen(["go", "build", "-v", "-trimpath", "-ldflags", FLAGS, "-o", str(part), "."],
                                 cwd=source, env=env, stdout=out, stderr=out)
        told = time.monotonic()
        while build.poll() is None:
            time.sleep(0.5)
            if time.monotonic() - told > 30:
                told = time.monotonic()
                say(f"  {sum(1 for _ in open(log))} packages compiled or fetched, of about 3500")
    if build.returncode != 0:
        print(log.read_text()[-3000:])
        fail("the build failed")
    part.rename(binary)
    return binary


# ---- network

def network():
    sh("ip", "netns", "add", NAME)
    for command in (
        "link set lo up",
        "link add node0 type bridge",
        f"addr add {NODE_IP}/17 dev node0",
        "link set node0 up",
        # A default route to itself: some components want one, and it leads nowhere.
        f"route add default via {NODE_IP} dev node0",
    ):
        sh(*inside("ip", *command.split()))
    sh(*inside("sysctl", "-qw", "net.ipv4.ip_forward=1"))


def cni():
    folder = STATE / "cni"
    folder.mkdir(parents=True, exist_ok=True)
    bridge = {"type": "bridge", "bridge": "pods0", "isGateway": True, "ipMasq": False, "hairpinMode": True,
              "ipam": {"type": "host-local", "dataDir": str(STATE / "ipam"), "ranges": [[{"subnet": POD_CIDR}]],
                       "routes": [{"dst": "0.0.0.0/0"}]}}
    plugins = [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}]
    (folder / "10-pods.conflist").write_text(json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": plugins}))


# ---- certificates

CLIENTS = {
    "admin": "/O=system:masters/CN=admin",
    "kube-controller-manager": "/CN=system:kube-controller-manager",
    "kube-scheduler": "/CN=system:kube-scheduler",
    "kube-proxy": "/CN=system:kube-proxy",
    "kubelet": f"/O=system:nodes/CN=system:node:{NODE}",
    "coredns": "/O=system:masters/CN=coredns",
}


def certificate(name, subject, extensions=""):
    pki = STATE / "pki"
    config = pki / f"{name}.ext"
    config.write_text(f"basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth,clientAuth\n{extensions}\n")
    sh("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", subject,
       "-keyout", pki / f"{name}.key", "-out", pki / f"{name}.csr")
    sh("openssl", "x509", "-req", "-in", pki / f"{name}.csr", "-CA", pki / "ca.crt", "-CAkey", pki / "ca.key",
       "-CAcreateserial", "-days", "365", "-extfile", config, "-out", pki / f"{name}.crt")


def certificates():
    pki = STATE / "pki"
    pki.mkdir(mode=0o700, parents=True)
    sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "365",
       "-subj", f"/CN={NAME}", "-addext", "basicConstraints=critical,CA:TRUE", "-keyout", pki / "ca.key", "-out", pki / "ca.crt")
    sh("openssl", "genrsa", "-out", pki / "service-account.key", "2048")
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"]
    alternatives = [f"DNS:{n}" for n in names] + [f"IP:{ip}" for ip in (NODE_IP, SERVICE_IP, "127.0.0.1")]
    certificate("kube-apiserver", "/CN=kube-apiserver", "subjectAltName=" + ",".join(alternatives))
    for name, subject in CLIENTS.items():
        certificate(name, subject)
        kubeconfig(name)


def kubeconfig(name):
    pki = STATE / "pki"
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": NAME,
        "clusters": [{"name": NAME, "cluster": {"server": f"https://{NODE_IP}:6443", "certificate-authority": str(pki / "ca.crt")}}],
        "users": [{"name": name, "user": {"client-certificate": str(pki / f"{name}.crt"), "client-key": str(pki / f"{name}.key")}}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": name}}],
    }
    path = STATE / "kubeconfig" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(config))


# ---- components

def files():
    """Configuration files; each is written anew at every start."""
    (STATE / "registry.yml").write_text(
        f"version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {CACHE / 'registry'}}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '{REGISTRY}'}}\n")
    (STATE / "resolv.conf").write_text("")
    (STATE / "Corefile").write_text(
        f".:53 {{\n  errors\n  cache 5\n  kubernetes cluster.local {{\n    kubeconfig {STATE}/kubeconfig/coredns {NAME}\n  }}\n}}\n")
    (STATE / "kubelet.json").write_text(json.dumps({
        "apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration",
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": f"{STATE}/pki/ca.crt"}},
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs", "failSwapOn": False, "enforceNodeAllocatable": [],
        "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        "clusterDNS": [NODE_IP], "clusterDomain": "cluster.local", "resolvConf": f"{STATE}/resolv.conf",
        "containerRuntimeEndpoint": f"unix://{RUN}/containerd.sock", "maxPods": 200,
        "registryPullQPS": 0, "serializeImagePulls": False,
    }))
    cri = '[plugins."io.containerd.grpc.v1.cri"'
    (STATE / "containerd.toml").write_text(f"""version = 2
root = "{STATE}/containerd"
state = "{RUN}/containerd"
disabled_plugins = ["io.containerd.internal.v1.restart"]
[grpc]
  address = "{RUN}/containerd.sock"
{cri}]
  sandbox_image = "{REGISTRY}/pause:1"
  restrict_oom_score_adj = true
{cri}.containerd]
  default_runtime_name = "runc"
{cri}.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
{cri}.cni]
  bin_dir = "/usr/lib/cni"
  conf_dir = "{STATE}/cni"
{cri}.registry.mirrors."{REGISTRY}"]
  endpoint = ["http://{REGISTRY}"]
""")


def commands(node):
    pki, config = STATE / "pki", STATE / "kubeconfig"
    return {
        "registry": ["docker-registry", "serve", STATE / "registry.yml"],
        "etcd": [node, "etcd", f"--data-dir={STATE}/etcd", "--unsafe-no-fsync", "--log-level=warn",
                 "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
                 "--listen-peer-urls=http://127.0.0.1:2380"],
        "kube-apiserver": [
            node, "kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction", "--kubelet-preferred-address-types=InternalIP",
            f"--advertise-address={NODE_IP}", f"--service-cluster-ip-range={SERVICE_CIDR}", f"--client-ca-file={pki}/ca.crt",
            f"--tls-cert-file={pki}/kube-apiserver.crt", f"--tls-private-key-file={pki}/kube-apiserver.key",
            f"--kubelet-client-certificate={pki}/admin.crt", f"--kubelet-client-key={pki}/admin.key",
            f"--service-account-key-file={pki}/service-account.key", f"--service-account-signing-key-file={pki}/service-account.key",
            "--service-account-issuer=https://kubernetes.default.svc"],
        "kube-controller-manager": [
            node, "kube-controller-manager", f"--kubeconfig={config}/kube-controller-manager", "--leader-elect=false",
            f"--service-account-private-key-file={pki}/service-account.key", f"--root-ca-file={pki}/ca.crt",
            "--use-service-account-credentials", "--bind-address=127.0.0.1"],
        "kube-scheduler": [node, "kube-scheduler", f"--kubeconfig={config}/kube-scheduler", "--leader-elect=false", "--bind-address=127.0.0.1"],
        "containerd": ["containerd", "--config", STATE / "containerd.toml"],
        "kubelet": [node, "kubelet", f"--config={STATE}/kubelet.json", f"--kubeconfig={config}/kubelet", f"--node-ip={NODE_IP}",
                    f"--hostname-override={NODE}", f"--root-dir={STATE}/kubelet", f"--cert-dir={STATE}/kubelet-pki"],
        "kube-proxy": [node, "kube-proxy", f"--kubeconfig={config}/kube-proxy", "--proxy-mode=nftables", f"--cluster-cidr={POD_CIDR}",
                       f"--hostname-override={NODE}", "--conntrack-max-per-core=0", "--conntrack-min=0"],
        "coredns": [node, "coredns", "-conf", STATE / "Corefile"],
    }


def kubectl_command(*arguments):
    return inside(program(), "kubectl", f"--kubeconfig={KUBECONFIG}", *arguments)


def kubectl(*arguments):
    return subprocess.run(kubectl_command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def alive():
    """Whether every component runs and the node is Ready."""
    if not NETNS.exists() or not all(recorded(name) for name in COMPONENTS):
        return False
    return ready()


def ready():
    path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}"
    done = kubectl("get", "node", NODE, "-o", path)
    return done.returncode == 0 and done.stdout.strip() == "True"


def registry_answers():
    return subprocess.run(inside("bash", "-c", f"exec 3<>/dev/tcp/{NODE_IP}/5000"), stderr=subprocess.DEVNULL).returncode == 0


def up(images):
    """Brings the cluster up unless it is; `images` fills the registry once that runs."""
    if alive():
        return say("the cluster is up already")
    if NETNS.exists() or STATE.exists():
        say("clearing away what an earlier cluster left")
        down()
    install_packages()
    node = program()
    RUN.mkdir(parents=True, exist_ok=True)
    STATE.mkdir(parents=True)
    (STATE / "registry").mkdir()
    (CACHE / "registry").mkdir(exist_ok=True)
    network()
    cni()
    certificates()
    files()
    start = commands(node)
    spawn("registry", start["registry"])
    wait_for("the registry answers", registry_answers, "registry")
    images()
    for name in COMPONENTS[1:]:
        spawn(name, start[name])
        if name == "kube-apiserver":
            wait_for("the API server is ready", lambda: kubectl("get", "--raw", "/readyz").returncode == 0, name)
            say("the API server is ready")
        if name == "containerd":
            # The kubelet gives up at once where nobody listens.
            wait_for("containerd answers", lambda: ctr("version").returncode == 0, name)
    wait_for("the node is Ready", ready, "kubelet")
    wait_for("the default service account is there",
             lambda: kubectl("get", "serviceaccount", "default").returncode == 0, "kube-controller-manager")
    say("the node is Ready")


# The kubelet first, or it would start the containers again; then the containers, while containerd can still end them.
STOP_ORDER = ["kubelet", "kube-proxy", "coredns", "kube-scheduler", "kube-controller-manager", "kube-apiserver", "etcd"]


def down():
    """Ends everything by its own pid and removes every trace but the caches."""
    stop("kubelet")
    end_containers()
    for name in STOP_ORDER[1:] + ["containerd", "registry"]:
        stop(name)
    end_shims()
    for mount in mounts_below(STATE, RUN):
        subprocess.run(["umount", "--lazy", mount], stderr=subprocess.DEVNULL)
    if NETNS.exists():
        subprocess.run(["ip", "netns", "delete", NAME], stderr=subprocess.DEVNULL)
    for folder in (STATE, RUN):
        shutil.rmtree(folder, ignore_errors=True)
    pods = pathlib.Path("/sys/fs/cgroup")
    for cgroup in sorted(pods.glob("*/kubepods"), reverse=True):
        for folder, _, _ in os.walk(cgroup, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass


def ctr(*arguments):
    return subprocess.run(["ctr", "--address", f"{RUN}/containerd.sock", "--namespace", "k8s.io", *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, timeout=20)


def end_containers():
    if not recorded("containerd"):
        return
    try:
        tasks = ctr("tasks", "list", "--quiet").stdout.split()
        for task in tasks:
            ctr("tasks", "kill", "--signal", "SIGKILL", task)
        for task in tasks:
            ctr("tasks", "delete", "--force", task)
    except subprocess.TimeoutExpired:
        pass


def end_shims():
    """What containerd could not end any more: shims of this cluster's containerd, told by its socket, and their children."""
    parents, shims = {}, set()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().decode(errors="replace")
            parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if "containerd-shim" in command and f"{RUN}/containerd.sock" in command:
            shims.add(int(entry.name))
    ours = set(shims)
    while True:
        children = {pid for pid, parent in parents.items() if parent in ours} - ours
        if not children:
            break
        ours |= children
    for pid in sorted(ours - shims) + sorted(shims):
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass
    if ours:
        time.sleep(0.3)


def mounts_below(*folders):
    lines = pathlib.Path("/proc/self/mounts").read_text().splitlines()
    paths = [line.split()[1] for line in lines]
    return sorted((p for p in paths if any(p.startswith(f"{f}/") for f in folders)), key=len, reverse=True)
