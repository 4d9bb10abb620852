"""Machines of a Vagrantfile: Vagrant makes them and knows how to reach them."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path

from swarm.machine import ssh_config
from swarm.machine.drivers.base import Made, Making, Option
from swarm.machine.endpoint import Endpoint
from swarm.machine.errors import MachineError, PreCheckFailed
from swarm.machine.store import Record

TIMEOUT_S = 1800  # it may download a box
_COMMANDS = {
    "start": ("up", "--no-provision"),
    "stop": ("halt",),
    "restart": ("reload",),
    "destroy": ("destroy", "--force"),
}
_STATES = {"running": "running", "not_created": "missing"}


class VagrantDriver:
    """Runs the program `vagrant` in the folder of the Vagrantfile."""

    name = "vagrant"
    provisions = True
    makes = True
    disposable = False  # it may have been up before, with somebody's work in it
    options: tuple[Option, ...] = (
        Option("dir", "folder of the Vagrantfile; default: here"),
        Option("machine", "its name in the Vagrantfile; default: the same"),
        Option("provider", "Vagrant's provider"),
    )
    capabilities: frozenset[str] = frozenset({"start", "stop", "restart", "destroy"})

    async def foresee(self, making: Making) -> str:
        """Return that it would be brought up, unless it is."""
        if await self.state(making.record) == "running":
            return ""
        return f"bring up the machine {_machine(making.record)} of the Vagrantfile"

    async def create(self, making: Making) -> Made:
        """Bring the machine up, without provisioners; return what `vagrant ssh-config` says."""
        options, machine = making.record.options, _machine(making.record)
        provider = [f"--provider={options['provider']}"] if options.get("provider") else []
        await _vagrant(options, "up", "--no-provision", *provider, machine)
        text = await _vagrant(options, "ssh-config", "--host", machine, machine)
        return Made(await asyncio.to_thread(endpoint_of, machine, text))

    async def state(self, record: Record) -> str:
        """Return what Vagrant says."""
        text = await _vagrant(record.options, "status", "--machine-readable", _machine(record))
        return state_of(text)

    async def act(self, action: str, making: Making) -> Made | None:
        """Have Vagrant do it."""
        await _vagrant(making.record.options, *_COMMANDS[action], _machine(making.record))
        return None


def _machine(record: Record) -> str:
    return record.options.get("machine") or record.name


def endpoint_of(machine: str, text: str) -> Endpoint:
    """Return how to reach a machine from the output of `vagrant ssh-config`."""
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(text)
        file.flush()
        return ssh_config.endpoint(machine, config=Path(file.name))


def state_of(text: str) -> str:
    """Return the state in the output of `vagrant status --machine-readable`."""
    for line in text.splitlines():
        words = line.split(",")
        if len(words) > 3 and words[2] == "state":
            return _STATES.get(words[3], "stopped")
    return "missing"


async def _vagrant(options: Mapping[str, str], *words: str) -> str:
    folder = options.get("dir") or "."
    try:
        process = await asyncio.create_subprocess_exec(
            *("vagrant", *words),
            cwd=folder,
            env={**os.environ, "VAGRANT_CHECKPOINT_DISABLE": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise PreCheckFailed(
            f"cannot run vagrant in {folder}: {error.strerror}: install it, or name the folder"
        ) from None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            out, err = await process.communicate()
    except TimeoutError:
        process.terminate()
        raise MachineError(f"vagrant {words[0]} took longer than {TIMEOUT_S} s") from None
    if process.returncode:
        words_of_it = (err or out).decode(errors="replace").strip().splitlines()
        raise MachineError(
            f"vagrant {words[0]} failed: {words_of_it[-1] if words_of_it else process.returncode}"
        )
    return out.decode(errors="replace")
