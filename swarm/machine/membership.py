"""How does a machine become a member? The first manager starts the cluster, others join.

Join tokens are read from a manager when they are needed, pass through this program to the joiner's stdin,
and are kept nowhere.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from swarm.machine.errors import MachineError, PreCheckFailed, Unhealthy, Unreachable
from swarm.machine.ssh import Link, Output
from swarm.machine.store import MachineStore, Record

JOIN_TIMEOUT_S = 420.0
CALL_TIMEOUT_S = 180.0
TRIES = 5  # while the managers choose a leader
PAUSE_S = 2.0
ASKING_S = 30.0
SWARMCTL = "PATH=$PATH:/usr/local/bin; "
# Runs a command with the addresses that a machine is to have, those that are given, and the other words.
_PLACES = (
    'at=$1; data=$2; shift 2; exec %s ${at:+--advertise-addr "$at"} ${data:+--data-path-addr "$data"} "$@"'
)
Connecting = Callable[[Record], AbstractAsyncContextManager[Link]]


@dataclass(frozen=True, slots=True)
class Invitation:
    """What somebody needs to join: the token, and the managers' addresses."""

    token: str
    addresses: tuple[str, ...]


class Membership:
    """Makes machines members of one cluster; shared by all who do so at the same time."""

    def __init__(self, store: MachineStore, cluster: str, connecting: Connecting) -> None:
        """`connecting` opens a connection to another machine of ours."""
        self._store = store
        self._cluster = cluster
        self._connecting = connecting
        self._one_manager_at_a_time = asyncio.Lock()
        self._founded = asyncio.Event()
        self._founder = ""

    @property
    def cluster_id(self) -> str:
        """The id of the cluster, empty before there is one."""
        return next(
            (record.cluster_id for record in self._store.load_all(self._cluster) if record.cluster_id), ""
        )

    def managers(self) -> list[Record]:
        """Return the machines that may be asked for a token."""
        found = self._store.load_all(self._cluster)
        return [record for record in found if record.role == "manager" and record.node_id]

    def whose(self, node_id: str, but: str) -> str:
        """Return which machine is on record as a node, other than `but`; "" when none is."""
        found = self._store.load_all(self._cluster) if node_id else []
        return next((one.name for one in found if one.node_id == node_id and one.name != but), "")

    def may_found(self, name: str) -> bool:
        """Return whether this machine starts the cluster: nobody has, and nobody else is about to."""
        if self.managers():
            return False
        self._founder = self._founder or name
        return self._founder == name

    def check_joinable(self) -> None:
        """Raise PreCheckFailed when there is no cluster to join, and nobody is about to start one."""
        if not self.managers() and not self._founder:
            raise PreCheckFailed(
                f"there is no cluster {self._cluster} to join: create a machine with --role manager first"
            )

    def settle(self) -> None:
        """Tell those who wait for the first manager that it is there."""
        self._founded.set()

    def give_up(self, name: str) -> None:
        """Tell those who wait for the first manager that it will not be there, if it was this one."""
        if name == self._founder:
            self._founded.set()

    async def found(self, link: Link, record: Record, *, again: bool) -> None:
        """Start the cluster on a machine; raises MachineError.

        `again`: somebody began it before, whom we did not hear end; perhaps it is done in this moment.
        """
        with self._store.cluster_lock(self._cluster):
            if self.managers():
                raise MachineError("another machine has started the cluster meanwhile: run the same again")
            script = SWARMCTL + _PLACES % "swarmctl init"
            try:
                places = record.advertise_addr, record.data_path_addr
                await _must(link, script, *places, timeout_s=JOIN_TIMEOUT_S)
            except Unreachable:
                raise
            except MachineError:
                if not (again and (await info_of(link)).get("NodeID")):
                    raise

    async def join(self, link: Link, record: Record) -> None:
        """Make a machine a member; waits for the first manager. Raises MachineError."""
        if not self.managers() and self._founder:
            await self._founded.wait()
        if record.role == "manager":
            async with self._one_manager_at_a_time:
                await self._join(link, record)
        else:
            await self._join(link, record)

    async def _join(self, link: Link, record: Record) -> None:
        script = SWARMCTL + _PLACES % "swarmctl join --token-file -"
        for attempt in range(TRIES):
            invitation = await self._invited(record.role)
            done = await link.run(
                script,
                record.advertise_addr,
                record.data_path_addr,
                *invitation.addresses,
                stdin=invitation.token.encode() + b"\n",
                timeout_s=JOIN_TIMEOUT_S,
            )
            if done.code == 0 or (await info_of(link)).get("NodeID"):
                return  # a member that found no manager in time goes on trying by itself
            if attempt == TRIES - 1:
                raise Unhealthy(f"{link.endpoint.hop}: joining failed: {done.last_words}")
            await asyncio.sleep(PAUSE_S)

    async def _invited(self, role: str) -> Invitation:
        """Return how to join; a manager whose connection was lost, or that has no leader, is asked again."""
        loop = asyncio.get_running_loop()
        until = loop.time() + ASKING_S
        while True:
            try:
                return await self._invitation(role)
            except MachineError:
                if loop.time() > until:
                    raise
            await asyncio.sleep(PAUSE_S)

    async def _invitation(self, role: str) -> Invitation:
        async with self.manager() as link:
            token = await _must(link, SWARMCTL + 'swarmctl join-token -q "$1"', role)
            info = json.loads((await _must(link, SWARMCTL + "swarmctl info --format json")).out)
        addresses = tuple(info.get("Managers") or [info.get("Address", "")])
        return Invitation(token.out.strip(), addresses)

    async def label(self, link: Link, record: Record, labels: tuple[str, ...]) -> None:
        """Put labels (KEY=VALUE) on the node of a machine; raises MachineError."""
        node_id = str((await info_of(link)).get("NodeID", ""))
        script = (
            SWARMCTL
            + 'id=$1; shift; for one; do swarmctl node update --label-add "$one" "$id" || exit; done'
        )
        if record.role == "manager":
            await _must(link, script, node_id, *labels)
            return
        async with self.manager() as manager:
            await _must(manager, script, node_id, *labels)

    @asynccontextmanager
    async def manager(self, but: str = "") -> AsyncIterator[Link]:
        """Be connected to a manager that answers, other than the machine `but`."""
        reasons: list[str] = []
        for record in self.managers():
            if record.name == but:
                continue
            async with _attempt(self._connecting(record), reasons) as link:
                if link is not None:
                    yield link
                    return
        told = "; ".join(reasons) or "there is none yet: create a machine with --role manager first"
        raise MachineError(f"no manager of the cluster {self._cluster} can be asked: {told}")


