"""When a node says that it hears nobody, and what."""

from collections.abc import Sequence

import pytest

from swarm.agent.fake_network import FakeNetwork
from swarm.agent.overlay import listening as module
from swarm.agent.overlay.listening import Listening
from swarm.agent.overlay.silence import FarRouter
from swarm.agent.overlay.state import OverlayState
from swarm.api.v1.overlay_pb2 import OverlayChanges, OverlayNetwork, OverlayPeer
from swarm.firewalls.closed import Closed
from swarm.manager.store.testing import ManualClock


class Network(FakeNetwork):
    def __init__(self) -> None:
        super().__init__()
        self.silent = False

    async def echoes(self, routers: Sequence[FarRouter]) -> frozenset[FarRouter]:
        return frozenset() if self.silent else frozenset(routers)


async def test_managers_hear_of_silence_and_of_its_end_once(monkeypatch: pytest.MonkeyPatch) -> None:
    way_out = Closed("4789/udp", "ufw", "no rule", "ufw allow 4789/udp")
    monkeypatch.setattr(module, "_closed_here", lambda ports: dict.fromkeys(ports, way_out))
    state, network, clock, told = OverlayState(), Network(), ManualClock(), []
    shop = OverlayNetwork(id="shop", name="shop", router_addresses=["10.0.0.1"])
    peer = OverlayPeer(node_id="n2", address="192.0.2.2", router_addresses=["10.0.0.2"])
    state.apply([OverlayChanges(network_id="shop", network=shop, peers=[peer])])
    listening = Listening(
        network, state, clock, lambda: told.append([one.reason for one in listening.warnings])
    )

    async def ask(times: int) -> None:
        for _ in range(times):
            clock.advance(module.PERIOD_S)
            await listening.ask()

    await ask(10)
    assert told == []
    network.silent = True
    await ask(10)
    assert len(told) == 1
    assert told[0][0].startswith("no other node answers over UDP port 4789")
    assert told[0][0].endswith("ufw allow 4789/udp")
    network.silent = False
    await ask(3)
    assert told[1:] == [[]]
