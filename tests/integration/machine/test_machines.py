"""Bare machines become a cluster, over real SSH: made, cut, rolled back, rebooted, removed.

The tests of this file build on each other, so they are one: a cluster takes half a minute to make.
"""

import json
import re
import subprocess

import pytest

from tests.integration.machine.conftest import MEMBERS, Laptop
from tests.integration.machine.contexts import reached_over_ssh
from tests.integration.machine.farm import Farm, Machine
from tests.integration.machine.lacking import small_disk, taken_port
from tests.integration.machine.upgrades import upgraded_and_back
from tests.integration.operator import wait_until

RELEASES = "/opt/swarm/releases"


def write_inventory(laptop: Laptop, farm: Farm) -> None:
    lines = [
        f"  m{number}: {{host: {machine.address}, role: {'manager' if number < 3 else 'worker'}}}"
        for number, machine in enumerate(farm.machines[:MEMBERS], 1)
    ]
    # The second is reached through the first, and its user has to give a password to become root.
    lines[1] = lines[1].replace("{", f"{{user: bob, jump: ada@{farm.machines[0].address}, ", 1)
    lines[2] = lines[2].replace("}", ", labels: {disk: ssd}}")
    head = ["cluster: prod", f"defaults: {{user: ada, key: {farm.key}}}", "machines:"]
    laptop.inventory.write_text("\n".join([*head, *lines, ""]))


def up(laptop: Laptop, *more: str) -> subprocess.CompletedProcess[str]:
    file = ("-f", str(laptop.inventory))
    trust = ("--host-key-policy", "accept-new")
    return laptop.try_("cluster", "up", *file, *trust, *more, SWARMCTL_SUDO_PASSWORD="secret")


