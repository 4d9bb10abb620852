"""Which objects a person asked for: filters of the list commands.

Values of one filter are alternatives, except labels, which must all be there; different filters must all
match. A filter that means nothing for a kind of object is refused, since ignoring it would show too much.
"""

from collections.abc import Iterable, Mapping

from swarm.api.v1.control_pb2 import Filters
from swarm.api.v1.objects_pb2 import Cluster, Config, Image, Node, Secret, Service, Task
from swarm.errors import InvalidArgument
from swarm.model.job import mode_of
from swarm.model.task import task_name

_EVERY_KIND = frozenset(("ids", "id_prefixes", "names", "name_prefixes", "labels"))


def cluster_selected(filters: Filters, cluster: Cluster) -> bool:
    """Whether the cluster object is asked for."""
    _refuse_others(filters, "the cluster")
    return _identity(filters, cluster.id, cluster.spec.annotations.name) and _labels(
        filters.labels, cluster.spec.annotations.labels
    )


def node_selected(filters: Filters, node: Node) -> bool:
    """Whether a node is asked for; `labels` are those of its engine, `node_labels` those of its spec."""
    _refuse_others(filters, "nodes", "roles", "node_labels")
    return (
        _identity(filters, node.id, node.spec.annotations.name, node.description.hostname)
        and _labels(filters.labels, node.description.engine_labels)
        and _labels(filters.node_labels, node.spec.annotations.labels)
        and _any(filters.roles, node.role)
    )


def service_selected(filters: Filters, service: Service) -> bool:
    """Whether a service is asked for."""
    _refuse_others(filters, "services", "modes", "service_ids")
    return (
        _identity(filters, service.id, service.spec.annotations.name)
        and _any(filters.service_ids, service.id)
        and _labels(filters.labels, service.spec.annotations.labels)
        and _any(filters.modes, mode_of(service.spec))
    )


def task_selected(filters: Filters, task: Task) -> bool:
    """Whether a task is asked for; its labels are its service's, its names its own and its service's."""
    _refuse_others(filters, "tasks", "service_ids", "node_ids", "desired_states")
    name = task_name(task)
    return (
        _any(filters.service_ids, task.service_id)
        and _any(filters.node_ids, task.node_id)
        and _any(filters.desired_states, task.desired_state)
        and _identity(filters, task.id, name, name.rpartition(".")[0], task.service_annotations.name)
        and _labels(filters.labels, task.service_annotations.labels)
    )


def image_selected(filters: Filters, image: Image) -> bool:
    """Whether an image is asked for."""
    _refuse_others(filters, "images", "node_ids")
    return (
        _identity(filters, image.id, image.annotations.name)
        and _labels(filters.labels, image.annotations.labels)
        and (not filters.node_ids or any(holder in filters.node_ids for holder in image.holders))
    )


def data_selected(filters: Filters, item: Secret | Config) -> bool:
    """Whether a secret or config is asked for."""
    _refuse_others(filters, "secrets and configs")
    annotations = item.spec.annotations
    return _identity(filters, item.id, annotations.name) and _labels(filters.labels, annotations.labels)


def _refuse_others(filters: Filters, kind: str, *allowed: str) -> None:
    for field, _ in filters.ListFields():
        if field.name not in _EVERY_KIND and field.name not in allowed:
            raise InvalidArgument(f"{kind} cannot be filtered by {field.name.replace('_', ' ')}")


def _identity(filters: Filters, object_id: str, *names: str) -> bool:
    wants_id = bool(filters.ids or filters.id_prefixes)
    wants_name = bool(filters.names or filters.name_prefixes)
    has_id = object_id in filters.ids or any(object_id.startswith(prefix) for prefix in filters.id_prefixes)
    return (not wants_id or has_id) and (not wants_name or any(_named(filters, name) for name in names))


def _named(filters: Filters, name: str) -> bool:
    return name in filters.names or any(name.startswith(prefix) for prefix in filters.name_prefixes)


def _labels(wanted: Iterable[str], labels: Mapping[str, str]) -> bool:
    for one in wanted:
        key, equals, value = one.partition("=")
        if key not in labels or (equals and labels[key] != value):
            return False
    return True


def _any(wanted: Iterable[object], actual: object) -> bool:
    wanted = tuple(wanted)
    return not wanted or actual in wanted
