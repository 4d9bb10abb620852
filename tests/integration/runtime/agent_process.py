"""An agent in a process of its own, to be killed: makes and starts containers as it is told.

Arguments: KIND BASE CGROUP_PARENT IMAGES_DIR. One order a line: `ID SCRIPT`. It answers `begin ID` before
and `done ID PID` after. `+ID SCRIPT` runs a script in the container of that id, which exists.
"""

import asyncio
import sys
from pathlib import Path

from swarm.runtime.base import ContainerConfig, ExecConfig
from tests.integration.runtime.labs import LABS, Images


async def main() -> None:
    kind, base, cgroup_parent, images_dir = sys.argv[1:]
    lab = LABS[kind](kind, Path(base), Images(Path(images_dir)))
    lab.cgroup_parent = cgroup_parent
    driver = lab.driver()
    await driver.adopt()
    print("ready", flush=True)
    while order := await asyncio.to_thread(sys.stdin.readline):
        container_id, script = order.rstrip("\n").split(" ", 1)
        if container_id.startswith("+"):
            await driver.exec(container_id[1:], ExecConfig(("sh", "-c", script)))
            continue
        print("begin", container_id, flush=True)
        config = ContainerConfig(
            id=container_id, image="app", image_digest="app", command=["sh", "-c", script]
        )
        await driver.create(config)
        info = await driver.start(config.id)
        print("done", container_id, info.pid, flush=True)


if __name__ == "__main__":
    asyncio.run(main())
