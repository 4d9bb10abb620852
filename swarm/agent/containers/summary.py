"""How does this node describe its containers? Pure."""

from collections.abc import Mapping
from dataclasses import asdict

from swarm.agent.task_machine import TaskRecord
from swarm.api.v1.containers_pb2 import (
    ContainerDetails,
    ContainerPlaces,
    ContainerProcess,
    ContainerSample,
    ContainerSummary,
    ImageDefaults,
    PruneContainers,
)
from swarm.api.v1.containers_pb2 import Transferred as TransferredMessage
from swarm.clock import timestamp
from swarm.model.labels import has_label
from swarm.model.limits import LABELS_BYTES
from swarm.model.task import task_name
from swarm.runtime.base import ContainerInfo, ContainerState, ProcessInfo, Sample, Transferred
from swarm.runtime.command import words
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.places import Places


def summary(
    info: ContainerInfo, record: TaskRecord | None, image: ImageConfig | None = None
) -> ContainerSummary:
    """Return one line about a container; without its task little is known, without its image no default."""
    found = ContainerSummary(
        id=info.id,
        name=info.id,
        state="paused" if info.paused else info.state.value,
        exit_code=info.exit_code,
        error=info.error,
        oom_killed=info.oom_killed,
        pid=info.pid,
    )
    if info.started_at_ns:
        found.started_at.CopyFrom(timestamp(info.started_at_ns))
    if info.finished_at_ns:
        found.finished_at.CopyFrom(timestamp(info.finished_at_ns))
    if record is not None:
        task = record.task
        found.name = task_name(task)
        found.image = task.spec.container.image
        spec = task.spec.container
        found.command.extend(words(spec.command, spec.args, image or ImageConfig("")))
        found.created_at.CopyFrom(task.meta.created_at)
        found.task_id, found.service_id = task.id, task.service_id
        found.service_name = task.service_annotations.name
        found.ports.extend(task.endpoint.ports)
        found.labels.update(task.spec.container.labels)
        if image is not None and _size(image.labels) <= LABELS_BYTES.value:
            found.image_labels.update(image.labels)
        health = record.status.container.health
        if info.state is ContainerState.RUNNING and health.state:
            found.health.CopyFrom(health)
    return found


def _size(labels: Mapping[str, str]) -> int:
    return sum(len(key.encode()) + len(value.encode()) for key, value in labels.items())


def is_to_go(
    info: ContainerInfo, own: Mapping[str, str], image: ImageConfig | None, wanted: PruneContainers
) -> bool:
    """Whether a prune means a container: it ended, long enough ago, and it or its image has the labels."""
    labels = {**(image.labels if image is not None else {}), **own}
    ended = info.state is ContainerState.EXITED
    long_ago = not wanted.ended_before_ns or info.finished_at_ns < wanted.ended_before_ns
    return ended and long_ago and all(has_label(labels, one) for one in wanted.labels)


def details(
    info: ContainerInfo, record: TaskRecord | None, image: ImageConfig | None = None
) -> ContainerDetails:
    """Return everything known of a container, without the password for its registry."""
    found = ContainerDetails(
        summary=summary(info, record, image), image=defaults(image), warnings=info.warnings
    )
    if record is not None:
        found.spec.CopyFrom(record.task.spec.container)
        found.spec.ClearField("registry_auth")
        found.resources.CopyFrom(record.task.spec.resources)
    return found


def shown_places(found: Places) -> ContainerPlaces:
    """Return where a container has what belongs to it."""
    return ContainerPlaces(**asdict(found))


def defaults(image: ImageConfig | None) -> ImageDefaults | None:
    """Return what an image says of its containers."""
    if image is None:
        return None
    return ImageDefaults(
        entrypoint=image.entrypoint,
        command=image.command,
        env=image.env,
        dir=image.working_dir,
        user=image.user,
        stop_signal=image.stop_signal,
    )


def sample(record: TaskRecord, measured: Sample, now_ns: int) -> ContainerSample:
    """Return what a container uses now."""
    return ContainerSample(
        container_id=record.task.id,
        name=task_name(record.task),
        at_ns=now_ns,
        cpu_usage_ns=measured.cpu_usage_ns,
        memory_bytes=measured.memory_bytes,
        memory_limit_bytes=record.task.spec.resources.limits.memory_bytes,
        pids=measured.pids,
        network=_transferred(measured.network),
        disks=_transferred(measured.disks),
    )


def _transferred(measured: Transferred | None) -> TransferredMessage | None:
    if measured is None:
        return None
    return TransferredMessage(in_bytes=measured.in_bytes, out_bytes=measured.out_bytes)


def shown_process(process: ProcessInfo) -> ContainerProcess:
    """Return one process of a container."""
    found = ContainerProcess(
        pid=process.pid,
        parent_pid=process.parent_pid,
        user=str(process.user),
        cpu_ns=process.cpu_ns,
        memory_bytes=process.memory_bytes,
        command=process.command,
    )
    found.started_at.CopyFrom(timestamp(process.started_at_ns))
    return found
