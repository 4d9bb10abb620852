"""What integration tests stand on: dev clusters that are gone afterwards, and their logs on failure."""

import os
import re
import secrets
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from swarm.dev import leftovers
from swarm.dev.cluster import DevCluster
from tests.integration import cgroups
from tests.integration.operator import Operator

_LOG_TAIL = 2000
_LOGS = Path(__file__).resolve().parents[2] / "test-logs"
UP_TIMEOUT_S = 180.0  # several clusters may be starting at once
# These begin first: otherwise one process is left alone with one of them at the end.
_LONG = frozenset(
    (
        *("test_chaos", "test_daemon", "test_dev", "test_http_ingress", "test_losses", "test_machines"),
        *("test_managers", "test_placement", "test_power_cut", "test_quorum", "test_replicas"),
        "test_router",
    )
)

_running: list[DevCluster] = []


class Clusters:
    """Makes dev clusters for one module and takes them down."""

    def __init__(self) -> None:
        self.made: list[DevCluster] = []

    def plan(self, managers: int, workers: int) -> DevCluster:
        """A cluster under a name that nobody else has; nothing of it runs yet."""
        cluster = DevCluster.create(f"t{secrets.token_hex(3)}", managers, workers)
        self.made.append(cluster)
        _running.append(cluster)
        return cluster

    def up(self, managers: int, workers: int) -> DevCluster:
        """A running cluster."""
        cluster = self.plan(managers, workers)
        cluster.up(timeout_s=UP_TIMEOUT_S)
        return cluster

    def down(self) -> list[str]:
        """Take every cluster down; return what is left of them."""
        left: list[str] = []
        for cluster in self.made:
            _running.remove(cluster)
            left += cluster.down()
            left += leftovers.find(cluster.plan)
        self.made.clear()
        return left


@pytest.fixture(scope="module")
def clusters() -> Iterator[Clusters]:
    """Make clusters for this module, which must leave nothing on the machine."""
    made = Clusters()
    try:
        yield made
    finally:
        left = made.down()
    assert left == []


@pytest.fixture(scope="module")
def cluster(clusters: Clusters) -> DevCluster:
    """Three managers and two workers, shared by the tests of a module."""
    return clusters.up(3, 2)


@pytest.fixture(scope="module")
def operator(cluster: DevCluster) -> Operator:
    """Somebody who types swarmctl commands at the shared cluster."""
    return Operator(cluster)


@pytest.fixture(scope="session", autouse=True)
def _no_cgroups_left() -> Iterator[None]:
    """Fail the last test when any of them has left a cgroup behind, and say which."""
    yield
    assert cgroups.left() == []


def pytest_configure() -> None:
    """Take clusters down also when somebody ends the tests politely: `timeout` and CI send SIGTERM."""

    def end(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything below this folder is an integration test; without root none of them can run."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.stem not in _LONG)  # leaves all else in its order
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.integration)
            if os.geteuid() != 0:
                item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep what the nodes of every running cluster have logged when a test fails, and say where.

    Not in the report: what failed would drown in it.
    """
    report = yield
    if report.failed and _running:
        name = f"{item.nodeid.removeprefix('tests/integration/')}-{call.when}"
        folder = _LOGS / re.sub(r"[^\w.-]+", "_", name)
        folder.mkdir(parents=True, exist_ok=True)
        for cluster in _running:
            for node in cluster.plan.nodes:
                lines = node.log.read_text(errors="replace").splitlines() if node.log.exists() else []
                (folder / f"{cluster.plan.name}-{node.name}.log").write_text("\n".join(lines[-_LOG_TAIL:]))
        report.sections.append(("logs of the nodes", str(folder.relative_to(_LOGS.parent))))
    return report
