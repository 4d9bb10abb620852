import subprocess

import pytest

from swarm.machine.errors import MachineError
from swarm.machine.probe import parse_facts, script

TEXT = """os=debian
os_version=12
arch=x86_64
kernel=6.1.0
hostname=m1
uid=0
systemd=yes
now=1800000000
boot_id=abc
libc=glibc 2.36
python=3.11
python_path=/usr/bin/python3.11
missing=crun
missing=nft
packages=apt-get
python_bits=64
disk_free_kb=1024
room=2048 /opt
room=4096 /home/a b
no_inodes=/etc
listens=:0949
complete=0.1.0-a
complete=0.1.0-b
busy=yes
release=0.1.0-b
linked=swarmd
active=active
info={"NodeID": "n1", "ClusterID": "c1"}
end=yes
"""


def test_every_fact_is_read() -> None:
    facts = parse_facts(TEXT)
    assert (facts.os, facts.python, facts.glibc, facts.packages) == ("debian", "3.11", "2.36", "apt-get")
    assert facts.missing == ("crun", "nft")
    assert facts.complete == ("0.1.0-a", "0.1.0-b")
    assert facts.listens == (2377,)
    assert facts.disk_free_bytes == 1024 * 1024
    assert (facts.node_id, facts.cluster_id) == ("n1", "c1")
    assert facts.systemd
    assert facts.busy
    assert facts.room == (("/opt", 2 << 20), ("/home/a b", 4 << 20))
    assert (facts.no_inodes, facts.python_bits) == (("/etc",), 64)


@pytest.mark.parametrize("text", ["", "os=debian\narch=x86_64\n", "This account is not available.\n"])
def test_half_an_answer_is_none(text: str) -> None:
    with pytest.raises(MachineError, match="cut or unreadable"):
        parse_facts(text)


@pytest.mark.parametrize("info", ["", "{", "[]", "null", "Error: x"])
def test_a_node_that_answers_nonsense_has_no_id(info: str) -> None:
    assert parse_facts(f"os=debian\ninfo={info}\nend=yes\n").node_id == ""


@pytest.mark.parametrize("number", ["", "x", "-1", "\u0661", "1e9"])
def test_numbers_that_are_none_are_zero(number: str) -> None:
    facts = parse_facts(f"disk_free_kb={number}\nnow={number}\nend=yes\n")
    assert (facts.disk_free_bytes, facts.now_s) == (0, 0)


def test_a_banner_before_the_answer_does_no_harm() -> None:
    assert parse_facts("Welcome!\n=\n" + TEXT).os == "debian"


def test_the_script_tells_of_this_machine() -> None:
    done = subprocess.run(
        ["sh", "-c", script("probe.sh")], capture_output=True, text=True, timeout=60, check=False
    )
    facts = parse_facts(done.stdout)
    assert facts.arch
    assert facts.now_s > 1_700_000_000
    assert facts.boot_id
    assert facts.disk_free_bytes > 0
    assert {"/opt", "/etc", "/usr/local", "/var/lib/swarm"} < dict(facts.room).keys()
    assert facts.python_bits == 64


@pytest.mark.parametrize(
    "name", ["probe.sh", "unpack.sh", "activate.sh", "remove.sh", "doctor.sh", "packages.sh"]
)
def test_every_script_can_be_read_by_a_plain_shell(name: str) -> None:
    done = subprocess.run(["sh", "-n"], input=script(name), capture_output=True, text=True, check=False)
    assert done.stderr == ""
