"""A machine inside of this one, with network, mounts and processes of its own; disks are shared."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.integration.operator import ROOT, SWARMCTL, wait_until

ADDRESS, WORLD = "198.51.100.2", "198.51.100.1"

_MAKE = f"""
mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/lib
mkdir /run/crun  # which crun leaves wherever it ran once
echo 0 > /proc/sys/net/ipv4/ip_forward
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up
ip link add eth0 type veth peer name world
ip netns add world && ip link set world netns world
ip -n world addr add {WORLD}/24 dev world && ip -n world link set world up
echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
ip addr add {ADDRESS}/24 dev eth0 && ip link set eth0 up
ip route add default via {WORLD}
"""
# What changes by itself, and what is compared apart.
_NOT_COMPARED = ("nf_conntrack_count", "/netfilter/nf_log")
_LOOK = """
import json, os, pathlib, subprocess, sys
def said(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
def sysctls():
    for folder, _, files in os.walk("/proc/sys/net"):
        for name in files:
            path = f"{folder}/{name}"
            try:
                yield path, pathlib.Path(path).read_text()
            except (OSError, UnicodeDecodeError):
                continue
def processes():
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                yield entry.name, (entry / "comm").read_text()
            except OSError:  # it has ended
                continue
print(json.dumps({
    "links": sorted(one["ifname"] for one in json.loads(said("ip", "-j", "link"))),
    "addresses": sorted(line.split()[1:4] for line in said("ip", "-o", "addr").splitlines()),
    "routes": sorted(said("ip", "route", "show", "table", "all").splitlines()),
    "routes of IPv6": sorted(said("ip", "-6", "route", "show", "table", "all").splitlines()),
    "rules": said("ip", "rule").splitlines(),
    "firewall": said("nft", "list", "ruleset").splitlines(),
    "connections": pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_count").read_text().strip(),
    "mounts": sorted(line.split()[4] for line in open("/proc/self/mountinfo")),
    "processes": dict(processes()),
    "folders": sorted(map(str, [*pathlib.Path("/run").iterdir(), *pathlib.Path("/var/lib").iterdir()])),
    "sysctls": dict(sysctls()),
}))
"""


class Machine:
    """Commands run in it by `__call__`; ends with everything that is in it."""

    def __init__(self) -> None:
        apart = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        self._holder = subprocess.Popen(["unshare", *apart, "tini-static", "--", "sleep", "infinity"])
        try:
            self._pid = int(wait_until(self._child, what="the machine"))
            self("sh", "-ec", _MAKE)
        except BaseException:
            self.close()
            raise

    def _child(self) -> str:
        listed = Path(f"/proc/{self._holder.pid}/task/{self._holder.pid}/children").read_text().split()
        started = listed and Path(f"/proc/{listed[0]}/comm").read_text().strip() == "tini-static"
        return listed[0] if started else ""

    def try_(self, *command: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a command there and return what came of it."""
        inside = ["nsenter", "-t", str(self._pid), "--net", "--mount", "--pid", f"--wdns={ROOT}", *command]
        return subprocess.run(inside, capture_output=True, text=True, timeout=timeout_s, check=False)

    def __call__(self, *command: str, timeout_s: float = 120.0) -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.try_(*command, timeout_s=timeout_s)
        assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}{done.stderr}"
        return done.stdout

    def swarmctl(self, *arguments: str) -> str:
        """Run swarmctl there."""
        return self(*SWARMCTL, *arguments)

    def look(self) -> Mapping[str, Any]:
        """Return what there is of a machine besides its disks."""
        seen: dict[str, Any] = json.loads(self("python3", "-c", _LOOK))
        for name in list(seen["sysctls"]):
            if any(part in name for part in _NOT_COMPARED):
                del seen["sysctls"][name]
        return seen

    def settles(self, wrong: Callable[[Mapping[str, Any]], list[str]]) -> None:
        """Wait until a look at it finds nothing wrong."""
        found: list[str] = []

        def well() -> bool:
            found[:] = wrong(self.look())
            return not found

        try:
            wait_until(well, what="the machine to settle")
        except AssertionError as error:
            raise AssertionError(f"{error}: {found}") from None

    def close(self) -> None:
        """End every process in it; the rest goes with the last."""
        self._holder.kill()
        self._holder.wait()
