"""Do the placeholders of a container's spec mean something? What they stand for, its node knows."""

from collections.abc import Iterator

from swarm.api.v1.specs_pb2 import ContainerSpec
from swarm.api.v1.types_pb2 import Mount
from swarm.errors import TaskRejected
from swarm.model.limits import shown
from swarm.model.templates import TemplateContext, expand


class _AnyLabels(dict[str, str]):
    """Labels of a service that are all there: it may have others by the time that a task starts."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return ""


_CONTEXT = TemplateContext(service_labels=_AnyLabels())


def template_problems(spec: ContainerSpec) -> Iterator[str]:
    """Yield a problem for each text that no node could fill in."""
    for where, text in _texts(spec):
        try:
            expand(text, _CONTEXT)
        except TaskRejected as problem:
            yield f"{where}: {problem}"


def _texts(spec: ContainerSpec) -> Iterator[tuple[str, str]]:
    yield "the hostname", spec.hostname
    for variable in spec.env:
        yield f'the environment variable "{shown(variable.partition("=")[0])}"', variable
    for key, value in sorted(spec.labels.items()):
        yield f'the label "{shown(key)}" of containers', value
    for mount in spec.mounts:
        for text in _mount_texts(mount):
            yield f'the mount at "{shown(mount.target)}"', text


def _mount_texts(mount: Mount) -> Iterator[str]:
    yield mount.target
    if mount.type in (Mount.TYPE_BIND, Mount.TYPE_VOLUME):
        yield mount.source
    yield mount.volume.subpath
    yield mount.image.subpath
    yield from mount.volume.driver_options.values()
    yield from mount.volume.labels.values()
