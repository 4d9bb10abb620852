"""The connection is lost at any step, before or after it was done: it ends well, nothing is done twice."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from swarm.clock import SystemClock
from swarm.machine import bundle, provision
from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.errors import MachineError, PreCheckFailed, Unhealthy, Unreachable
from swarm.machine.membership import Membership
from swarm.machine.plan import Kind
from swarm.machine.probe import script
from swarm.machine.provision import Order, Ways
from swarm.machine.ssh import Output
from swarm.machine.store import MachineStore, Record

RECORD = Record(
    name="m1", driver="generic", endpoint=Endpoint(Hop("h")), role="manager", labels={"disk": "ssd"}
)
STEPS = (Kind.PACKAGES, Kind.UPLOAD, Kind.UNPACK, Kind.ACTIVATE, Kind.INIT, Kind.LABEL)


class Machine:
    """What a machine is, as its answers show it; `cut` names the step at which the connection is lost."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {
            "os": "debian",
            "arch": "x86_64",
            "systemd": "yes",
            "libc": "glibc 2.36",
            "python": "3.11",
            "python_path": "/usr/bin/python3",
            "packages": "apt-get",
            "missing": "crun",
            "disk_free_kb": "9000000",
            "active": "inactive",
        }
        self.done: list[Kind] = []
        self.cut: Kind | None = None
        self.before = False
        self.healthy = True
        self.uploaded = False
        self.endpoint = RECORD.endpoint

    async def run(
        self, text: str, *words: str, stdin: bytes = b"", root: bool = True, timeout_s: float = 0
    ) -> Output:
        if text == script("probe.sh"):
            now = {"now": str(SystemClock().now_ns() // 10**9)}
            lines = [f"{key}={value}" for key, value in {**self.facts, **now}.items()]
            lines += ["linked=swarmd", "linked=swarmctl"] if "release" in self.facts else []
            return Output(0, "\n".join([*lines, "end=yes", ""]), "")
        if "swarmctl info" in text and text != script("activate.sh"):
            return Output(0, self.facts.get("info", "{}"), "")
        kind = self._kind(text)
        self._lose(kind, before=True)
        if kind is Kind.INIT and "info" in self.facts:
            return Output(1, "", "this node is part of cluster c1 already")
        code = self._do(kind, words)
        self._lose(kind, before=False)
        return Output(code, "", "it does not start" if code else "")

    async def upload(self, source: Path, target: str, progress: Any) -> None:
        self._lose(Kind.UPLOAD, before=True)
        self.uploaded = True
        self.done.append(Kind.UPLOAD)
        self._lose(Kind.UPLOAD, before=False)

    @staticmethod
    def _kind(text: str) -> Kind:
        known = {
            script("packages.sh"): Kind.PACKAGES,
            script("unpack.sh"): Kind.UNPACK,
            script("activate.sh"): Kind.ACTIVATE,
        }
        if text in known:
            return known[text]
        return Kind.INIT if "swarmctl init" in text else Kind.LABEL

    def _lose(self, kind: Kind, *, before: bool) -> None:
        if self.cut is kind and self.before is before:
            self.cut = None
            raise Unreachable("the connection was lost")

    def _do(self, kind: Kind, words: tuple[str, ...]) -> int:
        self.done.append(kind)
        if kind is Kind.PACKAGES:
            del self.facts["missing"]
        elif kind is Kind.UNPACK:
            assert self.uploaded
            self.facts["complete"] = words[0]
        elif kind is Kind.ACTIVATE:
            if not self.healthy:
                return 8
            self.facts |= {
                "release": words[0],
                "active": "active",
                "enabled": "enabled",
                "unit": bundle.unit_digest(),
            }
        elif kind is Kind.INIT:
            self.facts["info"] = '{"NodeID": "n1", "ClusterID": "c1"}'
        else:
            assert words == ("n1", "disk=ssd")
        return 0


@dataclasses.dataclass(frozen=True)
class FakeWays(Ways):
    """Ways that lead to a machine in memory."""

    machine: Machine = dataclasses.field(default_factory=Machine)

    @asynccontextmanager
    async def connect(self, record: Record) -> AsyncIterator[Any]:
        yield self.machine


@pytest.fixture
def ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeWays:
    def build(target: bundle.Target, folder: Path) -> Path:
        path = tmp_path / f"{bundle.content().release(target)}.tar.gz"
        path.touch()
        return path

    monkeypatch.setattr(provision.bundle, "build", build)
    store = MachineStore(tmp_path / "machines")
    store.add(RECORD)
    return FakeWays(store=store, clock=SystemClock(), bundles=tmp_path)


async def bring(ways: FakeWays, order: Order | None = None) -> provision.Outcome:
    record = ways.store.load("m1")
    members = Membership(ways.store, record.cluster, ways.connect)
    return await provision.provision(ways, record, members, order or Order(), lambda _name, _text: None)


async def test_a_bare_machine_becomes_a_manager_and_stays_it(ways: FakeWays) -> None:
    outcome = await bring(ways)
    assert tuple(ways.machine.done) == STEPS
    assert (outcome.record.state, outcome.record.node_id) == ("ready", "n1")
    assert ways.store.load("m1") == outcome.record
    assert (await bring(ways)).steps == ()
    assert tuple(ways.machine.done) == STEPS


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_connection_lost_at_any_step_is_made_good_at_once(
    ways: FakeWays, step: Kind, before: bool
) -> None:
    ways.machine.cut, ways.machine.before = step, before
    outcome = await bring(ways)
    assert (outcome.record.state, outcome.record.node_id) == ("ready", "n1")
    # What was done although nobody heard of it is not done again, but for what may be done twice.
    assert [kind for kind in ways.machine.done if kind not in (Kind.UPLOAD, Kind.LABEL)] == [
        kind for kind in STEPS if kind not in (Kind.UPLOAD, Kind.LABEL)
    ]


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("step", STEPS)
async def test_a_client_killed_at_any_step_goes_on_when_it_comes_again(
    ways: FakeWays, step: Kind, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def die(kind: Kind, *, before: bool) -> None:
        if ways.machine.cut is kind and ways.machine.before is before:
            ways.machine.cut = None
            raise Killed

    monkeypatch.setattr(ways.machine, "_lose", die)
    ways.machine.cut, ways.machine.before = step, before
    with pytest.raises(Killed):
        await bring(ways)
    assert ways.store.load("m1").state == "creating"
    outcome = await bring(ways)
    assert outcome.record.node_id == "n1"
    assert ways.machine.done.count(Kind.INIT) == 1


async def test_a_machine_of_two_names_is_one_of_them(ways: FakeWays) -> None:
    """Another one brought it up at the same time, under its other address."""
    twin = dataclasses.replace(RECORD, name="m7", role="worker", node_id="n1", labels={})
    ways.store.add(twin)
    with pytest.raises(MachineError, match="it has become node n1 as machine m7: they are the same"):
        await bring(ways)
    assert (ways.store.load("m1").state, ways.store.load("m1").node_id) == ("failed", "")
    with pytest.raises(PreCheckFailed, match="it is node n1, as machine m7 is"):
        await bring(ways)


async def test_a_start_of_the_cluster_that_goes_on_after_a_cut_is_no_error(ways: FakeWays) -> None:
    lose, machine = ways.machine._lose, ways.machine

    def late(kind: Kind, *, before: bool) -> None:
        if kind is Kind.INIT and before and machine.done.count(Kind.INIT) == 1:
            machine.facts["info"] = '{"NodeID": "n1", "ClusterID": "c1"}'  # it ends in this moment
        lose(kind, before=before)
        if kind is Kind.INIT and not before:
            del machine.facts["info"]  # it goes on, and nothing is to be seen yet
            raise Unreachable("the connection was lost")

    ways.machine._lose = late  # type: ignore[method-assign]
    outcome = await bring(ways)
    assert (outcome.record.state, outcome.record.node_id) == ("ready", "n1")
    assert machine.done.count(Kind.INIT) == 1


async def test_somebody_elses_cluster_is_not_taken_for_ours(ways: FakeWays) -> None:
    lose, machine = ways.machine._lose, ways.machine

    def meanwhile(kind: Kind, *, before: bool) -> None:
        if kind is Kind.INIT and before:
            machine.facts["info"] = '{"NodeID": "n9", "ClusterID": "c9"}'
        lose(kind, before=before)

    ways.machine._lose = meanwhile  # type: ignore[method-assign]
    with pytest.raises(MachineError, match="already"):
        await bring(ways)


async def test_nothing_is_done_when_there_are_no_packages_for_the_machine(
    ways: FakeWays, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(target: bundle.Target, folder: Path) -> Path:
        raise PreCheckFailed(f"no packages for {target.arch}")

    monkeypatch.setattr(provision.bundle, "build", build)
    with pytest.raises(PreCheckFailed, match="root@h: no packages for x86_64"):
        await bring(ways)
    assert ways.machine.done == []


async def test_a_connection_that_is_lost_again_and_again_in_vain_is_given_up(ways: FakeWays) -> None:
    tries = 0

    def lose(kind: Kind, *, before: bool) -> None:
        nonlocal tries
        if kind is Kind.ACTIVATE and before:
            tries += 1
            raise Unreachable("the connection was lost")

    ways.machine._lose = lose  # type: ignore[method-assign]
    with pytest.raises(Unreachable):
        await bring(ways)
    assert tries == 1 + provision.RECONNECTS_MAX + 1  # what was done before the first counts for one


async def test_a_release_that_is_not_healthy_ends_it(ways: FakeWays) -> None:
    ways.machine.healthy = False
    with pytest.raises(Unhealthy, match="does not start"):
        await bring(ways)
    kept = ways.store.load("m1")
    assert (kept.state, kept.node_id) == ("failed", "")
    assert "does not start" in kept.error
    assert Kind.INIT not in ways.machine.done


async def test_a_dry_run_leaves_no_trace(ways: FakeWays) -> None:
    before = ways.store.load("m1")
    outcome = await bring(ways, Order(dry_run=True))
    assert [step.kind for step in outcome.steps] == list(STEPS)
    assert ways.machine.done == []
    assert ways.store.load("m1") == before
    assert ways.store.journal("m1") == []


async def test_a_worker_without_a_cluster_is_refused_before_anything_is_done(ways: FakeWays) -> None:
    ways.store.save(dataclasses.replace(RECORD, role="worker"))
    with pytest.raises(PreCheckFailed, match="create a machine with --role manager first"):
        await bring(ways)
    assert ways.machine.done == []


async def test_what_cannot_be_is_refused_before_anything_is_done(ways: FakeWays) -> None:
    ways.machine.facts["systemd"] = "no"
    with pytest.raises(PreCheckFailed, match="systemd"):
        await bring(ways)
    assert ways.machine.done == []


async def test_a_release_that_is_not_there_cannot_be_gone_back_to(ways: FakeWays) -> None:
    with pytest.raises(PreCheckFailed, match=r"it has no release 0\.0\.1"):
        await bring(ways, Order(release="0.0.1"))