@pytest.mark.timeout(1500)  # three machines start, reboot and are upgraded, on however few cores
def test_bare_machines_become_a_cluster_and_stop_being_one(laptop: Laptop, farm: Farm) -> None:
    write_inventory(laptop, farm)
    one, two, three, _ = farm.machines

    planned = up(laptop, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "m1: would start the cluster" in planned.stdout
    assert "m3: would join the cluster as a worker" in planned.stdout
    assert one("ls", "/opt") == ""
    assert laptop("machine", "ls", "-q") == ""

    cut_while_uploading(laptop, one)
    made = up(laptop)
    assert made.returncode == 0, made.stdout + made.stderr
    # Which of the two leads is theirs to decide, and on a busy machine they do so anew now and then.
    managers = [("Ready/Leader", "Ready/Reachable"), ("Ready/Reachable", "Ready/Leader")]
    wanted = [{"m1": one, "m2": other, "m3": "Ready/"} for one, other in managers]
    wait_until(lambda: laptop.node_states("m1") in wanted, what="one leader and all nodes")
    assert "SWMTKN" not in made.stdout + made.stderr
    assert "SWMTKN" not in "".join(path.read_text() for path in laptop.folder.rglob("*.json*"))
    three("sh", "-c", "! journalctl -u swarmd | grep -q SWMTKN")

    again = up(laptop)
    assert again.returncode == 0, again.stderr
    assert re.findall(r"^(m\d) +\w+ +(\w+)", again.stdout, re.MULTILINE) == [
        (f"m{number}", "unchanged") for number in range(1, 4)
    ]
    listed = [
        json.loads(line)
        for line in laptop("machine", "ls", "--format", "json", SWARMCTL_SUDO_PASSWORD="secret").splitlines()
    ]
    assert [(row["Name"], row["State"]) for row in listed] == [(f"m{n}", "Running") for n in range(1, 4)]
    label = laptop("machine", "exec", "m1", "swarmctl", "node", "inspect", "m3")
    assert '"disk": "ssd"' in label
    reached_over_ssh(laptop, one, farm.machines[3])
    what_is_interrupted_ends_there(laptop, two)
    a_node_of_another_cluster_stays(laptop, three)

    a_broken_release_is_rolled_back(laptop, three)
    reboot(laptop, three)
    upgraded_and_back(laptop, two, three)
    new_certificates(laptop, three)
    remove(laptop, farm)


def cut_while_uploading(laptop: Laptop, machine: Machine) -> None:
    """Whoever provisions one machine loses it half-way, and the process dies too."""
    part = "/home/ada/.cache/swarmctl"
    where = ("--ssh-host", f"ada@{machine.address}", "--ssh-key", str(laptop.farm.key), "--role", "manager")
    trust = ("--host-key-policy", "accept-new", "--cluster", "prod")
    started = laptop.start("machine", "create", *where, *trust, "m1")
    wait_until(lambda: started.poll() is not None or machine("ls", part, check=False), 240, "the upload")
    machine.link("down")
    started.kill()
    started.wait()
    machine.link("up")
    # Nobody has started a cluster there, and the record says that it is not done.
    assert machine("systemctl", "is-active", "swarmd", check=False) != "active"
    assert laptop("machine", "inspect", "--format", "{{.state}}", "m1") == "creating"


def what_is_interrupted_ends_there(laptop: Laptop, machine: Machine) -> None:
    """Also below sudo, which asks for a password."""
    nap = ("pgrep", "-fx", "sleep 4712")
    started = laptop.start("machine", "exec", "m2", "sleep", "4712", SWARMCTL_SUDO_PASSWORD="secret")
    wait_until(lambda: started.poll() is not None or machine(*nap, check=False), 90, "the command")
    assert machine(*nap, check=False)
    started.terminate()
    started.wait()
    wait_until(lambda: not machine(*nap, check=False), 60, "its end")


def a_node_of_another_cluster_stays(laptop: Laptop, machine: Machine) -> None:
    """It is not taken for one of ours, nor removed with the record of that."""
    other = laptop.create("x", machine, "--role", "worker", "--cluster", "other", user="ada")
    assert other.returncode == 3, other.stdout + other.stderr
    assert "of a cluster already" in other.stderr
    removed = laptop.try_("machine", "rm", "--yes", "x")
    assert removed.returncode == 3, removed.stdout + removed.stderr
    assert "which x never was: nothing is removed there" in removed.stderr
    assert wait_until(lambda: laptop.node_states("m1")["m3"].startswith("Ready"), 60)
    laptop("machine", "rm", "--yes", "--keep-remote", "x")


def a_broken_release_is_rolled_back(laptop: Laptop, machine: Machine) -> None:
    good = machine("readlink", "/opt/swarm/current").rpartition("/")[2]
    broken = "9.9.9-broken"
    machine("cp", "-a", f"{RELEASES}/{good}", f"{RELEASES}/{broken}")
    machine("sh", "-c", f"printf '#!/bin/sh\\nexit 1\\n' > {RELEASES}/{broken}/bin/swarmd")
    failed = laptop.try_("machine", "upgrade", "--to", broken, "--health-timeout", "6", "m3")
    assert failed.returncode == 8, failed.stderr
    assert f"went back to {good}" in failed.stderr
    assert machine("readlink", "/opt/swarm/current").rpartition("/")[2] == good
    assert wait_until(lambda: laptop.node_states("m1")["m3"].startswith("Ready"), 60)
    missing = laptop.try_("machine", "upgrade", "--to", "1.2.3-none", "m3")
    assert missing.returncode == 3
    assert f"it has: {', '.join(sorted([good, broken]))}" in missing.stderr


def reboot(laptop: Laptop, machine: Machine) -> None:
    before = machine("cat", "/proc/1/stat")
    assert laptop("machine", "restart", "m3") == "m3"
    assert machine("cat", "/proc/1/stat") != before
    wait_until(lambda: laptop.node_states("m1").get("m3", "").startswith("Ready"), 90, "the node")


def new_certificates(laptop: Laptop, machine: Machine) -> None:
    """Key and certificate are others, the node is the same, and nothing was restarted."""
    bundle = "/var/lib/swarm/certificates/node.pem"
    before = machine("cat", bundle), machine("systemctl", "show", "-p", "MainPID", "swarmd")
    assert "has a new key" in laptop("machine", "regenerate-certs", "-f", "m3")
    assert machine("cat", bundle) != before[0]
    assert machine("systemctl", "show", "-p", "MainPID", "swarmd") == before[1]
    assert wait_until(lambda: laptop.node_states("m1")["m3"].startswith("Ready"), 60)


def remove(laptop: Laptop, farm: Farm) -> None:
    assert laptop("machine", "rm", "--yes", "m2", SWARMCTL_SUDO_PASSWORD="secret") == "m2"
    assert set(laptop.node_states("m1")) == {"m1", "m3"}
    down = ("cluster", "down", "--yes", "-f", str(laptop.inventory))
    laptop(*down, SWARMCTL_SUDO_PASSWORD="secret")
    for machine in farm.machines:
        left = machine(
            "sh",
            "-c",
            "ls -d /opt/swarm /var/lib/swarm /run/swarm /usr/local/bin/swarm* "
            "/etc/systemd/system/swarmd.service 2>/dev/null",
            check=False,
        )
        assert left == ""
    assert laptop("machine", "ls", "-q") == ""


def test_the_doctor_finds_what_is_wrong(laptop: Laptop, farm: Farm) -> None:
    """A module that is missing, a taken port and a full disk at once; and nothing once they are mended."""
    machine = farm.machines[MEMBERS]
    examine = ("doctor", "--host-key-policy", "accept-new", "--ssh-key", str(farm.key))
    where = f"root@{machine.address}"
    fake = '#!/bin/sh\ncase $* in *vxlan*) exit 2;; esac\nexec /bin/ip "$@"\n'
    machine("sh", "-c", f"printf '%s' '{fake}' > /usr/local/bin/ip; chmod 755 /usr/local/bin/ip")
    with small_disk(machine, "/var/lib/swarm", "16m"), taken_port(machine):
        ill = laptop.try_(*examine, where)
    machine("rmdir", "/var/lib/swarm")
    machine("rm", "/usr/local/bin/ip")
    assert ill.returncode == 1, ill.stderr
    findings = f"\n{ill.stdout}".split("\nBAD ")[1:]
    assert len(findings) == 3, ill.stdout
    for words in ("module vxlan is missing", "modprobe vxlan"), ("port 2377 is taken", "ss -tlnp"):
        assert any(all(word in one for word in words) for one in findings), ill.stdout
    assert "16 MB are free for /var/lib/swarm" in ill.stdout
    assert "make room, or mount a disk there" in ill.stdout
    well = laptop(*examine, where)
    assert "BAD" not in well
