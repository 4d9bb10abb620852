"""One container of an engine, while this agent lives."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from swarm.errors import FailedPrecondition
from swarm.runtime.base import ContainerInfo, ContainerState
from swarm.runtime.docker.exec import DockerExec
from swarm.runtime.docker.logs import nanoseconds
from swarm.runtime.docker.request import HOSTNAME_LABEL, NETNS_LABEL
from swarm.runtime.oci.cgroups import Cgroup, CgroupLayout
from swarm.runtime.processes import signal_number


class EngineContainer:
    """Its state, the task that waits for its end, its commands."""

    def __init__(self, info: ContainerInfo, about: Mapping[str, Any]) -> None:
        """`about` is what the engine says of it."""
        config = about["Config"]
        self.info = info
        self.netns_path = str(config["Labels"].get(NETNS_LABEL, ""))
        self.hostname = str(config["Labels"].get(HOSTNAME_LABEL, ""))
        self.tty = bool(config.get("Tty"))
        self.has_run = bool(
            nanoseconds(str(about["State"].get("StartedAt", "")))
        )  # before, if it is renewed
        self.stdin = bool(config.get("OpenStdin"))
        self.stop_signal = signal_number(str(config.get("StopSignal") or "SIGTERM"))
        entrypoint = config.get("Entrypoint") or [""]
        self.command = entrypoint if isinstance(entrypoint, str) else str(entrypoint[0])
        self.begun = asyncio.Event()  # it runs, or it never will
        self.ended = asyncio.Event()
        self.watcher: asyncio.Task[None] | None = None
        self.execs: dict[str, DockerExec | None] = {}  # None: about to be started
        self.take(info)

    def take(self, info: ContainerInfo) -> None:
        """Hear what became of it; the end is final."""
        if self.ended.is_set():
            return
        self.info = info
        if info.state is not ContainerState.CREATED:
            self.begun.set()
        if info.state is ContainerState.EXITED:
            self.ended.set()

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self.info.state is ContainerState.RUNNING

    def must_run(self) -> None:
        """Raise FailedPrecondition when it does not."""
        if not self.runs:
            raise FailedPrecondition(f"container {self.info.id} does not run")

    def cgroup(self, layout: CgroupLayout) -> Cgroup | None:
        """Return where the engine has put it, None when it does not run; takes microseconds."""
        try:
            text = Path(f"/proc/{self.info.pid}/cgroup").read_text("utf-8") if self.runs else ""
        except OSError:
            return None
        paths = {}
        for line in text.splitlines():
            _, names, path = line.split(":", 2)
            paths.update(dict.fromkeys(names.split(","), path))
        path = paths.get("" if layout.version == 2 else "memory") or paths.get("pids") or ""
        return Cgroup(layout, path) if path.count("/") > 1 else None

    def pids(self, layout: CgroupLayout) -> list[int]:
        """Return its processes."""
        cgroup = self.cgroup(layout)
        return cgroup.processes() if cgroup is not None else []

    async def let_go(self) -> None:
        """Forget it without touching it."""
        if self.watcher is not None:
            self.watcher.cancel()
            await asyncio.gather(self.watcher, return_exceptions=True)
