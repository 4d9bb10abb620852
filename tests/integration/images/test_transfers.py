"""Pull, push, tag, save, history and prune, against Debian's registry and one with a token server."""

import asyncio
import base64
import io
import json
import tarfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from swarm.api.v1.control_pb2 import (
    PulledImage,
    PullImageRequest,
    PushedImage,
    PushImageRequest,
    PushImageResponse,
)
from swarm.api.v1.objects_pb2 import Image, Service
from swarm.api.v1.types_pb2 import RegistryAuth
from swarm.clock import SECOND, SystemClock
from swarm.errors import InvalidArgument, NotFound, Unauthenticated, Unavailable
from swarm.runtime.images.manifest import MANIFEST_TYPES
from swarm.runtime.images.platforms import host_platform
from tests.integration.images.clusters import Cluster, Manager, running_cluster
from tests.integration.images.registries import (
    PASSWORD,
    USER,
    Answer,
    Request,
    docker_registry,
    needs_registry,
    scripted,
)
from tests.integration.images.test_managers import holders, load, requests, until
from tests.unit.images.building import Content, digest, image, index, tar

pytestmark = pytest.mark.integration

HERE = host_platform().architecture
OTHER = "s390x" if HERE != "s390x" else "amd64"
MINE = image(tar({"a": b"mine" * 1000}), tar({"b": b"shared" * 1000}), architecture=HERE)
THEIRS = image(tar({"a": b"theirs" * 1000}), architecture=OTHER)
HOUR_NS = 3600 * SECOND
BOTH = index({HERE: MINE, OTHER: THEIRS})


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path) as running:
        yield running


async def pull(
    manager: Manager, reference: str, *platforms: str, auth: RegistryAuth | None = None
) -> PulledImage:
    request = PullImageRequest(reference=reference, platforms=platforms, registry_auth=auth)
    *said, last = [event async for event in manager.parts.control.pull(request)]
    assert all(event.progress for event in said)
    return last.pulled


async def push(manager: Manager, ref: str, auth: RegistryAuth | None = None) -> PushedImage:
    request = PushImageRequest(ref=ref, registry_auth=auth)
    *said, last = [event async for event in manager.parts.control.push(request)]
    assert all(event.progress for event in said)
    return last.pushed


async def _listen(push: AsyncIterator[PushImageResponse], said: list[str]) -> None:
    async for event in push:
        said.append(event.progress)  # noqa: PERF401 -- what came before an error counts


@needs_registry
async def test_a_push_that_cannot_be_secure_says_so_at_once(cluster: Cluster, tmp_path: Path) -> None:
    (m1, *_) = cluster.managers.values()
    async with docker_registry(tmp_path / "registry") as addr:
        stranger = addr.replace("127.0.0.1", "0.0.0.0")  # this machine, and nobody has to know
        await load(m1, BOTH)
        await m1.parts.control.tag("web:1", f"{stranger}/web:1")
        said: list[str] = []
        with pytest.raises(Unavailable, match="speaks no TLS; name it with --insecure-registry"):
            await _listen(m1.parts.control.push(PushImageRequest(ref=f"{stranger}/web:1")), said)
        assert not [line for line in said if "again" in line]


@needs_registry
async def test_a_registry_is_asked_for_the_tags_that_it_has(cluster: Cluster, tmp_path: Path) -> None:
    (m1, *_) = cluster.managers.values()
    async with docker_registry(tmp_path / "registry", password=True) as addr:
        auth = RegistryAuth(server=addr, username=USER, password=PASSWORD)
        await load(m1, BOTH)
        for tag in ("2", "1", "rc"):
            await m1.parts.control.tag("web:1", f"{addr}/shop/web:{tag}")
            await push(m1, f"{addr}/shop/web:{tag}", auth)
        control = m1.parts.control
        assert await control.tags(f"{addr}/shop/web", auth) == ["1", "2", "rc"]
        with pytest.raises(Unauthenticated, match=rf"cannot pull {addr}/shop/web: .*swarmctl login {addr}"):
            await control.tags(f"{addr}/shop/web", None)
        with pytest.raises(NotFound, match=rf"cannot pull {addr}/shop/no"):
            await control.tags(f"{addr}/shop/no", auth)
        with pytest.raises(InvalidArgument, match="leave the tag out"):
            await control.tags(f"{addr}/shop/web:1", auth)


