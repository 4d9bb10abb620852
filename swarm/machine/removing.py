"""How does a machine stop being one of ours? It leaves the cluster, swarm leaves it, and we forget it."""

from swarm.errors import SwarmError
from swarm.machine.drivers.base import driver
from swarm.machine.errors import MachineError, PreCheckFailed, Unreachable
from swarm.machine.making import Maker
from swarm.machine.membership import SWARMCTL, Membership, forget_node, info_of
from swarm.machine.probe import script
from swarm.machine.provision import Tell, Ways
from swarm.machine.ssh import Link
from swarm.machine.store import Record

REMOVE_TIMEOUT_S = 300.0


async def remove(
    ways: Ways, record: Record, membership: Membership | None, tell: Tell, *, force: bool
) -> None:
    """Take a machine out of its cluster and swarm off it; the caller forgets it.

    Without `membership` nobody is told: the whole cluster goes. With `force` a machine or a cluster that
    does not answer hinders nothing. Raises MachineError.
    """
    made_by = driver(record.driver)
    if not made_by.provisions:
        return
    destroyed = "destroy" in made_by.capabilities
    if (record.is_somebody or not destroyed) and await _answers(ways, record, tell, force=force):
        try:
            async with ways.connect(record) as link:
                await _check_ours(link, record, membership)
                if membership is not None:
                    await _leave(link, record, membership, tell)
                if not destroyed:
                    await _clean(link, record, tell)
        except SwarmError as error:
            if not force:
                hint = "; --force forgets it all the same" if isinstance(error, Unreachable) else ""
                raise type(error)(f"{error}{hint}") if hint else error from None
            tell(record.name, f"not cleaned up: {error}")
    if membership is not None:
        await _forget(record, membership, tell, force=force)
    if destroyed:
        tell(record.name, "destroying the machine")
        try:
            await Maker(ways, record, tell).destroy()
        except SwarmError as error:
            if not force:
                raise
            tell(record.name, f"its driver has NOT destroyed it, it may go on and cost: {error}")


async def _answers(ways: Ways, record: Record, tell: Tell, *, force: bool) -> bool:
    """Return whether there is somebody to take leave of: its driver may know that it is gone, or off."""
    try:
        state = await driver(record.driver).state(record)
    except SwarmError as error:
        if not force:
            raise
        tell(record.name, f"its driver does not say how it is: {error}")
        return True
    if state in ("missing", "stopped"):
        tell(record.name, f"its machine is {state}")
        return False
    return bool(record.endpoint.hop.host)


async def _check_ours(link: Link, record: Record, membership: Membership | None) -> None:
    """Raise PreCheckFailed when the machine is a node that it did not become as this machine."""
    info = await info_of(link)
    node_id = str(info.get("NodeID", ""))
    other = membership.whose(node_id, but=record.name) if membership is not None else ""
    if node_id in ("", record.node_id) or (record.begun and not record.node_id and not other):
        return
    known = f"as machine {other}" if other else f"of cluster {info.get('ClusterID', '')}"
    raise PreCheckFailed(
        f"{link.endpoint.hop}: it is node {node_id} {known}, which {record.name} never was: nothing is "
        f"removed there; swarmctl machine rm --keep-remote {record.name} forgets what is on record"
    )


async def _clean(link: Link, record: Record, tell: Tell) -> None:
    tell(record.name, "removing swarm")
    done = await link.run(script("remove.sh"), "yes", timeout_s=REMOVE_TIMEOUT_S)
    if done.code:
        raise MachineError(f"{record.endpoint.hop}: cannot remove swarm: {done.last_words}")


async def _leave(link: Link, record: Record, membership: Membership, tell: Tell) -> None:
    """Let a manager go in order: demoted first, so that the others keep their majority."""
    if not record.node_id:
        return
    others = [manager for manager in membership.managers() if manager.name != record.name]
    tell(record.name, "leaving the cluster")
    if record.role == "manager" and others:
        async with membership.manager(but=record.name) as manager:
            await manager.run(SWARMCTL + 'swarmctl node demote "$1"', record.node_id, timeout_s=60)
    done = await link.run(
        SWARMCTL + "command -v swarmctl >/dev/null || exit 0; swarmctl leave --force", timeout_s=150
    )
    if done.code and "no cluster" not in done.err and "not part of" not in done.err:
        tell(record.name, done.last_words)


async def _forget(record: Record, membership: Membership, tell: Tell, *, force: bool) -> None:
    others = [manager for manager in membership.managers() if manager.name != record.name]
    if not record.node_id or not others:
        return
    try:
        async with membership.manager(but=record.name) as manager:
            await forget_node(manager, record.node_id)
    except SwarmError as error:
        if not force:
            raise
        tell(record.name, f"the cluster still knows node {record.node_id}: {error}")
