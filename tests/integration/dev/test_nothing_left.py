"""A machine before `dev up` and after `dev down`, by the account of its kernel."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from swarm.runtime.oci.cgroups import read_layout
from tests.integration.dev.machines import WORLD, Machine
from tests.integration.operator import ROOT, SWARMCTL, wait_until

SEND = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('{}', 9))"


@pytest.fixture
def machine() -> Iterator[Machine]:
    made = Machine()
    try:
        yield made
    finally:
        made.close()


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is not as it was; some of it the kernel takes away a moment after all have let go of it."""
    # Mounts of other clusters on this computer were copied into the machine, and may have gone meanwhile.
    more = [f"mount {one}" for one in after["mounts"] if one not in before["mounts"]]
    others = [what for what in before if what != "mounts" and after[what] != before[what]]
    return more + [f"{what}: {before[what]} -> {after[what]}" for what in others]


def test_after_down_the_machine_is_as_it_was_before_up(machine: Machine, tmp_path: Path) -> None:
    before = machine.look()
    assert before["sysctls"]["/proc/sys/net/ipv4/ip_forward"] == "0\n"
    name, archive = "gone", str(tmp_path / "image.tar")
    machine("python3", str(ROOT / "examples/hello/build.py"), archive)
    machine.swarmctl("dev", "up", "--managers", "1", "--workers", "1", "--name", name)

    def on_manager(*command: str) -> str:
        return machine.swarmctl("dev", "exec", "--name", name, "manager-1", "--", *command)

    on_manager(*SWARMCTL, "image", "load", "-i", archive)
    on_manager(*SWARMCTL, "network", "create", "shop")
    publish = ("--publish", "8080:8080", "--network", "shop", "--replicas", "2")
    on_manager(*SWARMCTL, "service", "create", "--name", "web", *publish, "hello:1")
    (line,) = (line for line in machine("ip", "-o", "-4", "addr").splitlines() if "swdev-" in line)
    manager = line.split()[3].rsplit(".", 1)[0] + ".1"
    wait_until(
        lambda: "Hello" in machine.try_("busybox", "wget", "-qO-", f"http://{manager}:8080/").stdout,
        60,
        "an answer",
    )
    on_manager("python3", "-c", SEND.format(WORLD))
    busy = machine.look()
    assert busy["sysctls"]["/proc/sys/net/ipv4/ip_forward"] == "1\n"
    for what in ("links", "routes", "firewall", "mounts", "processes", "folders"):
        assert busy[what] != before[what], what
    assert int(busy["connections"]) > 0

    machine.swarmctl("dev", "down", "--name", name)
    machine.settles(lambda after: differences(before, after))
    assert [root for root in read_layout().roots if (root / "swarm-dev" / name).exists()] == []


def test_what_others_need_by_now_stays_switched_on(machine: Machine) -> None:
    """Somebody has a bridge of their own since: their machines would be cut off."""
    machine.swarmctl("dev", "up", "--managers", "1", "--workers", "0", "--name", "gone")
    machine("ip", "link", "add", "virbr0", "type", "bridge")
    machine("ip", "link", "set", "virbr0", "up")
    machine.swarmctl("dev", "down", "--name", "gone")
    machine.settles(lambda after: [one for one in after["links"] if one not in ("eth0", "lo", "virbr0")])
    after = machine.look()
    assert after["sysctls"]["/proc/sys/net/ipv4/ip_forward"] == "1\n"
    assert after["links"] == ["eth0", "lo", "virbr0"]
    assert after["firewall"] == []
    assert not [path for path in after["folders"] if "swarm" in path]
