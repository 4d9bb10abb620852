"""Which devices do tasks want, and which are given to whom?

A device has a CDI name, VENDOR/CLASS=NAME. Asked for by name (`--device`) it is shared, as with other
container engines; whole devices that are asked for (`--gpus`) nobody else has meanwhile. Both are counted in
the ledger of generic resources, where VENDOR/CLASS is a kind (a kind of people's own has no slash).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.api.v1.types_pb2 import Device, DeviceRequest, GenericResource, NodeDescription
from swarm.errors import InvalidArgument
from swarm.model.generic_resources import ALL, COUNT_MAX, Claim, Wants, claims_of

GPU_KIND = "nvidia.com/gpu"  # what `--gpus` means unless told otherwise

_KIND = re.compile(r"[A-Za-z](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?/[A-Za-z](?:[A-Za-z0-9_-]*[A-Za-z0-9])?")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.:-]*[A-Za-z0-9])?")
_PERMISSIONS = re.compile(r"(?!.*(.).*\1)[rwm]{1,3}")

# What a node has: the full names of its devices, and the parts of each.
Parts = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class NamedDevice:
    """A device that only this one will do for."""

    kind: str
    name: str
    shared: bool

    def __str__(self) -> str:
        return f"{self.kind}={self.name}"


# What a service asks for.


def is_kind(text: str) -> bool:
    """Whether `text` is VENDOR/CLASS as CDI has it."""
    return _KIND.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether `text` is the NAME of a device as CDI has it."""
    return _NAME.fullmatch(text) is not None


def split_name(text: str) -> tuple[str, str] | None:
    """Return (VENDOR/CLASS, NAME) of a CDI name; None when it is none."""
    kind, _, name = text.partition("=")
    return (kind, name) if is_kind(kind) and is_name(name) else None


def named_devices(container: ContainerSpec) -> tuple[NamedDevice, ...]:
    """Return the devices that a container's spec asks for by their CDI names."""
    shared = [split_name(one.cdi_name) for one in container.devices if one.cdi_name]
    return (
        *(NamedDevice(*found, shared=True) for found in shared if found),
        *(
            NamedDevice(one.kind, name, shared=False)
            for one in container.device_requests
            for name in one.names
        ),
    )


def wanted_devices(container: ContainerSpec) -> Wants:
    """Return of which kinds of devices a container's spec asks for how many, `ALL` for all."""
    return tuple(
        (one.kind, ALL if one.all else one.count)
        for one in container.device_requests
        if one.all or one.count
    )


def parse_device(text: str) -> Device:
    """Return what `--device` says: VENDOR/CLASS=NAME or HOST[:CONTAINER[:rwm]]; raises InvalidArgument."""
    if split_name(text) is not None:
        return Device(cdi_name=text)
    host, *rest = text.split(":")
    permissions = rest.pop() if rest and not rest[-1].startswith("/") else ""
    device = Device(host_path=host, container_path=rest[0] if rest else "", permissions=permissions)
    problems = list(_path_problems(device))
    if len(rest) > 1 or problems or text.endswith(":"):
        raise InvalidArgument(
            f'device "{text}": write VENDOR/CLASS=NAME (nvidia.com/gpu=0) or HOST[:CONTAINER[:rwm]] '
            "(/dev/fuse, /dev/ttyUSB0:/dev/serial:rw)"
        )
    return device


def device_text(device: Device) -> str:
    """Return a device as `--device` takes it."""
    if device.cdi_name:
        return device.cdi_name
    parts = [device.host_path, device.container_path or device.host_path, device.permissions]
    return ":".join(parts if device.permissions else parts[:1] if not device.container_path else parts[:2])


def parse_gpus(text: str) -> DeviceRequest:
    """Return what `--gpus` says: N, all or device=ID,ID, and kind=VENDOR/CLASS; raises InvalidArgument."""
    request = DeviceRequest(kind=GPU_KIND)
    naming = False
    for word in text.replace('"', "").split(","):
        key, equals, value = word.partition("=")
        if key == "kind" and equals:
            request.kind, naming = value, False
        elif key == "device" and equals:
            naming = True
            request.names.append(value)
        elif naming and not equals:
            request.names.append(word)
        elif word == "all":
            request.all = True
        elif _COUNT.fullmatch(word) and not request.count:
            request.count = int(word)
        else:
            raise InvalidArgument(_GPUS_HELP.format(text))
    if list(_request_problems(request)):
        raise InvalidArgument(_GPUS_HELP.format(text))
    return request