@needs_registry
async def test_an_image_goes_to_a_registry_and_comes_back_the_same(cluster: Cluster, tmp_path: Path) -> None:
    m1, m2 = cluster.managers.values()
    m2.replicate()
    async with docker_registry(tmp_path / "registry", password=True) as addr:
        auth = RegistryAuth(server=addr, username=USER, password=PASSWORD)
        name = f"{addr}/shop/web:1"
        await load(m1, BOTH)
        await m1.parts.control.tag("web:1", name)
        await until(lambda: holders(m1, name) == ["m1", "m2"])
        with pytest.raises(Unauthenticated, match=rf"cannot push {name}: .*swarmctl login {addr}"):
            await push(m1, name)
        with capture_logs() as logs:
            pushed = await push(m2, name, auth)  # which only copied it
        assert PASSWORD not in str(logs)
        assert (pushed.digest, list(pushed.left_out)) == (BOTH.top, [])
        assert pushed.sent_bytes == pushed.size_bytes > 0
        assert (await push(m1, name, auth)).sent_bytes == 0
        await m1.parts.control.tag("web:1", f"{addr}/shop/copy:1")
        assert (await push(m1, f"{addr}/shop/copy:1", auth)).sent_bytes == 0  # taken from shop/web

        for ref in ("web:1", name, f"{addr}/shop/copy:1"):
            await m1.parts.control.remove(ref)
            await m1.images.remove(ref)
        await m1.images.gc(SystemClock().now_ns() + HOUR_NS)
        with pytest.raises(Unauthenticated, match=rf"cannot pull {name}: .*swarmctl login {addr}"):
            await pull(m1, name)
        with pytest.raises(NotFound, match=rf"cannot pull {addr}/shop/no:1: .*check its name"):
            await pull(m1, f"{addr}/shop/no:1", auth=auth)
        with pytest.raises(InvalidArgument, match="no image for linux/riscv64, only for linux/"):
            await pull(m1, name, "linux/riscv64", auth=auth)
        pulled = await pull(m1, name, auth=auth)
        assert (pulled.changed, pulled.image.digest) == (True, BOTH.top)
        assert set(pulled.image.blobs) == {BOTH.top, *MINE.blobs}  # what the nodes run
        assert not (await pull(m1, name, auth=auth)).changed
        await until(lambda: holders(m1, name) == ["m1", "m2"])
        more = await pull(m2, name, f"linux/{OTHER}", auth=auth)
        assert more.changed
        assert set(more.image.blobs) == set(BOTH.blobs)
        assert PASSWORD not in str(m1.store.view.images.by_name(name))
        assert len(m1.store.view.images) == 1


