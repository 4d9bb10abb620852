from pathlib import Path

import pytest

from swarm.clock import SystemClock
from swarm.machine.asking import ask_all, condition
from swarm.machine.endpoint import Endpoint, Secrets
from swarm.machine.host_keys import HostKeyPolicy, Trust
from swarm.machine.provision import Ways
from swarm.machine.store import MachineStore, Record
from tests.unit.machine.server import Process, fake_machine


def record(reach: Endpoint, name: str = "m1", state: str = "ready") -> Record:
    return Record(name=name, driver="generic", endpoint=reach, role="worker", state=state)


async def test_each_machine_is_asked_and_one_that_fails_hides_no_other(tmp_path: Path) -> None:
    async def answer(process: Process) -> None:
        process.stdout.write(b'{"NodeID": "n1", "Connected": true}')
        process.exit(0)

    store = MachineStore(tmp_path)
    policy = HostKeyPolicy(Trust.ACCEPT_NEW)
    ways = Ways(store, SystemClock(), tmp_path, Secrets(password="open"), policy)
    async with fake_machine(password="other") as closed, fake_machine(password="open") as gone:
        store.save_host_keys("m3", {gone.hop.place: (closed.key,)})
        async with fake_machine(answer, password="open") as there:
            machines = [
                record(there.endpoint(), "m1"),
                record(closed.endpoint(), "m2"),
                record(gone.endpoint(), "m3"),
            ]
            found = await ask_all(ways, machines, 20.0)
        assert [one.state for one in found] == ["Running", "Closed", "Stranger"]
        assert "CHANGED" in found[2].error
        (lost,) = await ask_all(ways, machines[:1], 20.0)
        assert lost.state == "Unreachable"


@pytest.mark.parametrize(
    ("state", "info", "word"),
    [
        ("ready", {"NodeID": "n", "Connected": True}, "Running"),
        ("ready", {"NodeID": "n", "Connected": False}, "Disconnected"),
        ("ready", {"NodeID": ""}, "Outside"),
        ("ready", {}, "Stopped"),
        ("ready", {"NodeID": "n", "Connected": True, "Error": "disk full"}, "Error"),
        ("creating", {}, "Creating"),
        ("failed", {"NodeID": ""}, "Failed"),
        ("failed", {"NodeID": "n", "Connected": True}, "Running"),
    ],
)
def test_a_word_says_how_a_machine_is(state: str, info: dict[str, object], word: str) -> None:
    from swarm.machine.endpoint import Hop

    assert condition(record(Endpoint(Hop("h")), state=state), dict(info)).state == word
