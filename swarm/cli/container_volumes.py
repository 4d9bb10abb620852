"""`--volumes-from`: a container has what another one on its node has mounted."""

from collections.abc import Iterable, Iterator, Sequence

from swarm.api.v1.containers_pb2 import ContainerDetails, ContainerRequest, InspectContainer
from swarm.api.v1.plain_pb2 import PlainSpec
from swarm.api.v1.types_pb2 import Mount
from swarm.cli.connect import Connection
from swarm.cli.container_calls import ask_one, find_container, only
from swarm.errors import FailedPrecondition, InvalidArgument
from swarm.model.volumes import anonymous_name

SHARED = frozenset({Mount.TYPE_VOLUME, Mount.TYPE_BIND})


def add_volumes_from(
    conn: Connection, spec: PlainSpec, texts: Iterable[str], nodes: Sequence[str]
) -> list[str]:
    """Add the mounts of other containers to a spec, and return the node that they are on.

    What the spec mounts at the same place wins. Raises InvalidArgument, FailedPrecondition.
    """
    chosen = list(nodes)
    for text in texts:
        ref, _, mode = text.partition(":")
        if mode not in {"", "ro", "rw"}:
            raise InvalidArgument(f"--volumes-from {text}: write CONTAINER, CONTAINER:ro or CONTAINER:rw")
        target = find_container(conn, ref)
        if chosen not in ([], [target.node_id]):
            raise FailedPrecondition(
                f"--volumes-from {ref}: it is on node {target.node_id}, not {chosen[0]}, and volumes are of"
                " one node"
            )
        chosen = [target.node_id]
        details = only(ask_one(conn, target, ContainerRequest(inspect=InspectContainer())), "details")
        taken = {one.target.rstrip("/") for one in spec.container.mounts}
        for mount in mounts_of(details, read_only=mode == "ro"):
            if mount.target.rstrip("/") not in taken:
                spec.container.mounts.append(mount)
    return chosen


def mounts_of(details: ContainerDetails, *, read_only: bool) -> Iterator[Mount]:
    """Yield the mounts of a container that another can have too; raises FailedPrecondition. Pure."""
    for one in details.spec.mounts:
        if one.type not in SHARED:  # memory and images are nobody else's
            continue
        if "{{" in one.source or "{{" in one.target:
            raise FailedPrecondition(
                f"--volumes-from: {details.summary.name} mounts {one.source or one.target}, which its"
                " service fills in for each task: name the volume with --volume"
            )
        mount = Mount()
        mount.CopyFrom(one)
        mount.read_only = one.read_only or read_only
        if mount.type == Mount.TYPE_VOLUME and not mount.source:
            # As its node calls it; it goes when the last of its containers does.
            mount.source = anonymous_name(details.summary.id, one.target)
        yield mount
