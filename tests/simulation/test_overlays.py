"""Fifty nodes in one overlay network: how soon does each know what is, also after it was cut off?"""

import asyncio

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.specs_pb2 import NetworkSpec, ServiceSpec
from swarm.debug.overlays import differences
from swarm.manager.controlapi.networks import create_network
from swarm.manager.controlapi.services import create_service
from swarm.manager.dispatcher.overlay_facts import endpoint_of
from swarm.manager.store.watch import Commit
from swarm.model.task_state import is_running
from tests.simulation.world.node import SimNode
from tests.simulation.world.people import People
from tests.simulation.world.workload import Wishes, a_plain_node
from tests.simulation.world.world import World

NODES = 50
NETWORK = "shop"
LIVE_S = 1.0  # from a commit to every node
HEALED_S = 5.0  # from the end of a partition until nothing differs


class Watcher:
    """Looks at every node a second after each change of an endpoint."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.looked = 0
        world.on_commit.append(self.check)

    def check(self, commit: Commit) -> None:
        for event in commit.events:
            if isinstance(event.object, Task) and event.object.networks:
                online = [node for node in self._world.nodes.values() if self._hears(node)]
                self._world.loop.call_later(LIVE_S, self._look, event.object.id, online)

    def _hears(self, node: SimNode) -> bool:
        return node.online and NETWORK in node.overlays.networks

    def _look(self, task_id: str, nodes: list[SimNode]) -> None:
        for node in nodes:
            if not self._hears(node) or self._world.loop.time() - node.back_at_s < LIVE_S:
                continue
            expected = endpoint_of(self._world.view, NETWORK, task_id, node.id)
            known = node.overlays.networks[NETWORK].endpoints.get(task_id)
            self.looked += 1
            if known != expected and not node._news_due:  # else it changed again just now
                self._world.fail(AssertionError(f"{node.id} knows {known}, and {task_id} is {expected}"))


class Guard:
    """Nobody is led to a task when it stops, nor to the one before by an address that changes hands."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.stopped = self.started = 0
        world.on_stop.append(self.check_stop)
        world.on_start.append(self.check_start)

    def _others(self) -> list[SimNode]:
        nodes = self._world.nodes.values()
        return [node for node in nodes if node.online and node.reached and NETWORK in node.overlays.networks]

    def check_stop(self, node: SimNode, task: Task) -> None:
        if not task.withdrawn:
            return  # some node in the mesh did not answer in time
        self.stopped += 1
        for other in self._others():
            known = other.overlays.networks[NETWORK].endpoints.get(task.id)
            assert known is None or not known.serving, f"{other.id} leads to {task.id}, which stops"

    def check_start(self, node: SimNode, task: Task) -> None:
        self.started += 1
        addresses = {address for one in task.networks for address in one.addresses}
        for other in self._others():
            for known in other.overlays.networks[NETWORK].endpoints.values():
                stale = known.task_id != task.id and not addresses.isdisjoint(known.addresses)
                assert not stale, f"{other.id} knows {known.task_id} by the address of {task.id}"


def _problems(world: World) -> list[str]:
    return [
        line
        for node in world.nodes.values()
        if node.online
        for line in differences(world.view, node.id, node.overlays)
    ]


def test_fifty_nodes_know_of_each_change_within_a_second_and_of_all_soon_after_partitions() -> None:
    world = World(7)
    watcher, guard = Watcher(world), Guard(world)
    people = People(world, Wishes(world.random))

    async def scenario(_: World) -> None:
        for number in range(NODES):
            await world.add_node(a_plain_node(f"n{number:02}"))
        spec, network = ServiceSpec(), NetworkSpec(ipv6=True)
        network.annotations.name, spec.annotations.name = NETWORK, "web"
        getattr(spec, "global").SetInParent()
        spec.task.container.image = "v1"
        spec.update.parallelism = 10
        spec.task.networks.add(network_id=NETWORK)
        await world.insist(lambda tx: create_network(tx, network, NETWORK) if not len(tx.networks) else None)
        await world.insist(lambda tx: create_service(tx, spec, "web") if not len(tx.services) else None)
        assert await world.until(lambda: sum(map(is_running, world.view.tasks)) == NODES, 60)
        await asyncio.sleep(LIVE_S)
        assert _problems(world) == []
        assert all(len(node.overlays.networks[NETWORK].endpoints) == NODES for node in world.nodes.values())

        cut = sorted(world.nodes)[:15]
        for node_id in cut:
            world.nodes[node_id].cut()
        await people.change_one("web", lambda spec: setattr(spec.task.container, "image", "v2"))
        await asyncio.sleep(20)  # they are down, and out of the mesh
        witness = world.nodes["n49"].overlays
        state = witness.networks[NETWORK]
        assert len(state.peers) == NODES - 1 - len(cut)
        assert not {endpoint.node_id for endpoint in state.endpoints.values()} & set(cut)
        await world.next_leader()
        for node_id in cut:
            world.nodes[node_id].reconnect()
        assert await world.until(lambda: not _problems(world), HEALED_S, 0.1)
        assert await world.until(lambda: len(witness.networks[NETWORK].peers) == NODES - 1, HEALED_S, 0.1)

    world.play(scenario)
    assert watcher.looked > NODES * NODES
    assert guard.stopped > NODES / 2


def test_addresses_of_a_small_network_change_hands_only_when_nobody_knows_them_any_more() -> None:
    world = World(11)
    world.slowness = 20.0  # up to three seconds: tasks drain for one, and are waited for during five
    guard = Guard(world)
    people = People(world, Wishes(world.random))

    async def scenario(_: World) -> None:
        for number in range(6):
            await world.add_node(a_plain_node(f"n{number:02}"))
        spec, network = ServiceSpec(), NetworkSpec()
        network.annotations.name, spec.annotations.name = NETWORK, "web"
        network.subnets.add(subnet="10.99.0.0/27")
        spec.replicated.replicas = 12
        spec.task.container.image = "v0"
        spec.update.parallelism = 12
        spec.task.networks.add(network_id=NETWORK)
        await world.insist(lambda tx: create_network(tx, network, NETWORK) if not len(tx.networks) else None)
        await world.insist(lambda tx: create_service(tx, spec, "web") if not len(tx.services) else None)
        for number in range(1, 9):
            assert await world.until(lambda: sum(map(is_running, world.view.tasks)) == 12, 90, 0.1)
            if number % 3 == 0:
                await world.next_leader()
            image = f"v{number}"
            await people.change_one(
                "web", lambda spec, image=image: setattr(spec.task.container, "image", image)
            )
            await asyncio.sleep(1)

    world.play(scenario)
    assert guard.stopped > 6 * 12
    assert guard.started > 7 * 12
