"""How do all machines get another release while the cluster works? Pure order, and a shell.

Workers first, then the managers one by one, the leader last. A manager is restarted only while all others
answer. A node that is not healthy, not ready, or does not run its tasks again goes back to the release of
before, and the rest is left as it is: the same command goes on where it ended.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from swarm.errors import SwarmError
from swarm.machine.errors import MachineError, PreCheckFailed, Unhealthy
from swarm.machine.membership import SWARMCTL, Membership
from swarm.machine.provision import Order, Outcome, Tell, Ways, provision
from swarm.machine.store import Record

REACHABLE = ("Leader", "Reachable")
SETTLE_TIMEOUT_S = 90.0
RAISE_TIMEOUT_S = 60.0  # the level: the leader may have changed a moment ago
POLL_S = 0.5
NO_SUCH_OPTION = 2  # exit code of a swarmctl of before there were levels

Rows = Sequence[Mapping[str, str]]  # of `swarmctl node ls --format json`, or `node ps`


def next_wave(left: Sequence[Record], rows: Rows, parallel_workers: int) -> list[Record]:
    """Return the machines that come next: some workers, else one manager; the leader is the last."""
    leaders = {row["ID"] for row in rows if row.get("ManagerStatus") == "Leader"}
    workers = sorted((record for record in left if record.role != "manager"), key=lambda one: one.name)
    if workers:
        return workers[:parallel_workers]
    managers = sorted(left, key=lambda record: (record.node_id in leaders, record.name))
    return managers[:1]


def hindrance(rows: Rows, node_id: str) -> str:
    """Return why a node may not be restarted now, empty when it may."""
    managers = [row for row in rows if row.get("ManagerStatus")]
    if not any(row["ID"] == node_id for row in managers):
        return ""
    lost = [row for row in managers if row["ID"] != node_id and row["ManagerStatus"] not in REACHABLE]
    if lost:
        names = ", ".join(row.get("Hostname") or row["ID"] for row in lost)
        return f"it is a manager, and manager {names} cannot be reached: mend that first"
    return ""


def not_running(before: Rows, now: Rows) -> list[str]:
    """Return which tasks (by slot) ran on a node, are to run there, and do not run yet."""
    ran = {row["Name"] for row in before if _runs(row)}
    return sorted({row["Name"] for row in now if row["Name"] in ran and not _runs(row)})


def _runs(row: Mapping[str, str]) -> bool:
    return row.get("CurrentState", "").startswith("Running")


async def upgrade(
    ways: Ways,
    records: Sequence[Record],
    membership: Membership,
    order: Order,
    tell: Tell,
    *,
    parallel_workers: int = 1,
) -> list[Outcome]:
    """Bring machines to a release; stops at the first wave in which one fails. Raises MachineError."""
    roll = _Roll(ways, membership, order, tell)
    left = list(records)
    outcomes: list[Outcome] = []
    while left:
        wave = next_wave(left, await roll.rows(left), parallel_workers)
        left = [record for record in left if record not in wave]
        done = await asyncio.gather(*(roll.one(record) for record in wave), return_exceptions=True)
        failed = [
            (record, end) for record, end in zip(wave, done, strict=True) if isinstance(end, BaseException)
        ]
        outcomes += [end for end in done if isinstance(end, Outcome)]
        for record, error in failed[:1]:
            if not isinstance(error, SwarmError):
                raise error
            others = "".join(f"; {one.name} failed too: {end}" for one, end in failed[1:])
            rest = f"; not touched: {', '.join(one.name for one in left)}" if left else ""
            kind = type(error) if isinstance(error, MachineError) else MachineError
            raise kind(f"{record.name}: {error}{others}{rest}") from error
    return outcomes


class _Roll:
    def __init__(self, ways: Ways, membership: Membership, order: Order, tell: Tell) -> None:
        self._ways, self._membership, self._order, self._tell = ways, membership, order, tell

    async def rows(self, records: Sequence[Record]) -> Rows:
        """Return the nodes of the cluster; none when no machine is a member of one."""
        if not any(record.node_id for record in records):
            return []
        return await _listed(self._membership, "swarmctl node ls --format json")

    async def one(self, record: Record) -> Outcome:
        """Bring one machine to the release, or back."""
        member = bool(record.node_id)
        if member and (reason := hindrance(await self.rows([record]), record.node_id)):
            raise PreCheckFailed(reason)
        before = await _tasks(self._membership, record) if member else []
        outcome = await provision(self._ways, record, self._membership, self._order, self._tell)
        if not outcome.steps or not member or self._order.dry_run:
            return outcome
        self._tell(record.name, "waits until the node is ready and runs its tasks")
        problem = await self._unsettled(record, before)
        if problem:
            raise Unhealthy(await self._back(record, outcome, problem))
        self._tell(record.name, f"runs {outcome.record.release}")
        return outcome

    async def _back(self, record: Record, outcome: Outcome, problem: str) -> str:
        """Go back to the release of before; returns what people are told."""
        told = f"with {outcome.record.release} {problem}"
        if record.release in ("", outcome.record.release):
            return told
        self._tell(record.name, f"{problem}; goes back to {record.release}")
        order = replace(self._order, release=record.release, archive=None)
        try:
            await provision(self._ways, outcome.record, self._membership, order, self._tell)
        except SwarmError as error:
            return f"{told}; going back to {record.release} failed, too: {error}"
        return f"{told}; went back to {record.release}"

    async def _unsettled(self, record: Record, before: Rows) -> str:
        """Wait until cluster and node are as before; returns what is missing, if anything."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + max(SETTLE_TIMEOUT_S, self._ways.health_timeout_s)
        while True:
            try:
                problem = await self._problem(record, before)
            except MachineError as error:
                problem = str(error)
            if not problem or loop.time() > deadline:
                return problem
            await asyncio.sleep(POLL_S)

    async def _problem(self, record: Record, before: Rows) -> str:
        rows = await self.rows([record])
        seen: Mapping[str, str] = next((row for row in rows if row["ID"] == record.node_id), {})
        status = seen.get("Status", "unknown")
        if not any(row.get("ManagerStatus") == "Leader" for row in rows):
            return "the managers have no leader"
        if not status.startswith("Ready"):
            return f"the managers see the node as {status}"
        if record.role == "manager" and seen.get("ManagerStatus") not in REACHABLE:
            return "the other managers do not reach it"
        waiting = not_running(before, await _tasks(self._membership, record))
        return f"these tasks do not run again: {', '.join(waiting)}" if waiting else ""


