"""Which virtual addresses and which ports of all nodes does a service have?"""

from collections.abc import Collection, Sequence

from swarm.api.v1.objects_pb2 import Service
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import PortConfig
from swarm.errors import FailedPrecondition
from swarm.manager.allocator.addresses import Giver, overlay
from swarm.manager.store.tables import ReadView, copy_of
from swarm.manager.store.transaction import Transaction
from swarm.model.ingress_ports import choose_port, is_ingress, protocol_name
from swarm.model.networks import has_virtual_addresses, network_ids
from swarm.model.rollout import is_unfinished


def is_settled(view: ReadView, service: Service) -> bool:
    """Whether a service has what it needs of the cluster, and nothing else."""
    has = [one.network_id for one in service.virtual_addresses]
    wanted = _wanted(view, service)
    if set(has) - set(_kept(view, service)) or set(wanted) - set(has):
        return False
    asked = [port for port in service.spec.endpoint.ports if is_ingress(port)]
    return len(asked) == len(service.ingress_ports) and all(map(_fits, asked, service.ingress_ports))


def settle_service(transaction: Transaction, giver: Giver, service: Service) -> Service:
    """Give a service what it lacks, take what it needs no more; return it as it is then.

    Raises FailedPrecondition when something cannot be given; then nothing was changed.
    """
    if is_settled(transaction, service):
        return service
    settled = copy_of(service)
    ports = _ports(transaction, service)
    kept = _kept(transaction, service)
    has = {one.network_id: one for one in service.virtual_addresses if one.network_id in kept}
    lacking = [one for one in _wanted(transaction, service) if one not in has]
    networks = [network for one in lacking if (network := overlay(transaction, one)) is not None]
    has.update((one.network_id, one) for one in giver.give([(network, ()) for network in networks]))
    addresses = [has[one] for one in kept if one in has]
    del settled.ingress_ports[:], settled.virtual_addresses[:]
    settled.ingress_ports.extend(ports)
    settled.virtual_addresses.extend(addresses)
    return transaction.update(settled)


def _wanted(view: ReadView, service: Service) -> Sequence[str]:
    return _virtual(view, service.spec)


def _kept(view: ReadView, service: Service) -> Sequence[str]:
    """Networks in which a service may have an address: also those of the spec it may go back to."""
    found = list(_wanted(view, service))
    if is_unfinished(service.update_status):
        found += _virtual(view, service.previous_spec)
    return tuple(dict.fromkeys(found))


def _virtual(view: ReadView, spec: ServiceSpec) -> Sequence[str]:
    if not spec.task.networks or not has_virtual_addresses(spec):
        return ()
    return tuple(one for one in network_ids(spec.task.networks) if overlay(view, one) is not None)


def _ports(view: ReadView, service: Service) -> Sequence[PortConfig]:
    """Return the ports that a service is to have on every node; those that it has it keeps."""
    asked = [port for port in service.spec.endpoint.ports if is_ingress(port)]
    found: dict[int, PortConfig] = {}  # by place in `asked`
    # Whoever said which port comes first.
    for place, port in sorted(enumerate(asked), key=lambda one: not one[1].published_port):
        resolved = _copy_of_port(port)
        mine = {(one.protocol, one.published_port) for one in found.values()}
        resolved.published_port = _number(view, service, port, mine)
        found[place] = resolved
    return [found[place] for place in range(len(asked))]


def _number(view: ReadView, service: Service, port: PortConfig, mine: Collection[tuple[int, int]]) -> int:
    if port.published_port:
        other = _publisher(view, service, (port.protocol, port.published_port))
        if other is None:
            return port.published_port
        raise FailedPrecondition(
            f"port {port.published_port}/{protocol_name(port)} is published by service "
            f"{other.spec.annotations.name} already: take another one, or publish it on its nodes only "
            "(mode=host)"
        )

    def taken(number: int) -> bool:
        key = (port.protocol, number)
        return key in mine or _publisher(view, service, key) is not None

    before = (one.published_port for one in service.ingress_ports if _fits(port, one))
    had = next((number for number in before if not taken(number)), None)
    return had or choose_port(service.id, port, taken)


def _copy_of_port(port: PortConfig) -> PortConfig:
    copy = PortConfig()
    copy.CopyFrom(port)
    return copy


def _fits(asked: PortConfig, resolved: PortConfig) -> bool:
    """Whether `resolved` is what was asked for, with a number where there was none."""
    return (
        resolved.published_port != 0
        and asked.published_port in (0, resolved.published_port)
        and (asked.protocol, asked.target_port, asked.name, asked.host_ip)
        == (resolved.protocol, resolved.target_port, resolved.name, resolved.host_ip)
    )


def _publisher(view: ReadView, service: Service, key: tuple[int, int]) -> Service | None:
    """Return another service that publishes a port on every node."""
    others = view.services.indexed("ingress port", key)
    return next((one for one in others if one.id != service.id), None)
