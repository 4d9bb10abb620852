"""Overlay networks in a storm: who makes and changes them, what holds of addresses and of what nodes know.

Draws from a random source of its own, so that seeds without networks are the stories that they were.
"""

import asyncio
import random
from collections.abc import Iterator

from swarm.api.v1.objects_pb2 import Node, Service, Task
from swarm.api.v1.specs_pb2 import NetworkSpec, ServiceSpec
from swarm.api.v1.types_pb2 import EndpointSpec, NetworkAddresses, NetworkAttachment
from swarm.debug.overlays import differences
from swarm.manager.controlapi.networks import create_network, remove_network
from swarm.manager.dispatcher.overlay_facts import joined
from swarm.manager.store.watch import Action, Commit
from swarm.model import task_state
from swarm.model.networks import range_of
from tests.simulation.world.node import SimNode
from tests.simulation.world.people import People
from tests.simulation.world.story import Broken
from tests.simulation.world.world import World

CHANCE = 0.1  # of a seed to have networks
Place = tuple[str, str]  # network and address


class Networks:
    """The networks of one seed."""

    def __init__(self, world: World, people: People, *, wanted: bool) -> None:
        self._world = world
        self._people = people
        self._random = random.Random(f"networks {world.seed}")
        self.wanted = self._random.random() < CHANCE or wanted
        self._made = 0
        self._holders: dict[Place, dict[str, str]] = {}  # object → who has the address by it
        self._places: dict[str, set[Place]] = {}  # by object

    # What people do.

    async def begin(self) -> None:
        """Make the first networks: one with both families, and one that is soon full."""
        if self.wanted:
            await self._create("wide", ipv6=True)
            await self._create("small", subnet="10.99.0.0/29")

    async def bother(self, pause_s: float) -> None:
        """Change networks now and then, until cancelled."""
        rng = self._random
        while self.wanted:
            await asyncio.sleep(rng.expovariate(1 / pause_s))
            services = [service.id for service in self._world.view.services]
            if rng.random() < 0.2:
                await self._remake()
            elif services:
                service_id = rng.choice(services)
                self._world.tell(f"somebody changes the networks of {service_id}")
                await self._people.change_one(service_id, self.choose)

    async def calm_down(self) -> None:
        """Have services leave networks that are too small: what starves there may do so for ever."""
        for service in tuple(self._world.view.services) if self.wanted else ():
            while self._is_cramped(service.id):
                await self._people.change_one(service.id, self._leave_small)
                await asyncio.sleep(0.3)

    def _is_cramped(self, service_id: str) -> bool:
        service = self._world.view.services.get(service_id)
        return service is not None and any(map(self._is_small, service.spec.task.networks))

    def _leave_small(self, spec: ServiceSpec) -> None:
        kept = [one for one in spec.task.networks if not self._is_small(one)]
        del spec.task.networks[:]
        spec.task.networks.extend(kept)
        spec.endpoint.ClearField("mode")

    def _is_small(self, one: NetworkAttachment) -> bool:
        network = self._world.view.networks.get(one.network_id)
        return network is None or network.spec.annotations.name == "small"

    def choose(self, spec: ServiceSpec) -> None:
        """Give a service other networks."""
        rng, networks = self._random, sorted(self._world.view.networks, key=lambda one: one.id)
        del spec.task.networks[:]
        spec.endpoint.ClearField("mode")
        if not networks:
            return
        for network in rng.sample(networks, rng.choice((0, 1, 1, 1, len(networks)))):
            spec.task.networks.add(network_id=network.id, aliases=["www"])
        if spec.task.networks and rng.random() < 0.3:
            spec.endpoint.mode = EndpointSpec.MODE_DNSRR

    async def _create(self, name: str, *, ipv6: bool = False, subnet: str = "") -> None:
        self._made += 1
        spec, network_id = NetworkSpec(ipv6=ipv6), f"net{self._made}"
        spec.annotations.name = name
        if subnet:
            spec.subnets.add(subnet=subnet)
        self._world.tell(f"somebody creates network {network_id}, {name}")
        await self._world.try_to(lambda tx: create_network(tx, spec, network_id))

    async def _remake(self) -> None:
        """Remove a network that nobody uses; one of the same name and subnet is made at once."""
        for name, subnet in (("wide", ""), ("small", "10.99.0.0/29")):
            if await self._world.try_to(lambda tx, name=name: remove_network(tx, name)) is not None:
                await self._create(name, ipv6=not subnet, subnet=subnet)
                return

    # What must hold.

    def check(self, commit: Commit) -> None:
        """Take over a commit; raises Broken when two have one address."""
        touched: set[Place] = set()
        for event in commit.events:
            one = event.object
            if isinstance(one, Task | Service | Node):
                gone = event.action is Action.REMOVE
                touched |= self._put(f"{type(one).__name__} {one.id}", {} if gone else dict(_held(one)))
        for place in sorted(touched):
            holders = set(self._holders.get(place, {}).values())
            if len(holders) > 1:
                raise Broken(
                    f"address {place[1]} of {place[0]} is that of {' and of '.join(sorted(holders))}"
                )

    def _put(self, what: str, held: dict[Place, str]) -> set[Place]:
        before = self._places.get(what, set())
        for place in before - held.keys():
            del self._holders[place][what]
        for place, holder in held.items():
            self._holders.setdefault(place, {})[what] = holder
        self._places[what] = set(held)
        return set(held)

    def check_start(self, node: SimNode, task: Task) -> None:
        """A container that starts has its networks there."""
        for one in task.networks:
            known = node.overlays.networks.get(one.network_id)
            if known is None or not known.network.router_addresses:
                raise Broken(f"task {task.id} starts on {node.id}, which has no address in {one.network_id}")

    def problem(self) -> str:
        """Return what a node does not know rightly; empty when all do."""
        for node in self._world.nodes.values():
            if node.online and node.id in self._world.view.nodes:
                found = differences(self._world.view, node.id, node.overlays)
                if found:
                    return f"node {node.id} does not know what is: {found[0]}"
        return ""

    def hinder(self, task: Task) -> bool:
        """Whether a task that waits lacks an address that is really not to be had."""
        attached = [one.network_id for one in task.spec.networks]
        if any(one not in self._world.view.networks for one in attached):
            return bool(attached)
        lacking = attached if task.status.state == task_state.NEW else self._not_joined(task, attached)
        return any(self._is_full(one) for one in lacking)

    def _not_joined(self, task: Task, attached: list[str]) -> list[str]:
        if task.status.state > task_state.PREPARING or not task.node_id:
            return []
        return [one for one in attached if one not in joined(self._world.view, task.node_id)]

    def _is_full(self, network_id: str) -> bool:
        network = self._world.view.networks.get(network_id)
        if network is None:
            return False
        taken = {place for place, holders in self._holders.items() if holders and place[0] == network_id}
        return any(
            range_of(one).size <= len([place for place in taken if (":" in place[1]) == (":" in one.subnet)])
            for one in network.subnets
        )


def _held(one: Task | Service | Node) -> Iterator[tuple[Place, str]]:
    if isinstance(one, Task):
        if one.status.state not in task_state.TERMINAL:
            yield from _places(one.virtual_addresses, f"service {one.service_id}")
            yield from _places(one.networks, f"task {one.id}")
    elif isinstance(one, Service):
        yield from _places(one.virtual_addresses, f"service {one.id}")
    else:
        yield from _places(one.networks, f"node {one.id}")


def _places(held: "Iterator[NetworkAddresses]", who: str) -> Iterator[tuple[Place, str]]:
    for one in held:
        for address in one.addresses:
            yield (one.network_id, address), who
