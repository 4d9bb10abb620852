"""Names and addresses through a partition, as users of Docker Swarm saw them go wrong.

moby 53141: a node is cut off for 10 to 30 seconds; afterwards names of services that had tasks there are not
found by the others for hours, though the containers run and are reached by their addresses.
moby 33872: names and virtual addresses go on to lead to tasks that are gone, so some requests time out or
meet somebody else.
moby 39028: the node that is cut off goes on running what the others have started again; both are there.

Here all of it happens at once: the leader and a worker are cut off until they are down, what ran there runs
elsewhere, a service is removed, another gets its name and others its addresses, and agents are restarted on
both sides. Somebody on every node asks for names and talks to whoever answers, all the time: a name must
never lead to a task of a service that does not have it. Only who was cut off may still be led astray after
the cables are back, until it agrees with the store: its packets get through before it hears of what has
changed. Then every node's names, balancing and routes must be those of the store.
"""

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from swarm.agent.network import namespaces
from swarm.dev.cluster import DevCluster
from swarm.dev.plan import Node
from tests.integration.cluster import truth
from tests.integration.cluster.conftest import Sight
from tests.integration.operator import Operator, wait_until

NETWORK = "market"
PORT = 8080
# Who may answer under which name: `stall` is the name of another service after the first was removed.
SAYS = {"guest": {"guest"}, "web": {"web"}, "stall": {"first", "second"}, "heirs": {"heirs"}}
CREATE = ("service", "create", "-d", "--network", NETWORK, "--stop-grace-period", "1s")


@dataclass
class Customers:
    """On each node somebody asks for every name, and what it leads to who it is."""

    nodes: list[Node]
    met: dict[str, Counter[str]] = field(default_factory=dict)  # by node: what was said
    wrong: list[tuple[float, str, str]] = field(default_factory=list)  # when, at which node, what
    _stopping: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Customers":
        self.met = {node.name: Counter() for node in self.nodes}
        self._threads = [threading.Thread(target=self._ask_on, args=(node,)) for node in self.nodes]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def meet_again(self, node: str, who: str) -> None:
        """Wait until somebody on this node met a task that says so, from now on."""
        before = self.met[node][who]
        wait_until(lambda: self.met[node][who] > before, 60, f"{who} at {node}")

    def _ask_on(self, node: Node) -> None:
        while not self._stopping.wait(0.02):
            netns = truth.one_of(node)
            for name in SAYS if netns else ():
                for asked in (name, f"tasks.{name}"):
                    self._ask(node, netns, asked, name)

    def _ask(self, node: Node, netns: Path, asked: str, name: str) -> None:
        for address in truth.addresses_of(netns, asked, 1.0) or ():
            said = who_is(netns, address)
            if said:
                self.met[node.name][said] += 1
            # Asked again: who was told of an address may come to it when it has just changed hands.
            if said and said not in SAYS[name] and address in (truth.addresses_of(netns, asked, 1.0) or ()):
                told = f"{node.name} was led by {asked} to {said} at {address}"
                self.wrong.append((time.monotonic(), node.name, told))


def who_is(netns: Path, address: str) -> str:
    """Return which service answers at an address; nothing when nobody does."""
    try:
        with namespaces.entered(netns):
            client = socket.socket()
        with client:
            client.settimeout(1)
            client.connect((address, PORT))
            client.sendall(b"GET / HTTP/1.0\r\n\r\n")
            answer = b""
            while piece := client.recv(4096):
                answer += piece
    except OSError:
        return ""
    return answer.decode().partition("\r\n\r\n")[2].partition(" from ")[0]


def says(what: str) -> tuple[str, str]:
    return "--env", f"HELLO_MESSAGE={what}"


def addresses(operator: Operator, service: str) -> Mapping[str, str]:
    """The address of every task of a service, by node."""
    hostnames = {row["ID"]: row["Hostname"] for row in operator.rows("node", "ls")}
    (view,) = json.loads(operator("network", "inspect", "-v", NETWORK))
    tasks = view["Services"].get(service, {}).get("Tasks", ())
    return {one["EndpointIP"]: hostnames.get(one["NodeID"], "") for one in tasks}