@asynccontextmanager
async def _attempt(
    connecting: AbstractAsyncContextManager[Link], reasons: list[str]
) -> AsyncIterator[Link | None]:
    """Yield a link to a manager of which swarmctl answers; None, with the reason, when there is none."""
    try:
        link = await connecting.__aenter__()
    except MachineError as error:
        reasons.append(str(error))
        yield None
        return
    try:
        yield link if await _answers(link, reasons) else None
    finally:
        await connecting.__aexit__(None, None, None)


async def _answers(link: Link, reasons: list[str]) -> bool:
    try:
        await _must(link, SWARMCTL + "swarmctl join-token -q worker >/dev/null")
    except MachineError as error:
        reasons.append(str(error))
        return False
    return True


async def _must(link: Link, script: str, *words: str, timeout_s: float = CALL_TIMEOUT_S) -> Output:
    done = await link.run(script, *words, timeout_s=timeout_s)
    if done.code != 0:
        raise MachineError(f"{link.endpoint.hop}: {done.last_words or f'exit code {done.code}'}")
    return done


async def forget_node(link: Link, node_id: str) -> None:
    """Have a manager forget a node that is gone; raises MachineError."""
    await _must(
        link,
        SWARMCTL + 'swarmctl node demote "$1" >/dev/null 2>&1; swarmctl node rm --force "$1" >&2 || '
        '! swarmctl node inspect "$1" >/dev/null 2>&1',
        node_id,
        timeout_s=60,
    )


async def info_of(link: Link) -> dict[str, Any]:
    """Return what a machine's node says of itself, nothing when it is silent; raises MachineError."""
    done = await link.run(SWARMCTL + "swarmctl info --format json", timeout_s=CALL_TIMEOUT_S)
    try:
        answer = json.loads(done.out) if done.code == 0 else {}
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}
