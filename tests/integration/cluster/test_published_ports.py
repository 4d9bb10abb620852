"""A port of all nodes, asked from outside all the time, while everything behind it changes."""

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from swarm.dev.cluster import DevCluster
from swarm.dev.plan import Node
from tests.integration.cluster import truth
from tests.integration.operator import Operator, wait_until

PORT = 8080
CUSTOMERS = 8
PATIENCE_S = 10.0
REQUESTS = 10_000


@dataclass
class Crowd:
    """Customers who ask one node after the other, until told to stop."""

    addresses: Sequence[str]
    answered: int = 0
    failures: list[tuple[float, str, str]] = field(default_factory=list)  # when it was asked, whom, what
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Crowd":
        self._thread = threading.Thread(target=lambda: asyncio.run(self._come()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def wait(self, more: int) -> None:
        """Wait until so many more were answered."""
        wanted = self.answered + more
        wait_until(lambda: self.answered >= wanted, 300, f"{more} answers")

    async def _come(self) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(CUSTOMERS):
                group.create_task(self._ask_on(number))

    async def _ask_on(self, turn: int) -> None:
        while not self._stopping.is_set():
            turn += 1
            address, began = self.addresses[turn % len(self.addresses)], time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await ask(address)
                self.answered += 1
            except (OSError, EOFError) as error:
                self.failures.append((began, address, f"{type(error).__name__} {error}"))
                await asyncio.sleep(0.01)


async def ask(address: str) -> None:
    reader, writer = await asyncio.open_connection(address, PORT)
    try:
        writer.write(b"GET / HTTP/1.0\r\n\r\n")
        answer = await reader.read()
    finally:
        writer.close()
    if b" 200 " not in answer:
        raise EOFError(f"an answer of {len(answer)} bytes")


@pytest.mark.alone
@pytest.mark.timeout(900)
def test_no_request_is_lost_but_those_to_a_node_that_dies(cluster: DevCluster, operator: Operator) -> None:
    health = (*("--health-http", f":{PORT}/"), *("--health-interval", "1s"))
    order = ("--update-order", "start-first", "--update-monitor", "1s")
    publish = ("--publish", f"{PORT}:8080")
    operator(
        "service", "create", "-q", "--name", "shop", *publish, "--replicas", "3", *health, *order, "hello:1"
    )
    (row,) = operator.rows("service", "ls", "--filter", "name=shop")
    assert row["Ports"] == f"*:{PORT}->8080/tcp"
    addresses = [str(node.address) for node in cluster.plan.nodes]

    with Crowd(addresses) as crowd:
        crowd.wait(REQUESTS // 10)
        operator("service", "update", "--force", "-q", "shop", timeout_s=120)
        operator("service", "scale", "shop=6", timeout_s=120)
        operator("service", "scale", "shop=3", timeout_s=120)
        operator("node", "update", "--availability", "drain", "worker-1")
        wait_until(lambda: "worker-1" not in nodes_of(operator), 60, "the node to be drained")
        operator("node", "update", "--availability", "active", "worker-1")
        crowd.wait(max(0, REQUESTS - crowd.answered))
    assert crowd.failures == []

    operator(
        "service", "update", "--force", "-q", "--constraint-add", "node.role==worker", "shop", timeout_s=120
    )
    others = [node for node in cluster.plan.nodes if node.name != "worker-2"]
    ingress = truth.told_by(operator, "ingress")
    gone = {address for address, node in ingress.places.items() if node == "worker-2"}
    assert gone
    with Crowd([str(node.address) for node in others]) as crowd:
        cluster.partition(["worker-2"])  # its containers go with it
        wait_until(lambda: states(operator)["worker-2"] == "Down", 60, "the node to be down")
        wait_until(lambda: not leading_to(gone, ingress, others), 60, "nobody to be led to it")
        # Whoever was led to the node until then may still wait for an answer.
        nobody_since = time.monotonic()
        crowd.wait(500)
    late = [one for one in crowd.failures if one[0] > nobody_since]
    assert late == []
    cluster.heal()
    wait_until(lambda: states(operator)["worker-2"] == "Ready", 60, "the node to be back")
    operator("service", "rm", "shop")


def leading_to(addresses: set[str], network: truth.Truth, nodes: Sequence[Node]) -> set[str]:
    """Return the nodes whose rules lead somebody to one of these addresses."""
    return {
        node.name for node in nodes if addresses & truth.named_at(node.run / "overlays" / network.network_id)
    }


def nodes_of(operator: Operator) -> set[str]:
    return {row["Node"] for row in operator.running("shop")}


def states(operator: Operator) -> dict[str, str]:
    return {row["Hostname"]: row["Status"] for row in operator.rows("node", "ls")}
