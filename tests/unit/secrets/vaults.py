"""A Vault of its own for a test, and questions for it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from swarm.errors import TaskRejected
from swarm.manager.secrets.question import ForTask, Question
from tests.vault_server import State, VaultServer

TASK = ForTask("t1", "web.1.t1", "web:1", "s1", "web", {"tier": "a"}, "", "n1")


@dataclass
class Kept:
    """A Lookup."""

    secrets: dict[str, bytes] = field(default_factory=dict)
    configs: dict[str, bytes] = field(default_factory=dict)

    def secret(self, name: str) -> bytes:
        if name not in self.secrets:
            raise TaskRejected(f"no secret {name}")
        return self.secrets[name]

    def config(self, name: str) -> bytes:
        return self.configs[name]


@contextmanager
def a_vault(folder: Path, context: object = None) -> Iterator[tuple[State, str]]:
    """Serve; yield what it knows and its address."""
    state = State(folder / "vault.json")
    server = VaultServer("127.0.0.1", 0, state, context)  # type: ignore[arg-type]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state, f"{'https' if context else 'http'}://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def a_question(options: Mapping[str, str], driver: str = "vault", task: ForTask = TASK) -> Question:
    return Question("s", "key", {"a": "b"}, driver, dict(options), task)
