import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from swarm.agent.overlay.state import NetworkState
from swarm.agent.tunnel import carrier as carrier_module
from swarm.agent.tunnel.carrier import ProcessCarrier, choose
from swarm.agent.tunnel.tunnel import NodeTunnel
from swarm.api.v1.overlay_pb2 import OverlayNetwork
from swarm.errors import Unavailable

Which = Callable[[str], str | None]


@pytest.fixture
def no_kernel(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A kernel without WireGuard."""
    monkeypatch.setattr(carrier_module, "_kernel_can", lambda _: False)
    return monkeypatch


def installed(name: str) -> str | None:
    return f"/usr/bin/{name}"


def not_installed(_: str) -> str | None:
    return None


def test_wireguard_go_is_taken_where_the_kernel_has_none(
    no_kernel: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    no_kernel.setattr(carrier_module.shutil, "which", installed)
    no_kernel.setattr(carrier_module, "TUN", tmp_path / "tun")
    (tmp_path / "tun").touch()
    chosen, why = choose(Path("router"), Path("tunnel"), "swg-1")
    assert isinstance(chosen, ProcessCarrier)
    assert why == "wireguard-go"


@pytest.mark.parametrize(
    ("which", "reason"),
    [
        (not_installed, "not installed .apt install wireguard-go"),
        (installed, "cannot open .*tun: No"),
    ],
)
def test_a_node_that_cannot_says_why_and_refuses_to_go_on_in_clear(
    no_kernel: pytest.MonkeyPatch, tmp_path: Path, which: Which, reason: str
) -> None:
    no_kernel.setattr(carrier_module.shutil, "which", which)
    no_kernel.setattr(carrier_module, "TUN", tmp_path / "tun")
    tunnel = NodeTunnel(tmp_path / "tunnel", "swg-1")
    tunnel.setup(tmp_path)
    assert tunnel.key == b""
    network = OverlayNetwork(id="vault", encrypted=True, node_address="192.0.2.1")
    tunnel.hear({"vault": NetworkState(network)}, ())
    with pytest.raises(Unavailable, match=f"cannot encrypt: the kernel has no WireGuard.*{reason}"):
        tunnel.follow(check=True)
    tunnel.hear({}, ["vault"])
    assert not tunnel.follow(check=True)


def test_a_program_that_does_not_start_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "wireguard-go"
    script.write_text("#!/bin/sh\necho '│ advice │' >&2\necho 'Failed to create TUN device: busy'\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(carrier_module, "PROGRAM", str(script))
    with pytest.raises(OSError, match="does not start: Failed to create TUN device: busy") as caught:
        ProcessCarrier(tmp_path / "tunnel", "swg-none").make(1440)
    assert caught.value.errno == errno.EIO
