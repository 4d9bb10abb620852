"""Which of a machine's processes are the daemons of a dev cluster."""

from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from swarm.dev import processes
from swarm.dev.plan import Folders, Plan


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(
        "dev", False, IPv4Network("127.77.0.0/24"), 1, 1, Folders(tmp_path / "data", tmp_path / "run")
    )


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The command lines of all processes of the machine; their ids are 0, 1, 2, ..."""
    lines: list[Sequence[str]] = []
    monkeypatch.setattr(processes, "command_lines", lambda: enumerate(lines))
    return lines


def test_a_daemon_is_found_by_its_folder_and_who_cleans_up_after_it_is_none(
    plan: Plan, machine: list[Sequence[str]]
) -> None:
    manager, worker = plan.nodes
    machine += [
        ["/usr/bin/python3", "/bin/swarmd", "--run-dir=/run/other/worker-1"],
        ["python3", *processes.cleanup_command(plan, worker)],
        ["python3", *processes.daemon_command(plan, manager)],
    ]
    assert processes.find(plan) == {manager.name: 2}


@pytest.mark.parametrize("daemon", [0, 1])
def test_what_a_daemon_forked_for_a_program_that_has_yet_to_begin_is_not_taken_for_it(
    plan: Plan, machine: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch, daemon: int
) -> None:
    worker = plan.nodes[1]
    machine += [["python3", *processes.daemon_command(plan, worker)]] * 2
    monkeypatch.setattr(processes, "_parent", {daemon: 9, 1 - daemon: daemon}.get)
    assert processes.find(plan) == {worker.name: daemon}


def test_a_daemon_is_there_as_soon_as_it_was_started_though_not_yet_executed(
    plan: Plan, machine: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a shell leaves in the background is a copy of the shell until the machine finds time for it."""
    worker = plan.nodes[1]
    monkeypatch.setattr(processes.subprocess, "run", lambda command, **_: machine.append(command))
    processes.start(plan, worker)
    assert processes.find(plan) == {worker.name: 0}
