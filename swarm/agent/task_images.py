"""Images that tasks mount beside the one that they run: pulled with it, kept as long as their containers."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from swarm.agent.container import registry_credentials
from swarm.agent.task_volumes import subpath_of
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.types_pb2 import Mount
from swarm.errors import InvalidArgument
from swarm.model.reference import parse_reference
from swarm.model.templates import TemplateContext, expand
from swarm.runtime.base import ContainerConfig, ImageMount
from swarm.runtime.images.base import BlobSource, Credentials, ImageConfig, ImageStore


class TaskImages:
    """Shell around the node's images."""

    def __init__(self, images: ImageStore, source: BlobSource) -> None:
        """`source` is the cluster, which is asked before registries."""
        self._images = images
        self._source = source
        self._found: dict[tuple[str, str], str] = {}  # the digest by task and reference

    async def pull(self, task: Task, show: Callable[[str], None]) -> None:
        """Make usable what a task mounts; raises TaskRejected as `ImageStore.ensure` does."""
        for mount in _image_mounts(task):
            await self._ensure(task, mount, show)

    async def add_to(self, config: ContainerConfig, task: Task, context: TemplateContext) -> ContainerConfig:
        """Return the config of a container that has the images; may be repeated."""
        mounts = []
        for mount in _image_mounts(task):
            digest = self._found.get((task.id, mount.source)) or await self._ensure(task, mount)
            target = expand(mount.target, context)
            mounts.append(ImageMount(digest, target, subpath_of(mount.image.subpath, context)))
        return replace(config, mounts=(*config.mounts, *mounts))

    async def pin(self, task: Task, mounts: Iterable[Mount], show: Callable[[str], None] | None) -> None:
        """Make usable what `mounts` name, and name each by its digest: a tag may mean another one later."""
        for mount in mounts:
            if mount.type == Mount.TYPE_IMAGE:
                digest = (await self._get(task, mount, show)).digest
                mount.source = str(parse_reference(mount.source).with_digest(digest))

    def digests(self) -> frozenset[str]:
        """Return the manifests that tasks may mount at any time."""
        return frozenset(self._found.values())

    def forget(self, task: Task) -> None:
        """Hear that a task is over."""
        for mount in _image_mounts(task):
            self._found.pop((task.id, mount.source), None)

    async def _ensure(self, task: Task, mount: Mount, show: Callable[[str], None] | None = None) -> str:
        image = await self._get(task, mount, show)
        self._found[task.id, mount.source] = image.digest
        return image.digest

    async def _get(self, task: Task, mount: Mount, show: Callable[[str], None] | None) -> ImageConfig:
        credentials = _credentials_for(mount.source, task)
        return await self._images.ensure(mount.source, "", credentials, self._source, show)


def pinned_digests(mounts: Iterable[Mount]) -> Iterator[str]:
    """Yield the manifests that `TaskImages.pin` named."""
    for mount in mounts:
        _, at, digest = mount.source.rpartition("@")
        if at and mount.type == Mount.TYPE_IMAGE:
            yield digest


def _image_mounts(task: Task) -> Iterator[Mount]:
    return (one for one in task.spec.container.mounts if one.type == Mount.TYPE_IMAGE)


def _credentials_for(reference: str, task: Task) -> Credentials | None:
    """Return what the task brings for its own image's registry, if this image is of the same one."""
    given = registry_credentials(task)
    if given is None or given.server:  # with a server, whoever sends it looks whether it is that one
        return given
    try:
        same = parse_reference(reference).registry == parse_reference(task.spec.container.image).registry
    except InvalidArgument:
        return None
    return given if same else None
