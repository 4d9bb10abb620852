"""The leader's loop that writes which nodes are alive."""

import asyncio

from swarm.api.v1.dispatcher_pb2 import ReportSessionsRequest, SessionState
from swarm.api.v1.objects_pb2 import Node
from swarm.api.v1.store_pb2 import StoreEntry
from swarm.api.v1.types_pb2 import NODE_STATE_READY
from swarm.clock import SystemClock
from swarm.errors import NoQuorum
from swarm.manager.dispatcher.leader_servicer import LeaderServicer
from swarm.manager.dispatcher.loop import CHANGES_PER_COMMIT, LivenessLoop
from swarm.manager.store.store import Store
from swarm.manager.store.testing import LocalProposer, store_with

COUNT = 2 * CHANGES_PER_COMMIT + 50


async def all_are_ready(store: Store) -> None:
    while any(node.status.state != NODE_STATE_READY for node in store.view.nodes):
        await asyncio.sleep(0.01)


async def run_until_ready(store: Store) -> None:
    clock = SystemClock()
    leader = LeaderServicer(store, clock)
    running = asyncio.create_task(LivenessLoop(store, clock, leader, dict).run())
    while leader.table is None:
        await asyncio.sleep(0)
    sessions = [
        SessionState(node_id=node.id, session_id=node.id, connected=True) for node in store.view.nodes
    ]
    leader.take_sessions("manager", ReportSessionsRequest(complete=True, sessions=sessions))
    async with asyncio.timeout(60):
        await all_are_ready(store)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_many_nodes_that_come_at_once_are_written_in_bounded_parts() -> None:
    store = store_with(*(Node(id=f"n{number}") for number in range(COUNT)))
    log = LocalProposer(store)
    store.attach(log)
    await run_until_ready(store)
    sizes = [
        sum(len(one.actions) for one in StoreEntry.FromString(entry).transactions)
        for _, entry in log.entries
    ]
    assert max(sizes) == CHANGES_PER_COMMIT
    assert sum(sizes) == COUNT


async def test_what_a_failed_commit_left_out_is_written_by_the_next_look() -> None:
    store = store_with(*(Node(id=f"n{number}") for number in range(COUNT)))
    log = LocalProposer(store)
    log.fail_next(NoQuorum("no majority"))
    store.attach(log)
    await run_until_ready(store)
