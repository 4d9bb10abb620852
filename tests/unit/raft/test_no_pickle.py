"""Nothing that came from disk or network is ever unpickled: pickle code would run with our rights."""

import ast
import asyncio
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pysyncobj import pickle as of_the_library

from tests.unit.raft.group import PATIENCE_S, STEADY, eventually, group

SWARM = Path(__file__).resolve().parents[3] / "swarm"
BANNED = {"pickle", "_pickle", "cPickle", "cloudpickle", "dill", "marshal", "shelve"}


class Used(BaseException):
    """Somebody pickles; nothing catches this."""


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make every way into and out of pickle fail, also where it was imported by name."""
    used: list[str] = []

    def refuse(*_: Any, **__: Any) -> Any:
        used.append("pickle")
        raise Used("pickle is used")

    names = {"loads", "load", "dumps", "dump", "Unpickler", "Pickler"}
    names |= {f"_{name}" for name in names}
    banned = {
        id(value) for one in (pickle, of_the_library) for name, value in vars(one).items() if name in names
    }
    for module in list(sys.modules.values()):
        if module is not None and module.__name__.partition(".")[0] in {"pickle", "_pickle", "pysyncobj"}:
            for name, value in list(vars(module).items()):
                if id(value) in banned:
                    monkeypatch.setattr(module, name, refuse)
    return used


def test_the_trap_works(forbidden: list[str]) -> None:
    for loads in (pickle.loads, of_the_library.loads):
        with pytest.raises(Used):
            loads(b"N.")
    with pytest.raises(Used):
        pickle.Unpickler(None)  # type: ignore[arg-type]
    assert len(forbidden) == 3


async def test_managers_elect_commit_install_snapshots_and_restart_without_pickle(
    tmp_path: Path, forbidden: list[str]
) -> None:
    settings = {"snapshot_interval": 30, "trailing_entries": 5}
    async with group(tmp_path, 3, secure=True, **settings, **STEADY) as managers:
        leader = await managers.settled()
        behind = next(manager for manager in managers.managers if manager is not leader)
        await behind.stop()
        async with asyncio.timeout(PATIENCE_S):
            while leader.node._parts.journal[0][1] < 40:  # until the log alone is not enough for a third one
                await leader.node.propose(b"x", PATIENCE_S)
        written = len(leader.register.values)
        await behind.start()
        await eventually(lambda: behind.register.entries == leader.register.entries)
        assert behind.register.restored > 0
        await leader.node.transfer_leadership(PATIENCE_S)
        for manager in managers.managers:
            await manager.stop()
        for manager in managers.managers:
            await manager.start()
        await managers.propose(b"again")
        leader = await managers.settled()
        assert len(leader.register.values) == written + 1
        assert not any(manager.fatal for manager in managers.managers)
    assert forbidden == []


def imports(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_no_module_of_ours_imports_pickle_or_its_like() -> None:
    sources = sorted(SWARM.rglob("*.py"))
    assert len(sources) > 100, "found no sources: wrong folder?"
    guilty = [
        f"{source.relative_to(SWARM)}: {name}"
        for source in sources
        for name in imports(source)
        if BANNED & set(name.split("."))
    ]
    assert guilty == []
