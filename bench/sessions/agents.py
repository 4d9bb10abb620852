"""Agents for measurements of sessions: real connections, mutual TLS, nodes that do nothing, one process."""

import argparse
import asyncio
import random
from pathlib import Path

import structlog

from bench.sessions import credentials
from swarm.agent.assignments import Changes
from swarm.agent.connection import Connection
from swarm.api.v1.dispatcher_pb2 import Hello, NodeInfo, StatusReport
from swarm.api.v1.logs_pb2 import LogSubscription
from swarm.api.v1.types_pb2 import Peer
from swarm.clock import SystemClock

ARRIVE_S = 5.0  # agents start spread over so long


class IdleNode:
    """Has no tasks."""

    def held_ids(self) -> frozenset[str]:
        """Nothing is held."""
        return frozenset()

    def apply(self, changes: Changes, index: int, complete: bool) -> None:
        """There is nothing to do."""

    def take_node_info(self, info: NodeInfo) -> None:
        """The managers stay the same."""

    def subscribe_logs(self, subscription: LogSubscription) -> None:
        """There are no logs."""

    def next_report(self) -> StatusReport | None:
        """There is nothing to report."""
        return None

    def acknowledge(self, sequence: int) -> None:
        """Nothing was reported."""


async def run(folder: Path, addrs: list[str]) -> None:
    """Stay connected until killed."""
    peers = [Peer(node_id=f"manager{number}", addr=addr) for number, addr in enumerate(addrs)]
    async with asyncio.TaskGroup() as group:
        for node_id in credentials.node_ids(folder):
            group.create_task(one(folder, node_id, peers))


async def one(folder: Path, node_id: str, peers: list[Peer]) -> None:
    """Be one agent."""
    structlog.contextvars.bind_contextvars(node=node_id)
    await asyncio.sleep(random.uniform(0, ARRIVE_S))
    own = credentials.load(folder, node_id)
    connection = Connection(
        IdleNode(), node_id, lambda: peers, own.channel, Hello, SystemClock(), lambda _session: None
    )
    await connection.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("addrs", nargs="+")
    given = parser.parse_args()
    asyncio.run(run(given.folder, given.addrs))
