"""Names that the cluster knows, for completion."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1 import users_pb2 as u
from swarm.api.v1.containers_pb2 import (
    ContainerInput,
    ContainerOutput,
    ContainerQuestion,
    ContainerRequest,
    ListContainers,
)
from swarm.api.v1.volumes_pb2 import ListVolumes
from swarm.errors import SwarmError

Names = Callable[[Any, float], Iterable[str]]
_STACK = "com.docker.stack.namespace"


def _listed(method: str, field: str, name: Callable[[Any], str]) -> Names:
    def names(conn: Any, patience_s: float) -> Iterable[str]:
        request = getattr(u if method == "ListUsers" else c, f"{method}Request")()
        return [name(one) for one in getattr(getattr(conn.control, method)(request, patience_s), field)]

    return names


def _annotated(item: Any) -> str:
    return str(item.spec.annotations.name)


def _stacks(conn: Any, patience_s: float) -> Iterable[str]:
    services = conn.control.ListServices(c.ListServicesRequest(), patience_s).services
    return [stack for one in services if (stack := one.spec.annotations.labels.get(_STACK))]


def _services_of_stack(stack: str, conn: Any, patience_s: float) -> Iterable[str]:
    services = conn.control.ListServices(c.ListServicesRequest(), patience_s).services
    mine = [one for one in services if one.spec.annotations.labels.get(_STACK) == stack]
    return [_annotated(one).removeprefix(f"{stack}_") for one in mine]


def _revisions_of_stack(stack: str, conn: Any, patience_s: float) -> Iterable[str]:
    request = c.ListStackRevisionsRequest(stack=stack)
    return [str(one.revision) for one in conn.control.ListStackRevisions(request, patience_s).revisions]


def _tasks(conn: Any, patience_s: float) -> Iterable[str]:
    tasks = conn.control.ListTasks(c.ListTasksRequest(), patience_s).tasks
    return [f"{one.service_annotations.name}.{one.slot}" for one in tasks if one.slot]


def _asked(conn: Any, request: ContainerRequest, patience_s: float) -> Iterator[ContainerOutput]:
    """Yield what nodes answer in time: who asks had enough of those who do not."""
    try:
        question = ContainerInput(question=ContainerQuestion(request=request))
        yield from conn.containers.View(iter([question]), timeout=patience_s)
    except SwarmError:
        return


def _containers(conn: Any, patience_s: float) -> Iterable[str]:
    request = ContainerRequest(list=ListContainers(all=True, plain=True))
    plain = [one.container.name for one in _asked(conn, request, patience_s) if one.HasField("container")]
    return [*_tasks(conn, patience_s), *plain]


def _volumes(conn: Any, patience_s: float) -> Iterable[str]:
    own = _listed("ListVolumes", "volumes", _annotated)(conn, patience_s)
    answers = _asked(conn, ContainerRequest(list_volumes=ListVolumes()), patience_s)
    return [*own, *(one.volume.volume.name for one in answers if one.HasField("volume"))]


def _volume_drivers(conn: Any, patience_s: float) -> Iterable[str]:
    nodes = conn.control.ListNodes(c.ListNodesRequest(), patience_s).nodes
    return ["local", *(plugin.name for one in nodes for plugin in one.description.csi_plugins)]


def _images(conn: Any, patience_s: float) -> Iterable[str]:
    from swarm.model.reference import parse_reference

    images = conn.control.ListImages(c.ListImagesRequest(), patience_s).images
    return [parse_reference(one.annotations.name).familiar for one in images]


# What a name is of -> those that there are; they raise SwarmErrors.
LISTS: Mapping[str, Names] = {
    "CONFIG": _listed("ListConfigs", "configs", _annotated),
    "CONTAINER": _containers,
    "IMAGE": _images,
    "NETWORK": _listed("ListNetworks", "networks", _annotated),
    "NODE": _listed("ListNodes", "nodes", lambda one: str(one.description.hostname or one.id)),
    "SECRET": _listed("ListSecrets", "secrets", _annotated),
    "SERVICE": _listed("ListServices", "services", _annotated),
    "STACK": _stacks,
    "TASK": _tasks,
    "USER": _listed("ListUsers", "users", _annotated),
    "VOLUME": _volumes,
    "VOLUME DRIVER": _volume_drivers,
}

# Likewise of what a stack has, which comes first.
OF_STACK: Mapping[str, Callable[[str, Any, float], Iterable[str]]] = {
    "REVISION OF STACK": _revisions_of_stack,
    "SERVICE OF STACK": _services_of_stack,
}
