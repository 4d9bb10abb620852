"""Connections are cut while a machine is made a node: part of test_faults.

The points at which they are cut are those of docs/decisions/0067: each step, before it, in its middle (its
command goes on, or dies too), and after it, when nobody hears how it ended. Once, so that the same command
connects again, or for long, so that it gives up and somebody gives it again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.integration.machine.conftest import Laptop
from tests.integration.machine.farm import Machine
from tests.integration.machine.saboteur import Moment, Saboteur
from tests.integration.operator import wait_until

FOUNDING = ("probe", "packages", "upload", "unpack", "activate", "init", "label")
JOINING = ("token", "join", "label")
LABEL = ("--label", "disk=ssd")


@dataclass(frozen=True)
class Point:
    """Where a connection is cut: on whose machine, at what step, and when."""

    who: Saboteur
    step: str
    moment: Moment


class Site:
    """Two machines that become a cluster, and who cuts connections to them."""

    def __init__(self, laptop: Laptop, one: Machine, two: Machine) -> None:
        self.laptop, self.one, self.two = laptop, one, two

    def found(self, moments: Sequence[tuple[str, Moment]], *, for_long: bool) -> None:
        """Make the first machine a manager, with these cuts."""
        with sabotaged(self.one) as (here,):
            points = [Point(here, step, moment) for step, moment in moments]
            survive(points, lambda: self._create("m1", self.one, "manager"), for_long=for_long)
        check_whole([self.one])

    def join(self, role: str, moments: Sequence[tuple[str, Moment]], *, for_long: bool) -> None:
        """Make the second machine a node, with these cuts; tokens come from the first."""
        with sabotaged(self.one, self.two) as (manager, here):
            elsewhere = ("token", "label") if role == "worker" else ("token",)
            points = [
                Point(manager if step in elsewhere else here, step, moment) for step, moment in moments
            ]
            survive(points, lambda: self._create("m2", self.two, role), for_long=for_long)
        check_whole([self.one, self.two])

    def _create(self, name: str, machine: Machine, role: str) -> tuple[int, str]:
        made = self.laptop.create(name, machine, "--role", role, *LABEL)
        return made.returncode, made.stdout + made.stderr


@contextmanager
def sabotaged(*machines: Machine) -> Iterator[tuple[Saboteur, ...]]:
    """Machines at which somebody cuts connections."""
    there = tuple(Saboteur(machine) for machine in machines)
    try:
        yield there
    finally:
        for one in there:
            one.leave()


def survive(points: Sequence[Point], create: Callable[[], tuple[int, str]], *, for_long: bool) -> None:
    """Make a machine a node although connections are cut, and once more when it gives up."""
    if for_long:
        for point in points:
            point.who.cut([(point.step, point.moment)], for_long=True)
            code, said = create()
            assert code in (1, 4), f"{point.step}, {point.moment}: {said}"
            assert point.who.fired() == 1, f"{point.step}, {point.moment}: {said}"
            point.who.let_in()
    else:
        for who in {point.who for point in points}:
            who.cut([(point.step, point.moment) for point in points if point.who is who])
    code, said = create()
    assert code == 0, said
    if not for_long:
        assert sum(who.fired() for who in {point.who for point in points}) == len(points), said


def check_whole(machines: Sequence[Machine]) -> None:
    """Each machine is a node, Ready, once, with its label; nothing of the cuts is left."""
    wanted = [f"{machine.name} Ready ssd" for machine in machines]
    wait_until(lambda: nodes(machines[0]) == wanted, 120, f"{wanted}")
    for machine in machines:
        wait_until(lambda at=machine: not traces(at), 60)


def traces(machine: Machine) -> str:
    """What installing leaves only while it is under way."""
    return machine("sh", "-c", "ls -d /opt/swarm/.new.* /root/.cache/swarmctl/* 2>/dev/null", check=False)


def nodes(manager: Machine) -> list[str]:
    """Name, state and label of all nodes, as a manager tells them; nothing while it cannot."""
    columns = ("--format", "{{.ID}} {{.Hostname}} {{.Status}}")
    rows = manager("swarmctl", "node", "ls", *columns, check=False).splitlines()
    label = ("--format", "{{.Spec.Labels.disk}}")
    return sorted(
        f"{name} {state} {manager('swarmctl', 'node', 'inspect', *label, node, check=False)}"
        for node, name, state in (row.split() for row in rows)
    )
