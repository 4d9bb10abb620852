"""How does a machine start anew? It is told to, and has come back when another boot answers."""

import asyncio

from swarm.machine.errors import MachineError, Unreachable
from swarm.machine.provision import Ways
from swarm.machine.store import Record

REBOOT_TIMEOUT_S = 600.0
POLL_S = 1.0
# In a container all boots have the kernel's id; its init has not started at the same moment.
_STARTED = "cat /proc/sys/kernel/random/boot_id; cut -d' ' -f22 /proc/1/stat"


async def reboot(ways: Ways, record: Record) -> None:
    """Reboot a machine and wait until it is back; raises Unreachable, MachineError."""
    async with ways.connect(record) as link:
        before = (await link.run(_STARTED)).out
        done = await link.run(
            "systemd-run -q --on-active=1 --timer-property=AccuracySec=100ms systemctl reboot || "
            "shutdown -r now"
        )
        if done.code:
            raise MachineError(f"{record.endpoint.hop}: cannot reboot: {done.last_words}")
    loop = asyncio.get_running_loop()
    deadline = loop.time() + REBOOT_TIMEOUT_S
    while loop.time() < deadline:
        await asyncio.sleep(POLL_S)
        try:
            async with ways.connect(record) as link:
                if (await link.run(_STARTED)).out != before:
                    return
        except Unreachable:
            continue
    raise Unreachable(
        f"{record.endpoint.hop}: did not come back within {REBOOT_TIMEOUT_S:.0f} s after its reboot"
    )
