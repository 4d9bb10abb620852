"""Waiting until a new member does its work, or says why it cannot."""

import asyncio

from swarm.clock import Clock
from swarm.errors import FailedPrecondition, SwarmError, Unavailable
from swarm.node.membership import Membership
from swarm.node.waiting import Patience, until

READY_TIMEOUT_S = 120.0  # of a new node: its first session, and for managers the log
TROUBLE_PATIENCE_S = 6.0  # several attempts to get a seat: one may meet an election


async def wait_machine(member: Membership) -> None:
    """Wait until the agent can run containers; raises FailedPrecondition with what is missing."""
    async with asyncio.timeout(READY_TIMEOUT_S):
        await until(lambda: member.agent is not None or "agent" in member.problems)
    if "agent" in member.problems:
        raise FailedPrecondition(member.problems["agent"])


async def wait_manager(member: Membership, patience_s: float, clock: Clock) -> None:
    """Wait until the manager half knows its cluster.

    Raises FailedPrecondition with the reason when it cannot start for longer than `patience_s`, and
    Unavailable when it is not ready in time.
    """
    trouble = Patience(clock, patience_s)
    try:
        async with asyncio.timeout(READY_TIMEOUT_S):
            await until(
                lambda: (
                    trouble.exhausted("manager" in member.problems)
                    or (member.manager is not None and member.manager.is_ready)
                )
            )
    except TimeoutError:
        raise Unavailable(f"its manager half is not ready after {READY_TIMEOUT_S:.0f} s") from None
    if "manager" in member.problems:
        raise FailedPrecondition(member.problems["manager"])


async def wait_ready(member: Membership, clock: Clock) -> None:
    """Wait for the first session; what takes longer goes on by itself."""
    try:
        if member.is_manager:
            await wait_manager(member, TROUBLE_PATIENCE_S, clock)
        async with asyncio.timeout(READY_TIMEOUT_S):
            await until(lambda: member.agent is not None and member.agent.connected)
    except (TimeoutError, SwarmError) as error:
        reason = "; ".join(member.problems.values()) or str(error) or "no manager answers its agent"
        raise Unavailable(
            f"this node is a member now (node {member.state.node_id}) but not ready: {reason};"
            " it goes on trying, swarmctl info says how it stands"
        ) from None
