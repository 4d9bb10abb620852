"""An upgrade is judged by what runs afterwards, and undone where that is less than before."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from swarm.clock import SystemClock
from swarm.machine import upgrading
from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.errors import MachineError, Unhealthy, Unreachable
from swarm.machine.membership import Membership
from swarm.machine.plan import Kind, Step
from swarm.machine.provision import Order, Outcome, Ways
from swarm.machine.ssh import Output
from swarm.machine.store import MachineStore, Record

OLD, NEW = "0.1.0-aaaaaaaa", "0.2.0-bbbbbbbb"
RUNS, STARTS = "Running 2 minutes ago", "Starting 1 second ago"


def record(name: str, role: str = "worker", release: str = OLD) -> Record:
    endpoint = Endpoint(Hop(name))
    return Record(
        name=name, driver="generic", endpoint=endpoint, role=role, node_id=f"id-{name}", release=release
    )


@dataclass
class Cluster:
    """What the managers say; a machine with the new release does not run its tasks, or is not ready."""

    releases: dict[str, str]
    with_new: str = STARTS  # how tasks are on a machine with the new release
    new_status: str = "Ready"
    lost: str = ""  # the release with which a machine cannot be reached any more
    given: list[tuple[str, str]] = field(default_factory=list)
    polls_until_running: int = 1 << 30

    @asynccontextmanager
    async def manager(self) -> AsyncIterator["Cluster"]:
        yield self

    async def run(self, command: str, *words: str, timeout_s: float) -> Output:
        rows = self._tasks(words[0]) if "node ps" in command else self._nodes()
        return Output(0, "\n".join(map(json.dumps, rows)), "")

    def _nodes(self) -> list[dict[str, str]]:
        names = {
            f"id-{name}": self.new_status if one == NEW else "Ready" for name, one in self.releases.items()
        }
        boss = {"ID": "id-boss", "Hostname": "boss", "Status": "Ready", "ManagerStatus": "Leader"}
        return [boss, *({"ID": key, "Hostname": key, "Status": text} for key, text in names.items())]

    def _tasks(self, node_id: str) -> list[dict[str, str]]:
        fresh = self.releases[node_id.removeprefix("id-")] == NEW
        self.polls_until_running -= fresh
        state = self.with_new if fresh and self.polls_until_running > 0 else RUNS
        return [{"Name": "web.1", "CurrentState": state}, {"Name": "once.1", "CurrentState": "Complete"}]

    async def provision(
        self, ways: Ways, machine: Record, membership: Membership, order: Order, tell: Any
    ) -> Outcome:
        release = order.release or NEW
        self.given.append((machine.name, release))
        if release == self.lost:
            raise Unreachable("the connection was lost")
        self.releases[machine.name] = release
        return Outcome(replace(machine, release=release), (Step(Kind.ACTIVATE, "use it"),))


async def upgraded(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    cluster: Cluster,
    *machines: Record,
    settle_s: float = 0.05,
) -> list[Outcome]:
    monkeypatch.setattr(upgrading, "provision", cluster.provision)
    monkeypatch.setattr(upgrading, "SETTLE_TIMEOUT_S", settle_s)
    monkeypatch.setattr(upgrading, "POLL_S", 0.001)
    ways = Ways(store=MachineStore(folder), clock=SystemClock(), bundles=folder, health_timeout_s=0)
    members = cast("Membership", cluster)
    return await upgrading.upgrade(ways, machines, members, Order(), lambda _name, _text: None)


async def test_a_machine_that_does_not_run_its_tasks_again_goes_back_and_the_rest_is_left(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = Cluster({"w1": OLD, "w2": OLD})
    with pytest.raises(Unhealthy) as failed:
        await upgraded(monkeypatch, tmp_path, cluster, record("w1"), record("w2"))
    assert f"w1: with {NEW} these tasks do not run again: web.1; went back to {OLD}" in str(failed.value)
    assert "not touched: w2" in str(failed.value)
    assert cluster.given == [("w1", NEW), ("w1", OLD)]
    assert cluster.releases == {"w1": OLD, "w2": OLD}


async def test_a_node_that_the_managers_do_not_see_as_ready_goes_back(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = Cluster({"w1": OLD}, with_new=RUNS, new_status="Down")
    with pytest.raises(Unhealthy, match="see the node as Down; went back"):
        await upgraded(monkeypatch, tmp_path, cluster, record("w1"))
    assert cluster.releases == {"w1": OLD}


async def test_tasks_that_run_again_after_a_while_are_no_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = Cluster({"w1": OLD, "w2": OLD}, polls_until_running=3)
    outcomes = await upgraded(monkeypatch, tmp_path, cluster, record("w1"), record("w2"), settle_s=60.0)
    assert [one.record.release for one in outcomes] == [NEW, NEW]
    assert cluster.given == [("w1", NEW), ("w2", NEW)]


async def test_who_cannot_go_back_either_is_told_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = Cluster({"w1": OLD}, lost=OLD)
    with pytest.raises(MachineError) as failed:
        await upgraded(monkeypatch, tmp_path, cluster, record("w1"))
    assert "these tasks do not run again: web.1" in str(failed.value)
    assert f"going back to {OLD} failed, too: the connection was lost" in str(failed.value)


async def test_without_a_release_of_before_there_is_nothing_to_go_back_to(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = Cluster({"w1": ""})
    with pytest.raises(Unhealthy) as failed:
        await upgraded(monkeypatch, tmp_path, cluster, record("w1", release=""))
    assert "went back" not in str(failed.value)
    assert cluster.given == [("w1", NEW)]
