"""A cloud's API gives a machine, once, whatever is cut; it becomes a node, moves, and is gone in the end."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.integration.machine.clouds import IMAGE, REGION, SECRET, SIZE, Cloud
from tests.integration.machine.conftest import Laptop
from tests.integration.machine.farm import Farm
from tests.integration.machine.test_machines import taken_port
from tests.integration.operator import wait_until

CREATE = (
    *("machine", "create", "-d", "cloud", "--cloud-region", REGION, "--cloud-image", IMAGE),
    *("--cloud-size", SIZE, "--cloud-tag", "team=web", "--ssh-user", "ada", "--role", "manager", "c1"),
)


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    farm = Farm(tmp_path_factory.mktemp("cloud"))
    try:
        farm.wait(farm.add())
        with Cloud(farm, farm.folder / "ec2") as cloud:
            yield cloud
    finally:
        farm.down()


@pytest.mark.timeout(900)  # one machine boots twice, on however few cores
def test_a_cloud_gives_one_machine_and_takes_it_back(cloud: Cloud, tmp_path: Path) -> None:
    laptop = Laptop(cloud.farm, tmp_path / "laptop")
    try_ = partial(laptop.try_, **cloud.environment)
    do = partial(laptop.__call__, **cloud.environment)

    planned = do(*CREATE, "--dry-run")
    assert planned == f"c1: would make a machine of ec2 {REGION}: {SIZE} with {IMAGE}"
    assert cloud.states() == {}
    assert records(laptop) == []

    with taken_port(cloud.machine):
        refused = try_(*CREATE)
    assert refused.returncode == 3, refused.stderr
    assert "port 2377 is taken" in refused.stderr
    assert (cloud.living(), cloud.keys(), records(laptop)) == ([], 0, [])

    killed_when_it_has_asked(cloud, laptop)
    (only,) = cloud.living()
    cloud.faults("DescribeInstances before", "DescribeAddresses after")
    made = try_(*CREATE)
    assert made.returncode == 0, made.stderr
    assert cloud.living() == [only]
    wait_until(lambda: laptop.node_states("c1") == {"c1": "Ready/Leader"}, 120, "the node")
    kept = "".join(path.read_text() for path in laptop.folder.joinpath("data").rglob("*") if path.is_file())
    assert SECRET not in kept
    # What programs on the machine could read is not its host key any more.
    shown = cloud.machine("cat", "/etc/ssh/ssh_host_ed25519_key").splitlines()
    assert shown[-2] not in cloud.told()[only]["user_data"]
    assert "c1: unchanged" in do(*CREATE)

    moved(cloud, laptop)

    cloud.terminate(only)
    cloud.machine.stop()
    assert "Gone" in do("machine", "ls", "--format", "{{.State}}")
    assert do("machine", "rm", "-y", "c1") == "c1"
    assert (cloud.living(), cloud.keys(), records(laptop)) == ([], 0, [])


def records(laptop: Laptop) -> list[str]:
    """The names of the machines that are remembered."""
    folder = laptop.folder / "data/swarmctl/machines"
    return [path.name for path in folder.iterdir()] if folder.exists() else []


def killed_when_it_has_asked(cloud: Cloud, laptop: Laptop) -> None:
    """The answer to the key's upload is lost, then the client dies before it hears of its machine."""
    before = len(cloud.calls())
    cloud.faults("ImportKeyPair after", "RunInstances after", *["DescribeInstances before"] * 9)
    started = laptop.start(*CREATE, **cloud.environment)
    wait_until(lambda: "RunInstances after" in cloud.calls()[before:], 240, "the machine")
    started.kill()
    started.wait()
    cloud.faults()
    wait_until(cloud.living, 120, "the machine that nobody heard of")


def moved(cloud: Cloud, laptop: Laptop) -> None:
    """A machine that was stopped has another address afterwards, and is known by its key."""
    address = laptop("machine", "ip", "c1")
    stopped = laptop("machine", "stop", "c1", **cloud.environment)
    assert stopped == "c1"
    assert set(cloud.states().values()) == {"stopped", "terminated"}
    cloud.machine.stop()
    assert "Off" in laptop("machine", "ls", "--format", "{{.State}}", **cloud.environment)
    cloud.machine.start(cloud.farm.base)
    assert laptop("machine", "start", "c1", **cloud.environment) == "c1"
    assert laptop("machine", "ip", "c1") != address
    wait_until(lambda: laptop.node_states("c1") == {"c1": "Ready/Leader"}, 240, "the node")
