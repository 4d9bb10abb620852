"""`--host machine://NAME`: the node of a machine, reached as `swarmctl machine` reaches it."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

from swarm.cli.endpoints import SOCKET
from swarm.cli.ssh_tunnel import held
from swarm.errors import FailedPrecondition, Unavailable
from swarm.machine.endpoint import Secrets
from swarm.machine.errors import PreCheckFailed, Unreachable
from swarm.machine.host_keys import HostKeyPolicy, Trust
from swarm.machine.ssh import KeyRing, linked
from swarm.machine.store import MachineStore, default_root


@contextmanager
def machine_tunnel(name: str) -> Iterator[str]:
    """Yield the path of a socket here that leads to the node of a machine; raises MachineError."""
    store = MachineStore(default_root())
    record = store.load(name)
    if record.endpoint.hop.user != "root":
        raise PreCheckFailed(
            f"{record.endpoint.hop} may not open the node's socket, only root may: "
            f"swarmctl machine exec {name} -- swarmctl …"
        )
    keys = KeyRing(store.host_keys(name), HostKeyPolicy(Trust.STRICT))
    secrets = Secrets(
        password=os.environ.get("SWARMCTL_SSH_PASSWORD", ""),
        passphrase=os.environ.get("SWARMCTL_SSH_PASSPHRASE", ""),
    )
    with tempfile.TemporaryDirectory(prefix="swarmctl-") as folder:
        local = Path(folder) / "node.sock"

        async def opening(stack: AsyncExitStack) -> None:
            link = await stack.enter_async_context(linked(record.endpoint, secrets, keys))
            try:
                await link.bring_socket(SOCKET, local, name)
            except Unavailable as problem:
                raise Unreachable(f"machine {problem}") from problem
            except FailedPrecondition as problem:
                raise PreCheckFailed(f"machine {problem}") from problem

        with held(opening):
            yield str(local)
