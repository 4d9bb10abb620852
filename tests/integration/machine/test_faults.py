"""Machines that are wrong or hostile, and connections that are cut at every step of making one a node.

SWARM_EXPLORE=1 tries every point at which a connection can be cut, one after the other (half an hour).
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.integration.machine.conftest import Laptop, new_laptop
from tests.integration.machine.cuts import FOUNDING, JOINING, Site, sabotaged
from tests.integration.machine.farm import Farm, Machine
from tests.integration.machine.lacking import small_disk, take_a_package, taken_port
from tests.integration.machine.saboteur import Moment, Saboteur
from tests.integration.operator import wait_until

# All that a node is on a machine, and what else could be left of a try to make one.
_SNAPSHOT = r"""
find /opt /etc/systemd /usr/local /var/lib/swarm /run/swarm /root/.cache /home \
  \( -type f -printf '%p %s %m %u\n' \) -o -printf '%p %y %l %m %u\n' 2>/dev/null | sort
systemctl list-unit-files --no-legend --plain | grep -v ^session- | sort
getent passwd | grep -v ^root:
getent group
dpkg -l | grep ^ii | awk '{print $2, $3}'
pgrep -a swarm || :
"""


_DOCKER = r"""
mkdir -p /etc/docker /var/lib/docker
echo '{}' >/etc/docker/daemon.json
echo x >/var/lib/docker/x
cp /bin/true /usr/bin/dockerd
printf '[Service]\nExecStart=/bin/sleep infinity\n' >/etc/systemd/system/docker.service
systemctl daemon-reload
systemctl start docker
"""
_DOCKER_IS = r"""
systemctl show -p MainPID,ActiveState docker
find /etc/docker /var/lib/docker -printf '%p %T@ %s\n'
"""


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Two bare machines; gone afterwards."""
    farm = Farm(tmp_path_factory.mktemp("faults"))
    try:
        for machine in [farm.add(), farm.add()]:
            farm.wait(machine)
        yield farm
    finally:
        farm.down()


