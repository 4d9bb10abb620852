"""Copies out of containers that are given up."""

import asyncio
import os
from pathlib import Path

from swarm.runtime.oci.copying import copy_from
from swarm.runtime.processes import descendants

STUCK_LOOKS = 20


async def test_a_copy_that_is_given_up_ends_although_nobody_reads_the_rest(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(5_000_000))
    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    others = {process.pid for process in descendants([os.getpid()])}  # of earlier tests
    copy = copy_from(root, "/big", follow=False)
    async with asyncio.timeout(60):
        await anext(copy)
        (copier,) = (process for process in descendants([os.getpid()]) if process.pid not in others)
        asleep = 0
        while asleep < STUCK_LOOKS:  # it can write no more, and nobody reads ahead any further
            asleep = asleep + 1 if _sleeps(copier.pid) else 0
            await asyncio.sleep(0.01)
        await copy.aclose()
        assert not copier.alive
    copier.close()
    os.close(root)


def _sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
