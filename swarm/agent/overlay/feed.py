"""Takes in what the managers say of overlay networks, keeps it, and tells those who make something of it.

Each listener hears of changes in order and one call at a time; what changes meanwhile is gathered. A call
that fails is made again, with everything that it was about. After a restart of the agent listeners hear of
all that was known before any task is taken up, so networks work without a manager.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Protocol, runtime_checkable

import structlog

from swarm.agent.assignments import NetworkChanges
from swarm.agent.database import (
    OVERLAY_NETWORK,
    OVERLAY_NODE,
    OVERLAY_SERVICE,
    OVERLAY_TASK,
    Database,
)
from swarm.agent.network.base import LocalSubnet, TaskNetwork
from swarm.agent.overlay.state import OverlayState, Touched
from swarm.api.v1.objects_pb2 import Task
from swarm.api.v1.overlay_pb2 import OverlayChanges, OverlayPeer
from swarm.api.v1.types_pb2 import NetworkAttachment
from swarm.errors import TransientError
from swarm.model.networks import OVERLAY

log = structlog.get_logger(__name__)

RETRY_S = 1.0
CHECK_S = 60.0
FIRST_S = 2.0  # names wait so long for the networks that they lead into
WITHDRAW_S = 2.0  # and networks wait so long for names to be said no more
PATIENCE_S = 2.0  # for what a task needs, before people are told what it waits for


class OverlayListener(Protocol):
    """Makes something of what is known of overlay networks.

    The first call comes with a state that is complete, also when there is nothing in it: what is there of an
    earlier life and not in it has to go.
    """

    async def apply(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """Make what was touched what it is in `state` now; may be asked for the same again."""


@runtime_checkable
class Withdrawing(Protocol):
    """A listener that leads into networks, and can stop leading before it leads elsewhere."""

    async def withdraw(self, state: OverlayState, touched: Sequence[Touched]) -> None:
        """Lead no more to what is not in `state`; `apply` follows when packets get to what is new there.

        Asked before packets change their way, so it must not take long.
        """


class OverlayFeed:
    """What this node knows of its overlay networks."""

    def __init__(self, database: Database, listeners: Sequence[OverlayListener]) -> None:
        """The first listener makes the networks that tasks join."""
        self.state = OverlayState()
        self.taken = 0  # how often something was heard
        self.applied = 0  # how much of that is in force
        self.on_applied: Callable[[int], None] = lambda applied: None
        self._database = database
        self._lines: list[_Line] = []
        for listener in listeners:
            first = self._lines[0] if self._lines else None
            self._lines.append(_Line(self.state, listener, first, self._line_applied))
        self._lines[0].leading = [one for one in listeners[1:] if isinstance(one, Withdrawing)]

    async def run(self) -> None:
        """Tell the listeners, until cancelled."""
        async with asyncio.TaskGroup() as group:
            for line in self._lines:
                group.create_task(line.run())

    def resume(self, stored: Iterable[OverlayChanges], *, complete: bool) -> None:
        """Begin with what an earlier life of the agent knew; unless `complete`, managers come first."""
        self._tell(self.state.apply(stored, complete=True), begin=complete)

    def take(self, changes: NetworkChanges) -> int:
        """Hear what the managers say; return what `on_applied` is told, or more, when it is in force."""
        self.taken += 1
        touched = self.state.apply(changes.changes, complete=changes.complete)
        for one in touched:
            self._keep(one)
        self._tell(touched, begin=changes.complete)
        return self.taken

    def _line_applied(self) -> None:
        applied = min(line.applied for line in self._lines)
        if applied > self.applied:
            self.applied = applied
            self.on_applied(applied)

    async def settled(self) -> None:
        """Wait until every listener was told everything once, whatever came of it."""
        for line in self._lines:
            await line.idle.wait()

    async def join(self, task: Task) -> tuple[TaskNetwork, ...]:
        """Return the networks of a task as soon as this node has joined them all.

        Raises TransientError, for people, when that takes long.
        """
        wanted = networks_of(task)
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                while self._missing(wanted):
                    await self._lines[0].changed()
        if missing := self._missing(wanted):
            raise TransientError(missing)
        return wanted

    def _missing(self, wanted: Iterable[TaskNetwork]) -> str:
        """Return why a task cannot have its networks yet; empty when it can."""
        for one in wanted:
            if not one.addresses or one.driver != OVERLAY:
                continue
            known = self.state.networks.get(one.network_id)
            if known is None or not known.network.router_addresses:
                return f"waits for an address of this node in network {one.network_id}"
            if one.network_id in self._lines[0].unmade:
                problem = self._lines[0].problem or "it is being made"
                return f"network {known.network.name} is not there on this node yet: {problem}"
        return ""

    def _tell(self, touched: Sequence[Touched], *, begin: bool) -> None:
        for line in self._lines:
            line.add(touched, self.taken, begin=begin)
        # Not from within: whoever says something has to know first what it is called.
        asyncio.get_running_loop().call_soon(self._line_applied)

    def _keep(self, touched: Touched) -> None:
        """Have on disk what the state is now."""
        network_id = touched.network_id
        state = self.state.networks.get(network_id)
        if state is None:
            self._database.delete_overlay(network_id)
            return
        if touched.network:
            kept = OverlayChanges(network_id=network_id, network=state.network)
            self._database.put_overlay(network_id, OVERLAY_NETWORK, "", kept)
        for node_id in touched.node_ids:
            peer = state.peers.get(node_id)
            kept = OverlayChanges(network_id=network_id, peers=[_for_disk(peer)] if peer else ())
            self._database.put_overlay(network_id, OVERLAY_NODE, node_id, kept if peer else None)
        for task_id in touched.task_ids:
            endpoint = state.endpoints.get(task_id)
            kept = OverlayChanges(network_id=network_id, endpoints=[endpoint] if endpoint else ())
            self._database.put_overlay(network_id, OVERLAY_TASK, task_id, kept if endpoint else None)
        for service_id in touched.service_ids:
            service = state.services.get(service_id)
            kept = OverlayChanges(network_id=network_id, services=[service] if service else ())
            self._database.put_overlay(network_id, OVERLAY_SERVICE, service_id, kept if service else None)


def _for_disk(peer: OverlayPeer) -> OverlayPeer:
    """Leave out the key that is shared with another node: keys are in memory only."""
    if not peer.preshared_key:
        return peer
    copy = OverlayPeer()
    copy.CopyFrom(peer)
    copy.ClearField("preshared_key")
    return copy


def networks_of(task: Task) -> tuple[TaskNetwork, ...]:
    """Return the networks that a task joins, in the order of its spec, with what it was given there."""
    given = {one.network_id: tuple(one.addresses) for one in task.networks}
    asked = {one.network_id: one for one in task.spec.networks}
    return tuple(_network(id_, given.get(id_, ()), asked.get(id_)) for id_ in {**asked, **given})


def _network(network_id: str, addresses: tuple[str, ...], asked: NetworkAttachment | None) -> TaskNetwork:
    if asked is None or asked.driver in ("", OVERLAY):
        return TaskNetwork(network_id, addresses, mac=asked.mac_address if asked else "")
    local = asked.local
    return TaskNetwork(
        network_id,
        addresses,
        driver=asked.driver,
        subnets=tuple(
            LocalSubnet(one.subnet, one.range, tuple(one.reserved), one.gateway) for one in local.subnets
        ),
        families=(6,) if local.no_ipv4 else (4, 6) if local.ipv6 else (4,),
        internal=local.internal,
        options=tuple(sorted(local.options.items())),
        mac=asked.mac_address,
    )


class _Line:
    """One listener, and what it has yet to hear."""

    def __init__(
        self,
        state: OverlayState,
        listener: OverlayListener,
        first: "_Line | None",
        on_applied: Callable[[], None],
    ) -> None:
        """`first` makes the networks: names shall not lead to where packets still go to somebody else."""
        self._first = first
        self._on_applied = on_applied
        self.leading: Sequence[Withdrawing] = ()  # who leads to where this one brings packets
        self.heard = 0  # how often something was heard when this was told last
        self.applied = 0  # and when that was which is in force
        self.unmade: set[str] = set()  # ids of networks that are new or differ as a whole
        self.problem = ""  # what the last call failed with
        self.idle = asyncio.Event()
        self.idle.set()
        self._state = state
        self._listener = listener
        self._begun = False
        self._pending: dict[str, Touched] = {}
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()

    def add(self, touched: Iterable[Touched], heard: int, *, begin: bool = False) -> None:
        self.heard = heard
        for one in touched:
            self._pending[one.network_id] = _merged(self._pending.get(one.network_id), one)
            if one.network:
                self.unmade.add(one.network_id)
        if self._pending if self._begun else begin:
            self._begun = True
            self.idle.clear()
            self._wake.set()
        elif self._begun and self.idle.is_set():
            self.applied = heard  # there is nothing to do

    async def follow(self, heard: int) -> None:
        """Wait until what was heard by then is in force here, or cannot be brought about."""
        while self.applied < heard and not self.problem:
            await self.changed()

    async def changed(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def run(self) -> None:
        while True:
            with suppress(TimeoutError):  # now and then all is compared, whoever may have changed what
                async with asyncio.timeout(CHECK_S if self._begun else None):
                    await self._wake.wait()
            if self._first is not None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(FIRST_S):
                        await self._first.follow(self.heard)
            self._wake.clear()
            if not await self._apply():
                await asyncio.sleep(RETRY_S)
                self._wake.set()

    async def _take(self) -> tuple[dict[str, Touched], int]:
        """Return what to tell, and when it was heard, once nobody is led to what is gone by that.

        Its address may be somebody else's as soon as the listener has heard of it.
        """
        taken: dict[str, Touched] = {}
        heard = self.heard
        with suppress(TimeoutError):
            async with asyncio.timeout(WITHDRAW_S):
                while self._pending:  # more may come meanwhile
                    fresh, self._pending, heard = self._pending, {}, self.heard
                    for one in fresh.values():
                        taken[one.network_id] = _merged(taken.get(one.network_id), one)
                    await self._withdraw(tuple(fresh.values()))
        return taken, heard

    async def _withdraw(self, touched: Sequence[Touched]) -> None:
        for listener in self.leading:
            try:
                await listener.withdraw(self._state, touched)
            except Exception:  # `apply` brings it about all the same, and is made again
                log.exception("overlay.not_withdrawn", listener=type(listener).__name__)

    async def _apply(self) -> bool:
        pending, heard = await self._take()
        try:
            await self._listener.apply(self._state, tuple(pending.values()))
        except Exception as error:  # whatever it is, it must not cost the node its tasks
            self.problem = str(error) or type(error).__name__
            log.exception(
                "overlay.not_applied", networks=len(pending), listener=type(self._listener).__name__
            )
            later, self._pending = self._pending.values(), pending
            self.add(tuple(later), self.heard)
            done = False
        else:
            self.problem = ""
            self.unmade -= {one for one in pending if not _is_new(self._pending.get(one))}
            self.applied = heard if self._pending else self.heard
            done = True
        self._changed.set()
        if not self._pending or not done:
            self.idle.set()
        self._on_applied()
        return done


def _is_new(touched: Touched | None) -> bool:
    return touched is not None and touched.network


def _merged(one: Touched | None, other: Touched) -> Touched:
    if one is None:
        return other
    return Touched(
        one.network_id,
        one.network or other.network,
        one.node_ids | other.node_ids,
        one.task_ids | other.task_ids,
        one.service_ids | other.service_ids,
    )
