"""Which containers do the filters of `container ls` mean? As Docker's do. Pure."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from swarm.api.v1.containers_pb2 import ContainerOutput, ContainerSummary
from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.api.v1.types_pb2 import PortConfig
from swarm.cli import names, parse
from swarm.clock import nanoseconds
from swarm.errors import InvalidArgument, NotFound
from swarm.model.health import WORDS
from swarm.model.labels import has_label
from swarm.model.reference import parse_reference

STATES = ("created", "restarting", "running", "removing", "paused", "exited", "dead")
HEALTH = (*WORDS.values(), "none")
FILTERS = (
    *(
        "id",
        "name",
        "status",
        "exited",
        "service",
        "label",
        "health",
        "is-task",
        "ancestor",
        "before",
        "since",
    ),
    *("network", "volume", "publish", "expose"),
)
# What these ask for is not in the line that a node says of a container.
DESCRIBED = frozenset({"network", "volume"})
_PORTS = re.compile(r"(\d+)(?:-(\d+))?(?:/(tcp|udp|sctp))?")

Filters = Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Described:
    """What a container has beside its line."""

    spec: ContainerSpec = field(default_factory=ContainerSpec)
    networks: Mapping[str, str] = field(default_factory=dict)  # ids by name

    @property
    def mounts(self) -> list[str]:
        """Where the data comes from that it has: names of volumes, paths of the node."""
        return [one.source for one in self.spec.mounts if one.source]


def every_state(filters: Filters) -> bool:
    """Whether containers that do not run are looked for too."""
    return "status" in filters or "exited" in filters


def _check(filters: Filters) -> None:
    """Refuse values that no container can have; raises InvalidArgument."""
    for key, known in (("status", STATES), ("health", HEALTH)):
        for value in filters.get(key, ()):
            if value not in known:
                raise InvalidArgument(f"--filter {key}={value}: write one of {', '.join(known)}")
    for value in filters.get("exited", ()):
        if not re.fullmatch(r"-?\d+", value):
            raise InvalidArgument(f"--filter exited={value}: write an exit code")
    for value in filters.get("is-task", ()):
        parse.truth("is-task", value)
    for key in ("publish", "expose"):
        for value in filters.get(key, ()):
            if not _PORTS.fullmatch(value):
                raise InvalidArgument(f"--filter {key}={value}: write PORT[-PORT][/PROTOCOL]")


def labels_of(answer: ContainerOutput) -> dict[str, str]:
    """Return the labels of a container; those of tasks say whose they are, as with Docker."""
    one = answer.container
    labels = {**one.image_labels, **one.labels}
    if one.plain:
        return labels
    whose = {
        "service.id": one.service_id,
        "service.name": one.service_name,
        "task.id": one.id,
        "task.name": one.name,
        "node.id": answer.node_id,
    }
    return labels | {f"com.docker.swarm.{key}": value for key, value in whose.items()}


def chosen(
    found: Sequence[ContainerSummary], filters: Filters, described: Mapping[str, Described]
) -> Callable[[ContainerOutput], bool]:
    """Return what tells whether a container is meant: every key has a value that fits, all labels are there.

    Raises InvalidArgument, and NotFound where before= or since= names no container of `found`.
    """
    _check(filters)
    earliest, latest = _moments(found, filters)

    def fits(answer: ContainerOutput) -> bool:
        one = answer.container
        made_ns = nanoseconds(one.created_at)
        return (
            _matches(one, filters, described.get(one.id, Described()))
            and all(has_label(labels_of(answer), value) for value in filters.get("label", ()))
            and all(made_ns < moment for moment in latest)
            and all(made_ns > moment for moment in earliest)
        )

    return fits


def _moments(found: Sequence[ContainerSummary], filters: Filters) -> tuple[list[int], list[int]]:
    """Return after which moments, and before which, containers must have been made."""
    since, before = ([_made_ns(found, ref) for ref in filters.get(key, ())] for key in ("since", "before"))
    return since, before


def _made_ns(found: Sequence[ContainerSummary], ref: str) -> int:
    wanted = ref.removeprefix("/")
    for one in found:
        if wanted == one.name or one.id.startswith(wanted):
            return nanoseconds(one.created_at)
    raise NotFound(f'no container "{ref}"; `swarmctl container ls --all` lists the containers')


def _matches(one: ContainerSummary, filters: Filters, described: Described) -> bool:
    tests: dict[str, Callable[[str], bool]] = {
        "id": one.id.startswith,
        "name": lambda value: _is_named(one.name, value),
        "status": lambda value: one.state == value,
        "exited": lambda value: one.state == "exited" and one.exit_code == int(value),
        "service": lambda value: not one.plain and value in (one.service_name, one.service_id),
        "health": lambda value: WORDS.get(one.health.state, "none") == value,
        "is-task": lambda value: parse.truth("is-task", value) is not one.plain,
        "ancestor": lambda value: _is_image(one.image, value),
        "network": lambda value: any(value in pair for pair in described.networks.items()),
        "volume": lambda value: any(value in (at.source, at.target) for at in described.spec.mounts),
        "publish": lambda value: any(_has_port(port, value, port.published_port) for port in one.ports),
        "expose": lambda value: any(_has_port(port, value, port.target_port) for port in one.ports),
    }
    return all(any(test(value) for value in filters[key]) for key, test in tests.items() if key in filters)


def _is_named(name: str, wanted: str) -> bool:
    """Whether a name, with Docker's slash or without, has what a pattern describes in it."""
    try:
        pattern = re.compile(wanted)
    except re.error:
        return wanted in name
    return bool(pattern.search(name) or pattern.search(f"/{name}"))


def _is_image(image: str, wanted: str) -> bool:
    try:
        return image == wanted or parse_reference(image) == parse_reference(wanted)
    except InvalidArgument:
        return False


def _has_port(port: PortConfig, wanted: str, number: int) -> bool:
    read = _PORTS.fullmatch(wanted)
    if read is None or not number:
        return False
    first = int(read[1])
    protocol = names.PROTOCOL[port.protocol]
    return first <= number <= int(read[2] or first) and read[3] in {None, protocol}
