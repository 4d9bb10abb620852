"""Messages between members over gRPC: one stream per direction, on the event loop.

The raft thread serialises and parses; the event loop passes frames on and knows who may connect.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
from pysyncobj.node import Node

from swarm.api.v1.raft_pb2 import RaftBatch, RaftMember, RaftMessage
from swarm.errors import InvariantBroken, Unavailable
from swarm.manager.raft.codec import Message, UnknownEntry, WireError
from swarm.manager.raft.frames import FRAME_BYTES, parse
from swarm.manager.raft.links import Dial, PeerLink
from swarm.manager.raft.membership import Membership, refusal
from swarm.manager.raft.outbox import Outbox

log = structlog.get_logger(__name__)

CONGESTED_BYTES = 4 * 1024 * 1024  # waiting for one member: it gets no more entries for now
INBOX_BYTES_MAX = 32 * 1024 * 1024  # waiting for the raft thread: streams are not read further
_INBOX_PAUSE_S = 0.005

Put = Callable[..., None]


@dataclass(frozen=True)
class View:
    """The members as the event loop sees them."""

    current: Membership = field(default_factory=Membership)
    committed: Membership = field(default_factory=Membership)
    contacts: Mapping[str, RaftMember] = field(default_factory=dict)

    @property
    def known(self) -> Mapping[str, RaftMember]:
        """Everybody to keep a stream to."""
        return {**self.contacts, **self.current.members}


class _Incoming:
    """A stream that another member opened, and the task that reads it."""

    def __init__(self, member: RaftMember, task: asyncio.Task[Any]) -> None:
        self.member = member
        self.ended: str | None = None  # why it was ended here; empty: another one took its place
        self.refused = False  # for what came on it; only the raft thread writes it
        self._task = task

    def end(self, reason: str) -> None:
        """Read no further."""
        if self.ended is None:
            self.ended = reason
            self._task.cancel()


class PeerTransport(Outbox):
    """The streams of one member."""

    def __init__(
        self, cluster_id: str, self_member: RaftMember, dial: Dial, on_removed: Callable[[], None]
    ) -> None:
        """Create it on the event loop; `on_removed` is called there when another member says so."""
        super().__init__(cluster_id, self_member.raft_id)
        self._self_member = self_member
        self._dial = dial
        self._on_removed = on_removed
        self._loop = asyncio.get_running_loop()
        self._put: Put = lambda *_: None
        self._links: dict[str, PeerLink] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._guests: dict[str, RaftMember] = {}  # connected, and not known from the log, or not there
        self._streams: set[_Incoming] = set()
        self._turn_bytes: dict[str, int] = {}  # queued in this turn, by member
        self._outgoing: list[tuple[str, bytes]] = []
        self._taken_bytes = 0  # read from streams, ever; only the event loop writes it
        self._handled_bytes = 0  # of these, handled; only the raft thread writes it
        self._stopped = False
        self.view = View()

    def attach(self, put: Put) -> None:
        """Bring what arrives to the raft thread with `put(function, *arguments)`."""
        self._put = put

    # Raft thread.

    def is_congested(self, node: Node) -> bool:
        """Tell whether too much waits for this member to send it more entries."""
        link = self._links.get(node.id)
        waiting = self._turn_bytes.get(node.id, 0) + (link.backlog_bytes if link is not None else 0)
        return waiting > CONGESTED_BYTES

    def send(self, node: Node, message: Message) -> bool:
        """Queue a message until `release`."""
        size = sum(len(entry[0]) for entry in message.get("entries", ()))
        if size:
            self._turn_bytes[node.id] = self._turn_bytes.get(node.id, 0) + size
        return super().send(node, message)

    def release(self, *, appends_only: bool = False) -> None:
        """Let queued messages go out; `appends_only` keeps back those that promise something."""
        super().release(appends_only=appends_only)
        self._turn_bytes.clear()
        if self._outgoing:
            frames, self._outgoing = self._outgoing, []
            self._loop.call_soon_threadsafe(self._send_frames, frames)

    def deliver(self, recipient: str, messages: Sequence[RaftMessage]) -> None:
        """Pack messages into frames for the event loop."""
        batch = RaftBatch()
        size = 0
        for message in messages:
            batch.messages.append(message)
            size += message.ByteSize()
            if size >= FRAME_BYTES:
                self._pack(recipient, batch)
                batch, size = RaftBatch(), 0
        if batch.messages:
            self._pack(recipient, batch)

    def _pack(self, recipient: str, batch: RaftBatch) -> None:
        frame = batch.SerializeToString()
        link = self._links.get(recipient)
        if link is not None:
            link.queued_bytes += len(frame)
            self._outgoing.append((recipient, frame))

    def _handle(self, stream: _Incoming, frame: bytes) -> None:
        self._handled_bytes += len(frame)
        if stream.refused:
            return
        member = stream.member
        try:
            self.received(member.raft_id, parse(frame).messages)
        except UnknownEntry as error:  # it would stand still for ever, and look like a member
            raise InvariantBroken(str(error)) from error
        except WireError as error:  # perhaps from a newer version: nothing of it may be skipped
            reason = str(error)
            log.warning("raft.frame_refused", node_id=member.node_id, raft_id=member.raft_id, reason=reason)
            stream.refused = True
            self._loop.call_soon_threadsafe(stream.end, reason)

    # Event loop: outgoing.

    def _send_frames(self, frames: Iterable[tuple[str, bytes]]) -> None:
        for recipient, frame in frames:
            link = self._links.get(recipient)
            if link is not None:
                link.send(frame)

    def set_members(self, view: View) -> None:
        """Keep streams to exactly these members, at these addresses."""
        for raft_id, member in view.known.items():
            known = self.view.known.get(raft_id)
            if known is not None and known.addr != member.addr:
                self._guests.pop(raft_id, None)  # the log's word is newer than its own
        self.view = view
        self._reconcile()

    def _reconcile(self) -> None:
        # Where a member says that it is when it connects counts more than what the log says.
        wanted = {} if self._stopped else {**self.view.known, **self._guests}
        wanted.pop(self._raft_id, None)
        for raft_id, link in list(self._links.items()):
            if raft_id not in wanted or wanted[raft_id].addr != link.peer.addr:
                del self._links[raft_id]
                self._close(link)
        for raft_id, member in wanted.items():
            if raft_id not in self._links and member.addr:
                self._links[raft_id] = PeerLink(member, self._self_member, self._dial, self)

    def _close(self, link: PeerLink) -> None:
        task = asyncio.create_task(link.stop(), name=f"raft-link-close-{link.peer.raft_id}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def link_up(self, raft_id: str) -> None:
        """Tell the core (for a link)."""
        self._put(self.connected, raft_id)

    def link_down(self, raft_id: str) -> None:
        """Tell the core (for a link)."""
        self._put(self.disconnected, raft_id)

    def told_removed(self, raft_id: str) -> None:
        """Another member says that we were removed (for a link)."""
        self._on_removed()

    def is_connected(self, raft_id: str) -> bool:
        """Tell whether the stream to this member is up."""
        link = self._links.get(raft_id)
        return link is not None and link.is_up

    async def stop(self) -> None:
        """Close all streams."""
        self._stopped = True
        self._reconcile()
        for stream in self._streams:
            stream.end("")  # the others learn at once that this member is gone
        while self._closing:
            await asyncio.wait(self._closing)

    # Event loop: incoming.

    def refusal(self, member: RaftMember) -> str:
        """Return why this manager may not open a stream as `member`, empty if it may.

        Raises Unavailable while this one is stopping.
        """
        if self._stopped:
            raise Unavailable("this manager is stopping")
        return refusal(self.view.committed, self.view.known, member.raft_id, member.node_id)

    async def serve(self, member: RaftMember, frames: AsyncIterator[bytes]) -> str:
        """Take what `member` sends until its stream ends; returns why it was ended here, if it was.

        The caller has checked `refusal` and that `member.node_id` is what the peer's certificate says.
        """
        task = asyncio.current_task()
        assert task is not None
        stream = _Incoming(member, task)
        self._open(stream)
        try:
            return await self._serve(stream, frames)
        except asyncio.CancelledError:
            if stream.ended is None:
                raise
            task.uncancel()
            if self._stopped:
                raise Unavailable("this manager is stopping") from None
            return stream.ended
        finally:
            self._shut(stream)

    async def _serve(self, stream: _Incoming, frames: AsyncIterator[bytes]) -> str:
        async for frame in frames:
            reason = self.refusal(stream.member)
            if reason:
                return reason
            await self._take(stream, frame)
        return ""

    async def _take(self, stream: _Incoming, frame: bytes) -> None:
        while self._taken_bytes - self._handled_bytes > INBOX_BYTES_MAX:  # noqa: ASYNC110  # two threads
            await asyncio.sleep(_INBOX_PAUSE_S)  # the sender sees that its stream does not move
        link = self._links.get(stream.member.raft_id)
        if link is not None:
            link.heard()
        self._taken_bytes += len(frame)
        # Parsed over there, one at a time.
        self._put(self._handle, stream, frame)

    def _open(self, stream: _Incoming) -> None:
        member = stream.member
        for other in self._streams:
            # A node has one seat and one stream here. What comes late on an older one is out of order.
            if member.raft_id == other.member.raft_id or member.node_id == other.member.node_id:
                other.end("")
        self._streams.add(stream)
        known = self.view.known.get(member.raft_id)
        if member.addr and (known is None or known.addr != member.addr):
            self._guests[member.raft_id] = member
            self._reconcile()
        link = self._links.get(member.raft_id)
        if link is not None:
            link.kick()

    def _shut(self, stream: _Incoming) -> None:
        self._streams.discard(stream)
        raft_id = stream.member.raft_id
        if all(other.member.raft_id != raft_id for other in self._streams):
            self._guests.pop(raft_id, None)
            self._reconcile()
