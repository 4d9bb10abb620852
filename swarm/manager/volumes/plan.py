"""What has to be done next for a cluster volume? Pure.

A volume is made, then published to each node with tasks that have it, attached there, and all of that is
undone in the reverse order once no task there has it. Each step begins when what was before it is written
down: whoever leads next goes on from there, and repeats at most a call that plugins must take twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from swarm.api.v1.objects_pb2 import Volume
from swarm.api.v1.specs_pb2 import VolumeSpec


class Work(Enum):
    """One kind of step; those that only write need no plugin."""

    CREATE = "create"
    DELETE = "delete"
    BEGIN = "begin"  # write: the node is to have it
    PUBLISH = "publish"  # the controller
    ATTACH = "attach"  # the node
    RELEASE = "release"  # write: the node is to let go
    RESUME = "resume"  # write: it is not, after all
    ABANDON = "abandon"  # write: the node is gone, or never had it
    DETACH = "detach"  # the node
    UNPUBLISH = "unpublish"  # the controller


@dataclass(frozen=True, slots=True)
class Step:
    """Something to be done for a volume, on a node or not."""

    volume_id: str
    work: Work
    node_id: str = ""
    for_tasks: frozenset[str] = frozenset()  # ATTACH: who waits for it

    @property
    def place(self) -> tuple[str, str]:
        """Where it is done: one thing at a time there."""
        return self.volume_id, self.node_id


@dataclass(frozen=True, slots=True)
class User:
    """A task that has a volume."""

    task_id: str
    waits: bool  # it does not run yet


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What counts of a node that exists."""

    is_up: bool


def next_steps(
    volume: Volume, users: Mapping[str, Sequence[User]], nodes: Mapping[str, NodeFacts]
) -> Iterator[Step]:
    """Yield what can be done now; `users` are the tasks that have the volume, by node."""
    if not volume.plugin_volume_id and not volume.pending_delete:
        yield Step(volume.id, Work.CREATE)
        return
    published = {one.node_id: one for one in volume.publish}
    for node_id, status in published.items():
        step = _next_on(volume, status, tuple(users.get(node_id, ())), nodes.get(node_id))
        if step is not None:
            yield step
    if volume.pending_delete:
        if not published:
            yield Step(volume.id, Work.DELETE)
        return
    wanted = sorted(node for node, some in users.items() if some and node not in published and node in nodes)
    if volume.spec.scope == VolumeSpec.SCOPE_SINGLE:
        wanted = [] if published else wanted[:1]  # the node that had it lets go of it first
    for node_id in wanted:
        yield Step(volume.id, Work.BEGIN, node_id)


def _next_on(
    volume: Volume, status: Volume.PublishStatus, users: Sequence[User], node: NodeFacts | None
) -> Step | None:
    """Return what is to be done about a volume on one node."""
    work: Work | None = None
    waiting = frozenset(one.task_id for one in users if one.waits)
    match status.state:
        case Volume.PUBLISH_STATE_PENDING_PUBLISH:
            work = Work.PUBLISH if users and node is not None else Work.ABANDON
        case Volume.PUBLISH_STATE_PUBLISHED:
            if not users or node is None:
                work = Work.RELEASE
            elif waiting and node.is_up:
                work = Work.ATTACH
        case Volume.PUBLISH_STATE_PENDING_NODE_UNPUBLISH:
            if node is None:
                work = Work.ABANDON
            elif users:
                work = Work.RESUME
            elif node.is_up:  # one that is down may still have it mounted
                work = Work.DETACH
        case _:
            work = Work.UNPUBLISH
    return Step(volume.id, work, status.node_id, waiting) if work is not None else None
