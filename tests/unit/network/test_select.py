from ipaddress import IPv4Address
from pathlib import Path

import pytest

from swarm.agent.network.loopback import LoopbackNetwork
from swarm.agent.network.select import open_network, own_address
from swarm.config import Settings
from swarm.errors import InvalidArgument


@pytest.mark.parametrize(
    ("advertise", "listen", "expected"),
    [
        ("127.77.0.3:2377", "0.0.0.0:2377", "127.77.0.3"),
        ("127.77.0.3", "127.0.0.9:2377", "127.77.0.3"),
        ("", "127.0.0.9:2377", "127.0.0.9"),
        ("eth0", "0.0.0.0:2377", "127.0.0.1"),
        ("", "0.0.0.0:2377", "127.0.0.1"),
    ],
)
def test_ports_are_published_at_the_most_specific_address(
    advertise: str, listen: str, expected: str
) -> None:
    settings = Settings(advertise_addr=advertise, listen_addr=listen)
    assert own_address(settings) == IPv4Address(expected)


def test_plain_processes_get_loopback_addresses(tmp_path: Path) -> None:
    assert isinstance(open_network(Settings(runtime="process", run_dir=tmp_path)), LoopbackNetwork)


def test_a_malformed_subnet_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 0)
    monkeypatch.setattr("swarm.agent.network.nft.available", lambda: True)
    with pytest.raises(InvalidArgument, match=r"node_subnet .172\.30\.0\.1/16."):
        open_network(Settings(node_subnet="172.30.0.1/16", run_dir=tmp_path))