async def raise_level(membership: Membership) -> str:
    """Let the cluster use what is new, as far as all managers know it; returns what the managers say.

    Raises MachineError when they do not answer: everything runs, and it may be done later.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + RAISE_TIMEOUT_S
    while True:
        async with membership.manager() as link:
            done = await link.run(SWARMCTL + "swarmctl update --raise-level", timeout_s=30)
        if done.code == 0:
            return done.out.strip().splitlines()[-1]
        if done.code == NO_SUCH_OPTION:
            return "This version of swarm knows no levels."
        if loop.time() > deadline:
            raise MachineError(
                f"all machines have the release, but the level of the cluster stays: {done.last_words}; try "
                "again on a manager: swarmctl update --raise-level"
            )
        await asyncio.sleep(POLL_S)


async def _tasks(membership: Membership, record: Record) -> Rows:
    """Return the tasks that are to run on a machine's node."""
    command = 'swarmctl node ps --filter desired-state=running --format json "$1"'
    return await _listed(membership, command, record.node_id)


async def _listed(membership: Membership, command: str, *words: str) -> list[dict[str, str]]:
    async with membership.manager() as link:
        done = await link.run(SWARMCTL + command, *words, timeout_s=30)
    if done.code:
        raise PreCheckFailed(f"the managers do not answer: {done.last_words}")
    return [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
