"""A node gets another release of swarm and goes back, while its containers talk to those of others."""

import json
import signal
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from swarm.agent.network import namespaces
from swarm.dev import processes
from swarm.dev.cluster import DevCluster
from tests.integration.cluster import truth
from tests.integration.cluster.conftest import Sight
from tests.integration.cluster.test_overlays import places, virtual_address
from tests.integration.cluster.test_virtual_addresses import Customer, answers
from tests.integration.operator import Operator, wait_until
from tests.integration.overlay.lab import flood
from tests.integration.versions import make_version

NEW = "0.2.0"
UPGRADED = "worker-1"
PATIENCE_S = 5.0  # as long as programs wait for a name server before they ask again


class Asker:
    """Asks for a name all the time, until told to stop."""

    def __init__(self, netns: Path, name: str, address: str) -> None:
        self.right = 0
        self.wrong: list[object] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(netns, name, address))

    def _ask(self, netns: Path, name: str, address: str) -> None:
        while not self._stopping.wait(0.01):
            heard = truth.addresses_of(netns, name, PATIENCE_S)
            if heard == frozenset((address,)):
                self.right += 1
            else:
                self.wrong.append(heard)

    def __enter__(self) -> "Asker":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()


def new_release(folder: Path) -> Path:
    """A tree with a release that also has another name server, so that both are replaced."""
    tree = make_version(folder / "new", NEW)
    with (tree / "swarm/agent/resolver/server.py").open("a") as file:
        file.write("\n# Of another release.\n")
    return tree


def release_of(operator: Operator, node: str) -> str:
    (seen,) = json.loads(operator("node", "inspect", node))
    up = seen["Status"]["State"] == "ready"
    return str(seen["Description"]["Engine"]["EngineVersion"]) if up else ""


def whole(line: str) -> bool:
    """Whether a line of a log is there to its end: it may be read while it is written."""
    return line.startswith("{") and line.endswith("}")


def test_an_upgrade_and_the_way_back_interrupt_no_packet(
    operator: Operator,
    cluster: DevCluster,
    sight: Sight,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tree, node = new_release(tmp_path), cluster.node(UPGRADED)
    ours, before = processes.swarmd(), release_of(operator, UPGRADED)
    releases = {NEW: ["env", "-C", str(tree), sys.executable, "-m", "swarm.daemon"], before: ours}
    for name, *options in (("town",), ("bank", "--opt", "encrypted")):
        operator("network", "create", *options, name)
    networks = ("--network", "town", "--network", "bank", "--publish", "8080:8080")
    operator("service", "create", "-d", "--name", "live", "--mode", "global", *networks, "hello:1")
    operator.wait_running("live", 5)
    rows = {row["Node"]: row["ID"] for row in operator.running("live")}
    there = places(operator, sight, "live")
    (here, addresses), (far, _) = (
        next(place for task_id, place in there.items() if task_id.startswith(rows[name]))
        for name in (UPGRADED, "manager-1")
    )
    virtual = virtual_address(operator, "live", "town")
    secret = virtual_address(operator, "live", "bank")
    ways = (here, virtual), (far, secret), (namespaces.OWN, str(node.address))
    wait_until(lambda: all(answers(*way, 5) for way in ways), what="all to answer")
    pids = sight.pids("live")

    def change(version: str, sent: int) -> bool:
        if sent == 20:
            cluster.kill(UPGRADED, signal.SIGTERM)  # what systemd does, which leaves all else alone
            with monkeypatch.context() as patch:
                patch.setattr(processes, "swarmd", lambda: releases[version])
                cluster.start(UPGRADED)
            wait_until(lambda: release_of(operator, UPGRADED) == version, what=f"swarm {version}")
            wait_until(replaced, what="another name server")
        return sent == 60

    def replaced() -> bool:
        """Whether the daemon that runs now has started a name server in place of the one before."""
        said = [json.loads(line) for line in node.log.read_text().splitlines() if whole(line)]
        last = max(number for number, one in enumerate(said) if one["event"] == "node.resumed")
        return any(one["event"] == "resolver.started" and one["instead_of"] for one in said[last:])

    # However long a busy machine takes to start a daemon: nobody is to replace its tasks meanwhile.
    operator("update", "--dispatcher-heartbeat", "60s")
    try:
        for version in (NEW, before):
            with (
                Customer(here, virtual) as inside,
                Customer(far, secret) as encrypted,
                Customer(namespaces.OWN, str(node.address)) as outside,
                Asker(here, "live", virtual) as asker,
            ):
                sent = flood(far, addresses["town"], partial(change, version))
                enough = asker.right + 10
                wait_until(lambda: asker.right >= enough, what="names after it")  # noqa: B023
            lost = {
                way: customer.failures
                for way, customer in (("virtual", inside), ("encrypted", encrypted), ("ingress", outside))
            }
            assert lost == {"virtual": [], "encrypted": [], "ingress": []}
            assert min(inside.answered, encrypted.answered, outside.answered) > 0
            assert asker.wrong == []
            assert sent == (60, 60)
    finally:
        operator("update", "--dispatcher-heartbeat", "2.5s")
    assert sight.pids("live") == pids
    operator("service", "rm", "live")
