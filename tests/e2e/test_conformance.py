"""The real API server is asked what the fault sweeps rely on in the one in memory."""
import os
import re

import pytest

from harness import CLUSTER, OPERATOR, ROOT, kubectl, run


@pytest.mark.serial
def test_the_real_api_server_does_what_the_simulated_one_does():
    built = run("cargo", "test", "--locked", "--manifest-path", ROOT / "Cargo.toml", "--test", "faults", "--no-run").stderr
    program = re.search(r"\((.*/faults-[0-9a-f]+)\)", built).group(1)
    namespace = f"e2e-conformance-{os.getpid()}"
    # The cases make objects of their own, which are no work for an operator.
    kubectl("scale", "-n", OPERATOR, f"deployment/{OPERATOR}", "--replicas=0")
    kubectl("wait", "-n", OPERATOR, "pod", "--all", "--for=delete", "--timeout=60s")
    try:
        done = run(CLUSTER / "run", "env", "CONFORMANCE=real", f"CONFORMANCE_NAMESPACE={namespace}", ROOT / program, check=False)
        print(done.stdout)
        assert done.returncode == 0 and done.stdout.count("as relied on") > 10, done.stdout + done.stderr
    finally:
        kubectl("scale", "-n", OPERATOR, f"deployment/{OPERATOR}", "--replicas=1")
        kubectl("rollout", "status", "-n", OPERATOR, f"deployment/{OPERATOR}", "--timeout=60s")
