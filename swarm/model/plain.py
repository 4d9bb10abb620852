"""Is the spec of a plain container valid? Every problem is one sentence."""

import re
from collections.abc import Iterator

from swarm.api.v1.plain_pb2 import PlainRestart, PlainSpec
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import Mount
from swarm.errors import InvalidArgument
from swarm.model import limits
from swarm.model.devices import wanted_devices
from swarm.model.hardware_addresses import parse_mac
from swarm.model.validate import service_problems

NETWORKS = ("", "bridge", "default", "host", "none")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def validate_plain(spec: PlainSpec) -> None:
    """Raise InvalidArgument with every problem of a plain container's spec."""
    found = list(_problems(spec))
    if found:
        raise InvalidArgument("invalid container: " + "; ".join(found))


def name_problems(name: str) -> Iterator[str]:
    """Return what is wrong with a name."""
    yield from limits.PLAIN_NAME_CHARACTERS.exceeded(f"the name {limits.shown(name)}", len(name))
    if not _NAME.fullmatch(name):
        yield (
            f'the name "{limits.shown(name)}" is not letters, digits, "_", "." and "-" '
            "that begin with a letter or digit"
        )


def _problems(spec: PlainSpec) -> Iterator[str]:
    yield from name_problems(spec.name)
    yield from service_problems(_as_service(spec))
    yield from _foreign_problems(spec)
    yield from _network_problems(spec)
    yield from restart_problems(spec.restart)
    if spec.auto_remove and spec.restart.condition != PlainRestart.CONDITION_NO:
        yield "--rm and a restart policy contradict each other: give one of them"


def _as_service(spec: PlainSpec) -> ServiceSpec:
    """Return a service of such containers: what a task may be, a plain container may be."""
    service = ServiceSpec()
    service.annotations.name = "plain"
    service.task.container.CopyFrom(spec.container)
    service.task.resources.CopyFrom(spec.resources)
    service.task.placement.CopyFrom(spec.placement)
    service.task.networks.extend(spec.networks)
    service.endpoint.ports.extend(spec.ports)
    return service


def restart_problems(restart: PlainRestart) -> Iterator[str]:
    """Return what is wrong with a restart policy."""
    if restart.condition not in PlainRestart.Condition.values():
        yield f"{restart.condition} is not a restart policy (no, on-failure, always, unless-stopped)"
    elif restart.max_retries and restart.condition != PlainRestart.CONDITION_ON_FAILURE:
        yield "a number of retries counts with the restart policy on-failure only"


def _foreign_problems(spec: PlainSpec) -> Iterator[str]:
    """What only the managers of a cluster can give to a task."""
    if spec.container.secrets or spec.container.configs:
        yield "secrets and configs are sent to tasks of services only: create a service instead"
    if any(mount.type == Mount.TYPE_CLUSTER for mount in spec.container.mounts):
        yield "cluster volumes are published for tasks of services only: create a service, or mount a volume"
    if wanted_devices(spec.container) or spec.resources.reservations.generic:
        yield (
            "whole devices and generic resources are given to tasks of services only: create a service, "
            "or name a device with --device"
        )


def _network_problems(spec: PlainSpec) -> Iterator[str]:
    if spec.network not in NETWORKS:
        yield f"--network {limits.shown(spec.network)}: that is none of bridge, host and none"
    if spec.network not in ("", "bridge", "default") and spec.networks:
        yield f"--network {spec.network} is all that a container with it has: take the others away"
    if spec.mac_address:
        yield from _mac_problems(spec)
    if spec.network == "none" and spec.ports:
        yield "with --network none nobody reaches a port of the container: publish none"
    if spec.network == "host" and spec.ports:
        yield "with --network host every port of the container is one of the node: publish none"


def _mac_problems(spec: PlainSpec) -> Iterator[str]:
    if spec.network in ("host", "none"):
        yield f"--network {spec.network} has no interface of the container that a --mac-address could be for"
    try:
        parse_mac(spec.mac_address)
    except InvalidArgument as problem:
        yield str(problem)
