"""Names of services, asked from inside of containers on every node of a cluster, against what its store says."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import pytest

from swarm.agent.network import namespaces
from swarm.dev.cluster import DevCluster
from tests.integration.chaos import cuts
from tests.integration.cluster.conftest import Sight
from tests.integration.operator import Operator, wait_until

SERVER = "169.254.1.1"
OFTEN = ("--health-interval", "200ms", "--health-retries", "2", "--restart-delay", "100ms")
CHECK = ("--health-cmd", "busybox test ! -e /sick", *OFTEN)
Answers = Mapping[str, frozenset[str]]


def ask(pid: int, name: str, kind: str = "A") -> frozenset[str] | None:
    """Return what the container of this process is answered; None when it should ask again."""
    with namespaces.entered(Path(f"/proc/{pid}/ns/net")):
        answer = dns.query.udp(dns.message.make_query(name, kind), SERVER, timeout=10)
    if answer.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        return None
    return frozenset(str(item) for records in answer.answer for item in records)


def names_in_store(operator: Operator, network: str) -> Answers:
    """Return what every name of a network ought to lead to, by what the managers say."""
    (view,) = json.loads(operator("network", "inspect", "-v", network))
    expected: dict[str, frozenset[str]] = {}
    for service, found in view["Services"].items():
        serving = {
            row["ID"]
            for row in operator.rows(
                "service", "ps", service, "--no-trunc", "--filter", "desired-state=running"
            )
            if row["CurrentState"].startswith("Running") and "unhealthy" not in row["CurrentState"]
        }
        tasks = {one["Name"]: one["EndpointIP"] for one in found["Tasks"] if one["TaskID"] in serving}
        everybody = frozenset(tasks.values())
        expected[service] = frozenset({found["VIP"]}) if found.get("VIP") else everybody
        expected[f"tasks.{service}"] = everybody
        expected |= {name: frozenset({address}) for name, address in tasks.items()}
    return expected | {f"{name}.{network}": found for name, found in expected.items()}


def names_at(pid: int, wanted: Answers) -> dict[str, Any]:
    return {name: ask(pid, name) for name in wanted}


def differences(operator: Operator, pids: Mapping[str, int], network: str) -> list[str]:
    """Return every name at every node that is not what the store says."""
    wanted = names_in_store(operator, network)
    return [
        f"{task} hears {found} for {name}, not {wanted[name]}"
        for task, pid in pids.items()
        for name, found in names_at(pid, wanted).items()
        if found != wanted[name]
    ]


def agree(operator: Operator, pids: Mapping[str, int], network: str) -> None:
    found: list[str] = ["nobody looked"]

    def look() -> bool:
        found[:] = differences(operator, pids, network)
        return not found

    try:
        wait_until(look, 60)
    except AssertionError:
        pytest.fail("\n".join(found))


@pytest.fixture
def networks(operator: Operator) -> Iterator[None]:
    for name in ("shop", "back"):
        operator("network", "create", name)
    yield
    services = [row["Name"] for row in operator.rows("service", "ls")]
    operator("service", "rm", *services)
    wait_until(lambda: operator.try_("network", "rm", "shop", "back").returncode == 0, 60)


@pytest.mark.usefixtures("networks")
def test_names_on_every_node_are_those_of_the_store_through_all_that_happens(
    operator: Operator, sight: Sight, cluster: DevCluster
) -> None:
    everywhere = ("--mode", "global", "--network", "shop", "--network", "back")
    operator("service", "create", "--name", "web", *everywhere, "hello:1")
    create = ("service", "create", "--stop-grace-period", "1s", *CHECK)
    operator(*create, "--name", "db", "--replicas", "2", "--network", "name=back,alias=store", "hello:1")
    operator(*create, "--name", "rr", "--endpoint-mode", "dnsrr", "--network", "shop", "hello:1")
    operator.wait_running("web", 5)
    asking = sight.pids("web")
    for network in ("shop", "back"):
        agree(operator, asking, network)
    first, *_ = asking
    said = operator("container", "exec", first, "busybox", "nslookup", "store")
    assert f"Server:\t\t{SERVER}" in said
    (address,) = names_in_store(operator, "back")["db"]
    assert f"Address: {address}" in said
    assert ask(asking[first], f"{'.'.join(reversed(address.split('.')))}.in-addr.arpa", "PTR") == {
        "db.back."
    }
    (db, *_) = sight.pids("db").values()
    assert ask(db, "rr") == frozenset()  # of a network that it is not in: somebody else's name, if at all

    operator("service", "scale", "db=4", "rr=3")
    agree(operator, asking, "back")
    (victim, pid), *_ = sight.pids("rr").items()
    Path(f"/proc/{pid}/root/sick").touch()
    wait_until(lambda: victim not in sight.pids("rr"), what="the end of the sick task")
    agree(operator, asking, "shop")

    node = cluster.node("worker-1")
    inside = {task: pid for task, pid in asking.items() if _node_of(operator, task) == "worker-1"}
    cuts.make(cluster.plan, cuts.apart([node], [one for one in cluster.plan.nodes if one != node]))
    try:
        operator("service", "scale", "db=1", "rr=2")
        operator("service", "update", "--force", "-d", "db")
        agree(operator, {task: pid for task, pid in asking.items() if task not in inside}, "back")
        assert all(ask(pid, "db") for pid in inside.values())  # cut off, it still answers what it knew
    finally:
        cuts.make(cluster.plan, ())
    for network in ("shop", "back"):
        agree(operator, asking, network)


def _node_of(operator: Operator, task: str) -> str:
    rows = operator.rows("service", "ps", "web", "--no-trunc")
    return str(next(row["Node"] for row in rows if row["ID"] == task))
