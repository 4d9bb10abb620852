"""A driver of each kind, with directories and cgroups of its own, and proof that nothing is left behind."""

import asyncio
import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from swarm.ids import new_id
from swarm.runtime.base import ContainerConfig, LogQuery
from swarm.runtime.images.base import ImageConfig
from swarm.runtime.oci import binaries
from swarm.runtime.oci.cgroups import read_layout
from swarm.runtime.oci.driver import OciDriver
from swarm.runtime.process.driver import ProcessDriver

APPLETS = [
    "sh",
    "cat",
    "cut",
    "dd",
    "echo",
    "env",
    "grep",
    "head",
    "hostname",
    "id",
    "kill",
    "ls",
    "mkdir",
    "mount",
    "ps",
    "pwd",
    "seq",
    "sleep",
    "stat",
    "stty",
    "tail",
    "touch",
    "true",
    "wc",
    "yes",
]
STDOUT = LogQuery(stderr=False)
Driver = OciDriver | ProcessDriver


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
        return self.app if manifest_digest == "app" else []

    def image_config(self, manifest_digest: str) -> ImageConfig:
        return self.config if manifest_digest == "app" else ImageConfig(digest=manifest_digest)

    def lease(self, container_id: str, manifest_digest: str) -> None:
        self.leased[container_id] = manifest_digest

    def release(self, container_id: str) -> None:
        self.leased.pop(container_id, None)

    def leases(self) -> dict[str, str]:
        return dict(self.leased)


class Lab:
    """One node's place for containers, and drivers that work on it: the agents that come and go."""

    def __init__(self, kind: str, base: Path, images: Images) -> None:
        self.kind = kind
        self.base = base
        self.images = images
        self.images_dir = images.app[0].parent
        self.cgroup_parent = f"swarm-test-{secrets.token_hex(4)}"
        self.drivers: list[Driver] = []

    @property
    def isolated(self) -> bool:
        return self.kind != "process"

    def driver(self) -> Driver:
        """Return a driver as a newly started agent would have it."""
        directory, run_dir = self.base / "state", self.base / "run"
        driver: Driver
        if self.kind == "process":
            driver = ProcessDriver(directory, run_dir, self.images)
        else:
            preference = (self.kind.removeprefix("oci-"),)
            driver = OciDriver(directory, run_dir, self.cgroup_parent, self.images, preference=preference)
        self.drivers.append(driver)
        return driver

    def config(self, *command: str, **changes: object) -> ContainerConfig:
        """Return a config that runs `command`; a single word is a shell script."""
        line = ["sh", "-c", command[0]] if len(command) == 1 else list(command)
        values = {"id": new_id(), "image": "app", "image_digest": "app", "command": line, **changes}
        return ContainerConfig(**values)  # type: ignore[arg-type]

    def traces(self) -> list[str]:
        """Return everything outside plain files that exists because of this lab."""
        found = [
            line.split()[4]
            for line in Path("/proc/self/mountinfo").read_text().splitlines()
            if str(self.base) in line
        ]
        for root in read_layout().roots:
            parent = root / self.cgroup_parent
            if parent.is_dir():
                found += [str(path) for path in parent.glob("*/*") if path.is_dir() and path.name != "shims"]
        found += [f"process {pid}" for pid in self._processes()]
        return found

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

    def leftovers(self) -> list[str]:
        """Return traces and files of containers."""
        places = (
            self.base / "state/containers",
            self.base / "run/bundles",
            self.base / "run/exits",
            self.base / "run/root",
        )
        files = [str(path) for place in places if place.is_dir() for path in place.iterdir()]
        return [*self.traces(), *files]


@pytest.fixture(scope="session")
def images_dir() -> Iterator[Path]:
    base = Path(tempfile.mkdtemp(prefix="swarm-test-images-"))
    yield base
    shutil.rmtree(base)


@pytest.fixture(scope="session")
def images(images_dir: Path) -> Images:
    return Images(images_dir)


async def lab_of(kind: str, images: Images) -> AsyncIterator[Lab]:
    if kind.startswith("oci") and os.geteuid() != 0:
        pytest.skip("containers need root")
    if (
        kind.startswith("oci")
        and kind != "oci-starter"
        and shutil.which(kind.removeprefix("oci-"), path="/usr/sbin:/usr/bin:/sbin") is None
    ):
        pytest.skip(f"{kind} is not installed")
    base = Path(tempfile.mkdtemp(prefix="swarm-test-"))
    lab = Lab(kind, base, images)
    try:
        with pytest.MonkeyPatch.context() as patch:
            if kind == "oci-starter":  # for machines with none of the programs: with our own shim as well
                installed = binaries.find
                patch.setattr(binaries, "find", lambda name: None if name == "conmon" else installed(name))
            yield lab
    finally:
        for driver in lab.drivers:
            await driver.close()
        await lab.driver().cleanup()
        traces = lab.traces()
        shutil.rmtree(base)
        assert not traces


@pytest.fixture(params=["oci-crun", "oci-runc", "oci-starter", "process"])
async def lab(request: pytest.FixtureRequest, images: Images) -> AsyncIterator[Lab]:
    async for lab in lab_of(request.param, images):
        yield lab


@pytest.fixture(params=["oci-crun", "oci-runc", "oci-starter"])
async def oci_lab(request: pytest.FixtureRequest, images: Images) -> AsyncIterator[Lab]:
    async for lab in lab_of(request.param, images):
        yield lab


@pytest.fixture
async def process_lab(images: Images) -> AsyncIterator[Lab]:
    async for lab in lab_of("process", images):
        yield lab


async def run(driver: Driver, config: ContainerConfig) -> tuple[int, list[str]]:
    """Run a container to its end; return its exit code and what it said on stdout."""
    await driver.create(config)
    await driver.start(config.id)
    info = await driver.wait(config.id)
    return info.exit_code, await said(driver, config.id)


async def said(driver: Driver, container_id: str, query: LogQuery = STDOUT) -> list[str]:
    """Return the lines that a container said, put together from their pieces."""
    lines, line = [], b""
    async for piece in driver.logs(container_id, query):
        line += piece.data
        if not piece.partial:
            lines.append(line.decode())
            line = b""
    return lines


async def until(condition: Callable[[], bool | Awaitable[bool]], timeout_s: float = 30.0) -> None:
    """Wait for a condition; fails when it does not come true."""
    async with asyncio.timeout(timeout_s):
        while True:
            result = condition()
            if (await result) if isinstance(result, Awaitable) else result:
                return
            await asyncio.sleep(0.01)
