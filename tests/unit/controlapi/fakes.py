"""Stand-ins for what the control API needs of others, and a context without a connection."""

from collections.abc import AsyncIterator, Sequence

from swarm.api.v1.control_pb2 import (
    Filters,
    LoadImageRequest,
    PruneChosenImagesRequest,
    PulledImage,
    PullImageRequest,
    PullImageResponse,
    PushedImage,
    PushImageRequest,
    PushImageResponse,
    ServiceLogsResponse,
)
from swarm.api.v1.logs_pb2 import LogOptions, LogSelector
from swarm.api.v1.objects_pb2 import Cluster, Image, Node, Service, Task
from swarm.api.v1.raft_pb2 import RaftMember
from swarm.api.v1.specs_pb2 import ServiceSpec
from swarm.api.v1.types_pb2 import NODE_ROLE_MANAGER, NODE_ROLE_WORKER, NODE_STATE_READY, RegistryAuth
from swarm.errors import FailedPrecondition, NoQuorum, NotLeader
from swarm.runtime.images.history import Step
from swarm.runtime.images.parts import PlatformImage


class FakeRaft:
    """Members r1, r2, … on nodes m1, m2, …; this manager is r1 unless told otherwise."""

    def __init__(
        self,
        count: int = 3,
        leader: str | None = "r1",
        addrs: dict[str, str] | None = None,
        raft_id: str = "r1",
    ) -> None:
        addrs = addrs or {}
        self.members = tuple(
            RaftMember(raft_id=f"r{n}", node_id=f"m{n}", addr=addrs.get(f"r{n}", f"10.0.0.{n}:2377"))
            for n in range(1, count + 1)
        )
        self.raft_id = raft_id
        self.leader_id = leader
        self.lost: set[str] = set()

    @property
    def is_leader(self) -> bool:
        return self.leader_id == self.raft_id

    @property
    def leader(self) -> RaftMember | None:
        return next((member for member in self.members if member.raft_id == self.leader_id), None)

    def reachable(self, raft_id: str) -> bool:
        return raft_id not in self.lost

    async def move_member(self, raft_id: str, addr: str, timeout_s: float) -> None:
        if not self.reachable(raft_id):
            raise FailedPrecondition(f"the leader cannot reach a manager at {addr}")
        for member in self.members:
            if member.raft_id == raft_id:
                member.addr = addr

    async def barrier(self, timeout_s: float) -> int:
        if not self.is_leader:
            raise NotLeader
        if len(self.lost) * 2 >= len(self.members):
            raise NoQuorum("nobody answers")
        return 1


class FakeImages:
    """Remembers what was asked."""

    def __init__(self) -> None:
        self.removed: list[str] = []

    async def load(self, requests: AsyncIterator[LoadImageRequest]) -> Sequence[Image]:
        chunks = [request.chunk async for request in requests]
        return [Image(id="i1", size_bytes=sum(map(len, chunks)))]

    def list(self, filters: Filters) -> Sequence[Image]:
        return [Image(id="i1")]

    async def remove(self, ref: str, *, force: bool = False) -> str:
        self.removed.append(ref)
        return "i1"

    async def pull(self, request: PullImageRequest) -> AsyncIterator[PullImageResponse]:
        yield PullImageResponse(progress=f"pulling {request.reference}")
        yield PullImageResponse(pulled=PulledImage(image=Image(id="i1"), changed=True))

    async def tags(self, reference: str, auth: RegistryAuth | None) -> Sequence[str]:
        return [f"{reference}-1", auth.username if auth else "nobody"]

    async def push(self, request: PushImageRequest) -> AsyncIterator[PushImageResponse]:
        yield PushImageResponse(progress=f"pushing {request.ref}")
        yield PushImageResponse(pushed=PushedImage(reference=request.ref))

    async def save(self, refs: Sequence[str]) -> AsyncIterator[bytes]:
        for ref in refs:
            yield ref.encode()

    async def history(self, ref: str) -> tuple[Sequence[Step], bytes]:
        steps = [
            Step("2026-01-02T03:04:05Z", "ADD x", "", f"sha256:{ref}", 7),
            Step("yesterday", "CMD x", "no file"),
        ]
        return steps, b'{"os": "linux"}'

    def platforms(self, ref: str) -> Sequence[PlatformImage]:
        return [PlatformImage("linux/amd64", f"sha256:{ref}", 7, held=True)]

    async def tag(self, source: str, target: str) -> Image:
        return Image(id=source, digest=target)

    async def prune(self, *, everything: bool) -> tuple[Sequence[Image], int]:
        return ([Image(id="i1")], 7) if everything else ([], 0)

    async def prune_chosen(
        self, choice: PruneChosenImagesRequest, *, everything: bool
    ) -> tuple[Sequence[Image], int, Sequence[str]]:
        return ([Image(id=one) for one in choice.labels] if everything else []), 7, ["i2"]


class FakeLogs:
    """Says three things."""

    async def stream(self, selector: LogSelector, options: LogOptions) -> AsyncIterator[ServiceLogsResponse]:
        for number in range(3):
            yield ServiceLogsResponse(notice=f"{number} of {list(selector.service_ids)}")


class FakeContext:
    """A call that came from the local socket."""

    def __init__(self, remaining_s: float | None = None, metadata: Sequence[tuple[str, str]] = ()) -> None:
        self._remaining_s = remaining_s
        self._metadata = metadata
        self.trailing: Sequence[tuple[str, str]] = ()

    def invocation_metadata(self) -> Sequence[tuple[str, str]]:
        return self._metadata

    def time_remaining(self) -> float | None:
        return self._remaining_s

    def trailing_metadata(self) -> Sequence[tuple[str, str]]:
        return self.trailing

    def set_trailing_metadata(self, pairs: Sequence[tuple[str, str]]) -> None:
        self.trailing = pairs


def a_spec(name: str = "web", image: str = "web:1", replicas: int | None = None) -> ServiceSpec:
    spec = ServiceSpec()
    spec.annotations.name = name
    spec.task.container.image = image
    if replicas is not None:
        spec.replicated.replicas = replicas
    return spec


def a_service(service_id: str, name: str) -> Service:
    return Service(id=service_id, spec=a_spec(name), spec_version=1)


def a_node(node_id: str, *, manager: bool = False, state: int = NODE_STATE_READY) -> Node:
    role = NODE_ROLE_MANAGER if manager else NODE_ROLE_WORKER
    node = Node(id=node_id, role=role)
    node.spec.desired_role = role
    node.description.hostname = f"host-{node_id}"
    node.status.state = state
    return node


def a_task(task_id: str, service_id: str, node_id: str, state: int, desired: int, slot: int = 1) -> Task:
    task = Task(id=task_id, service_id=service_id, node_id=node_id, slot=slot, desired_state=desired)
    task.service_annotations.name = "web"
    task.status.state = state
    return task


def a_cluster() -> Cluster:
    cluster = Cluster(id="c1")
    cluster.root_ca.key_pem = b"key"
    cluster.root_ca.worker_secret = "worker-secret"
    cluster.root_ca.manager_secret = "manager-secret"
    return cluster
