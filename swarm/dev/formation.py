"""How daemons become a cluster: the first manager begins it, the others join with its tokens."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from swarm.api.v1.control_pb2 import InfoResponse
from swarm.dev import client
from swarm.dev.plan import Node, Plan
from swarm.errors import TransientError, Unavailable

_PAUSE_S = 0.1

CheckAlive = Callable[[Node], None]
Report = Callable[[str], None]
T = TypeVar("T")


def wait_for_sockets(plan: Plan, check_alive: CheckAlive, deadline: float) -> None:
    """Return when every daemon answers; raises Unavailable after `deadline` (monotonic seconds)."""
    for node in plan.nodes:
        client.wait_for_socket(node, deadline, check_alive)


def form(plan: Plan, report: Report, deadline: float) -> None:
    """Let every node that belongs to no cluster join this one, which the first manager begins if need be."""
    infos = {node.name: _retried(partial(client.info, node), deadline) for node in plan.nodes}
    outside = [node for node in plan.nodes if infos[node.name].state == InfoResponse.STATE_INACTIVE]
    if not outside:
        return
    if len(outside) == len(plan.nodes):
        report("Beginning the cluster on manager-1")
        client.init(plan.nodes[0])
        outside = outside[1:]
    if outside:
        manager = _member(plan, outside)
        tokens = _retried(lambda: client.tokens(manager), deadline)
        report(f"Joining {len(outside)} nodes")
        _join_all(outside, manager, tokens.manager, tokens.worker, deadline)


def wait_until_ready(plan: Plan, deadline: float) -> None:
    """Return when every node is ready; raises Unavailable naming those that are not."""
    waiting = {node.name for node in plan.nodes}
    while True:
        for manager in (node for node in plan.nodes if node.is_manager):
            try:
                found = client.nodes(manager)
            except TransientError:
                continue
            waiting = {node.name for node in plan.nodes}
            waiting -= {node.description.hostname for node in found if client.is_ready(node)}
            if not waiting:
                return
        if time.monotonic() > deadline:
            raise Unavailable(f"not ready in time: {', '.join(sorted(waiting))}; see their logs")
        time.sleep(_PAUSE_S)


def _member(plan: Plan, outside: Sequence[Node]) -> Node:
    return next(node for node in plan.nodes if node.is_manager and node not in outside)


def _join_all(
    outside: Sequence[Node], manager: Node, manager_token: str, worker_token: str, deadline: float
) -> None:
    """Join workers side by side, and managers one after another beside them: each changes who has a vote."""

    def join_managers() -> None:
        for node in outside:
            if node.is_manager:
                _join(node, manager, manager_token, deadline)

    with ThreadPoolExecutor(len(outside) + 1) as pool:
        jobs = [pool.submit(join_managers)]
        jobs += [
            pool.submit(_join, node, manager, worker_token, deadline)
            for node in outside
            if not node.is_manager
        ]
        for job in jobs:
            job.result()


def _join(node: Node, manager: Node, token: str, deadline: float) -> None:
    """Join a node; again, when the managers elected a leader meanwhile and it is no member yet."""

    def attempt() -> None:
        if client.info(node).state == InfoResponse.STATE_INACTIVE:
            client.join(node, manager, token)

    _retried(attempt, deadline)


def _retried(ask: Callable[[], T], deadline: float) -> T:
    while True:
        try:
            return ask()
        except TransientError:
            if time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE_S)
