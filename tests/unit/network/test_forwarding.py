"""Settings of interfaces are read while interfaces come and go."""

from pathlib import Path

import pytest

from swarm.agent.network import forwarding, plumbing


def interface(folder: Path, name: str, **settings: str) -> None:
    (folder / "conf" / name).mkdir(parents=True)
    for setting, value in settings.items():
        (folder / "conf" / name / setting).write_text(value)


def test_an_interface_that_goes_meanwhile_keeps_no_node_from_passing_packets_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ipv4, ipv6 = tmp_path / "ipv4", tmp_path / "ipv6"
    interface(ipv4, "eth0", forwarding="0", accept_redirects="1")
    interface(ipv4, "gone")
    (ipv4 / "ip_forward").write_text("0")
    interface(ipv6, "all", forwarding="0")
    interface(ipv6, "eth0", accept_ra="1")
    interface(ipv6, "gone")
    monkeypatch.setattr(forwarding, "_IPV4", ipv4)
    monkeypatch.setattr(forwarding, "_SWITCH", ipv4 / "ip_forward")
    monkeypatch.setattr(plumbing, "_SYSCTL6", ipv6)
    forwarding.switch_on(tmp_path / "memo")
    plumbing.forward6()
    assert (ipv4 / "ip_forward").read_text() == "1"
    assert '"conf/eth0/accept_redirects": "1"' in (tmp_path / "memo").read_text()
    assert (ipv6 / "conf/all/forwarding").read_text() == "1"
    assert (ipv6 / "conf/eth0/accept_ra").read_text() == "2"
