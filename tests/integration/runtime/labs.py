"""A node's place for containers, one kind for each driver: what the tests of drivers work on.

A driver joins the conformance suite by an entry in `LABS`.
"""

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import pytest

from swarm.errors import NotFound, TaskRejected
from swarm.ids import new_id
from swarm.runtime.abilities import Ability
from swarm.runtime.base import Capabilities, ContainerConfig, LogQuery, RuntimeDriver
from swarm.runtime.docker.archive import archive_of
from swarm.runtime.docker.client import EngineClient
from swarm.runtime.docker.driver import DockerDriver
from swarm.runtime.docker.request import TASK_LABEL
from swarm.runtime.fake import FakeDriver, Script
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci.cgroups import read_layout
from swarm.runtime.oci.driver import OciDriver
from swarm.runtime.oci.overlay import mounts_below
from swarm.runtime.process.driver import ProcessDriver
from tests.integration.cgroups import cgroup_name
from tests.integration.runtime.engines import Dockerd

APPLETS = (
    *("sh", "cat", "cut", "dd", "echo", "env", "grep", "head", "hostname", "id", "kill", "ls", "mkdir"),
    *("mount", "ps", "pwd", "seq", "sleep", "stat", "stty", "tail", "touch", "true", "wc", "yes"),
)
STDOUT = LogQuery(stderr=False)
Driver = RuntimeDriver
LASTING = "while :; do sleep 1; done"


