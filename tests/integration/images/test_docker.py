"""Docker and we give each other images: what one pushes or saves, the other pulls or loads, and runs."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from swarm.errors import TaskRejected, Unauthenticated
from swarm.ids import new_id
from swarm.runtime.base import ContainerConfig
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.fetch import Wanted
from swarm.runtime.images.store import LocalImageStore
from swarm.runtime.oci.driver import OciDriver
from tests.integration.cgroups import cgroup_name
from tests.integration.dockerd import Dockerd, dockerd
from tests.integration.images.registries import PASSWORD, USER, docker_registry
from tests.integration.images.token_server import guarded_registry
from tests.integration.runtime.conftest import run
from tests.unit.hostile.tars import entry, folder, hard, layer, soft
from tests.unit.images.building import Content, image, pieces, tar

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="containers need root"),
]

SHOWN = ["made by us", "made by us", "kept"]
SHOW = "cat /made /hard; ls /folder; test ! -e /gone && test -u /bin/su"


def ours() -> Content:
    """An image of three layers with what can go wrong between them: links, whiteouts, rights."""
    busybox = Path("/bin/busybox").read_bytes()
    first = layer(
        folder("bin/"),
        entry("bin/busybox", content=busybox),
        *(soft(f"bin/{name}", "busybox") for name in ("sh", "cat", "ls", "test", "echo")),
        entry("bin/su", content=b"#!/bin/sh", mode=0o4755),
        entry("gone"),
        folder("folder"),
        entry("folder/hidden"),
    )
    second = layer(entry("made", content=b"made by us\n"), hard("hard", "made"), entry(".wh.gone"))
    third = layer(folder("folder"), entry("folder/.wh..wh..opq"), entry("folder/kept"))
    return image(first, second, third, config={"Cmd": ["sh", "-c", SHOW], "Env": ["PATH=/bin"]})


@asynccontextmanager
async def node(directory: Path) -> AsyncIterator[tuple[LocalImageStore, Callable[[str], OciDriver]]]:
    """A store and, for a container runtime by name, a driver whose containers have the store's layers."""
    # Short: names of sockets have a limit.
    with tempfile.TemporaryDirectory(prefix="swarm-test-") as place:
        base, drivers = Path(place), []
        store = LocalImageStore(directory)

        def driver(runtime: str) -> OciDriver:
            parent = cgroup_name()
            where = base / runtime
            drivers.append(OciDriver(where, where / "run", parent, store, preference=(runtime,)))
            return drivers[-1]

        try:
            yield store, driver
        finally:
            for one in drivers:
                await one.cleanup()
                await one.close()
            await store.close()


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dockerd]:
    with dockerd(tmp_path_factory.mktemp("docker") / "d") as running:
        yield running


async def said(docker: Dockerd, *command: str) -> list[str]:
    """Run a container of Docker's and return what it said."""
    output = await asyncio.to_thread(docker, "run", "--rm", "--network=none", *command)
    return output.split("\n")


async def test_what_we_push_docker_pulls_and_runs(docker: Dockerd, tmp_path: Path) -> None:
    content = ours()
    archive = tar(content.layout({"org.opencontainers.image.ref.name": "made:1"}))
    async with (
        docker_registry(tmp_path / "registry", password=True) as addr,
        node(tmp_path / "n") as (store, _),
    ):
        await store.load(pieces(archive, 1 << 20))
        name = f"{addr}/shop/made:1"
        login = Credentials(addr, USER, PASSWORD)
        await store.push(name, content.top, login, lambda _: None)
        refused = await asyncio.to_thread(docker.attempt, "pull", name)
        assert refused.returncode != 0
        await asyncio.to_thread(docker, "login", "-u", USER, "--password-stdin", addr, stdin=PASSWORD)
        assert content.top in await asyncio.to_thread(docker, "pull", name)
        assert await said(docker, name) == SHOWN
        await asyncio.to_thread(docker, "rmi", name)
        # The same by hand: what we save, Docker loads.
        saved = tmp_path / "saved.tar"
        saved.write_bytes(b"".join([chunk async for chunk in store.save({content.top: ["made:1"]})]))
        assert "made:1" in await asyncio.to_thread(docker, "load", "-i", str(saved))
        assert await said(docker, "made:1") == SHOWN
        await asyncio.to_thread(docker, "logout", addr)