@pytest.fixture
def network(operator: Operator) -> Iterator[None]:
    """A small one: what becomes free is given out again soon."""
    operator("network", "create", "--subnet", "10.66.0.0/27", NETWORK)
    yield
    operator.remove_in_turmoil("service", *(row["Name"] for row in operator.rows("service", "ls")))
    operator.remove_in_turmoil("network", NETWORK)


@pytest.mark.alone
@pytest.mark.timeout(600)
@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("forgets", [False, True], ids=["remembers", "forgets"])
def test_no_name_leads_astray_through_a_partition_and_all_nodes_agree_soon_after(
    operator: Operator, cluster: DevCluster, sight: Sight, *, forgets: bool
) -> None:
    """With `forgets`, an agent that is cut off loses its database as well."""
    operator(*CREATE, "--name", "web", "--replicas", "5", *says("web"), "hello:1")
    operator(*CREATE, "--name", "stall", "--replicas", "5", *says("first"), "hello:1")
    operator(*CREATE, "--name", "guest", "--mode", "global", *says("guest"), "hello:1")
    for service in ("web", "stall", "guest"):
        operator.wait_running(service, 5, 60)
    wait_until(lambda: not truth.differences(cluster, truth.told_by(operator, NETWORK)), 60, "agreement")
    lost, leader = addresses(operator, "stall"), sight.leader().name
    cut = (leader, "worker-1")
    others = [node.name for node in cluster.plan.nodes if node.name not in cut]
    people = operator.on(others[0])

    with Customers(list(cluster.plan.nodes)) as customers:
        cluster.partition(cut)
        wait_until(lambda: _down(people, cut), 90, "the nodes to be down")
        cluster.kill("worker-1")
        if forgets:
            _lose_database(cluster.node("worker-1"))
        cluster.start("worker-1")  # it knows no better than before, and goes on
        people("service", "rm", "stall")
        people(*CREATE, "--name", "stall", "--replicas", "2", *says("second"), "hello:1")
        people(*CREATE, "--name", "heirs", "--replicas", "6", *says("heirs"), "hello:1")
        people.wait_running("stall", 2, 60)
        heirs = ("heirs", "stall")
        reused = wait_until(
            lambda: _on(cut, lost) & {one for heir in heirs for one in addresses(people, heir)},
            60,
            "an heir",
        )
        people("service", "update", "-d", "--force", "--update-parallelism", "5", "web")
        cluster.kill("worker-2")
        cluster.start("worker-2")
        customers.meet_again("worker-1", "first")  # cut off, it has what it had
        customers.meet_again("worker-2", "heirs")
        customers.meet_again("worker-2", "second")

        began, found = time.monotonic(), ["nobody looked"]
        cluster.heal()

        def agreed() -> bool:
            told = truth.told_by(people, NETWORK)
            asked = time.monotonic() - began
            found[:] = truth.differences(cluster, told)
            print(f"{asked:.1f} to {time.monotonic() - began:.1f} s: {len(found)} differ", *found[:2])
            return not found

        try:
            wait_until(agreed, 60)
        except AssertionError:
            pytest.fail("\n".join(found))
        agreed_s = time.monotonic() - began
        print(*(f"{when - began:.2f} {told}" for when, _, told in customers.wrong), sep="\n")
        print(f"all nodes agreed {agreed_s:.1f} s after the cables were back")
        for node in cluster.plan.nodes:
            customers.meet_again(node.name, "second")
            customers.meet_again(node.name, "heirs")
    wrong = [
        f"{told}, {when - began:.1f} s after the cables were back"
        for when, node, told in customers.wrong
        if node not in cut or not 0 <= when - began <= agreed_s
    ]
    assert wrong == []
    print(f"{reused} had other owners; {sum(map(Counter.total, customers.met.values()))} answers")


def _lose_database(node: Node) -> None:
    files = list(node.state_dir.glob("**/tasks.db*"))
    assert files
    for path in files:
        path.unlink()


def _on(nodes: tuple[str, ...], places: Mapping[str, str]) -> set[str]:
    return {address for address, node in places.items() if node in nodes}


def _down(operator: Operator, nodes: tuple[str, ...]) -> bool:
    done = operator.try_("node", "ls", "--format", "json")
    rows = [json.loads(line) for line in done.stdout.splitlines()] if done.returncode == 0 else []
    found = {row["Hostname"]: row["Status"] for row in rows}
    return all(found.get(node) == "Down" for node in nodes)
