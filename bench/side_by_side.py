"""Create → RUNNING, and what daemons that are killed cost: ours and Docker Swarm's, in one run.

Both run on this machine as three managers and two workers in network namespaces, with the image on every
node, and both are asked through their command line, polled alike. Needs root and Debian's docker.io.

    python -m bench.side_by_side [--rounds N]
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Protocol

from bench.docker_swarm import DockerSwarm
from bench.swarm_cluster import SwarmCluster

POLL_S = 0.05
LIMIT_S = 120
SIZES = (10, 50)
WORKER = 5  # the number of the last node
SETTLE_S = 20  # after a killed daemon came back: both systems have reconnected


class System(Protocol):
    """What is measured."""

    name: str

    def up(self) -> None: ...
    def create(self, name: str, replicas: int, constraint: str = "", node: int = 1) -> bool: ...
    def running(self, name: str, node: int = 1) -> set[str]: ...
    def remove(self, name: str) -> None: ...
    def kill_leader(self) -> tuple[int, int]: ...
    def kill(self, node: int) -> None: ...
    def start(self, node: int) -> None: ...
    def down(self) -> None: ...


def wait(condition: Callable[[], bool], what: str) -> None:
    """Return when `condition` holds."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {LIMIT_S} s")
        time.sleep(POLL_S)


def create_to_running(system: System, replicas: int, round_number: int) -> float:
    """Return seconds from `service create` to all replicas RUNNING."""
    name = f"b{replicas}-{round_number}"
    started = time.monotonic()
    if not system.create(name, replicas):
        raise RuntimeError(f"{system.name} refused the service")
    wait(lambda: len(system.running(name)) == replicas, f"{replicas} replicas on {system.name}")
    took_s = time.monotonic() - started
    system.remove(name)
    return took_s


def leader_to_running(system: System, round_number: int) -> float:
    """Return seconds from the leader's kill -9 to a new service's first task RUNNING."""
    name = f"after{round_number}"
    started = time.monotonic()
    leader, other = system.kill_leader()
    killed = time.monotonic()
    wait(lambda: system.create(name, 1, "node.role==worker", other), "a service after the leader's death")
    wait(lambda: len(system.running(name, other)) == 1, "its task")
    took_s = time.monotonic() - killed
    print(
        f"  {system.name}: leader {leader} killed {killed - started:.2f} s after it was asked for",
        flush=True,
    )
    system.start(leader)
    time.sleep(SETTLE_S)
    system.remove(name)
    return took_s


def worker_to_running(system: System, round_number: int, *, leader_too: bool) -> float:
    """Return seconds from the kill -9 of a worker (and the leader) until its task runs on the other one."""
    name = f"{'both' if leader_too else 'worker'}{round_number}"
    if not system.create(name, 2, "node.role==worker"):
        raise RuntimeError(f"{system.name} refused the service")
    wait(lambda: len(system.running(name)) == 2, "a task on each worker")
    before = system.running(name)
    dead, asked = [WORKER], 1
    started = time.monotonic()
    if leader_too:
        leader, asked = system.kill_leader()
        dead.append(leader)
        started = time.monotonic()
    system.kill(WORKER)
    wait(
        lambda: len(system.running(name, asked)) == 2 and system.running(name, asked) != before,
        "the replacement",
    )
    took_s = time.monotonic() - started
    for node in dead:
        system.start(node)
    time.sleep(SETTLE_S)
    system.remove(name)
    return took_s


def measure(system: System, rounds: int) -> dict[str, list[float]]:
    """Return all measurements of one system, by name."""
    results: dict[str, list[float]] = {}
    try:
        system.up()
        for round_number in range(rounds):
            for replicas in SIZES:
                key = f"create {replicas} replicas → RUNNING"
                results.setdefault(key, []).append(create_to_running(system, replicas, round_number))
        for round_number in range(max(1, rounds // 2)):
            key = "leader killed → next task RUNNING"
            results.setdefault(key, []).append(leader_to_running(system, round_number))
            for leader_too in (False, True):
                key = f"worker{' and leader' if leader_too else ''} killed → replaced"
                took_s = worker_to_running(system, round_number, leader_too=leader_too)
                results.setdefault(key, []).append(took_s)
    finally:
        system.down()
    return results


def main() -> None:
    """Measure both and print medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4, help="times each size is created (default 4)")
    rounds = parser.parse_args().rounds
    control, ours = measure(DockerSwarm(), rounds), measure(SwarmCluster(), rounds)
    print(f"\n{'median seconds':<36} {'Docker Swarm':>12} {'swarm':>8} {'ratio':>7}")
    for key, values in control.items():
        theirs, own = statistics.median(values), statistics.median(ours[key])
        print(f"{key:<36} {theirs:>12.2f} {own:>8.2f} {own / theirs:>7.2f}")
    print(f"({rounds} rounds; ratio below 1: swarm is quicker)")


if __name__ == "__main__":
    main()
