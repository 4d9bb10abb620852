"""What the rules of a machine say of a port that nodes need."""

import subprocess

import pytest

from swarm.firewalls.closed import closed, read_signs, script

PORTS = ("2377/tcp", "4789/udp")


def nft(*rules: str, policy: str = "accept", hook: str = "input", more: str = "") -> str:
    lines = "".join(f"\t\t{rule}\n" for rule in rules)
    return (
        f"table inet guard {{\n{more}\tchain gate {{\n\t\ttype filter hook {hook} priority filter; "
        f"policy {policy};\n{lines}\t}}\n}}\n"
    )


def signs(key: str, text: str) -> dict[str, list[str]]:
    return read_signs("".join(f"{key}={line}\n" for line in text.splitlines()))


@pytest.mark.parametrize(
    ("rules", "ports"),
    [
        (nft("udp dport 4789 drop"), ["4789/udp"]),
        (nft("udp dport { 53, 4000-5000 } counter reject with icmp port-unreachable"), ["4789/udp"]),
        (nft("ip saddr 10.0.0.0/8 udp dport 4789 accept", "udp dport 4789 drop"), []),
        (nft("tcp dport 4789 drop", "udp dport 478 drop"), []),
        (nft("th dport 2377-4789 drop"), ["2377/tcp", "4789/udp"]),
        (nft(policy="drop"), ["2377/tcp", "4789/udp"]),
        (nft("tcp dport 2377 accept", policy="drop"), ["4789/udp"]),
        (nft("ct state established,related accept", "counter drop"), ["2377/tcp", "4789/udp"]),
        (nft("accept", policy="drop"), []),
        (nft("udp dport 4789 drop", hook="forward"), []),
        (nft("udp dport 4789 drop", hook="output"), ["4789/udp"]),
        (nft("jump ours", policy="drop", more="\tchain ours {\n\t\tth dport 1-9999 accept\n\t}\n"), []),
        (nft(more="\tchain refuse {\n\t\tdrop\n\t}\n\tset s {\n\t\ttype ipv4_addr\n\t}\n"), []),
        (nft("udp dport 4789 drop").replace("guard", "swarm_x"), []),
    ],
)
def test_nftables_closes_what_it_names_and_what_nobody_names(rules: str, ports: list[str]) -> None:
    assert [one.port for one in closed(signs("nft", rules), PORTS)] == ports


def test_the_way_out_of_nftables_is_a_rule_before_the_one_that_drops() -> None:
    (found,) = closed(signs("nft", nft("udp dport 4789 drop")), PORTS)
    assert found.why == "table inet guard, chain gate: udp dport 4789 drop"
    assert found.fix.startswith(
        "nft insert rule inet guard gate ip saddr NODES udp dport 4789 accept  # NODES: "
    )
    assert str(found).startswith("nftables on this node closes 4789/udp (table inet guard")


@pytest.mark.parametrize(
    ("rules", "ports"),
    [
        (["-P INPUT DROP"], ["2377/tcp", "4789/udp"]),
        (["-P INPUT ACCEPT", "-A INPUT -p udp -m udp --dport 4789 -j DROP"], ["4789/udp"]),
        (["-P INPUT DROP", "-A INPUT -p udp -m multiport --dports 4788,4789 -j ACCEPT"], ["2377/tcp"]),
        (["-P INPUT ACCEPT", "-A INPUT -i eth0 -j DROP"], []),
        (["-P INPUT ACCEPT", "-A INPUT -j REJECT --reject-with icmp-host-prohibited"], list(PORTS)),
        (
            ["-P INPUT DROP", "-N in", "-A INPUT -j in", "-A in -p tcp --dport 2000:3000 -j ACCEPT"],
            PORTS[1:],
        ),
        (["-P INPUT ACCEPT", "-A INPUT -p udp --dport 4789 -m u32 --u32 0x0=0x1 -j DROP"], []),
    ],
)
def test_iptables_likewise(rules: list[str], ports: list[str]) -> None:
    found = closed({"iptables": rules}, PORTS)
    assert [one.port for one in found] == list(ports)
    assert all(one.fix.startswith("iptables -I INPUT -p ") for one in found)


UFW = """Status: active
Logging: on (low)
Default: deny (incoming), allow (outgoing), disabled (routed)
New profiles: skip

To                         Action      From
--                         ------      ----
22/tcp                     ALLOW IN    Anywhere
"""


@pytest.mark.parametrize(
    ("more", "ports"),
    [
        ("", list(PORTS)),
        ("4000:5000/udp              ALLOW IN    10.0.0.0/8\n", ["2377/tcp"]),
        ("4789                       DENY IN     Anywhere\n2377  LIMIT IN    Anywhere\n", ["4789/udp"]),
        ("Anywhere                   ALLOW IN    10.0.0.0/8\n", []),
    ],
)
def test_ufw_is_asked_for_what_it_does(more: str, ports: list[str]) -> None:
    found = closed(signs("ufw", UFW + more) | {"iptables": ["-P INPUT DROP"]}, PORTS)
    assert [one.port for one in found] == ports
    fixes = {"2377/tcp": "ufw allow 2377/tcp", "4789/udp": "ufw allow proto udp from NODES to any port 4789"}
    assert [one.fix.partition("  #")[0] for one in found] == [fixes[port] for port in ports]


def test_a_ufw_that_lets_everything_in_or_is_off_closes_nothing() -> None:
    assert closed(signs("ufw", UFW.replace("deny (incoming)", "allow (incoming)")), PORTS) == ()
    assert closed(signs("ufw", "Status: inactive"), PORTS) == ()


def test_firewalld_closes_what_its_zone_does_not_have() -> None:
    assert closed({"firewalld": ["public"], "firewalld_open": ["docker-swarm"]}, PORTS) == ()
    assert closed({"firewalld": ["trusted"]}, PORTS) == ()
    assert closed({"firewalld": ["public"], "firewalld_open": ["sources"]}, PORTS) == ()
    rule = 'rule family="ipv4" source address="10.0.0.0/24" port port="4789" protocol="udp" accept'
    opened = {"firewalld": ["public"], "firewalld_open": ["2377/tcp"], "firewalld_rule": [rule]}
    assert closed(opened, PORTS) == ()
    (found,) = closed({"firewalld": ["public"], "firewalld_open": ["2377/tcp"]}, PORTS)
    assert found.fix.startswith(
        "firewall-cmd --permanent --add-rich-rule='rule family=ipv4 source address=NODES "
    )
    (found,) = closed({"firewalld": ["public"], "firewalld_open": ["4789/udp"]}, PORTS)
    assert found.fix == "firewall-cmd --permanent --add-port=2377/tcp && firewall-cmd --reload"


def test_any_machine_can_be_asked() -> None:
    done = subprocess.run(
        ["sh", "-c", script(PORTS)], capture_output=True, text=True, check=True, timeout=60
    )
    closed(read_signs(done.stdout), PORTS)
    assert done.stderr == ""
