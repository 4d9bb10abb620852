"""What libcloud does with what we say, without a cloud: its own driver in memory, and one that is picky."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from swarm.errors import InvalidArgument
from swarm.machine.cloud import library
from swarm.machine.cloud.credentials import Credentials
from swarm.machine.cloud.library import (
    AnyCloud,
    Order,
    arguments_of,
    chosen,
    full_name,
    open_cloud,
    place_of,
)
from swarm.machine.cloud.plan import Instance, Notes, State
from swarm.machine.cloud.wish import Wish
from swarm.machine.errors import AuthRefused, MachineError, PreCheckFailed, Unreachable

WHO = Credentials("key", "secret", source="the test")
NOTES = Notes(token="0123456789abcdef", region="eu-central-1")
ORDER = Order("m1", "prod", "#cloud-config\n", "k")


class Picky:
    """A driver of libcloud that takes a key pair, user data and metadata, and keeps what it makes."""

    def __init__(self, key: str, **given: Any) -> None:
        self.given = {"key": key, **given}
        self.connection = SimpleNamespace(timeout=None)
        self.nodes: list[Any] = []
        self.trouble: Exception | None = None

    def list_images(self) -> list[Any]:
        return [SimpleNamespace(id="img-1", name="debian-12")]

    def list_sizes(self) -> list[Any]:
        return [SimpleNamespace(id="1", name="small")]

    def list_locations(self) -> list[Any]:
        return [SimpleNamespace(id="eu-central-1", name="Frankfurt")]

    def list_nodes(self) -> list[Any]:
        if self.trouble:
            raise self.trouble
        return self.nodes

    def create_node(
        self,
        name: str,
        size: Any,
        image: Any,
        location: Any,
        ex_keyname: str,
        ex_userdata: str,
        ex_metadata: dict[str, str],
    ) -> Any:
        made = SimpleNamespace(
            id=len(self.nodes), name=name, state="running", public_ips=["198.51.100.1"], private_ips=[]
        )
        made.extra = {"metadata": ex_metadata, "key": ex_keyname, "image": image.id, "size": size.id}
        made.extra["location"] = location.name
        self.nodes.append(made)
        return made

    def stop_node(self, node: Any) -> bool:
        return node in self.nodes

    def destroy_node(self, node: Any) -> bool:
        self.nodes.remove(node)
        return True


def picky(wish: Wish) -> tuple[AnyCloud, Picky]:
    cloud = AnyCloud(Picky, wish, NOTES, WHO)
    driver: Picky = cloud._driver
    return cloud, driver


def test_a_cloud_gets_what_it_has_a_name_for() -> None:
    wish = Wish("debian-12", "small", "picky", tags={"team": "web"})
    cloud, driver = picky(wish)
    assert driver.given == {"key": "key", "secret": "secret"}
    assert driver.connection.timeout == library.REQUEST_TIMEOUT_S
    assert cloud.find("m1", NOTES) is None
    made = cloud.create(ORDER, NOTES)
    assert made == Instance("0", State.RUNNING, "198.51.100.1")
    assert driver.nodes[0].extra["metadata"] == {
        "team": "web",
        "swarm:machine": "m1",
        "swarm:cluster": "prod",
    }
    assert driver.nodes[0].extra["location"] == "Frankfurt"
    assert driver.nodes[0].name == full_name("m1", NOTES.token) == "m1-0123456789"
    assert cloud.find("m1", NOTES) == made
    cloud.act("destroy", made)
    cloud.act("destroy", made)
    with pytest.raises(MachineError, match="not found"):
        cloud.act("stop", made)


def test_what_a_cloud_has_no_name_for_is_refused_before_anything_is_made() -> None:
    cloud, driver = picky(Wish("debian-12", "small", "picky", subnet="s"))
    with pytest.raises(PreCheckFailed, match="--cloud-subnet: libcloud's driver for picky"):
        cloud.check()
    assert driver.nodes == []
    with pytest.raises(PreCheckFailed, match="--cloud-image x: this cloud has no such thing; it has img-1"):
        picky(Wish("x", "small", "picky"))[0].check()
    with pytest.raises(PreCheckFailed, match=r"--cloud-region mars: .* it has eu-central-1"):
        AnyCloud(Picky, Wish("img-1", "1", "picky"), Notes(region="mars"), WHO).check()
    with pytest.raises(PreCheckFailed, match="--cloud-size"):
        picky(Wish("img-1", "x", "picky"))[0].check()
    assert arguments_of(frozenset({"b"}), (("--x", ("a", "b"), 1), ("--y", ("c",), "")), "p") == {"b": 1}


def test_whatever_the_library_raises_has_a_meaning() -> None:
    from libcloud.common.exceptions import BaseHTTPError
    from libcloud.common.types import InvalidCredsError

    cloud, driver = picky(Wish("debian-12", "small", "picky"))
    for trouble, kind, told in (
        (InvalidCredsError("no"), AuthRefused, "with the test: no"),
        (requests.ConnectionError("cut"), Unreachable, "does not answer as it should: cut"),
        (TimeoutError("slow"), Unreachable, "slow"),
        (BaseHTTPError(503, "later"), Unreachable, "later"),
        (BaseHTTPError(400, "RequestLimitExceeded: slow down"), Unreachable, "slow down"),
        (BaseHTTPError(400, "InvalidAMIID.Malformed"), PreCheckFailed, "refuses: InvalidAMIID"),
        (BaseHTTPError(403, ""), AuthRefused, "HTTP 403"),
        (IndexError("list index out of range"), MachineError, "IndexError"),
    ):
        driver.trouble = trouble
        with pytest.raises(MachineError, match=told) as raised:
            cloud.find("m1", NOTES)
        assert type(raised.value) is kind


def test_the_library_itself_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libcloud.compute.providers", None)
    with pytest.raises(PreCheckFailed, match="install 'apache-libcloud"):
        open_cloud(Wish("i", "s"), NOTES, WHO)


def test_clouds_regions_and_addresses_that_are_not_are_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"libcloud knows .*digitalocean"):
        open_cloud(Wish("i", "s", "nowhere"), NOTES, WHO)
    with pytest.raises(InvalidArgument, match=r"known are .*eu-central-1"):
        open_cloud(Wish("i", "s"), Notes(region="mars-1"), WHO)
    assert place_of("http://127.0.0.1:5000") == {"host": "127.0.0.1", "port": 5000, "secure": False}
    assert place_of("https://ec2.example.com/")["port"] == 443
    with pytest.raises(InvalidArgument, match="--cloud-endpoint"):
        place_of("ec2.example.com")
    assert isinstance(open_cloud(Wish("i", "s"), NOTES, WHO), library.Ec2Cloud)


def test_a_machine_that_lives_comes_before_those_that_are_gone() -> None:
    gone, lives = Instance("i-1", State.GONE), Instance("i-2", State.PENDING)
    assert chosen([gone, lives]) == lives
    assert chosen([gone]) == gone
    assert chosen([]) is None
