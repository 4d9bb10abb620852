"""Which schedules of faults there are, and what came of one of them."""

from dataclasses import dataclass

import structlog

from swarm.errors import InvariantBroken
from tests.simulation.raft.faults import Chaos, Faults
from tests.simulation.raft.invariants import broken, unsettled
from tests.simulation.raft.member import Reorder
from tests.simulation.raft.simulator import Cluster, virtual_time


@dataclass(frozen=True)
class Scenario:
    """Members, virtual seconds, faults, and how many seeds are run every day."""

    size: int
    duration_s: float
    faults: Faults
    seeds: int


SCENARIOS = {
    "three members": Scenario(3, 20.0, Faults(), 130),
    "three members, changing": Scenario(3, 20.0, Faults(membership=0.01), 110),
    "five members": Scenario(5, 15.0, Faults(), 60),
    "five members, changing": Scenario(5, 20.0, Faults(membership=0.02), 90),
    "seven members": Scenario(7, 10.0, Faults(), 60),
    "power cuts": Scenario(3, 20.0, Faults(crash=0.02, outage=0.003), 80),
    "power goes after a promise": Scenario(3, 20.0, Faults(crash=0.0, outage=0.1), 120),
    "power of all goes at once": Scenario(3, 20.0, Faults(blackout=0.004, outage=0.01), 80),
    "power goes while writing": Scenario(3, 20.0, Faults(crash=0.0, disk=0.004, membership=0.005), 80),
    "links flap": Scenario(3, 10.0, Faults(cut=0.1, heal=0.1), 80),
    "links are slow": Scenario(3, 20.0, Faults(delay_s=0.25), 60),
    "frames come twice and overtake": Scenario(3, 15.0, Faults(jumble=0.1, membership=0.01), 80),
    "much is written": Scenario(
        3, 20.0, Faults(crash=0.012, cut=0.03, commands=0.9, reads=0.0, stall=0.0), 60
    ),
    "alone": Scenario(1, 5.0, Faults(crash=0.03), 40),
}


def run(name: str, seed: int, reorder: Reorder | None = None) -> str:
    """Run one seed of a scenario; return what went wrong, with the seed that repeats it, or nothing."""
    quiet()
    scenario = SCENARIOS[name]
    with virtual_time(seed) as clock:
        cluster = Cluster(seed, clock, scenario.size, reorder=reorder)
        try:
            Chaos(cluster, scenario.faults).run(scenario.duration_s)
            wrong = broken(cluster) + unsettled(cluster)
        except InvariantBroken as error:  # a member noticed
            wrong = [str(error)]
        if not wrong and not cluster.record.acknowledged:
            wrong = ["nothing was ever acknowledged"]
    return f"{name}, seed {seed}: {'; '.join(wrong[:3])}" if wrong else ""


def quiet() -> None:
    """Crashing members log a lot, and nobody reads it."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(50), cache_logger_on_first_use=False
    )
