"""In which order a router changes: nobody is led to where no way leads."""

from collections.abc import Iterable
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import pytest

from swarm.agent.overlay import overlays as module
from swarm.agent.overlay.balancing import balance_of
from swarm.agent.overlay.layout import OverlayLayout
from swarm.agent.overlay.overlays import Overlays
from swarm.agent.overlay.plan import Address, Change, Mesh
from swarm.agent.overlay.state import NetworkState
from swarm.api.v1.objects_pb2 import Subnet
from swarm.api.v1.overlay_pb2 import OverlayEndpoint, OverlayNetwork, OverlayPeer, OverlayService

FIRST, SECOND = "10.5.0.11", "10.5.0.12"  # a task on each of two other nodes


class Kernel:
    """A router of one network without one: its routes, and the tasks that clients are led to."""

    def __init__(self) -> None:
        self.ways: dict[Address, Address] = {}
        self.led_to: set[str] = set()
        self.lost: list[set[str]] = []  # clients would have been led to these, where no way leads
        self.fails = False

    def write(self, _path: Path, changes: Iterable[Change]) -> None:
        if self.fails:
            raise OSError("no room")
        for change in changes:
            if change.table == "route" and not isinstance(change.key, str):
                self.ways.pop(change.key, None)
                self.ways |= {change.key: change.value} if isinstance(change.value, IPv4Address) else {}
            self._look()

    @property
    def routes(self) -> set[str]:
        return {str(address) for address in self.ways}

    def follow(self, _network_id: str, _router: Path, state: NetworkState, **_: object) -> None:
        self.led_to = {one for each in balance_of(state).services.values() for one in each.backends}
        self._look()

    def _look(self) -> None:
        if self.led_to - self.routes:
            self.lost.append(self.led_to - self.routes)


class NoTunnel:
    """Nothing is encrypted."""

    path = Path("/nowhere")

    def __getattr__(self, _name: str) -> Any:
        return lambda *_, **__: False


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    """The kernel and the balancer of `routers`."""
    found = Kernel()
    monkeypatch.setattr(module.kernel, "ensure_router", lambda *_: 1450)
    monkeypatch.setattr(module.kernel, "remove_strangers", lambda *_: None)
    monkeypatch.setattr(module.kernel, "connected", lambda _: {})
    monkeypatch.setattr(module.kernel, "read", lambda _: Mesh(routes=dict(found.ways)))
    monkeypatch.setattr(module.kernel, "write", found.write)
    monkeypatch.setattr(module.Balancer, "follow", lambda _, *told, **more: found.follow(*told, **more))
    return found


@pytest.fixture
def routers(kernel: Kernel, tmp_path: Path) -> Overlays:
    """Those of a node."""
    return Overlays(OverlayLayout(tmp_path), NoTunnel())  # type: ignore[arg-type]


def shop(*nodes: int) -> NetworkState:
    """A network with a task that serves on each of these nodes."""
    subnets = [Subnet(subnet="10.5.0.0/24")]
    network = OverlayNetwork(id="shop", vxlan_id=4097, subnets=subnets, router_addresses=["10.5.0.9"])
    found = NetworkState(network)
    found.services["web"] = OverlayService(service_id="web", virtual_addresses=["10.5.0.2"])
    for number in nodes:
        peer = OverlayPeer(
            node_id=f"n{number}", address=f"192.0.2.{number}", router_addresses=[f"10.5.0.{number + 2}"]
        )
        task = OverlayEndpoint(
            task_id=f"t{number}",
            node_id=f"n{number}",
            addresses=[f"10.5.0.1{number}"],
            service_id="web",
            serving=True,
        )
        found.peers[peer.node_id], found.endpoints[task.task_id] = peer, task
    return found


def test_ways_come_before_clients_and_go_after_them(routers: Overlays, kernel: Kernel) -> None:
    for nodes in ((1,), (1, 2), (2,), (1,)):
        routers.apply({"shop": shop(*nodes)}, (), check=False)
        assert kernel.led_to == {f"10.5.0.1{number}" for number in nodes}
        routers.let_go()
        assert kernel.routes == kernel.led_to
    assert kernel.lost == []


def test_ports_of_all_nodes_may_lead_there_until_ways_are_let_go(routers: Overlays, kernel: Kernel) -> None:
    for nodes in ((1, 2), (2,)):
        routers.apply({"shop": shop(*nodes)}, (), check=False)
    assert (kernel.led_to, kernel.routes) == ({SECOND}, {FIRST, SECOND})


def test_what_cannot_be_let_go_is_tried_again(routers: Overlays, kernel: Kernel) -> None:
    for nodes in ((1, 2), (2,)):
        routers.apply({"shop": shop(*nodes)}, (), check=False)
    kernel.fails = True
    with pytest.raises(module.Unavailable, match="network shop: no room"):
        routers.let_go()
    kernel.fails = False
    routers.apply({}, (), check=False)
    routers.let_go()
    assert kernel.routes == {SECOND}
