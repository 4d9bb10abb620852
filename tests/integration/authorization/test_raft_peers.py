"""Who knocks at the Raft service of a real manager and should not: refused, and nothing is harmed."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.raft_pb2 import RaftBatch, RaftHealthRequest, RaftMessage
from swarm.api.v1.raft_pb2_grpc import RaftStub
from swarm.clock import SystemClock
from swarm.manager.raft.frames import FRAME_BYTES_MAX, PARTS_MAX
from swarm.manager.raft.links import ADDR_KEY, RAFT_ID_KEY, STREAM
from swarm.manager.raft.transport import INBOX_BYTES_MAX
from swarm.security.certificates import create_csr, create_root_ca, issue_node_certificate, new_key_pem
from swarm.security.identity import Role
from swarm.security.keyfiles import NodeBundle
from swarm.security.tls import MESSAGE_BYTES_MAX
from tests.integration.authorization.conftest import Cluster
from tests.integration.swarmd import Daemon, wait_for

Refusal = tuple[grpc.StatusCode, str]
Test = Callable[[Cluster, str, NodeBundle], None]

PATIENCE_S = 60.0
TRIES = 12
FLOOD_S = 8.0
FLOODERS = 4
# What a flood may cost: what waits for the raft thread, one message that comes and one that is read on each
# stream (a node has one, and one that takes its place), and as much again that the allocator keeps.
FLOOD_BYTES_MAX = 2 * (INBOX_BYTES_MAX + 4 * MESSAGE_BYTES_MAX)


class Rogue:
    """Somebody with a certificate, or without, at the port of a manager."""

    def __init__(self, cluster: Cluster, at: str, who: NodeBundle | None) -> None:
        root = cluster.root.cert_pem
        credentials = grpc.ssl_channel_credentials(
            who.root_ca_pem if who else root, who.key_pem if who else None, who.cert_pem if who else None
        )
        options = (
            ("grpc.ssl_target_name_override", "swarm-manager"),
            ("grpc.max_send_message_length", -1),
            ("grpc.enable_http_proxy", 0),
        )
        self._channel = grpc.secure_channel(cluster.managers[at].addr, credentials, options)

    def __enter__(self) -> "Rogue":
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def stream(self, raft_id: str, *frames: bytes) -> Refusal:
        """Open a stream as a member, send, and wait for the end; OK is none."""
        over = threading.Event()

        def requests() -> Iterator[bytes]:
            yield from frames
            over.wait(PATIENCE_S)

        call = self._channel.stream_unary(STREAM)
        try:
            call(requests(), metadata=((RAFT_ID_KEY, raft_id), (ADDR_KEY, "")), timeout=PATIENCE_S)
        except grpc.RpcError as error:
            return error.code(), error.details()
        finally:
            over.set()
        return grpc.StatusCode.OK, ""

    def raft_id(self) -> str:
        """Ask the manager for its own raft id, which everybody may know."""
        return RaftStub(self._channel).Health(RaftHealthRequest(), timeout=PATIENCE_S).raft_id


def under_one_leader(test: Test) -> Callable[[Cluster, NodeBundle], None]:
    """Run a test with the name of the leader, which still leads afterwards, without a complaint, and writes.

    A busy machine elects another leader now and then: only what ends every time with another one has to do
    with what strangers did.
    """

    def run(cluster: Cluster, outsider: NodeBundle) -> None:
        for left in reversed(range(TRIES)):
            name = cluster.leader()
            daemon = cluster.managers[name]
            before = (daemon.pid, name, term_of(daemon))
            try:
                test(cluster, name, outsider)
            except AssertionError:
                if not left or before == standing(cluster, name):
                    raise
                continue
            wait_for(lambda: daemon.ask("RotateJoinToken", control.RotateJoinTokenRequest()))  # noqa: B023
            assert daemon.info().error == ""
            assert daemon.pid == before[0]
            if before == standing(cluster, name):
                return
        raise AssertionError(f"{TRIES} times another leader followed")

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run


def standing(cluster: Cluster, name: str) -> tuple[int, str, int]:
    """Return the process of a manager, who leads, and the newest term that the manager knows of."""
    daemon = cluster.managers[name]
    return daemon.pid, cluster.leader(), term_of(daemon)


def term_of(daemon: Daemon) -> int:
    """The newest term that the manager has told of in its log."""
    lines = (json.loads(line) for line in daemon.log().splitlines() if line.startswith("{"))
    return max(line["term"] for line in lines if line["event"].startswith("raft.") and "term" in line)


@pytest.fixture(scope="module")
def outsider(cluster: Cluster) -> NodeBundle:
    """A manager of the cluster by its certificate, and no member of Raft."""
    return cluster.certificate(Role.MANAGER, "outsider")


def refused(cluster: Cluster, at: str, who: NodeBundle | None, raft_id: str, *frames: bytes) -> Refusal:
    with Rogue(cluster, at, who) as rogue:
        return rogue.stream(raft_id, *frames)


def id_of(cluster: Cluster, name: str, outsider: NodeBundle) -> str:
    with Rogue(cluster, name, outsider) as rogue:
        return rogue.raft_id()


# Who they are.


@under_one_leader
def test_without_certificate_or_with_one_of_another_root_there_is_no_handshake(
    cluster: Cluster, leader: str, outsider: NodeBundle
) -> None:
    root = create_root_ca(cluster.cluster_id, SystemClock().now_ns())
    for who in (None, cluster.certificate(Role.MANAGER, "m1", root=root)):
        assert refused(cluster, leader, who, "x")[0] is grpc.StatusCode.UNAVAILABLE


@under_one_leader
def test_a_worker_and_a_manager_of_another_cluster_are_refused(
    cluster: Cluster, leader: str, outsider: NodeBundle
) -> None:
    key = new_key_pem()
    elsewhere = issue_node_certificate(
        cluster.root, create_csr(key), node_id="somebody", role=Role.MANAGER, cluster_id="elsewhere",
        now_ns=SystemClock().now_ns(),
    )  # fmt: skip
    bundle = NodeBundle(elsewhere, cluster.root.cert_pem, key)
    for who in (cluster.certificate(Role.WORKER), bundle):
        code, details = refused(cluster, leader, who, "x")
        assert code in {grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED}, details


@under_one_leader
def test_a_manager_cannot_be_another_member(cluster: Cluster, leader: str, outsider: NodeBundle) -> None:
    for name in cluster.managers:
        code, details = refused(cluster, leader, outsider, id_of(cluster, name, outsider))
        assert code is grpc.StatusCode.PERMISSION_DENIED
        assert "belongs to another node" in details


# What they send. The outsider is let in: a manager that was away may meet one that it has never heard of.


def message(cluster: Cluster, to: str, term: int, **kind: object) -> RaftMessage:
    return RaftMessage(cluster_id=cluster.cluster_id, sender="rogue", recipient=to, term=term, **kind)


@under_one_leader
def test_what_no_member_sends_ends_the_stream(cluster: Cluster, leader: str, outsider: NodeBundle) -> None:
    to, term = id_of(cluster, leader, outsider), term_of(cluster.managers[leader])
    good = message(cluster, to, term, vote={"last_index": 1, "pre": True})
    elsewhere = message(cluster, to, term, vote={"last_index": 1, "pre": True})
    elsewhere.cluster_id = "elsewhere"
    whole = RaftBatch(messages=[good]).SerializeToString()
    chunk = {"last_index": 10**9, "last_term": 1, "offset": 2**63, "chunk": b"x", "done": True}
    for frame, reason in (
        (RaftBatch(messages=[elsewhere]).SerializeToString(), "in cluster elsewhere"),
        (bytes(FRAME_BYTES_MAX + 1), "are allowed"),
        (b"\x0a\x00" * (PARTS_MAX + 1), "parts"),
        (b"\x80\x04\x95\x0f\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x8c\x06system\x93.", "cannot be read"),
        (whole[:-3], "cannot be read"),
        (
            RaftBatch(messages=[message(cluster, to, term, snapshot=chunk)]).SerializeToString(),
            "out of range",
        ),
        (
            RaftBatch(messages=[message(cluster, to, term, snapshot=chunk | {"offset": 2**40})])
            .SerializeToString(),
            "claims to lead",
        ),
        (
            RaftBatch(messages=[message(cluster, to, term, append={"prev_index": 1, "commit": 2**40})])
            .SerializeToString(),
            "claims to lead",
        ),
    ):  # fmt: skip
        code, details = refused(cluster, leader, outsider, "rogue", frame)
        assert code is grpc.StatusCode.PERMISSION_DENIED, reason
        assert reason in details
    code, details = refused(cluster, leader, outsider, "rogue", bytes(MESSAGE_BYTES_MAX + 1))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED


@under_one_leader
def test_a_rogue_on_a_follower_is_not_taken_for_the_leader(
    cluster: Cluster, leader: str, outsider: NodeBundle
) -> None:
    follower = next(name for name in cluster.managers if name != leader)
    to, term = id_of(cluster, follower, outsider), term_of(cluster.managers[leader])
    lie = message(cluster, to, term, append={"prev_index": 1, "commit": 2**40})
    code, details = refused(
        cluster, follower, outsider, "rogue", RaftBatch(messages=[lie]).SerializeToString()
    )
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "claims to lead" in details


@under_one_leader
def test_frames_that_come_twice_and_out_of_order_do_no_harm(
    cluster: Cluster, leader: str, outsider: NodeBundle
) -> None:
    """A member's own words, twice and backwards; it connects again itself afterwards."""
    follower = next(name for name in cluster.managers if name != leader)
    to, sender = id_of(cluster, leader, outsider), id_of(cluster, follower, outsider)
    term = term_of(cluster.managers[leader])
    twin = cluster.certificate(Role.MANAGER, cluster.managers[follower].info().node_id)
    replies = [
        RaftMessage(
            cluster_id=cluster.cluster_id, sender=sender, recipient=to, term=term, append_reply=reply
        )
        for reply in (
            {"next_index": 2, "success": True},
            {"next_index": 3, "success": True},
            {"next_index": 2, "reset": True},
        )
    ]
    wrong = RaftMessage(cluster_id="elsewhere")  # ends the stream, so that we know that all was read
    frames = [RaftBatch(messages=[one]).SerializeToString() for one in (*replies, *replies[::-1], wrong)]
    with Rogue(cluster, leader, twin) as rogue:
        code, details = rogue.stream(sender, *frames)
    assert code is grpc.StatusCode.PERMISSION_DENIED
    assert "in cluster elsewhere" in details
    wait_for(lambda: cluster.managers[follower].ask("RotateJoinToken", control.RotateJoinTokenRequest()))


