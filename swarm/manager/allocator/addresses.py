"""Who gets which address of a network? Decided in a transaction, from nothing but what is in the store.

An address is taken while a service, a node, a container of no service, or a task that has not ended says
that it is theirs; the store's indexes know. So there is nothing to restore after a change of the leader,
and a commit of which nobody knows whether it happened is either seen by the next transaction or never
happened. The network remembers the address that was given last: the next one comes behind it.
"""

from collections.abc import Callable, Sequence

from swarm.api.v1.objects_pb2 import Network, Subnet
from swarm.api.v1.types_pb2 import NetworkAddresses
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.ipam import Address, Range, next_address, parse_address
from swarm.model.networks import checked_static, is_overlay, range_of
from swarm.model.task import task_name


def overlay(view: ReadView, network_id: str) -> Network | None:
    """Return the network if it is an overlay: nodes and services have addresses in it, too."""
    network = view.networks.get(network_id)
    return network if network is not None and is_overlay(network) else None


def is_taken(view: ReadView, network_id: str, address: str) -> bool:
    """Whether anybody has an address of a network."""
    key = (network_id, address)
    return bool(
        view.tasks.indexed("address", key)
        or view.services.indexed("address", key)
        or view.nodes.indexed("address", key)
        or view.attachments.indexed("address", key)
    )


class Giver:
    """Gives addresses in one transaction. Whoever is given some has to be written before the next `give`."""

    def __init__(
        self,
        transaction: Transaction,
        resting: Callable[[str, str], bool] = lambda network_id, address: False,
    ) -> None:
        """`resting` says of a free address of a network whether it has to wait for the next owner."""
        self._transaction = transaction
        self._resting = resting
        self._networks: dict[str, Network] = {}  # copies, with what was given last
        self._ranges: dict[tuple[str, int], Range] = {}  # by network and place of the subnet
        self._full: dict[str, str] = {}  # ids of networks without a free address, and how that is said

    def give(self, wanted: Sequence[tuple[Network, Sequence[str]]]) -> list[NetworkAddresses]:
        """Return an address of each subnet of the networks, the ones that are asked for where there are any.

        Raises FailedPrecondition, for people, when one is not to be had; then none was given.
        """
        found = [self._choose(network, asked) for network, asked in wanted]
        for network, addresses, chosen in found:
            for place in chosen:
                self._copy(network).subnets[place].last = addresses.addresses[place]
        return [addresses for _, addresses, _ in found]

    def finish(self) -> None:
        """Write how far the networks have come; to be done last."""
        for network in self._networks.values():
            self._transaction.update(network)

    def _copy(self, network: Network) -> Network:
        if network.id not in self._networks:
            self._networks[network.id] = copy_of(network)
        return self._networks[network.id]

    def _choose(
        self, network: Network, asked: Sequence[str]
    ) -> tuple[Network, NetworkAddresses, Sequence[int]]:
        """Return addresses, and the places of the subnets where nobody asked for one."""
        if network.id in self._full:
            raise FailedPrecondition(self._full[network.id])
        name = network.spec.annotations.name
        wanted = {parse_address(text).version: self._asked(network, name, text) for text in asked}
        found = NetworkAddresses(network_id=network.id)
        chosen: list[int] = []
        for place, subnet in enumerate(network.subnets):
            address = wanted.get(parse_address(subnet.gateway).version)
            if address is None:
                address = self._next(network, place)
                chosen.append(place)
            found.addresses.append(address)
        return network, found, chosen

    def _next(self, network: Network, place: int) -> str:
        among = self._range(network, place)
        last = self._networks.get(network.id, network).subnets[place].last

        def taken(address: Address) -> bool:
            text = str(address)
            return is_taken(self._transaction, network.id, text) or self._resting(network.id, text)

        address = next_address(among, taken, parse_address(last) if last else None)
        if address is None:
            self._full[network.id] = exhausted(network, network.subnets[place], among)
            raise FailedPrecondition(self._full[network.id])
        return str(address)

    def _range(self, network: Network, place: int) -> Range:
        key = (network.id, place)
        if key not in self._ranges:
            self._ranges[key] = range_of(network.subnets[place])
        return self._ranges[key]

    def _asked(self, network: Network, name: str, text: str) -> str:
        try:
            address = checked_static(text, network.subnets, name)
        except InvalidArgument as problem:
            raise FailedPrecondition(str(problem)) from None
        if is_taken(self._transaction, network.id, address):
            holder = _holder(self._transaction, network.id, address)
            raise FailedPrecondition(f"address {address} of network {name} is still that of {holder}")
        return address


def exhausted(network: Network, subnet: Subnet, among: Range) -> str:
    """Return what people are told when a network has no free address left."""
    name = network.spec.annotations.name
    where = f"{subnet.range} of {subnet.subnet}" if subnet.range else subnet.subnet
    pool = f", cut from pool {subnet.pool}" if subnet.pool else ""
    return (
        f"network {name} has no free address left: all {among.size} of {where}{pool} are taken; stop tasks "
        "in it, or make a larger network (swarmctl network create --subnet CIDR NAME) and move services "
        f"there (swarmctl service update --network-rm {name} --network-add NAME SERVICE)"
    )


def _holder(view: ReadView, network_id: str, address: str) -> str:
    key = (network_id, address)
    for task in view.tasks.indexed("address", key):
        return f"task {task_name(task)}"
    for service in view.services.indexed("address", key):
        return f"service {service.spec.annotations.name}"
    for attachment in view.attachments.indexed("address", key):
        return f"container {attachment.name}"
    return next(
        (f"node {node.description.hostname}" for node in view.nodes.indexed("address", key)), "nobody"
    )