class Images:
    """Two images in unpacked form: `app` of two layers and `scratch` of none."""

    def __init__(self, base: Path) -> None:
        self.app = [base / "top", base / "bottom"]
        self.config = ImageConfig(
            digest="app", command=["sh", "-c", "exit 7"], env=["PATH=/usr/local/bin:/bin", "FROM_IMAGE=yes"]
        )
        self.leased: dict[str, str] = {}
        if not self.app[0].exists():
            self._unpack()

    def _unpack(self) -> None:
        top, bottom = self.app
        (bottom / "bin").mkdir(parents=True)
        shutil.copy("/bin/busybox", bottom / "bin/busybox")
        for applet in APPLETS:
            (bottom / "bin" / applet).symlink_to("busybox")
        for directory in ("etc", "tmp", "srv"):
            (bottom / directory).mkdir()
        (bottom / "srv/layer").write_text("bottom\n")
        (bottom / "srv/removed").write_text("still here\n")
        (bottom / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\nweb:x:1234:2345::/home/web:/bin/sh\n")
        (bottom / "etc/group").write_text("root:x:0:\nweb:x:2345:\nextra:x:3456:web\n")
        (top / "srv").mkdir(parents=True)
        (top / "srv/layer").write_text("top\n")
        if os.geteuid() == 0:
            os.mknod(top / "srv/removed", 0o20600, os.makedev(0, 0))

    def lower_dirs(self, manifest_digest: str) -> list[Path]:
        return {"app": self.app, "scratch": []}[self._known(manifest_digest)]

    def image_config(self, manifest_digest: str) -> ImageConfig:
        return self.config if self._known(manifest_digest) == "app" else ImageConfig(digest=manifest_digest)

    async def save(self, images: Mapping[str, Sequence[str]]) -> AsyncIterator[bytes]:
        for digest, names in images.items():
            yield archive_of(self.lower_dirs(digest), self.image_config(digest), names[0])

    @staticmethod
    def _known(manifest_digest: str) -> str:
        if manifest_digest not in {"app", "scratch"}:
            raise NotFound(f"no image {manifest_digest} here")
        return manifest_digest

    def lease(self, container_id: str, manifest_digest: str, more: Sequence[str] = ()) -> None:
        self.leased[container_id] = manifest_digest

    def release(self, container_id: str) -> None:
        self.leased.pop(container_id, None)

    def leases(self) -> dict[str, str]:
        return dict(self.leased)


class Lab:
    """One node's place for containers, and drivers that work on it: the agents that come and go."""

    needs: tuple[str, ...] = ()  # programs

    def __init__(self, kind: str, base: Path, images: Images) -> None:
        self.kind = kind
        self.base = base
        self.images = images
        self.images_dir = images.app[0].parent
        self.cgroup_parent = cgroup_name()
        self.drivers: list[Driver] = []
        self.capabilities = Capabilities("", isolated=False)

    def make(self) -> Driver:
        """Return a driver; each kind has its own."""
        raise NotImplementedError

    async def cleanup(self) -> None:
        """Remove all that drivers have made here."""

    def leftovers(self) -> list[str]:
        """Return everything that exists because of containers of this lab."""
        return []

    def traces(self) -> list[str]:
        """Return those of the leftovers that are no plain files."""
        return []

    def driver(self) -> Driver:
        """Return a driver as a newly started agent would have it."""
        driver = self.make()
        self.drivers.append(driver)
        return driver

    async def open(self) -> None:
        """Find out what the driver can do here."""
        driver = self.make()
        self.capabilities = await driver.probe()
        await driver.close()

    async def tidy(self) -> list[str]:
        """Let go of all drivers, remove their containers; return what is there all the same."""
        for driver in self.drivers:
            await driver.close()
        self.drivers.clear()
        driver = self.make()
        for info in await driver.adopt():
            await driver.remove(info.id)
        await driver.close()
        return self.leftovers()

    @property
    def isolated(self) -> bool:
        return self.capabilities.isolated

    def config(self, *command: str, **changes: object) -> ContainerConfig:
        """Return a config that runs `command`; a single word is a shell script."""
        line = ["sh", "-c", command[0]] if len(command) == 1 else list(command)
        values = {"id": new_id(), "image": "app", "image_digest": "app", "command": line, **changes}
        return ContainerConfig(**values)  # type: ignore[arg-type]

    def lasting(self) -> ContainerConfig:
        """Return what runs until it is told to end."""
        return self.config("exec sleep 100")

    def ending(self) -> ContainerConfig:
        """Return what says `one` and `two` and ends with 3."""
        return self.config("echo one; echo two; exit 3")

    async def heard_of_oom(self, container_id: str) -> bool:
        """Tell whether who the driver asks knows that the container lost a process to its limit."""
        return True

    async def knows_of_oom(self, container_id: str) -> bool:
        """Tell whether who the driver asks knows that a container ended for want of memory."""
        return True

    async def can(self, ability: Ability, config: ContainerConfig | None = None) -> bool:
        """Tell whether the driver can do something, and see that it says no if it cannot.

        `config` needs the ability, and runs `true` or the like: it is refused, or taken and no harm done.
        """
        if ability in self.capabilities.abilities:
            return True
        if config is not None:
            driver = self.driver()
            if ability in self.capabilities.refused:
                with pytest.raises(TaskRejected, match=r"this node|this driver|needs"):
                    await driver.create(config)
                assert await driver.inspect(config.id) is None
            else:
                assert (await run(driver, replace(config, command=["true"])))[0] == 0
                await driver.remove(config.id)
            assert self.leftovers() == []
        return False


class FakeLab(Lab):
    """Containers that are nothing but what the test says of them."""

    def __init__(self, kind: str, base: Path, images: Images) -> None:
        super().__init__(kind, base, images)
        self._driver = FakeDriver()

    def make(self) -> Driver:
        return self._driver

    def lasting(self) -> ContainerConfig:
        return self._scripted(Script())

    def ending(self) -> ContainerConfig:
        return self._scripted(Script(runs_s=0, exit_code=3, output=(b"one", b"two")))

    def _scripted(self, script: Script) -> ContainerConfig:
        config = self.config("true")
        self._driver.scripts[config.id] = script
        return config

    def leftovers(self) -> list[str]:
        return sorted(self._driver.ids())


class ShimLab(Lab):
    """Of drivers whose containers are held by shims of our own."""

    def leftovers(self) -> list[str]:
        places = ("state/containers", "run/bundles", "run/exits", "run/root")
        found = [self.base / place for place in places if (self.base / place).is_dir()]
        return [*self.traces(), *(str(path) for place in found for path in place.iterdir())]

    def traces(self) -> list[str]:
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
        found = [line.split()[4] for line in mounts if str(self.base) in line]
        for root in read_layout().roots:
            parent = root / self.cgroup_parent
            if parent.is_dir():
                found += [str(path) for path in parent.glob("*/*") if path.is_dir() and path.name != "shims"]
        return [*found, *(f"process {pid}" for pid in self._processes())]

    def _processes(self) -> Iterator[str]:
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            try:
                words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if str(self.base).encode() in words:
                yield f"{entry.name} {words!r}"


class OciLab(ShimLab):
    """Containers by crun or runc, or by nothing but Python."""

    def make(self) -> OciDriver:
        program = self.kind.removeprefix("oci-")
        places = (self.base / "state", self.base / "run", self.cgroup_parent)
        return OciDriver(*places, self.images, preference=(program,))

    async def cleanup(self) -> None:
        await self.make().cleanup()


class ProcessLab(ShimLab):
    """Plain processes."""

    def make(self) -> ProcessDriver:
        return ProcessDriver(self.base / "state", self.base / "run", self.images)

    async def cleanup(self) -> None:
        await self.make().cleanup()


class DockerLab(Lab):
    """Containers by a Docker engine that the lab starts for itself."""

    def __init__(self, kind: str, base: Path, images: Images) -> None:
        super().__init__(kind, base, images)
        self.engine = Dockerd(base, self.cgroup_parent)

    def make(self) -> DockerDriver:
        client = EngineClient(self.base / "engine.sock")
        return DockerDriver(self.base / "state", client, self.images)

    async def heard_of_oom(self, container_id: str) -> bool:
        chosen = quote(json.dumps({"event": ["oom"], "label": [f"{TASK_LABEL}={container_id}"]}))
        return bool(self.engine.read(f"/events?since=1&until={time.time():.9f}&filters={chosen}"))

    async def knows_of_oom(self, container_id: str) -> bool:
        chosen = quote(json.dumps({"label": [f"{TASK_LABEL}={container_id}"]}))
        (container,) = self.engine.get(f"/containers/json?all=1&filters={chosen}")
        return bool(self.engine.get(f"/containers/{container['Id']}/json")["State"]["OOMKilled"])

    async def open(self) -> None:
        self.engine.start()
        await super().open()

    async def cleanup(self) -> None:
        if self.engine.answers():
            await self.make().cleanup()
        self.engine.stop()

    def leftovers(self) -> list[str]:
        places = self.base / "state/containers"
        files = [str(path) for path in places.iterdir()] if places.is_dir() else []
        return [*self.engine.containers(), *files]

    def traces(self) -> list[str]:
        return [str(point) for point in mounts_below(self.base)]


LABS: dict[str, type[Lab]] = {
    "fake": FakeLab,
    "process": ProcessLab,
    "oci-crun": OciLab,
    "oci-runc": OciLab,
    "oci-starter": OciLab,
    "docker": DockerLab,
}
REAL = [kind for kind in LABS if kind != "fake"]  # run programs
SHIMS = ["oci-crun", "oci-runc", "oci-starter", "process"]


def new_lab(kind: str, images: Images) -> Lab:
    """Return a lab in a new directory; `discard` follows."""
    if kind not in {"process", "fake"} and os.geteuid() != 0:
        pytest.skip("containers need root")
    return LABS[kind](kind, Path(tempfile.mkdtemp(prefix="swarm-test-")), images)


async def discard(lab: Lab) -> list[str]:
    """Remove a lab; return what would not go."""
    for driver in lab.drivers:
        await driver.close()
    await lab.cleanup()
    traces = lab.traces()
    shutil.rmtree(lab.base)
    return traces


async def run(driver: Driver, config: ContainerConfig) -> tuple[int, list[str]]:
    """Run a container to its end; return its exit code and what it said on stdout."""
    await driver.create(config)
    await driver.start(config.id)
    async with asyncio.timeout(200):  # on an emulated machine a dozen at once take their time
        info = await driver.wait(config.id)
    return info.exit_code, await said(driver, config.id)


async def running(driver: Driver, config: ContainerConfig) -> str:
    """Create and start a container; return its id."""
    await driver.create(config)
    await driver.start(config.id)
    return config.id


async def said(driver: Driver, container_id: str, query: LogQuery = STDOUT) -> list[str]:
    """Return the lines that a container said, put together from their pieces."""
    lines, line = [], b""
    async for piece in driver.logs(container_id, query):
        line += piece.data
        if not piece.partial:
            lines.append(line.decode())
            line = b""
    return [*lines, line.decode()] if line else lines


async def has_said(driver: Driver, container_id: str, line: str) -> bool:
    """Tell whether a container said a line."""
    return line in await said(driver, container_id)


def runs_program(pid: int, name: str) -> bool:
    """Tell whether a process has become the program: a runtime may say `started` a moment before."""
    return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(name.encode() + b"\0")


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout_s: float = 60.0) -> None:
    """Wait for a condition; fails when it does not come true."""
    async with asyncio.timeout(timeout_s):
        while True:
            result = condition()
            if (await result) if isinstance(result, Awaitable) else result:
                return
            await asyncio.sleep(0.01)