@dataclass
class Registry:
    """Keeps what is pushed, wants a token for everything, and breaks the first `breaks` large transfers."""

    breaks: int = 0

    def __post_init__(self) -> None:
        self.addr = self.storage_addr = ""
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.scopes: list[str] = []

    def __call__(self, request: Request) -> Answer:
        path, _, query = request.path.partition("?")
        if path == "/token":
            return self._token(request, query)
        if request.headers.get("authorization") != "Bearer T":
            challenge = f'Bearer realm="http://{self.addr}/token",service="tests"'
            return Answer(401, headers={"WWW-Authenticate": challenge})
        last = path.rpartition("/")[2]
        if request.method == "POST":
            return Answer(202, headers={"Location": "/v2/up/1?state=x"})
        if request.method == "PUT":
            return self._put(request, path, query, last)
        content = (self.manifests if "/manifests/" in path else self.blobs).get(last)
        if content is None:
            return Answer(404)
        if "/blobs/" in path and request.method == "GET":
            # As at large registries: the content is elsewhere.
            return Answer(307, headers={"Location": f"http://{self.storage_addr}/{last}"})
        return Answer(200, content)

    def storage(self, request: Request) -> Answer:
        assert "authorization" not in request.headers
        content = self.blobs[request.path.rpartition("/")[2]]
        start = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        if self.breaks and len(content) > 5000:
            self.breaks -= 1
            return Answer(206, content[start:], break_after=2000)
        return Answer(206, content[start:])

    def _token(self, request: Request, query: str) -> Answer:
        login = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if request.headers.get("authorization") != login:
            return Answer(401)
        self.scopes.append(query)
        return Answer(body=json.dumps({"token": "T"}).encode())

    def _put(self, request: Request, path: str, query: str, last: str) -> Answer:
        if "/manifests/" in path:
            assert request.headers["content-type"] in MANIFEST_TYPES
            self.manifests[last] = self.manifests[digest(request.body)] = request.body
            return Answer(201)
        if self.breaks:
            self.breaks -= 1
            return Answer(503, headers={"Retry-After": "0"})
        assert query.startswith("state=x&digest=")
        assert query.endswith(digest(request.body))
        self.blobs[digest(request.body)] = request.body
        return Answer(201)


async def test_a_push_and_a_pull_with_tokens_survive_redirects_and_broken_transfers(
    cluster: Cluster,
) -> None:
    m1, _ = cluster.managers.values()
    registry = Registry()
    async with scripted(registry.storage) as storage, scripted(registry) as server:
        registry.addr, registry.storage_addr = server.addr, storage.addr
        auth = RegistryAuth(server=server.addr, username=USER, password=PASSWORD)
        name = f"{server.addr}/shop/web:1"
        await load(m1, MINE, name)
        with pytest.raises(Unauthenticated, match="swarmctl login"):
            await push(m1, name, RegistryAuth(server=server.addr, username=USER, password="wrong"))
        assert registry.blobs == {}
        registry.breaks = 2
        pushed = await push(m1, name, auth)
        assert pushed.digest == digest(registry.manifests["1"]) == MINE.top
        assert {*registry.blobs, MINE.top} == set(MINE.blobs)
        assert "scope=repository%3Ashop%2Fweb%3Apull%2Cpush" in registry.scopes[0]
        # Somebody else pushed something newer: it is not here, and comes in spite of breaks.
        newer = image(tar({"new": b"er" * 20_000}), architecture=HERE)
        registry.blobs |= newer.blobs
        registry.manifests["1"] = newer.manifest
        registry.breaks = 3
        pulled = await pull(m1, name, auth=auth)
        assert (pulled.changed, pulled.image.digest) == (True, newer.top)
        assert registry.breaks == 0


async def test_what_cannot_be_pulled_leaves_nothing(cluster: Cluster) -> None:
    m1, _ = cluster.managers.values()
    forged = {**MINE.blobs, list(MINE.blobs)[-1]: b"forged"}

    def script(request: Request) -> Answer:
        last = request.path.rpartition("/")[2]
        return Answer(body=MINE.manifest if "/manifests/" in request.path else forged.get(last, b""))

    async with scripted(script) as server:
        with pytest.raises(InvalidArgument, match=r"damaged or forged|instead of"):
            await pull(m1, f"{server.addr}/web:1")
        with pytest.raises(InvalidArgument, match=f"only for linux/{HERE}"):
            await pull(m1, f"{server.addr}/web:1", f"linux/{OTHER}")
        with pytest.raises(InvalidArgument, match="needs a name"):
            await pull(m1, f"{server.addr}/web@{MINE.top}")
    with pytest.raises(Unavailable, match=rf"cannot pull {server.addr}/web:1: registry not reachable"):
        await pull(m1, f"{server.addr}/web:1")
    assert len(m1.store.view.images) == 0
    assert m1.images.pinned() == {}