@pytest.fixture
def laptop(two: Farm, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """Somebody who knows no machine yet."""
    return new_laptop(two, tmp_path_factory)


ONCE = (
    *(("packages", Moment.KILLED), ("upload", Moment.MIDDLE), ("unpack", Moment.KILLED)),
    *(("activate", Moment.MIDDLE), ("init", Moment.MIDDLE), ("label", Moment.AFTER)),
)


@pytest.mark.timeout(900)
def test_cut_connections_leave_no_half_node(laptop: Laptop, two: Farm) -> None:
    one, _ = two.machines
    renew(two)
    one("sh", "-c", _DOCKER)  # or what looks like it
    docker = one("sh", "-c", _DOCKER_IS)
    take_a_package(one)
    site = Site(laptop, *two.machines)
    site.found(ONCE, for_long=False)
    a_cut_does_not_leave_a_broken_release(laptop, one)
    site.join("worker", [("join", Moment.MIDDLE)], for_long=True)
    assert one("sh", "-c", _DOCKER_IS) == docker


def a_cut_does_not_leave_a_broken_release(laptop: Laptop, machine: Machine) -> None:
    """The machine goes back by itself, and has nobody to tell so."""
    good = machine("readlink", "/opt/swarm/current").rpartition("/")[2]
    machine("cp", "-a", f"/opt/swarm/releases/{good}", "/opt/swarm/releases/9.9.9-broken")
    machine("sh", "-c", "printf '#!/bin/sh\nexit 1\n' >/opt/swarm/releases/9.9.9-broken/bin/swarmd")
    with sabotaged(machine) as (saboteur,):
        saboteur.cut([("activate", Moment.MIDDLE)], for_long=True)
        cut = laptop.try_("machine", "upgrade", "--to", "9.9.9-broken", "--health-timeout", "3", "m1")
        assert cut.returncode == 4, cut.stderr
        back = f"[ $(readlink /opt/swarm/current) = /opt/swarm/releases/{good} ] && swarmctl info"
        wait_until(lambda: "NodeID" in machine("sh", "-c", f"{back} --format json", check=False), 120)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("moment", list(Moment))
@pytest.mark.parametrize("for_long", [False, True], ids=["once", "long"])
def cut_at_any_point(laptop: Laptop, two: Farm, moment: Moment, for_long: bool) -> None:
    renew(two)
    take_a_package(two.machines[0])
    site = Site(laptop, *two.machines)
    # The answers of a file transfer cannot be held back until it has ended: it waits for each.
    steps = [step for step in FOUNDING if (step, moment) != ("upload", Moment.AFTER)]
    site.found([(step, moment) for step in steps], for_long=for_long)
    site.join("worker", [(step, moment) for step in JOINING], for_long=for_long)
    assert laptop("machine", "rm", "--yes", "m2") == "m2"
    renew(two, two.machines[1])
    site.join("manager", [(step, moment) for step in JOINING], for_long=for_long)


if os.environ.get("SWARM_EXPLORE"):
    test_a_cut_at_any_point = cut_at_any_point


def renew(farm: Farm, *machines: Machine) -> None:
    """Let machines, or all, be bare again, and other ones: they have new host keys."""
    for machine in machines or farm.machines:
        farm.renew(machine)
    for machine in machines or farm.machines:
        farm.wait(machine)


def snapshot(machine: Machine) -> str:
    return machine("sh", "-c", _SNAPSHOT)


@dataclass
class Visitor:
    """Somebody who tries to make one machine a manager, and looks at what is left of it."""

    laptop: Laptop
    machine: Machine

    def refused(self, code: int, *words: str, **environment: str) -> None:
        """Try; it must fail with this exit code and these words, and leave the machine as it is."""
        before = snapshot(self.machine)
        tried = self.laptop.create("x", self.machine, "--role", "manager", **environment)
        self._judge(tried, code, *words)
        assert snapshot(self.machine) == before

    def judge_login(self, code: int, *words: str, user: str, **environment: str) -> None:
        """Log in as `user`, without a key."""
        before = snapshot(self.machine)
        where = ("--ssh-host", f"{user}@{self.machine.address}", "--host-key-policy", "accept-new")
        tried = self.laptop.try_(
            "machine", "create", *where, "--role", "manager", "--timeout", "20", "y", **environment
        )
        self._judge(tried, code, *words)
        assert snapshot(self.machine) == before

    @staticmethod
    def _judge(tried: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
        assert tried.returncode == code, tried.stdout + tried.stderr
        errors = [line for line in tried.stderr.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 1, tried.stderr
        for word in words:
            assert word in errors[0], tried.stderr


@pytest.mark.timeout(900)
def test_what_is_wrong_with_a_machine_is_said_and_nothing_is_left_there(laptop: Laptop, two: Farm) -> None:
    machine = two.machines[0]
    renew(two, machine)
    visitor = Visitor(laptop, machine)
    what_cannot_be(visitor)
    who_may_not_come_in(visitor)
    saboteur = Saboteur(machine)
    try:
        what_does_not_fit(visitor, saboteur)
        full_disks(visitor, saboteur)
    finally:
        saboteur.leave()
    a_changed_host_key(visitor)
    # Nothing was begun, so nothing has to be undone there.
    assert laptop("machine", "rm", "--yes", "--keep-remote", "x") == "x"


def what_cannot_be(visitor: Visitor) -> None:
    laptop, machine = visitor.laptop, visitor.machine
    key = ("--ssh-key", str(laptop.farm.key))
    stranger = laptop.try_("machine", "create", "--ssh-host", machine.address, *key, "s")
    assert stranger.returncode == 6
    assert laptop.farm.fingerprint(machine) in stranger.stderr

    nobody = laptop.try_("machine", "create", "--ssh-host", "10.88.0.99", "--timeout", "0", "z")
    assert nobody.returncode == 4

    before = snapshot(machine)
    lonely = laptop.create("w", machine, "--role", "worker")
    assert lonely.returncode == 3, lonely.stderr
    assert "create a machine with --role manager first" in lonely.stderr
    assert snapshot(machine) == before
    named = ("--filter", "name=w", "--format", "{{.State}}")
    assert "failed" in laptop("machine", "ls", "--no-ask", *named).lower()


def who_may_not_come_in(visitor: Visitor) -> None:
    secret = {"SWARMCTL_SSH_PASSWORD": "secret"}
    visitor.judge_login(5, "not let in", user="bob", SWARMCTL_SSH_PASSWORD="wrong")
    visitor.judge_login(7, "--ask-sudo-pass", user="bob", **secret)
    wrong = {**secret, "SWARMCTL_SUDO_PASSWORD": "wrong"}
    visitor.judge_login(7, "the password is wrong", user="bob", **wrong)


def what_does_not_fit(visitor: Visitor, saboteur: Saboteur) -> None:
    saboteur.lie("date", 'exec /bin/date -d "1 day ago" "$@"')
    visitor.refused(3, "its clock is 864", "s behind", "timedatectl")
    saboteur.tell_the_truth()

    saboteur.lie("uname", 'case $1 in -m) echo riscv64 ;; *) exec /bin/uname "$@" ;; esac')
    visitor.refused(3, "no packages for Python 3.11 on riscv64", PIP_NO_INDEX="1")
    saboteur.lie("python3", "echo 3.11 32")
    visitor.refused(3, "its Python is a 32-bit program")
    saboteur.tell_the_truth()

    saboteur.lie("dockerd", "")
    with taken_port(visitor.machine):
        visitor.refused(3, "port 2377 is taken there", "docker swarm leave")
    saboteur.tell_the_truth()


def full_disks(visitor: Visitor, saboteur: Saboteur) -> None:
    machine = visitor.machine
    with small_disk(machine, "/opt", "16m"):
        visitor.refused(3, "only 16 MB are free for /opt/swarm", "400 MB are needed")
    with small_disk(machine, "/root/.cache", "8m"):
        machine("rm", "-rf", "/root/.cache/swarmctl")
        visitor.refused(1, "cannot write .cache/swarmctl/", "disk full")
    # It fills after it was looked at: while the release is unpacked, and when it is to be used.
    with small_disk(machine, "/opt", "450m"):
        saboteur.at("unpack", "fallocate -l 420M /opt/others")
        before = snapshot(machine)
        failed = visitor.laptop.create("x", machine, "--role", "manager")
        assert failed.returncode == 1, failed.stderr
        assert "No space left on device" in failed.stderr
        machine("rm", "/opt/others")
        assert snapshot(machine) == before


def a_changed_host_key(visitor: Visitor) -> None:
    laptop, machine = visitor.laptop, visitor.machine
    machine("sh", "-c", "cd /etc/ssh; rm ssh_host_*; ssh-keygen -q -t ed25519 -N '' -f ssh_host_ed25519_key")
    machine("systemctl", "restart", "ssh")
    # Whoever confirms the new key, or would trust anybody, is told all the same.
    for trust in ((), ("--host-key-policy", "accept-new")):
        before = snapshot(machine)
        where = ("--ssh-host", f"root@{machine.address}", "--ssh-key", str(laptop.farm.key))
        changed = laptop.try_("machine", "create", *where, "--role", "manager", *trust, "x")
        assert changed.returncode == 6, changed.stderr
        assert "CHANGED" in changed.stderr
        assert laptop.farm.fingerprint(machine) in changed.stderr
        assert snapshot(machine) == before
