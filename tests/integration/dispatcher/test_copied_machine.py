"""Two machines with one certificate, because a disk was copied."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from swarm.api.v1 import control_pb2 as control
from swarm.api.v1.types_pb2 import NODE_STATE_READY
from tests.integration.membership.people import PATIENCE_S, kill, swarmctl
from tests.integration.swarmd import Daemon, daemons, wait_for


def ready(manager: Daemon, count: int) -> bool:
    answer = manager.ask("ListNodes", control.ListNodesRequest())
    return [node.status.state for node in answer.nodes] == [NODE_STATE_READY] * count


@contextlib.contextmanager
def a_machine(directory: Path, beside: Daemon) -> Iterator[Daemon]:
    """A machine on which nothing runs yet."""
    net = beside.addr.rpartition(".")[0]
    made = Daemon(directory, f"{net}.210:2377")
    try:
        yield made
    finally:
        made.cleanup()


def test_the_copy_of_a_machine_is_told_so_and_how_to_become_a_node_of_its_own(tmp_path: Path) -> None:
    with daemons(tmp_path, "m", "w") as made, a_machine(tmp_path / "twin", made["w"]) as twin:
        manager, worker = made["m"], made["w"]
        tokens = manager.init()
        worker.join(tokens.worker_token, manager.addr)
        wait_for(lambda: worker.info().connected, PATIENCE_S)
        kill(worker)
        shutil.copytree(worker.directory / "s", twin.directory / "s")
        # A machine that is started again is not told that it is a copy of what it was.
        worker.start()
        wait_for(lambda: worker.info().connected, PATIENCE_S)
        assert "agent.identity_in_use" not in worker.log()
        # Of two that run, the one that was started first is told: it cannot be known which is the copy.
        twin.start()
        wait_for(lambda: twin.info().connected, PATIENCE_S)
        wait_for(lambda: worker.info().state == control.InfoResponse.STATE_ERROR, PATIENCE_S)
        shown = swarmctl(worker, "info").stdout
        assert "an agent that was started later is connected as node" in shown
        assert "swarmctl leave --force" in shown
        sessions = twin.log().count("agent.session_opened")

        def tried_again() -> bool:
            assert not worker.info().connected
            assert twin.info().connected
            return worker.log().count("agent.identity_in_use") >= 2

        wait_for(tried_again, PATIENCE_S)
        assert twin.log().count("agent.session_opened") == sessions
        wait_for(lambda: ready(manager, 2), PATIENCE_S)
        worker.leave(force=True)
        worker.join(tokens.worker_token, manager.addr)
        wait_for(lambda: ready(manager, 3), PATIENCE_S)
        assert twin.info().connected
