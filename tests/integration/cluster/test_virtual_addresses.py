"""The address of a service in a network, asked by containers on every node of a cluster."""

import json
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

from swarm.agent.network import namespaces
from tests.integration.cluster.conftest import Sight
from tests.integration.operator import Operator, wait_until

PORT = 8080


def ask(netns: Path, address: str) -> str:
    """Return what the service answers over HTTP; raises OSError when it does not."""
    with namespaces.entered(netns):
        client = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    with client:
        client.settimeout(5)
        client.connect((address, PORT))
        client.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = b""
        while piece := client.recv(4096):
            answer += piece
    if b" 200 " not in answer:
        raise OSError(f"an answer of {len(answer)} bytes: {answer!r}")
    return answer.decode().split("\r\n\r\n", 1)[1].strip()


def answers(netns: Path, address: str, count: int) -> bool:
    """Whether so many different tasks answer here."""
    found: set[str] = set()
    for _ in range(60):
        try:
            found.add(ask(netns, address))
        except OSError:
            return False
    return len(found) == count


class Customer:
    """Asks all the time, until told to stop."""

    def __init__(self, netns: Path, address: str) -> None:
        self.answered = 0
        self.failures: list[str] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ask, args=(netns, address))

    def _ask(self, netns: Path, address: str) -> None:
        while not self._stopping.wait(0.01):
            try:
                ask(netns, address)
                self.answered += 1
            except OSError as error:
                self.failures.append(str(error))

    def __enter__(self) -> "Customer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()


def virtual_addresses(operator: Operator, service: str) -> Sequence[str]:
    (found,) = json.loads(operator("service", "inspect", service))
    return [one["Addr"] for one in found["Endpoint"].get("VirtualIPs", ())]


def test_every_node_reaches_all_tasks_and_no_request_is_lost_in_an_update(
    operator: Operator, sight: Sight
) -> None:
    operator("network", "create", "market")
    network = ("--network", "market")
    operator("service", "create", "-d", "--name", "guest", *network, "--mode", "global", "hello:1")
    order = ("--update-order", "start-first", "--update-parallelism", "2", "--update-monitor", "1s")
    health = (
        "--health-cmd",
        "busybox wget -q -O /dev/null http://127.0.0.1:8080/",
        "--health-interval",
        "1s",
    )
    operator(
        "service", "create", "-d", "--name", "stall", *network, "--replicas", "4", *order, *health, "hello:1"
    )
    operator.wait_running("guest", 5, 60)
    operator.wait_running("stall", 4, 60)
    (address,) = virtual_addresses(operator, "stall")
    guests = [Path(f"/proc/{pid}/ns/net") for pid in sight.pids("guest").values()]
    assert len(guests) == 5
    for netns in guests:
        wait_until(lambda netns=netns: answers(netns, address, 4), 60, "all to answer")

    with Customer(guests[0], address) as one, Customer(guests[-1], address) as other:
        operator("service", "update", "--force", "stall", timeout_s=120)
        wait_until(lambda: min(one.answered, other.answered) > 20, what="them to be asked")
    assert one.failures == other.failures == []

    operator("service", "create", "-d", "--name", "plain", *network, "--endpoint-mode", "dnsrr", "hello:1")
    operator.wait_running("plain", 1, 60)
    assert virtual_addresses(operator, "plain") == []
    operator("service", "rm", "plain", "stall", "guest")
