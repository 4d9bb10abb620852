"""How does a container of an engine get into a network namespace of ours?

Docker only knows the namespaces of its other containers; so for the moment of the start
there is one more, the door: its process enters the namespace by itself, and the container joins it there.
The door goes when the container runs, which stays in the namespace.
"""

import asyncio
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from swarm.errors import TaskFailed
from swarm.runtime.docker.client import EngineClient, EngineError
from swarm.runtime.docker.images import HOST_PROGRAMS, EngineImages
from swarm.runtime.docker.request import DOOR_LABEL, HOST, INSTANCE_LABEL
from swarm.runtime.oci.selftest import HostPrograms

INSIDE = "/network"
_ENTER_TIMEOUT_S = 20.0
_LOOK_S = 0.002


def door_name(name: str) -> str:
    """Return the name of the door of a container."""
    return f"{name}.door"


def network_mode(netns_path: str, name: str) -> str:
    """Return the network mode of the container called `name`."""
    return f"container:{door_name(name)}" if netns_path else HOST


class Door:
    """The door to one namespace, for one container."""

    def __init__(self, engine: EngineClient, images: EngineImages, instance: str, name: str) -> None:
        """`name` is the container's."""
        self._engine = engine
        self._images = images
        self._instance = instance
        self._name = door_name(name)

    async def open(self, netns_path: str, hostname: str) -> None:
        """Start it and wait until it is in the namespace; raises TaskFailed, EngineError."""
        image = await self._images.ensure(HOST_PROGRAMS)
        await self.close()
        await self._engine.request(
            "POST", "/containers/create", {"name": self._name}, self._request(image, netns_path, hostname)
        )
        await self._engine.request("POST", f"/containers/{self._name}/start")
        about = await self._engine.request("GET", f"/containers/{self._name}/json")
        pid = int(about["State"]["Pid"])
        if not await asyncio.to_thread(_has_entered, Path(f"/proc/{pid}/ns/net"), Path(netns_path)):
            raise TaskFailed(f"the engine's container did not get into the network {netns_path}")

    async def close(self) -> None:
        """Remove it; no error when there is none."""
        with suppress(EngineError):
            await self._engine.request("DELETE", f"/containers/{self._name}", {"force": "1"})

    def _request(self, image: str, netns_path: str, hostname: str) -> dict[str, Any]:
        binds = [
            {"Type": "bind", "Source": one.source, "Target": one.target, "ReadOnly": True}
            for one in HostPrograms.mounts()
        ]
        network = {"Type": "bind", "Source": netns_path, "Target": INSIDE, "ReadOnly": True}
        return {
            "Image": image,
            "Entrypoint": ["/usr/bin/nsenter", f"--net={INSIDE}", "sleep", "infinity"],
            "Hostname": hostname,
            "Labels": {DOOR_LABEL: self._name, INSTANCE_LABEL: self._instance},
            "Healthcheck": {"Test": ["NONE"]},
            "HostConfig": {
                "NetworkMode": "none",
                "Mounts": [*binds, network],
                "CapDrop": ["ALL"],
                "CapAdd": ["SYS_ADMIN"],
                "SecurityOpt": ["seccomp=unconfined", "label=disable"],
                "ReadonlyRootfs": True,
                "LogConfig": {"Type": "none"},
            },
        }


def _has_entered(inside: Path, wanted: Path) -> bool:
    """Wait until a process is in a namespace; blocks. False when it does not get there."""
    deadline = time.monotonic() + _ENTER_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            if inside.stat().st_ino == wanted.stat().st_ino:
                return True
        except OSError:
            return False
        time.sleep(_LOOK_S)
    return False