@pytest.mark.parametrize("runtime", ["crun", "runc"])
async def test_what_docker_pushes_we_pull_and_run(docker: Dockerd, tmp_path: Path, runtime: str) -> None:
    name = f"theirs-{runtime}:1"
    root = tmp_path / "root.tar"
    busybox = entry("bin/busybox", content=Path("/bin/busybox").read_bytes())
    root.write_bytes(layer(folder("bin"), busybox, soft("bin/sh", "busybox"), entry("gone")))
    await asyncio.to_thread(docker, "import", "--change", "ENV FROM=docker", str(root), "base:1")
    change = "busybox rm /gone; echo made by docker > /made"
    command = ("run", "--name", runtime, "--network=none", "base:1")
    await asyncio.to_thread(docker, *command, "/bin/sh", "-c", change)
    entrypoint = 'CMD ["/bin/sh","-c","busybox cat /made; echo $FROM; busybox test ! -e /gone"]'
    await asyncio.to_thread(docker, "commit", "--change", entrypoint, runtime, name)
    async with (
        docker_registry(tmp_path / "registry", password=True) as addr,
        node(tmp_path / "n") as (store, driver),
    ):
        there = f"{addr}/shop/{name}"
        await asyncio.to_thread(docker, "login", "-u", USER, "--password-stdin", addr, stdin=PASSWORD)
        await asyncio.to_thread(docker, "tag", name, there)
        pushed = await asyncio.to_thread(docker, "push", there)
        with pytest.raises(TaskRejected, match="authentication required"):
            await store.ensure(there, "", None, None)
        found = await store.ensure(there, "", Credentials(addr, USER, PASSWORD), None)
        assert found.digest in pushed
        config = ContainerConfig(id=new_id(), image=there, image_digest=found.digest)
        assert await run(driver(runtime), config) == (0, ["made by docker", "docker"])
        await asyncio.to_thread(docker, "logout", addr)
        # What Docker saves, we load; its digest is another one, for it has another manifest.
        saved = tmp_path / "saved.tar"
        await asyncio.to_thread(docker, "save", "-o", str(saved), name)
        (loaded,) = await store.load(pieces(saved.read_bytes(), 1 << 20))
        again = await store.ensure(loaded.reference, loaded.digest, None, None)
        config = ContainerConfig(id=new_id(), image=name, image_digest=again.digest)
        assert await run(driver(runtime), config) == (0, ["made by docker", "docker"])
        whole = await store.fetch(there, Wanted(everything=True), Credentials(addr, USER, PASSWORD))
        assert whole.digest == found.digest


async def test_a_registry_with_tokens_serves_us_and_docker_alike(docker: Dockerd, tmp_path: Path) -> None:
    content = ours()
    archive = tar(content.layout({"org.opencontainers.image.ref.name": "made:1"}))
    async with guarded_registry(tmp_path / "guarded") as guarded, node(tmp_path / "n") as (store, _):
        await store.load(pieces(archive, 1 << 20))
        name = f"{guarded.addr}/shop/made:1"
        with pytest.raises(Unauthenticated):
            await store.push(name, content.top, None, lambda _: None)
        with pytest.raises(Unauthenticated):
            await store.push(name, content.top, Credentials(guarded.addr, USER, "wrong"), lambda _: None)
        await store.push(name, content.top, Credentials(guarded.addr, USER, PASSWORD), lambda _: None)
        assert content.top in await asyncio.to_thread(docker, "pull", name)
        assert await said(docker, name) == SHOWN
        await asyncio.to_thread(
            docker, "login", "-u", USER, "--password-stdin", guarded.addr, stdin=PASSWORD
        )
        theirs = f"{guarded.addr}/shop/again:2"
        await asyncio.to_thread(docker, "tag", name, theirs)
        await asyncio.to_thread(docker, "push", theirs)
        async with node(tmp_path / "other") as (other, driver):
            found = await other.ensure(theirs, "", None, None)
            config = ContainerConfig(id=new_id(), image=theirs, image_digest=found.digest)
            assert await run(driver("crun"), config) == (0, SHOWN)
        await asyncio.to_thread(docker, "logout", guarded.addr)


def test_the_program_that_is_needed_is_here() -> None:
    assert shutil.which("dockerd"), "`make setup` installs it"
