"""What `prune` commands are to remove, by age and labels, and how nodes are asked for it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import click

from swarm.api.v1 import control_pb2 as c
from swarm.api.v1.containers_pb2 import (
    ContainerOutput,
    ContainerRequest,
    ListContainers,
    PruneContainers,
    RemoveContainer,
)
from swarm.api.v1.volumes_pb2 import ListVolumes, PruneVolumes, RemoveVolume, VolumeAnswer
from swarm.cli import parse
from swarm.cli.connect import Connection
from swarm.cli.container_calls import Notices, ask
from swarm.clock import nanoseconds
from swarm.errors import FailedPrecondition
from swarm.model.labels import has_label

LABELS = ("label", "label!")
KEYS = ("until", *LABELS)
HELP = "until=TIME|AGE, label=KEY[=VALUE], label!=KEY[=VALUE]; all that are given must fit."


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which of the things that nobody uses are meant."""

    labels: Sequence[str] = ()
    without_labels: Sequence[str] = ()
    before_ns: int = 0  # 0: however young

    @property
    def some(self) -> bool:
        """Whether not all are meant."""
        return bool(self.labels or self.without_labels or self.before_ns)

    def has_labels(self, labels: Mapping[str, str]) -> bool:
        """Whether something with these labels is meant."""
        return all(has_label(labels, one) for one in self.labels) and not any(
            has_label(labels, one) for one in self.without_labels
        )


class Listing:
    """What went, under a title that stands there only if something did."""

    def __init__(self, title: str) -> None:
        """Nothing is printed yet."""
        self._title = title
        self.count = 0

    def tell(self, line: str) -> None:
        """Print a line at once: the next one may take long."""
        if not self.count:
            click.echo(self._title)
        click.echo(line)
        self.count += 1

    def end(self) -> None:
        """Set apart what comes behind."""
        if self.count:
            click.echo()


class Reclaimed:
    """How much disk removals gave back; nothing is claimed where one does not tell (an older node)."""

    def __init__(self) -> None:
        """Nothing went yet."""
        self._bytes: int | None = 0

    def add(self, answer: ContainerOutput | VolumeAnswer) -> None:
        """Count what a node told of a removal."""
        if answer.HasField("removed_bytes"):
            self.add_bytes(answer.removed_bytes)
        else:
            self._bytes = None

    def add_bytes(self, freed: int) -> None:
        """Count what is known."""
        if self._bytes is not None:
            self._bytes += freed

    def tell(self) -> None:
        """Print the sum, where all of it is known."""
        from swarm.model.units import format_size

        if self._bytes is not None:
            click.echo(f"Total reclaimed space: {format_size(self._bytes)}")


def chosen(filters: Sequence[str], keys: Sequence[str] = KEYS) -> Chosen:
    """Return what --filter chooses; raises InvalidArgument."""
    from swarm.cli.docker_settings import prune_filters
    from swarm.clock import SystemClock

    always = [one for one in prune_filters(filters) if one.partition("=")[0] in keys]
    found = parse.filters([*filters, *always], keys)
    now_ns = SystemClock().now_ns()
    moments = [parse.moment(text, now_ns) for text in found.get("until", ())]
    return Chosen(found.get("label", ()), found.get("label!", ()), min(moments, default=0))


def prune_images(conn: Connection, wanted: Chosen, *, everything: bool) -> c.PruneImagesResponse:
    """Have the images that nothing uses removed, or some of them."""
    control = conn.control
    answer: c.PruneImagesResponse = (
        control.PruneChosenImages(
            c.PruneChosenImagesRequest(
                all=everything,
                labels=wanted.labels,
                without_labels=wanted.without_labels,
                before_ns=wanted.before_ns,
            )
        )
        if wanted.some
        else control.PruneImages(c.PruneImagesRequest(all=everything))
    )
    return answer


def tell_unread(answer: c.PruneImagesResponse) -> bool:
    """Say which images stay because nobody knows whether they are meant; whether there are any."""
    for name in answer.unread:
        click.echo(f"Error: image {name} stays: its configuration cannot be read", err=True)
    return bool(answer.unread)


def prune_containers(
    conn: Connection, nodes: Sequence[str], wanted: Chosen, notices: Notices
) -> Iterator[ContainerOutput]:
    """Have containers that have ended removed; yield what nodes say."""
    if not wanted.without_labels:
        request = PruneContainers(labels=wanted.labels, ended_before_ns=wanted.before_ns)
        yield from notices.filter(ask(conn, ContainerRequest(prune=request), nodes))
        return
    # One by one: a node of an older version would overlook what must not be there.
    listing = ContainerRequest(list=ListContainers(all=True, size=True))
    for one in list(notices.filter(ask(conn, listing, nodes))):
        if one.HasField("container") and _is_meant(one, wanted):
            try:
                removing = ContainerRequest(container_id=one.container.id, remove=RemoveContainer())
                list(ask(conn, removing, [one.node_id]))
            except FailedPrecondition:
                continue  # it runs again
            written = one.container.written_bytes if one.container.HasField("written_bytes") else None
            yield ContainerOutput(node_id=one.node_id, removed=one.container.id, removed_bytes=written)


def _is_meant(one: ContainerOutput, wanted: Chosen) -> bool:
    ended = one.container.state == "exited"
    long_ago = not wanted.before_ns or nanoseconds(one.container.finished_at) < wanted.before_ns
    return ended and long_ago and wanted.has_labels(one.container.labels)


def prune_volumes(
    conn: Connection, nodes: Sequence[str], wanted: Chosen, notices: Notices, *, everything: bool = False
) -> Iterator[ContainerOutput]:
    """Have volumes removed that nothing uses: those without a name, or all; yield what nodes say."""
    if not wanted.without_labels:
        request = PruneVolumes(all=everything, labels=wanted.labels)
        yield from notices.filter(ask(conn, ContainerRequest(prune_volumes=request), nodes))
        return
    listing = ContainerRequest(list_volumes=ListVolumes())
    for one in list(notices.filter(ask(conn, listing, nodes))):
        found = one.volume.volume
        if not found.name or found.users or not (everything or found.anonymous):
            continue
        if wanted.has_labels(found.labels):
            removing = ContainerRequest(remove_volume=RemoveVolume(name=found.name))
            yield from notices.filter(ask(conn, removing, [one.node_id]))
