"""The manual pages: one for each command, which `man` and its like show without a complaint."""

import re
import subprocess
from pathlib import Path

import pytest

from swarm.cli.man_pages import write
from tests.unit.cli.test_main import ALL


@pytest.fixture(scope="module")
def manual(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("man")
    place = folder / "man1"
    place.mkdir()
    (place / "swarmctl-of-yesterday.1").touch()
    (place / "docker.1").touch()
    write(folder)
    return place


def test_every_command_has_a_page_and_none_is_of_a_command_that_is_gone(manual: Path) -> None:
    wanted = {f"{'-'.join(('swarmctl', *words))}.1" for words, _ in ALL}
    assert {path.name for path in manual.iterdir()} == wanted | {"swarmctl.1", "docker.1"}


def test_pages_are_well_formed(manual: Path) -> None:
    pages = sorted(manual.glob("swarmctl*.1"))
    done = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *pages], capture_output=True, text=True, check=False
    )
    told = [line for line in done.stdout.splitlines() if "missing date" not in line]  # the same each time
    assert told == []


def test_a_page_says_what_help_says(manual: Path) -> None:
    page = subprocess.run(
        ["mandoc", "-T", "utf8", "-O", "width=200", manual / "swarmctl-service-scale.1"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    plain = re.sub(".\b", "", page)  # bold is a letter over itself
    assert "swarmctl-service-scale - Change the number of replicas of services." in plain
    assert "swarmctl service scale [OPTIONS] SERVICE=REPLICAS..." in plain
    assert "-d, --detach" in plain
    assert "  swarmctl service scale web=50 worker=5" in plain
