"""Whatever a machine's record says, the node of somebody else is not removed."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from swarm.machine.endpoint import Endpoint, Hop
from swarm.machine.errors import PreCheckFailed
from swarm.machine.membership import Membership
from swarm.machine.probe import script
from swarm.machine.provision import Ways
from swarm.machine.removing import remove
from swarm.machine.ssh import Output
from swarm.machine.store import MachineStore, Record

RECORD = Record(name="w1", driver="generic", endpoint=Endpoint(Hop("h")), role="worker")


class Machine:
    """Says which node it is; is reached by whoever wants to."""

    def __init__(self, node_id: str) -> None:
        self.endpoint = RECORD.endpoint
        self.removed = False
        self._node_id = node_id

    @asynccontextmanager
    async def connect(self, record: Record) -> AsyncIterator["Machine"]:
        yield self

    async def run(self, text: str, *words: str, timeout_s: float = 0) -> Output:
        self.removed = self.removed or text == script("remove.sh")
        answer = json.dumps({"NodeID": self._node_id, "ClusterID": "c9"}) if "info" in text else ""
        return Output(0, answer, "")


async def removed(folder: Path, machine: Machine, record: Record, *, force: bool = False) -> list[str]:
    """Remove a machine beside another one, which is node n1; return what people are told."""
    store, told = MachineStore(folder), []
    store.save(replace(RECORD, name="m1", node_id="n1"))
    members = Membership(store, RECORD.cluster, machine.connect)  # type: ignore[arg-type]
    ways = cast("Ways", machine)
    await remove(ways, record, members, lambda _name, text: told.append(text), force=force)
    return told


@pytest.mark.parametrize(
    ("node_id", "record", "words"),
    [
        ("n5", RECORD, "it is node n5 of cluster c9, which w1 never was"),  # a creation that was refused
        ("n5", replace(RECORD, node_id="n4"), "it is node n5 of cluster c9"),
        ("n1", replace(RECORD, begun=True), "it is node n1 as machine m1"),  # the same machine twice
    ],
)
async def test_the_node_of_somebody_else_stays(
    tmp_path: Path, node_id: str, record: Record, words: str
) -> None:
    machine = Machine(node_id)
    with pytest.raises(PreCheckFailed, match=words) as refused:
        await removed(tmp_path, machine, record)
    assert "machine rm --keep-remote w1" in str(refused.value)
    assert any(words in text for text in await removed(tmp_path, machine, record, force=True))
    assert not machine.removed


@pytest.mark.parametrize(
    ("node_id", "record"),
    [
        ("", RECORD),
        ("n4", replace(RECORD, node_id="n4")),
        ("n4", replace(RECORD, begun=True)),  # nobody heard how it ended
    ],
)
async def test_our_own_goes(tmp_path: Path, node_id: str, record: Record) -> None:
    machine = Machine(node_id)
    await removed(tmp_path, machine, record)
    assert machine.removed
