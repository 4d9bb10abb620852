"""Finding out whether the kernel has WireGuard, after an agent that was killed while it did."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from swarm.agent.network import links, namespaces
from swarm.agent.network.netlink import Request
from swarm.agent.network.plumbing import netlink_in
from swarm.agent.tunnel import carrier as carrier_module
from swarm.agent.tunnel.carrier import KernelCarrier, choose

pytestmark = pytest.mark.integration


@pytest.fixture
def router(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "router"
    namespaces.create(path)
    try:
        yield path
    finally:
        namespaces.remove(path)


def test_what_a_killed_agent_left_of_its_trial_says_nothing_about_the_kernel(
    router: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def bridge(name: str, index: int, _mtu: int, _namespace: int) -> Request:
        """Stand in for a tunnel: any kernel makes one, and no two of a name or number."""
        return links.bridge(name, index)

    monkeypatch.setattr(carrier_module.wireguard, "link", bridge)
    with netlink_in(router) as inside:
        with monkeypatch.context() as killed:
            killed.setattr(carrier_module.links, "delete_link", links.set_up)
            choose(router, router, "swg-1")
        assert len(links.list_links(inside)) == 2
        chosen, _ = choose(router, router, "swg-1")
        assert isinstance(chosen, KernelCarrier)
        assert [one.name for one in links.list_links(inside)] == ["lo"]
