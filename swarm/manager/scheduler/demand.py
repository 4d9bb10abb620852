"""What the tasks of one version of a service ask of a node: read from the spec once, shared by them all."""

from collections.abc import Iterable
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import Placement, PlacementStrategy, PortConfig
from swarm.errors import InvalidArgument
from swarm.manager.scheduler.precedence import Precedence
from swarm.model.affinity import Affinity, Facet, facets_of, parse_affinities
from swarm.model.cluster_volumes import WantedVolume, wanted_volumes
from swarm.model.constraint import Constraint, parse_constraints
from swarm.model.devices import NamedDevice, named_devices, wanted_devices
from swarm.model.generic_resources import Wants, wanted
from swarm.model.host_addresses import overlap, spelled
from swarm.model.ingress_ports import uses_ingress
from swarm.model.network_support import ENCRYPTED, INGRESS, SCTP

# A service and the version of its spec: tasks that share it are alike, and are placed together.
Group = tuple[str, int]

# A port taken on a node: protocol, number and at which of its addresses (empty: all).
HostPort = tuple[int, int, str]

# What decides which nodes can be asked at all, and how the tasks spread over them.
PoolKey = tuple[
    tuple[str, ...], tuple[tuple[str, str], ...], tuple[str, ...], tuple[str, ...], tuple[str, ...]
]


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class Demand:
    """The needs of a task; equal for every task of a group, so it is compared by identity."""

    group: Group
    service_name: str
    nano_cpus: int
    memory_bytes: int
    generic: Wants  # whole devices of a kind included
    devices: tuple[NamedDevice, ...]  # that only these will do for
    device_kinds: tuple[str, ...]  # of which there must be any at all
    ports: tuple[HostPort, ...]
    network_drivers: tuple[str, ...]  # of the networks to join
    placement: Placement
    constraints: tuple[Constraint, ...] | None  # None: nobody can read them, so no node meets them
    preferences: tuple[str, ...]  # labels to spread over, most important first
    replicas_max_per_node: int  # 0: no limit
    strategy: "PlacementStrategy"  # as the service says; unspecified: the cluster's
    affinities: tuple[Affinity, ...] | None  # None: nobody can read them, so no node satisfies them
    facets: tuple[Facet, ...]  # what affinities of other services know this one by
    guards: tuple[Facet, ...]  # which services may not come where a task of this one is
    volumes: tuple[WantedVolume, ...]  # of the cluster
    pool_key: PoolKey
    precedence: (
        Precedence  # as the spec of the tasks says; that of the service, where it is known, comes first
    )

    @property
    def service_id(self) -> str:
        """The service whose tasks these are."""
        return self.group[0]

    @property
    def needs_company(self) -> bool:
        """Whether only nodes that run certain other services will do."""
        return any(one.together and not one.weight for one in self.affinities or ())


def _drivers(task: Task) -> set[str]:
    drivers = {one.driver for one in task.spec.networks if one.driver}
    if any(port.protocol == PortConfig.PROTOCOL_SCTP for port in task.endpoint.ports):
        drivers.add(SCTP)
    drivers |= {ENCRYPTED for one in task.spec.networks if one.encrypted}
    return drivers | {INGRESS} if uses_ingress(task.endpoint) else drivers


def is_taken(port: HostPort, ports: Iterable[HostPort]) -> bool:
    """Return whether a port cannot be had besides those."""
    return any(port[:2] == other[:2] and overlap(port[2], other[2]) for other in ports)


def group_of(task: Task) -> Group:
    """Return the group that `task` is placed with."""
    return task.service_id, task.spec_version


def demand_of(task: Task) -> Demand:
    """Return what `task`, and every other task of its group, asks of a node."""
    reservations, placement = task.spec.resources.reservations, task.spec.placement
    preferences = tuple(one.spread for one in placement.preferences if one.spread)
    service, affinities = task.service_annotations, _affinities(placement)
    devices, many = named_devices(task.spec.container), wanted_devices(task.spec.container)
    drivers = tuple(sorted(_drivers(task)))
    return Demand(
        group=group_of(task),
        service_name=task.service_annotations.name,
        nano_cpus=reservations.nano_cpus,
        memory_bytes=reservations.memory_bytes,
        generic=(*wanted(reservations.generic), *many),
        devices=devices,
        device_kinds=tuple(kind for kind, _ in many),
        ports=_host_ports(task),
        network_drivers=drivers,
        placement=placement,
        constraints=_constraints(placement),
        preferences=preferences,
        replicas_max_per_node=placement.max_replicas_per_node,
        strategy=placement.strategy,
        affinities=affinities,
        facets=facets_of(task.service_id, service.name, sorted(service.labels.items())),
        guards=tuple(one.facet for one in affinities or () if not one.together and not one.weight),
        volumes=wanted_volumes(task.spec.container.mounts),
        pool_key=(
            tuple(placement.constraints),
            tuple((one.os, one.architecture) for one in placement.platforms),
            preferences,
            (*map(str, devices), *(kind for kind, _ in many)),
            drivers,
        ),
        precedence=Precedence(task.spec.priority, task.spec.preempt),
    )


def _host_ports(task: Task) -> tuple[HostPort, ...]:
    return tuple(
        (port.protocol, port.published_port, spelled(port.host_ip))
        for port in task.endpoint.ports
        if port.publish_mode == PortConfig.PUBLISH_MODE_HOST and port.published_port
    )


def _constraints(placement: Placement) -> tuple[Constraint, ...] | None:
    try:
        return parse_constraints(placement.constraints)
    except InvalidArgument:
        return None


def _affinities(placement: Placement) -> tuple[Affinity, ...] | None:
    try:
        return parse_affinities(placement.affinities)
    except InvalidArgument:
        return None
