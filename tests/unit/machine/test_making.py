"""A machine is made, lets us in, gets a host key of its own; one that was made for nothing is taken away."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from swarm.clock import SystemClock
from swarm.errors import NameConflict
from swarm.machine import making, removing
from swarm.machine.asking import ask_all
from swarm.machine.cloud import first_boot
from swarm.machine.drivers.base import Made, Making, Option
from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.errors import AuthRefused, HostKeyUnknown, MachineError, PreCheckFailed, Unreachable
from swarm.machine.host_keys import HostKey
from swarm.machine.membership import Membership
from swarm.machine.provision import Order, Outcome, Ways
from swarm.machine.ssh import Output
from swarm.machine.store import MachineStore, Record

RECORD = Record(name="m1", driver="magic", endpoint=Endpoint(Hop("", user="")), options={"size": "s"})
HERE = Endpoint(Hop("192.0.2.1", user="admin"), "/k")
FIRST = HostKey("ssh-ed25519", "QUJD")


class Magic:
    """Makes one machine."""

    name = "magic"
    provisions = makes = disposable = True
    options: tuple[Option, ...] = ()
    capabilities = frozenset({"start", "stop", "restart", "destroy"})

    def __init__(self) -> None:
        self.there = 0
        self.trouble: MachineError | None = None
        self.where = HERE

    async def foresee(self, making: Making) -> str:
        return "" if self.there else "make a machine"

    async def create(self, making: Making) -> Made:
        making.note({**making.record.made, "token": "t"})
        self.there = 1
        return Made(self.where, () if "settled" in making.record.made else (FIRST,))

    async def state(self, record: Record) -> str:
        return "running" if self.there else "missing"

    async def act(self, action: str, making: Making) -> Made | None:
        if self.trouble:
            raise self.trouble
        if action == "destroy":
            self.there = 0
        return Made(self.where) if action == "start" else None


class Link:
    endpoint = HERE

    def __init__(self) -> None:
        self.given: list[bytes] = []

    async def run(self, script: str, *words: str, stdin: bytes = b"", **_: Any) -> Output:
        if stdin:
            self.given.append(stdin)
        return Output(0, "", "")


@dataclasses.dataclass(frozen=True)
class FakeWays(Ways):
    """Ways that are closed at first, as `closed` says."""

    link: Link = dataclasses.field(default_factory=Link)
    closed: list[MachineError] = dataclasses.field(default_factory=list)

    @asynccontextmanager
    async def connect(self, record: Record) -> AsyncIterator[Any]:
        if self.closed:
            raise self.closed.pop(0)
        yield self.link


@pytest.fixture
def magic(monkeypatch: pytest.MonkeyPatch) -> Magic:
    magic = Magic()
    monkeypatch.setattr(making, "driver", lambda _name: magic)
    monkeypatch.setattr(removing, "driver", lambda _name: magic)
    monkeypatch.setattr("swarm.machine.asking.driver", lambda _name: magic)
    monkeypatch.setattr(making, "BOOT_POLL_S", 0.0)
    return magic


@pytest.fixture
def ways(tmp_path: Path) -> FakeWays:
    store = MachineStore(tmp_path / "machines")
    store.add(RECORD)
    return FakeWays(store=store, clock=SystemClock(), bundles=tmp_path)


def maker(ways: FakeWays) -> making.Maker:
    return making.Maker(ways, ways.store.load("m1"), lambda _name, _text: None)


async def test_a_fresh_machine_is_waited_for_and_its_host_key_replaced(ways: FakeWays, magic: Magic) -> None:
    ways.closed.extend([Unreachable("off"), AuthRefused("not yet")])
    record = await maker(ways).make()
    assert (record.endpoint, record.made) == (HERE, {"token": "t", "settled": "yes"})
    assert ways.store.load("m1") == record
    (private,) = ways.link.given
    assert ways.store.host_keys("m1") == {"192.0.2.1": (first_boot.host_key_of(private.decode()),)}
    assert await maker(ways).make() == record
    assert len(ways.link.given) == 1


async def test_a_cut_while_the_host_key_is_replaced_leaves_both_known(ways: FakeWays, magic: Magic) -> None:
    ways.closed.extend([Unreachable("off")])
    work = maker(ways)

    class Cut(Link):
        async def run(self, script: str, *words: str, stdin: bytes = b"", **given: Any) -> Output:
            if stdin:
                raise Unreachable("cut")
            return Output(0, "", "")

    cut = dataclasses.replace(ways, link=Cut())
    work.ways = cut
    with pytest.raises(Unreachable, match="cut"):
        await work.make()
    known = ways.store.host_keys("m1")["192.0.2.1"]
    assert known[0] == FIRST
    assert len(known) == 2
    await maker(ways).make()
    assert len(ways.store.host_keys("m1")["192.0.2.1"]) == 1


async def test_a_machine_at_another_address_is_known_by_its_keys(ways: FakeWays, magic: Magic) -> None:
    await maker(ways).make()
    keys = ways.store.host_keys("m1")["192.0.2.1"]
    magic.where = dataclasses.replace(HERE, hop=Hop("192.0.2.9", user="admin"))
    record = await maker(ways).act("start")
    assert record.endpoint.hop.host == "192.0.2.9"
    assert ways.store.host_keys("m1") == {"192.0.2.9": keys}


async def node(ways: FakeWays, monkeypatch: pytest.MonkeyPatch, error: MachineError, **given: Any) -> None:
    async def fail(ways: Ways, record: Record, *_: Any) -> Outcome:
        raise error

    monkeypatch.setattr(making, "provision", fail)
    members = Membership(ways.store, "default", ways.connect)
    with pytest.raises(type(error)):
        await making.make_node(ways, ways.store.load("m1"), members, Order(), lambda *_: None, **given)


async def test_what_was_made_for_nothing_is_taken_away(
    ways: FakeWays, magic: Magic, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node(ways, monkeypatch, PreCheckFailed("no"))
    assert (magic.there, ways.store.names()) == (0, [])


async def test_what_is_wanted_or_in_use_or_asked_about_stays(
    ways: FakeWays, magic: Magic, monkeypatch: pytest.MonkeyPatch
) -> None:
    await node(ways, monkeypatch, PreCheckFailed("no"), keep=True)
    await node(ways, monkeypatch, HostKeyUnknown("who?", "gate", "SHA256:x"))
    for known in ({"begun": True}, {"node_id": "n1"}, {"state": "ready"}):
        ways.store.save(dataclasses.replace(ways.store.load("m1"), **known))
        await node(ways, monkeypatch, Unreachable("gone"))
    assert (magic.there, ways.store.names()) == (1, ["m1"])


async def test_what_cannot_be_taken_away_is_not_forgotten(
    ways: FakeWays, magic: Magic, monkeypatch: pytest.MonkeyPatch
) -> None:
    magic.trouble = Unreachable("no cloud")
    await node(ways, monkeypatch, PreCheckFailed("no"))
    assert (magic.there, ways.store.load("m1").error) == (1, "no cloud")


async def test_a_dry_run_makes_nothing(ways: FakeWays, magic: Magic) -> None:
    members = Membership(ways.store, "default", ways.connect)
    record = ways.store.load("m1")
    outcome = await making.make_node(ways, record, members, Order(dry_run=True), lambda *_: None)
    assert [step.title for step in outcome.steps] == ["make a machine"]
    assert (magic.there, ways.store.load("m1")) == (0, record)


def test_a_machine_that_was_begun_goes_on_only_as_what_it_was() -> None:
    begun = dataclasses.replace(RECORD, made={"token": "t"}, endpoint=HERE)
    assert making.resumed(begun, RECORD).endpoint == HERE
    other = dataclasses.replace(RECORD, endpoint=Endpoint(Hop("", 2222, "ubuntu")))
    assert making.resumed(begun, other).endpoint == Endpoint(Hop("192.0.2.1", 2222, "ubuntu"), "/k")
    with pytest.raises(NameConflict, match="begun with size=s"):
        making.resumed(begun, dataclasses.replace(RECORD, options={"size": "xl"}))


async def test_a_machine_that_is_gone_is_removed_without_asking_it(ways: FakeWays, magic: Magic) -> None:
    record = dataclasses.replace(await maker(ways).make(), state="ready", node_id="n1", role="worker")
    ways.store.save(record)
    magic.there = 0
    ways.closed.extend([Unreachable("nobody")])
    (found,) = await ask_all(ways, [record], 60)
    assert (found.state, "machine rm m1" in found.error) == ("Gone", True)
    ways.closed.extend([Unreachable("nobody")] * 9)
    members = Membership(ways.store, "default", ways.connect)
    await removing.remove(ways, record, members, lambda *_: None, force=False)
    assert len(ways.closed) == 9


async def test_a_driver_that_does_not_answer_keeps_its_machine(ways: FakeWays, magic: Magic) -> None:
    record = await maker(ways).make()
    members = Membership(ways.store, "default", ways.connect)
    magic.trouble = Unreachable("no cloud")
    with pytest.raises(Unreachable, match="no cloud"):
        await removing.remove(ways, record, members, lambda *_: None, force=False)
    told: list[str] = []
    await removing.remove(ways, record, members, lambda _name, text: told.append(text), force=True)
    assert any("NOT destroyed" in text for text in told)
