"""The outgoing stream to one other member: dialled again and again, told up and down."""

import asyncio
import contextlib
import random
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import grpc
import structlog

from swarm.api.status import from_rpc_error
from swarm.api.v1.raft_pb2 import RaftMember, RaftStreamEnd
from swarm.errors import NodeRemoved
from swarm.manager.raft.frames import FRAME_BYTES
from swarm.manager.raft.membership import REMOVED

log = structlog.get_logger(__name__)

STREAM = "/swarm.api.v1.Raft/Stream"
RAFT_ID_KEY = "swarm-raft-id"  # metadata: who opens the stream, and where they can be reached
ADDR_KEY = "swarm-raft-addr"

CONNECT_TIMEOUT_S = 2.0
RETRY_S = (0.1, 0.4)
RETRY_REFUSED_S = (0.5, 1.5)
SILENCE_S = 3.0  # what we send is not answered for so long: the stream may be dead without knowing
KICK_AGE_S = 1.0  # a younger stream is not dialled again only because the other side did so
BACKLOG_BYTES_MAX = 64 * 1024 * 1024

Dial = Callable[[str], grpc.aio.Channel]


class LinkEvents(Protocol):
    """Who wants to know; called on the event loop."""

    def link_up(self, raft_id: str) -> None:
        """Frames go out from now on."""

    def link_down(self, raft_id: str) -> None:
        """Frames that were sent may be lost."""

    def told_removed(self, raft_id: str) -> None:
        """The other side says that this member was removed from the group."""


class PeerLink:
    """Frames go to the other member in order, or are dropped until it is connected again."""

    def __init__(self, peer: RaftMember, self_member: RaftMember, dial: Dial, events: LinkEvents) -> None:
        self.peer = peer
        self.is_up = False
        self.queued_bytes = 0  # ever; only the raft thread writes it
        self._done_bytes = 0  # ever; only the event loop writes it
        self._self_member = self_member
        self._dial = dial
        self._events = events
        self._frames: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._up_since = 0.0
        self._unanswered_since: float | None = None
        self._kicked = False
        self._task = asyncio.create_task(self._run(), name=f"raft-link-{peer.raft_id}")

    @property
    def backlog_bytes(self) -> int:
        """What was queued and is neither written nor dropped."""
        return self.queued_bytes - self._done_bytes

    def send(self, frame: bytes) -> None:
        """Queue a frame, or drop it if the member is not connected."""
        if not self.is_up:
            self._done_bytes += len(frame)
            return
        self._frames.append(frame)
        if self.backlog_bytes > BACKLOG_BYTES_MAX:
            self._kicked = True
        self._wake.set()

    def heard(self) -> None:
        """Note that the other member sent something: it is alive and hears us, too."""
        self._unanswered_since = None

    def kick(self) -> None:
        """Dial again: the other member has dialled again, so its end of our stream may be gone."""
        if self.is_up and asyncio.get_running_loop().time() - self._up_since > KICK_AGE_S:
            self._kicked = True
            self._wake.set()

    async def stop(self) -> None:
        """Close the stream."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        while True:
            pause = RETRY_S
            try:
                await self._hold_stream()
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.PERMISSION_DENIED:
                    pause = RETRY_REFUSED_S
                    self._refused(error)
                else:
                    log.debug("raft.link_failed", raft_id=self.peer.raft_id, reason=error.details())
            except (TimeoutError, OSError, grpc.aio.UsageError, asyncio.InvalidStateError) as error:
                log.debug("raft.link_failed", raft_id=self.peer.raft_id, reason=repr(error))
            except Exception:  # dialling may fail in its own ways: a member must not stay cut off for that
                log.exception("raft.link_failed", raft_id=self.peer.raft_id)
            await asyncio.sleep(random.uniform(*pause))  # noqa: S311  # no secret: spreads reconnections

    def _refused(self, error: grpc.aio.AioRpcError) -> None:
        details = error.details() or ""
        if details == REMOVED or isinstance(from_rpc_error(error), NodeRemoved):
            self._events.told_removed(self.peer.raft_id)
        else:
            log.warning("raft.link_refused", raft_id=self.peer.raft_id, reason=details)

    async def _hold_stream(self) -> None:
        channel = self._dial(self.peer.addr)
        try:
            # Frames are serialised on the raft thread: the event loop only passes bytes on.
            stream: Any = channel.stream_unary(STREAM, None, RaftStreamEnd.FromString)
            metadata = ((RAFT_ID_KEY, self._self_member.raft_id), (ADDR_KEY, self._self_member.addr))
            call = stream(metadata=metadata)
            call.add_done_callback(lambda _: self._wake.set())
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await self._check_answer(call)
                self._set_up()
                await self._write_frames(call)
            finally:
                self._set_down()
                call.cancel()
        finally:
            await channel.close()

    async def _check_answer(self, call: Any) -> None:
        """Return once the other side has let us in and is the member that we mean; raises otherwise."""
        metadata = dict(await call.initial_metadata() or ())
        answered = metadata.get(RAFT_ID_KEY)
        if answered is None:
            await call  # it was refused: raises the reason
        elif answered != self.peer.raft_id:
            raise ConnectionError(f"{self.peer.addr} is member {answered}")

    async def _write_frames(self, call: Any) -> None:
        loop = asyncio.get_running_loop()
        while not self._kicked:
            self._wake.clear()
            if call.done():
                await call  # raises the reason
                return
            if not self._frames:
                await self._wake.wait()
                continue
            if self._unanswered_since is None:
                self._unanswered_since = loop.time()
            elif loop.time() - self._unanswered_since > SILENCE_S:
                raise TimeoutError("no answer")
            async with asyncio.timeout(SILENCE_S):
                await call.write(self._take_frame())

    def _take_frame(self) -> bytes:
        """Return what waits as one frame, if it is not too much: batches one after another are one batch."""
        taken: list[bytes] = []
        size = 0
        while self._frames and (not taken or size + len(self._frames[0]) <= FRAME_BYTES):
            taken.append(self._frames.popleft())
            size += len(taken[-1])
        self._done_bytes += size
        return b"".join(taken)

    def _set_up(self) -> None:
        self.is_up = True
        self._kicked = False
        self._unanswered_since = None
        self._up_since = asyncio.get_running_loop().time()
        log.info("raft.link_up", raft_id=self.peer.raft_id, node_id=self.peer.node_id)
        self._events.link_up(self.peer.raft_id)

    def _set_down(self) -> None:
        for frame in self._frames:
            self._done_bytes += len(frame)
        self._frames.clear()
        if self.is_up:
            self.is_up = False
            log.info("raft.link_down", raft_id=self.peer.raft_id, node_id=self.peer.node_id)
            self._events.link_down(self.peer.raft_id)
