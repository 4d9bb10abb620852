"""Which objects a person asked for: filters of the list commands.

Values of one filter are alternatives, except labels, which must all be there; different filters must all
match. A filter that means nothing for a kind of object is refused, since ignoring it would show too much.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from swarm.api.v1.control_pb2 import Filters
from swarm.api.v1.objects_pb2 import (
    Cluster,
    Config,
    Image,
    Network,
    Node,
    Secret,
    Service,
    Stack,
    Task,
    Volume,
)
from swarm.errors import InvalidArgument
from swarm.model.job import mode_of
from swarm.model.task import task_name

_EVERY_KIND = frozenset(("ids", "id_prefixes", "names", "name_prefixes", "labels"))


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters, read once: whoever has thousands of objects to look at makes one beforehand."""

    given: tuple[str, ...]  # names of the filters that say something
    ids: frozenset[str]
    id_prefixes: tuple[str, ...]
    names: frozenset[str]
    name_prefixes: tuple[str, ...]
    labels: tuple[str, ...]
    service_ids: frozenset[str]
    node_ids: frozenset[str]
    desired_states: frozenset[int]
    roles: frozenset[int]
    modes: frozenset[str]
    node_labels: tuple[str, ...]


def read_filters(filters: Filters | Selection) -> Selection:
    """Return what `filters` ask for."""
    if isinstance(filters, Selection):
        return filters
    return Selection(
        given=tuple(field.name for field, _ in filters.ListFields()),
        ids=frozenset(filters.ids),
        id_prefixes=tuple(filters.id_prefixes),
        names=frozenset(filters.names),
        name_prefixes=tuple(filters.name_prefixes),
        labels=tuple(filters.labels),
        service_ids=frozenset(filters.service_ids),
        node_ids=frozenset(filters.node_ids),
        desired_states=frozenset(filters.desired_states),
        roles=frozenset(filters.roles),
        modes=frozenset(filters.modes),
        node_labels=tuple(filters.node_labels),
    )


def cluster_selected(filters: Filters | Selection, cluster: Cluster) -> bool:
    """Whether the cluster object is asked for."""
    wanted = _checked(filters, "the cluster")
    return _identity(wanted, cluster.id, cluster.spec.annotations.name) and _labels(
        wanted.labels, cluster.spec.annotations.labels
    )


def node_selected(filters: Filters | Selection, node: Node) -> bool:
    """Whether a node is asked for; `labels` are those of its engine, `node_labels` those of its spec."""
    wanted = _checked(filters, "nodes", "roles", "node_labels")
    return not wanted.given or (
        _identity(wanted, node.id, node.spec.annotations.name, node.description.hostname)
        and (not wanted.labels or _labels(wanted.labels, node.description.engine_labels))
        and (not wanted.node_labels or _labels(wanted.node_labels, node.spec.annotations.labels))
        and _any(wanted.roles, node.role)
    )


def service_selected(filters: Filters | Selection, service: Service) -> bool:
    """Whether a service is asked for."""
    wanted = _checked(filters, "services", "modes", "service_ids")
    return not wanted.given or (
        _identity(wanted, service.id, service.spec.annotations.name)
        and _any(wanted.service_ids, service.id)
        and (not wanted.labels or _labels(wanted.labels, service.spec.annotations.labels))
        and _any(wanted.modes, mode_of(service.spec))
    )


def task_selected(filters: Filters | Selection, task: Task) -> bool:
    """Whether a task is asked for; its labels are its service's, its names its own and its service's."""
    wanted = _checked(filters, "tasks", "service_ids", "node_ids", "desired_states")
    return not wanted.given or (
        _any(wanted.service_ids, task.service_id)
        and _any(wanted.node_ids, task.node_id)
        and _any(wanted.desired_states, task.desired_state)
        and _task_identity(wanted, task)
        and (not wanted.labels or _labels(wanted.labels, task.service_annotations.labels))
    )


def image_selected(filters: Filters | Selection, image: Image) -> bool:
    """Whether an image is asked for."""
    wanted = _checked(filters, "images", "node_ids")
    return (
        _identity(wanted, image.id, image.annotations.name)
        and _labels(wanted.labels, image.annotations.labels)
        and (not wanted.node_ids or any(holder in wanted.node_ids for holder in image.holders))
    )


def _checked(filters: Filters | Selection, kind: str, *allowed: str) -> Selection:
    wanted = read_filters(filters)
    for name in wanted.given:
        if name not in _EVERY_KIND and name not in allowed:
            raise InvalidArgument(f"{kind} cannot be filtered by {name.replace('_', ' ')}")
    return wanted


def data_selected(filters: Filters | Selection, item: Secret | Config | Volume) -> bool:
    """Whether a secret, config or cluster volume is asked for."""
    wanted = _checked(filters, "secrets, configs and volumes")
    annotations = item.spec.annotations
    return _identity(wanted, item.id, annotations.name) and _labels(wanted.labels, annotations.labels)


def stack_selected(filters: Filters | Selection, stack: Stack) -> bool:
    """Whether a stack is asked for."""
    wanted = _checked(filters, "stacks")
    return _identity(wanted, stack.id, stack.annotations.name) and _labels(
        wanted.labels, stack.annotations.labels
    )


def network_selected(filters: Filters | Selection, network: Network) -> bool:
    """Whether a network is asked for."""
    wanted = _checked(filters, "networks")
    annotations = network.spec.annotations
    return _identity(wanted, network.id, annotations.name) and _labels(wanted.labels, annotations.labels)


def _task_identity(wanted: Selection, task: Task) -> bool:
    if not (wanted.ids or wanted.id_prefixes or wanted.names or wanted.name_prefixes):
        return True
    name = task_name(task)
    return _identity(wanted, task.id, name, name.rpartition(".")[0], task.service_annotations.name)


def _identity(wanted: Selection, object_id: str, *names: str) -> bool:
    if (wanted.ids or wanted.id_prefixes) and not _matches(wanted.ids, wanted.id_prefixes, object_id):
        return False
    if not (wanted.names or wanted.name_prefixes):
        return True
    return any(_matches(wanted.names, wanted.name_prefixes, name) for name in names)


def _matches(exact: frozenset[str], prefixes: tuple[str, ...], text: str) -> bool:
    return text in exact or text.startswith(prefixes)


def _labels(wanted: Iterable[str], labels: Mapping[str, str]) -> bool:
    for one in wanted:
        key, equals, value = one.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _any(wanted: Collection[object], actual: object) -> bool:
    return not wanted or actual in wanted
