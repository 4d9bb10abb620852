"""What containers move over their networks."""

import os
from pathlib import Path

import pytest

from swarm.runtime.base import Sample, Transferred
from swarm.runtime.traffic import parse_devices, with_network

DEVICES = """Inter-| Receive | Transmit
 face |bytes packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls carrier
    lo: 1000 1 0 0 0 0 0 0 1000 1 0 0 0 0 0 0
  eth0:   70 1 0 0 0 0 0 0   50 1 0 0 0 0 0 0
  eth1:30    1 0 0 0 0 0 0    5 1 0 0 0 0 0 0
"""


def test_all_devices_but_the_loopback_count() -> None:
    assert parse_devices(DEVICES) == Transferred(100, 55)
    assert parse_devices("") == Transferred(0, 0)


def test_the_network_of_the_node_is_no_containers() -> None:
    sample = Sample(1, 2, 3)
    assert with_network(sample, os.getpid()) == sample
    assert with_network(sample, 0) == sample
    assert with_network(None, os.getpid()) is None


def test_a_network_of_its_own_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "readlink", lambda path: f"net:[{path}]")
    monkeypatch.setattr(Path, "read_text", lambda path, _: {"/proc/7/net/dev": DEVICES}[str(path)])
    assert with_network(Sample(1, 2, 3), 7) == Sample(1, 2, 3, network=Transferred(100, 55))
