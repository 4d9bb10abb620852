import subprocess

import pytest

from swarm.machine.doctor import examine, parse_signs
from swarm.machine.errors import MachineError
from swarm.machine.probe import script

NOW_S = 1_800_000_000
FIT = {
    "kernel": ["6.1.0-13-amd64"],
    "now": [str(NOW_S)],
    "cgroup": ["2"],
    "controllers": ["cpu io memory pids"],
    "packages": ["apt-get"],
    "active": ["inactive"],
    "synchronized": ["yes"],
    "memory_kb": ["1000000"],
    "disk_percent": ["10"],
    "disk_free_kb": ["50000000"],
    "inodes_percent": ["1"],
}


def test_a_fit_machine_has_nothing_to_mend() -> None:
    assert {finding.level for finding in examine(FIT, NOW_S)} == {"ok"}


@pytest.mark.parametrize(
    ("signs", "level", "what", "fix"),
    [
        ({"kernel": ["3.10.0-1160.el7"]}, "bad", "older than 4.18", "upgrade"),
        ({"no_module": ["vxlan"]}, "bad", "networks between nodes", "modprobe vxlan"),
        ({"no_namespace": ["net"]}, "bad", "no net namespaces", "kernel"),
        ({"controllers": ["cpu io pids"]}, "bad", "memory are missing", "cgroup_enable=memory"),
        ({"cgroup": ["1"]}, "warning", "version 1", "unified_cgroup_hierarchy=1"),
        ({"missing": ["crun", "nft"]}, "warning", "crun, nft", "apt-get install crun nftables"),
        ({"listens": ["2377"]}, "bad", "port 2377 is taken", "ss -tlnp"),
        ({"listens": ["4789"]}, "warning", "overlay networks", "--data-path-port"),
        ({"listens": ["4788"]}, "warning", "encrypted networks", "--encrypted-data-path-port"),
        ({"listens": ["9323"]}, "warning", "no metrics", "metrics_addr"),
        ({"now": [str(NOW_S - 86400)]}, "bad", "86400 s behind", "set-ntp"),
        ({"synchronized": ["no"]}, "warning", "set by nobody", "set-ntp"),
        ({"memory_kb": ["100000"]}, "bad", "97 MB of memory", "add memory"),
        ({"disk_free_kb": ["2048"]}, "bad", "2 MB are free", "make room"),
        ({"inodes_percent": ["99"]}, "warning", "99% full", "prune"),
        (
            {
                "firewalls": ["seen"],
                "ufw": ["Status: active", "Default: deny (incoming)", "2377 ALLOW", "4788/udp ALLOW"],
            },
            "warning",
            "ufw closes 4789/udp, which other nodes need for networks between nodes",
            "ufw allow proto udp from NODES to any port 4789",
        ),
    ],
)
def test_each_finding_says_what_mends_it(
    signs: dict[str, list[str]], level: str, what: str, fix: str
) -> None:
    (found,) = [finding for finding in examine({**FIT, **signs}, NOW_S) if finding.level != "ok"]
    assert found.level == level
    assert what in found.what
    assert fix in found.fix


def test_our_own_daemon_has_the_port_by_right() -> None:
    ours = {"listens": ["2377", "4788", "4789", "9323"], "active": ["active"]}
    assert {one.level for one in examine({**FIT, **ours}, NOW_S)} == {"ok"}


def test_half_an_answer_is_none() -> None:
    with pytest.raises(MachineError, match="cut"):
        parse_signs("kernel=6.1\n")


def test_the_script_tells_of_this_machine() -> None:
    done = subprocess.run(
        ["sh", "-c", script("doctor.sh")], capture_output=True, text=True, timeout=60, check=False
    )
    signs = parse_signs(done.stdout)
    assert signs["cgroup"][0] in ("1", "2")
    assert int(signs["memory_kb"][0]) > 0
    assert int(signs["disk_free_kb"][0]) > 0


def test_ports_of_this_cluster_are_looked_at_instead() -> None:
    signs = {**FIT, "firewalls": ["seen"], "iptables": ["-P INPUT DROP"]}
    (found,) = [one for one in examine(signs, NOW_S, ["8472/udp"]) if one.level != "ok"]
    assert found.fix.startswith("iptables -I INPUT -p udp -s NODES --dport 8472 -j ACCEPT")
