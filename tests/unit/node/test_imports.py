"""What swarmd imports: everybody waits for it at each start, and it stays in memory."""

import json
import subprocess
import sys

STARTED = "import swarm.daemon; swarm.daemon._guarded(lambda: None); "
LOADED = "; import json, sys; print(json.dumps(sorted(sys.modules)))"


def loaded(script):
    done = subprocess.run(
        [sys.executable, "-c", f"{STARTED}{script}{LOADED}"], capture_output=True, check=True
    )
    return set(json.loads(done.stdout))


def test_a_daemon_loads_nothing_that_draws_and_no_engine_that_it_does_not_use():
    modules = loaded("import swarm.node.node, swarm.agent.main, swarm.runtime.select")
    assert "structlog" in modules
    assert not modules & {"rich", "pygments", "attr", "swarm.runtime.docker.driver", "swarm.runtime.fake"}


def test_a_daemon_that_was_told_without_rich_hides_it_from_nobody():
    assert "rich.console" in loaded("import rich.console")


def test_cleanup_loads_nothing_of_the_cluster_and_of_images():
    selects = ("agent.http", "agent.network", "agent.resolver", "runtime")
    script = "; ".join(f"import swarm.{one}.select" for one in selects)
    modules = loaded(f"import swarm.node.machine, swarm.telemetry.log; {script}")
    heavy = {"grpc", "cryptography.x509", "httpx", "zstandard", "prometheus_client", "swarm.manager"}
    assert not modules & {*heavy, "swarm.runtime.images.store", "swarm.runtime.docker.driver"}
