"""What the OCI runtime is asked by its command line once a container exists: `start` and `state`."""

import asyncio
import json
from pathlib import Path

from swarm.runtime.oci.binaries import SEARCH_PATH

TIMEOUT_S = 30.0


async def start(runtime: str, root: Path, container_id: str) -> str | None:
    """Let a created container run its program; return None when it runs, else the runtime's complaint."""
    code, _, complaint = await _ask(runtime, root, "start", container_id)
    # The order of an agent that was killed may have got through just before ours.
    if code and await status(runtime, root, container_id) != "running":
        return complaint
    return None


async def status(runtime: str, root: Path, container_id: str) -> str:
    """Return `created`, `running` or `stopped`, empty when the runtime does not know the container."""
    code, answer, _ = await _ask(runtime, root, "state", container_id)
    try:
        return str(json.loads(answer)["status"]) if code == 0 else ""
    except (ValueError, KeyError, TypeError):
        return ""


async def _ask(runtime: str, root: Path, verb: str, container_id: str) -> tuple[int, str, str]:
    """Return exit code, output and complaint."""
    process = await asyncio.create_subprocess_exec(
        runtime,
        f"--root={root}",
        verb,
        container_id,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={"PATH": SEARCH_PATH},
        cwd="/",
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            answer, complaint = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return 1, "", f"the OCI runtime did not answer in {TIMEOUT_S:.0f} s"
    return process.returncode or 0, answer.decode("utf-8", "replace"), complaint.decode("utf-8", "replace")
