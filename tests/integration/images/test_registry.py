"""Pulling from and pushing to Debian's docker-registry on the loopback."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from examples.hello import build
from swarm.api.v1.types_pb2 import RegistryAuth
from swarm.errors import NotFound, TaskRejected, Unauthenticated, Unavailable
from swarm.manager.images.resolve import RegistryDigests
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.registry import RegistryClient, Repository
from swarm.runtime.images.registry_push import SENT, push_blob, push_manifest
from swarm.runtime.images.store import LocalImageStore
from tests.integration.images.registries import PASSWORD, USER, docker_registry, needs_registry
from tests.unit.images.building import pieces

pytestmark = [pytest.mark.integration, needs_registry]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
async def client() -> AsyncIterator[RegistryClient]:
    opened = RegistryClient(timeout_s=60)
    yield opened
    await opened.close()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[LocalImageStore]:
    opened = LocalImageStore(tmp_path / "images")
    yield opened
    await opened.close()


@pytest.fixture
async def open_registry(tmp_path: Path) -> AsyncIterator[str]:
    async with docker_registry(tmp_path / "registry") as addr:
        yield addr


@pytest.fixture
async def closed_registry(tmp_path: Path) -> AsyncIterator[str]:
    async with docker_registry(tmp_path / "registry", password=True) as addr:
        yield addr


def credentials(addr: str, password: str = PASSWORD) -> Credentials:
    return Credentials(server=addr, username=USER, password=password)


async def push(
    client: RegistryClient, addr: str, tag: str, built: build.BuiltImage, login: Credentials | None = None
) -> list[bool]:
    repository = Repository(addr, "team/hello")
    sent = []
    for digest, content in built.blobs.items():
        if digest != built.manifest_digest:
            read = lambda content=content: pieces(content, 100_000)  # noqa: E731
            outcome = await push_blob(client, repository, digest, len(content), read, login)
            sent.append(outcome == SENT)
    await push_manifest(client, repository, tag, MANIFEST, built.manifest, login)
    return sent


async def test_a_pushed_image_is_pulled_anonymously_and_unpacked(
    client: RegistryClient, store: LocalImageStore, open_registry: str
) -> None:
    built = build.build(build.hello())
    assert await push(client, open_registry, "1", built) == [True, True]
    assert await push(client, open_registry, "2", built) == [False, False]
    lines: list[str] = []
    config = await store.ensure(f"{open_registry}/team/hello:1", "", None, None, lines.append)
    assert config.digest == built.manifest_digest
    assert config.entrypoint[:2] == ("/bin/sh", "-c")
    assert any(line.startswith("pulling") for line in lines)
    if build.static_busybox():
        assert (store.lower_dirs(config.digest)[0] / "bin/busybox").is_file()
    by_digest = f"{open_registry}/team/hello@{built.manifest_digest}"
    assert (await store.ensure(by_digest, "", None, None)).digest == config.digest


async def test_a_password_is_needed_and_enough(
    client: RegistryClient, store: LocalImageStore, closed_registry: str
) -> None:
    built = build.build(build.shell("x", "exit 3"))
    await push(client, closed_registry, "1", built, credentials(closed_registry))
    reference = f"{closed_registry}/team/hello:1"
    with pytest.raises(TaskRejected, match="authentication required"):
        await store.ensure(reference, "", None, None)
    with pytest.raises(TaskRejected, match="authentication required"):
        await store.ensure(reference, "", credentials(closed_registry, "wrong"), None)
    config = await store.ensure(reference, "", credentials(closed_registry), None)
    assert config.digest == built.manifest_digest


async def test_a_password_for_another_registry_is_not_sent(
    client: RegistryClient, store: LocalImageStore, closed_registry: str
) -> None:
    await push(client, closed_registry, "1", build.build(build.hello()), credentials(closed_registry))
    other = credentials("registry.example.com")
    with pytest.raises(TaskRejected, match="authentication required"):
        await store.ensure(f"{closed_registry}/team/hello:1", "", other, None)


async def test_a_refusal_never_shows_the_password(store: LocalImageStore, closed_registry: str) -> None:
    with pytest.raises(TaskRejected) as refused:
        await store.ensure(f"{closed_registry}/x:1", "", credentials(closed_registry, "geheim"), None)
    assert "geheim" not in str(refused.value)


async def test_unknown_images_and_registries_are_told_apart(
    store: LocalImageStore, open_registry: str
) -> None:
    with pytest.raises(TaskRejected, match=rf"registry {open_registry}: image not found"):
        await store.ensure(f"{open_registry}/none:1", "", None, None)
    with pytest.raises(TaskRejected, match=r"registry not reachable: 127\.0\.0\.1:1"):
        await store.ensure("127.0.0.1:1/none:1", "", None, None)


async def test_a_manager_asks_for_the_digest_behind_a_name(
    client: RegistryClient, closed_registry: str
) -> None:
    built = build.build(build.hello())
    await push(client, closed_registry, "1", built, credentials(closed_registry))
    digests = RegistryDigests(client)
    auth = RegistryAuth(server=closed_registry, username=USER, password=PASSWORD)
    assert await digests(f"{closed_registry}/team/hello:1", auth) == built.manifest_digest
    with pytest.raises(NotFound):
        await digests(f"{closed_registry}/team/hello:2", auth)
    with pytest.raises(Unauthenticated):
        await digests(f"{closed_registry}/team/hello:1", None)
    with pytest.raises(Unavailable):
        await digests("127.0.0.1:1/x:1", None)


async def test_a_pull_goes_on_after_a_proxy_cut_it(
    client: RegistryClient, store: LocalImageStore, open_registry: str
) -> None:
    built = build.build(build.ImageSpec(files={"big": os.urandom(3_000_000)}))
    await push(client, open_registry, "1", built)
    async with cutting_proxy(open_registry, after_bytes=1_000_000) as proxy:
        config = await store.ensure(f"{proxy.addr}/team/hello:1", "", None, None)
    assert config.digest == built.manifest_digest
    assert proxy.cuts >= 2


class CuttingProxy:
    """Passes bytes on, and cuts every connection after so many of them."""

    def __init__(self, target: str, after_bytes: int) -> None:
        self._host, _, self._port = target.partition(":")
        self._after_bytes = after_bytes
        self._serving: set[asyncio.Task[None]] = set()
        self.cuts = 0
        self.addr = ""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def end(self) -> None:
        """Close every connection: nobody else waits for those that are idle."""
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back_reader, back_writer = await asyncio.open_connection(self._host, int(self._port))
        forward = asyncio.create_task(self._copy(reader, back_writer, 1 << 40))
        try:
            await self._copy(back_reader, writer, self._after_bytes)
        finally:
            forward.cancel()
            await asyncio.gather(forward, return_exceptions=True)
            for one in (writer, back_writer):
                one.close()
            await asyncio.gather(writer.wait_closed(), back_writer.wait_closed(), return_exceptions=True)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int) -> None:
        while chunk := await reader.read(65536):
            writer.write(chunk[:limit])
            await writer.drain()
            limit -= len(chunk)
            if limit <= 0:
                self.cuts += 1
                return


class cutting_proxy:  # noqa: N801 -- used like a function
    def __init__(self, target: str, after_bytes: int) -> None:
        self._proxy = CuttingProxy(target, after_bytes)

    async def __aenter__(self) -> CuttingProxy:
        self._server = await asyncio.start_server(self._proxy.accept, "127.0.0.1", 0)
        self._proxy.addr = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self._proxy

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        await self._proxy.end()


async def test_a_registry_without_tls_that_is_not_on_the_list_is_told_apart(
    client: RegistryClient, open_registry: str
) -> None:
    # The kernel takes this address for the loopback; for us it is a stranger.
    stranger = Repository(open_registry.replace("127.0.0.1", "0.0.0.0"), "a")
    with pytest.raises(Unavailable, match="speaks no TLS; name it with --insecure-registry"):
        await client.manifest(stranger, "1")
