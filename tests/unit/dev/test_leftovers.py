"""Taking away what is left of a cluster, as far as no kernel is needed for it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from swarm.dev import leftovers


def test_what_is_paused_is_let_go_on_before_it_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = [tmp_path / "node/box/freezer.state", tmp_path / "node/box/cgroup.freeze"]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("FROZEN")
    seen: list[list[str]] = []

    def processes(plan: object) -> list[tuple[int, str]]:
        seen.append([file.read_text() for file in files])
        return []

    monkeypatch.setattr(leftovers, "_cgroups", lambda plan: [tmp_path])
    monkeypatch.setattr(leftovers, "_processes", processes)
    plan: Any = SimpleNamespace(isolated=True)
    leftovers._kill_all(plan)
    assert seen == [["THAWED", "0"]]
