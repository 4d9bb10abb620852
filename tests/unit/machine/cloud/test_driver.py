"""The driver over a cloud in memory, of which any answer may be lost, and whose client may die anywhere."""

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from swarm.machine.cloud import plan
from swarm.machine.cloud.library import Order
from swarm.machine.cloud.plan import Instance, Notes, State
from swarm.machine.drivers import cloud as driver_module
from swarm.machine.drivers.base import Making
from swarm.machine.drivers.cloud import CloudDriver
from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.errors import MachineError, Unreachable
from swarm.machine.store import Record

OPTIONS = {"region": "r1", "image": "i", "size": "s"}


class Killed(BaseException):
    """The client is no more."""


class Sky:
    """A cloud. `trouble` is what happens at the call of a name, before or after it is done."""

    idempotent = True
    keys = True

    def __init__(self) -> None:
        self.made: dict[str, Instance] = {}
        self.tokens: dict[str, str] = {}
        self.pairs: dict[str, str] = {}
        self.trouble: dict[tuple[str, str], BaseException] = {}
        self.looks = 0

    def _at(self, call: str, when: str) -> None:
        if (call, when) in self.trouble:
            raise self.trouble.pop((call, when))

    def check(self) -> None:
        pass

    def find(self, machine: str, notes: Notes) -> Instance | None:
        self._at("find", "before")
        name = notes.instance or self.tokens.get(notes.token, "")
        seen = self.made.get(name)
        if seen is not None and seen.state is State.PENDING:
            self.looks += 1
            if self.looks > 1:
                self.made[name] = dataclasses.replace(seen, state=State.RUNNING, public="198.51.100.7")
        self._at("find", "after")
        return seen

    def create(self, order: Order, notes: Notes) -> Instance:
        self._at("create", "before")
        assert order.key in self.pairs
        if notes.token not in self.tokens:
            name = f"i-{len(self.made)}"
            self.tokens[notes.token] = name
            self.made[name] = Instance(name, State.PENDING)
        self._at("create", "after")
        return self.made[self.tokens[notes.token]]

    def act(self, action: str, instance: Instance) -> None:
        self._at(action, "before")
        states = {
            "start": State.RUNNING,
            "stop": State.STOPPED,
            "restart": State.RUNNING,
            "destroy": State.GONE,
        }
        self.made[instance.id] = dataclasses.replace(self.made[instance.id], state=states[action])
        self._at(action, "after")

    def add_key(self, name: str, public: str) -> None:
        self._at("add_key", "before")
        assert self.pairs.setdefault(name, public) == public
        self._at("add_key", "after")

    def remove_key(self, name: str) -> None:
        self._at("remove_key", "before")
        self.pairs.pop(name, None)
        self._at("remove_key", "after")


class Client:
    """One record, as the store keeps it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.record = Record(name="m1", driver="cloud", endpoint=Endpoint(Hop("", user="")), options=OPTIONS)
        self.told: list[str] = []

    @property
    def making(self) -> Making:
        return Making(self.record, self.folder, self._note, self.told.append, timeout_s=60)

    def _note(self, made: Mapping[str, str]) -> None:
        self.record = dataclasses.replace(self.record, made=dict(made))


@pytest.fixture
def sky(monkeypatch: pytest.MonkeyPatch) -> Sky:
    sky = Sky()
    monkeypatch.setattr(driver_module, "open_cloud", lambda *_: sky)
    monkeypatch.setattr(driver_module, "POLL_S", 0.0)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    return sky


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path / "m1")


CALLS = ["find", "add_key", "create"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_lost_answer_is_made_good_and_there_is_one_machine(
    sky: Sky, client: Client, call: str, when: str
) -> None:
    sky.trouble[call, when] = Unreachable("cut")
    made = await CloudDriver().create(client.making)
    assert made.endpoint == Endpoint(Hop("198.51.100.7", 22, "admin"), str(client.folder / "id_ed25519"))
    assert len(made.host_keys) == 1
    assert (len(sky.made), len(sky.pairs)) == (1, 1)
    assert any("cut" in text for text in client.told)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_killed_client_goes_on_and_there_is_one_machine(
    sky: Sky, client: Client, call: str, when: str
) -> None:
    sky.trouble[call, when] = Killed()
    with pytest.raises(Killed):
        await CloudDriver().create(client.making)
    await CloudDriver().create(client.making)
    assert (list(sky.made), len(sky.pairs)) == (["i-0"], 1)
    again = await CloudDriver().create(client.making)
    assert again.endpoint.hop.host == "198.51.100.7"
    assert len(sky.made) == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["create", "destroy", "remove_key"])
async def test_whatever_was_cut_nothing_is_left_when_it_is_removed(
    sky: Sky, client: Client, call: str, when: str
) -> None:
    sky.trouble[call, when] = Killed()
    with suppress(Killed):
        await CloudDriver().create(client.making)
    with suppress(Killed):
        await CloudDriver().act("destroy", client.making)
    await CloudDriver().act("destroy", client.making)
    assert {one.state for one in sky.made.values()} <= {State.GONE}
    assert sky.pairs == {}


async def test_a_machine_that_is_gone_before_it_was_a_node_is_asked_for_anew(
    sky: Sky, client: Client
) -> None:
    await CloudDriver().create(client.making)
    sky.made["i-0"] = Instance("i-0", State.GONE)
    assert await CloudDriver().state(client.record) == "missing"
    token = client.record.made["token"]
    sky.looks = 0
    await CloudDriver().create(client.making)
    assert client.record.made["instance"] == "i-1"
    assert client.record.made["token"] != token
    assert len(sky.pairs) == 1
    client.record = dataclasses.replace(client.record, node_id="n1")
    sky.made["i-1"] = Instance("i-1", State.GONE)
    with pytest.raises(MachineError, match="was in use"):
        await CloudDriver().create(client.making)


async def test_it_is_turned_on_and_off(sky: Sky, client: Client) -> None:
    await CloudDriver().create(client.making)
    assert await CloudDriver().act("stop", client.making) is None
    assert await CloudDriver().state(client.record) == "stopped"
    made = await CloudDriver().act("start", client.making)
    assert made is not None
    assert made.endpoint.hop.host == "198.51.100.7"
    client.record = dataclasses.replace(client.record, made={**client.record.made, "settled": "yes"})
    again = await CloudDriver().act("restart", client.making)
    assert again is not None
    assert again.host_keys == ()


async def test_the_place_is_kept_with_the_machine(
    sky: Sky, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "https://one.example.com")
    await CloudDriver().create(client.making)
    monkeypatch.setenv("AWS_ENDPOINT_URL_EC2", "https://two.example.com")
    monkeypatch.setenv("AWS_REGION", "elsewhere")
    notes = driver_module.located(driver_module.wish_of(OPTIONS), plan.notes_of(client.record.made), {})
    assert (notes.region, notes.endpoint) == ("r1", "https://one.example.com")


async def test_what_is_foreseen_is_not_done(sky: Sky, client: Client) -> None:
    assert await CloudDriver().foresee(client.making) == "make a machine of ec2 r1: s with i"
    assert (sky.made, sky.pairs, client.record.made) == ({}, {}, {})
