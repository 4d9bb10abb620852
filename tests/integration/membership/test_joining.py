"""Managers that die while they join, and leaders that die while others join."""

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.api.v1 import control_pb2 as control
from swarm.errors import SwarmError
from tests.integration.membership.people import PATIENCE_S, Writers, kill, leader, managers, voters
from tests.integration.swarmd import Daemon, daemons, wait_for

# What a joiner has on disk, in the order in which it gets there.
STEPS = ("joining.key", "certificates/node.pem", "node.json", "raft/log")


def join_in_background(daemon: Daemon, token: str, *addrs: str) -> threading.Thread:
    def join() -> None:
        with contextlib.suppress(SwarmError):  # it was killed
            daemon.join(token, *addrs)

    thread = threading.Thread(target=join)
    thread.start()
    return thread


def finish_join(daemon: Daemon, token: str, *addrs: str) -> None:
    """Do what an operator does after a crash: look, and repeat the command if the node is nobody."""
    daemon.start()
    if daemon.info().state == control.InfoResponse.STATE_INACTIVE:
        daemon.join(token, *addrs)


def test_killed_at_any_step_a_join_can_be_repeated(tmp_path: Path) -> None:
    joiners = [f"j{number}" for number in range(len(STEPS))]
    with daemons(tmp_path, "m1", *joiners) as made:
        token = made["m1"].init().manager_token
        first = made["m1"]
        for name, step in zip(joiners, STEPS, strict=True):
            daemon = made[name]
            joining = join_in_background(daemon, token, first.addr)
            _at(lambda daemon=daemon, step=step: (daemon.directory / "s" / step).exists())
            kill(daemon)
            joining.join()
            finish_join(daemon, token, first.addr)
            wait_for(lambda name=name: name in voters(first), PATIENCE_S)
        wait_for(lambda: voters(first) == {"m1", *joiners}, PATIENCE_S)
        nodes = first.ask("ListNodes", control.ListNodesRequest()).nodes
        assert len(nodes) == 1 + len(joiners)  # no second node for a repeated join


def test_a_leader_that_dies_while_others_join_leaves_nobody_half_in(tmp_path: Path) -> None:
    with daemons(tmp_path, "m1", "m2", "m3", "a", "b") as made:
        group = managers(made, "m1", "m2", "m3")
        token = made["m1"].ask("GetJoinTokens", control.GetJoinTokensRequest()).manager
        with Writers(group.values(), count=1) as writers:
            for name in ("a", "b"):
                first = leader(group)
                others = [daemon.addr for key, daemon in group.items() if key != first]
                joining = join_in_background(made[name], token, *others)
                _at(lambda name=name: (made[name].directory / "s" / "node.json").exists())
                kill(made[first])
                joining.join()
                made[first].start()
                asked = made[first]  # the second time perhaps the one that joined first
                wait_for(lambda name=name, asked=asked: name in voters(asked), PATIENCE_S)
        for name in ("a", "b"):
            wait_for(lambda name=name: voters(made[name]) == set(made), PATIENCE_S)
        writers.check(made["a"])


def _at(condition: Callable[[], bool]) -> None:
    """Return at the very moment when it holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("it never came to that")
        time.sleep(0.001)