# How much they send.


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


@under_one_leader
def test_a_flood_costs_no_more_memory_than_the_limits_say(
    cluster: Cluster, leader: str, outsider: NodeBundle
) -> None:
    pid = cluster.managers[leader].pid
    before, highest = resident_bytes(pid), 0
    until = time.monotonic() + FLOOD_S
    frames = [
        b"\x0a\x00" * (FRAME_BYTES_MAX // 2),
        bytes(MESSAGE_BYTES_MAX - 1),
        bytes(MESSAGE_BYTES_MAX + 1),
    ]
    ended: list[Refusal] = []

    def flood(number: int) -> None:
        with Rogue(cluster, leader, outsider) as rogue:
            while time.monotonic() < until:
                ended.append(rogue.stream(f"rogue-{number}", frames[number % len(frames)]))

    threads = [threading.Thread(target=flood, args=(number,)) for number in range(FLOODERS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        highest = max(highest, resident_bytes(pid))
        time.sleep(0.02)
    print(f"resident: {before >> 20} MiB, at most {(highest - before) >> 20} MiB more, {len(ended)} streams")
    assert len(ended) >= FLOODERS
    assert highest - before < FLOOD_BYTES_MAX


@under_one_leader
def test_a_member_that_was_removed_may_knock_as_often_as_it_likes(
    cluster: Cluster, leader: str, outsider: NodeBundle
) -> None:
    name = next(name for name in cluster.managers if name != leader)
    daemon = cluster.managers[name]
    raft_id, node_id = id_of(cluster, name, outsider), daemon.info().node_id
    daemon.leave(force=True)
    removed = cluster.certificate(Role.MANAGER, node_id)
    wait_for(lambda: "removed" in refused(cluster, leader, removed, raft_id)[1])
    with Rogue(cluster, leader, removed) as rogue:
        for _ in range(20):
            code, details = rogue.stream(raft_id, b"")
            assert code is grpc.StatusCode.PERMISSION_DENIED
            assert "removed" in details
    token = cluster.managers[leader].ask("GetJoinTokens", control.GetJoinTokensRequest()).manager
    daemon.join(token, cluster.managers[leader].addr)
    wait_for(lambda: daemon.info().leader_addr)