_COUNT = re.compile("[0-9]{1,9}")
_GPUS_HELP = (
    'gpus "{}": write a number of at least 1, all, or device=ID,ID; and ,kind=VENDOR/CLASS if they are not '
    f"{GPU_KIND}"
)


def device_problems(container: ContainerSpec) -> Iterator[str]:
    """Yield what is wrong with the devices of a container's spec."""
    paths: set[str] = set()
    for device in container.devices:
        yield from _device_problems(device)
        target = device.cdi_name or device.container_path or device.host_path
        if target in paths:
            yield f'two devices are "{target}" in the container'
        paths.add(target)
    for request in container.device_requests:
        yield from _request_problems(request)
    counted = [kind for kind, _ in wanted_devices(container)]
    named = {one.kind for one in named_devices(container)}
    for kind in sorted(set(counted)):
        if counted.count(kind) > 1 or kind in named:
            yield f"devices {kind} are asked for by number and by name, or twice: choose one"
    names = [str(one) for one in named_devices(container)]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f'the device "{name}" is asked for twice'


def _device_problems(device: Device) -> Iterator[str]:
    if not device.cdi_name:
        yield from _path_problems(device)
    elif device.host_path or device.container_path or device.permissions:
        yield f'the device "{device.cdi_name}" has a CDI name and paths or permissions: its spec says those'
    elif split_name(device.cdi_name) is None:
        yield f'"{device.cdi_name}" is not the CDI name of a device: VENDOR/CLASS=NAME'


def _path_problems(device: Device) -> Iterator[str]:
    for path in (device.host_path, device.container_path or device.host_path):
        if not path.startswith("/") or ".." in path.split("/") or not path.strip("/") or "\0" in path:
            yield f'the device "{device.host_path}" has the path "{path}", which is not absolute and below /'
    if device.permissions and not _PERMISSIONS.fullmatch(device.permissions):
        yield f'the device "{device.host_path}" has the permissions "{device.permissions}", not of r, w, m'


def _request_problems(request: DeviceRequest) -> Iterator[str]:
    if not is_kind(request.kind):
        yield f'"{request.kind}" is not a kind of devices: VENDOR/CLASS, such as {GPU_KIND}'
    if bool(request.count) + request.all + bool(request.names) != 1:
        yield f"devices {request.kind}: ask for a number of at least 1, for all, or for names"
    if request.count > COUNT_MAX:
        yield f"{request.count} devices {request.kind} are more than the limit of {COUNT_MAX}"
    for name in request.names:
        if not is_name(name):
            yield f'"{name}" is not the name of a device {request.kind}'


# What a node has and a task was given.


def parts_of(description: NodeDescription) -> dict[str, tuple[str, ...]]:
    """Return the devices of a node by their full names, with the parts of each."""
    return {one.name: tuple(one.parts) for one in description.devices}


def things_of(description: NodeDescription) -> tuple[GenericResource, ...]:
    """Return everything a node has that is counted as a generic resource, whole devices included."""
    whole = {
        (kind[0], part)
        for one in description.devices
        if (kind := split_name(one.name)) is not None
        for part in one.parts
    }
    devices = (GenericResource(kind=kind, named=part) for kind, part in sorted(whole))
    return (*description.resources.generic, *devices)


def claims_for(named: Iterable[NamedDevice], parts: Parts) -> tuple[Claim, ...]:
    """Return what a task with these needs takes of a node that has devices with `parts`."""
    found: dict[tuple[str, bool], set[str]] = {}
    for one in named:
        found.setdefault((one.kind, one.shared), set()).update(parts.get(str(one), (one.name,)))
    claims = (
        Claim(kind, 0 if shared else len(names), tuple(sorted(names)), shared)
        for (kind, shared), names in found.items()
    )
    return tuple(sorted(claims, key=lambda claim: (claim.kind, claim.shared)))


def task_claims(task: Task) -> tuple[Claim, ...]:
    """Return everything that `task` was given."""
    return (*claims_of(task.assigned_generic), *claims_of(task.shared_devices, shared=True))


def given_devices(task: Task) -> tuple[str, ...]:
    """Return the CDI names of the devices that the container of `task` gets, each once."""
    container = task.spec.container
    counted = {kind for kind, _ in wanted_devices(container)}
    chosen = [f"{one.kind}={one.named}" for one in task.assigned_generic if one.kind in counted]
    return tuple(dict.fromkeys((*map(str, named_devices(container)), *chosen)))