def files(archive: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar_file:
        return {entry.name: tar_file.extractfile(entry).read() for entry in tar_file if entry.isfile()}


async def test_a_saved_image_is_loaded_again_as_a_layout_and_as_docker_reads_it(cluster: Cluster) -> None:
    m1, m2 = cluster.managers.values()
    await load(m1, BOTH)
    await m1.parts.control.tag("web:1", "shop/web:2")
    # m2 has nothing of it yet, and is asked all the same.
    saved = b"".join([chunk async for chunk in m2.parts.control.save(["web:1", "shop/web:2"])])
    with pytest.raises(NotFound, match="swarmctl image ls"):
        await anext(m1.parts.control.save(["web:1", "no:1"]))
    for ref in ("web:1", "shop/web:2"):
        await m1.parts.control.remove(ref)
    content = files(saved)
    (shown,) = json.loads(content["manifest.json"])
    assert shown["RepoTags"] == ["web:1", "shop/web:2"]
    loaded = await m1.parts.control.load(requests(saved, ""))
    assert {(one.annotations.name, one.digest) for one in loaded} == {
        ("docker.io/library/web:1", BOTH.top),
        ("docker.io/shop/web:2", BOTH.top),
    }
    del content["index.json"]  # what `docker load` looks at is the rest
    old: list[Image] = list(await m1.parts.control.load(requests(tar(content), "")))
    assert [one.annotations.name for one in old] == ["docker.io/library/web:1", "docker.io/shop/web:2"]
    assert set(old[0].blobs) >= set(MINE.blobs) - {MINE.top}


async def test_history_is_told_by_a_manager_without_the_content(cluster: Cluster) -> None:
    m1, m2 = cluster.managers.values()
    await load(m1, MINE)
    steps, configuration = await m2.parts.control.history("web:1")
    assert json.loads(configuration)["rootfs"]["type"] == "layers"
    assert [step.size_bytes for step in steps] == [len(blob) for blob in _layers(MINE)]


def _layers(content: Content) -> list[bytes]:
    return [content.blobs[layer["digest"]] for layer in json.loads(content.manifest)["layers"]]


async def test_pruning_spares_what_services_use_and_counts_what_is_freed(cluster: Cluster) -> None:
    m1, _ = cluster.managers.values()
    await load(m1, MINE)
    await load(m1, THEIRS, "other:1")
    service = Service(id="s1")
    service.spec.annotations.name = "s1"
    service.spec.task.container.image_digest = MINE.top
    await m1.store.update(lambda transaction: transaction.create(service))
    assert await m1.parts.control.prune(everything=False) == ([], 0)
    removed, freed = await m1.parts.control.prune(everything=True)
    assert [one.annotations.name for one in removed] == ["docker.io/library/other:1"]
    assert freed == sum(map(len, THEIRS.blobs.values()))
    assert [one.annotations.name for one in m1.store.view.images] == ["docker.io/library/web:1"]


async def test_who_leaves_early_ends_the_transfer(cluster: Cluster) -> None:
    m1, _ = cluster.managers.values()
    asked: list[str] = []

    def script(request: Request) -> Answer:
        asked.append(request.path)
        if "/manifests/" in request.path:
            return Answer(body=MINE.manifest)
        return Answer(503, headers={"Retry-After": "30"})

    async with scripted(script) as server:
        pulling = m1.parts.control.pull(PullImageRequest(reference=f"{server.addr}/web:1"))
        assert (await anext(pulling)).progress.startswith("Pulling")
        await until(lambda: any("/blobs/" in path for path in asked))
        assert _transfers() == 1
        await pulling.aclose()
        assert _transfers() == 0
    assert m1.images.pinned() == {}


def _transfers() -> int:
    return sum("ImageTransfers._pull" in repr(task.get_coro()) for task in asyncio.all_tasks())
