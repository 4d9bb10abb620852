"""Names of services, asked inside of containers on every node of a cluster, against what its store says."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from swarm.dev.cluster import DevCluster
from tests.integration.chaos import cuts
from tests.integration.cluster import truth
from tests.integration.cluster.conftest import Sight
from tests.integration.operator import Operator, wait_until

SERVICES = ("web", "db", "rr")
NETWORKS = ("shop", "back")  # in the order of those who ask
OFTEN = ("--health-interval", "200ms", "--health-retries", "2", "--restart-delay", "100ms")
CHECK = ("--health-cmd", "busybox test ! -e /sick", *OFTEN)
Answers = Mapping[str, frozenset[str]]


def ask(pid: int, name: str, kind: str = "A") -> frozenset[str] | None:
    """Return what the container of this process is answered; None when it should ask again, or is gone."""
    return truth.addresses_of(Path(f"/proc/{pid}/ns/net"), name, 10, kind)


def names_in_store(operator: Operator) -> Answers:
    """Return what every name of the networks ought to lead to, by what the managers say."""
    expected: dict[str, frozenset[str]] = {}
    serving = _serving(operator)
    for view in json.loads(operator("network", "inspect", "-v", *NETWORKS)):
        for service, found in view["Services"].items():
            tasks = {one["Name"]: one["EndpointIP"] for one in found["Tasks"] if one["TaskID"] in serving}
            everybody = frozenset(tasks.values())
            names = {name: frozenset({address}) for name, address in tasks.items()}
            names[service] = frozenset({found["VIP"]}) if found.get("VIP") else everybody
            names[f"tasks.{service}"] = everybody
            # Without a network, a name is that of the first network that has something for it.
            expected |= {name: one for name, one in names.items() if not expected.get(name)}
            expected |= {f"{name}.{view['Name']}": one for name, one in names.items()}
    return expected


def _serving(operator: Operator) -> set[str]:
    filters = ("--no-trunc", "--filter", "desired-state=running")
    rows = operator.rows("service", "ps", *SERVICES, *filters)
    states = {row["ID"]: row["CurrentState"] for row in rows}
    return {task for task, state in states.items() if state.startswith("Running") and "un" not in state[7:]}


def names_at(pid: int, wanted: Answers) -> dict[str, Any]:
    return {name: ask(pid, name) for name in wanted}


def differences(operator: Operator, pids: Mapping[str, int]) -> list[str]:
    """Return every name at every node that is not what the store says."""
    wanted = names_in_store(operator)
    return [
        f"{task} hears {found} for {name}, not {wanted[name]}"
        for task, pid in pids.items()
        for name, found in names_at(pid, wanted).items()
        if found != wanted[name]
    ]


def agree(operator: Operator, containers: Callable[[], Mapping[str, int]]) -> None:
    """Wait until every name at the nodes of these containers is what the store says."""
    found: list[str] = ["nobody looked"]

    def look() -> bool:
        found[:] = differences(operator, containers())
        return not found

    try:
        wait_until(look, 60)
    except AssertionError:
        pytest.fail("\n".join(found))


@pytest.fixture
def networks(operator: Operator) -> Iterator[None]:
    for name in NETWORKS:
        operator("network", "create", name)
    yield
    operator.remove_in_turmoil("service", *SERVICES)
    operator.remove_in_turmoil("network", *NETWORKS)


@pytest.mark.usefixtures("networks")
def test_names_on_every_node_are_those_of_the_store_through_all_that_happens(
    operator: Operator, sight: Sight, cluster: DevCluster
) -> None:
    everywhere = ("--mode", "global", "--network", "shop", "--network", "back")
    operator("service", "create", "-d", "--name", "web", *everywhere, "hello:1")
    create = ("service", "create", "-d", "--stop-grace-period", "1s", *CHECK)
    operator(*create, "--name", "db", "--replicas", "2", "--network", "name=back,alias=store", "hello:1")
    operator(*create, "--name", "rr", "--endpoint-mode", "dnsrr", "--network", "shop", "hello:1")
    operator.wait_running("web", 5)
    operator.wait_running("rr", 1)
    asking = sight.pids("web")
    agree(operator, lambda: asking)
    first, *_ = asking
    said = operator("container", "exec", first, "busybox", "nslookup", "store")
    assert f"Server:\t\t{truth.SERVER}" in said
    (address,) = names_in_store(operator)["db"]
    assert f"Address: {address}" in said
    assert ask(asking[first], f"{'.'.join(reversed(address.split('.')))}.in-addr.arpa", "PTR") == {
        "db.back."
    }
    (db, *_) = sight.pids("db").values()
    assert ask(db, "rr") == frozenset()  # of a network that it is not in: somebody else's name, if at all

    operator("service", "scale", "-d", "db=4", "rr=3")
    agree(operator, lambda: asking)
    (victim, pid), *_ = sight.pids("rr").items()
    Path(f"/proc/{pid}/root/sick").touch()
    wait_until(lambda: victim not in sight.pids("rr"), what="the end of the sick task")
    agree(operator, lambda: asking)

    node = cluster.node("worker-1")
    inside = {task: pid for task, pid in asking.items() if _node_of(operator, task) == "worker-1"}
    cuts.make(cluster.plan, cuts.apart([node], [one for one in cluster.plan.nodes if one != node]))
    try:
        operator("service", "scale", "-d", "db=1", "rr=2")
        agree(operator, lambda: {task: pid for task, pid in asking.items() if task not in inside})
        # Cut off, it still answers what it knew.
        wait_until(lambda: all(ask(pid, "db") for pid in inside.values()), what="answers of what it knew")
    finally:
        cuts.make(cluster.plan, ())
    # Its task may have been replaced, when it took long: whoever is there then asks.
    wait_until(lambda: len(sight.pids("web")) == 5, 60, "all containers that ask")
    agree(operator, lambda: sight.pids("web"))


def _node_of(operator: Operator, task: str) -> str:
    rows = operator.rows("service", "ps", "web", "--no-trunc")
    return str(next(row["Node"] for row in rows if row["ID"] == task))
