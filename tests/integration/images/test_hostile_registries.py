"""Registries, token servers and mirrors of strangers: refused in one line, soon, and without a trace."""

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from swarm.errors import NotPermitted, TaskRejected, Unavailable
from swarm.model.registries import RegistryRules, parse_rules
from swarm.runtime.images import registry as registry_module
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.registry import RegistryClient, Repository
from swarm.runtime.images.registry_push import push_manifest
from swarm.runtime.images.store import LocalImageStore
from tests.integration.images.registries import Answer, Request, scripted
from tests.unit.hostile.stores import assert_is_one_clear_line, assert_nothing_is_left, neighbourhood
from tests.unit.images.building import Content, digest, image, tar

pytestmark = pytest.mark.integration

Handler = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
GOOD = image(tar({"a": b"1" * 5000}))
BIG = image(tar({"a": bytes(range(256)) * 2000}))
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def answer(status: str, body: bytes = b"", **headers: str) -> bytes:
    given = {"Content-Length": str(len(body)), "Connection": "close"}
    given |= {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"HTTP/1.1 {status}\r\n{head}\r\n".encode("latin-1") + body


def saying(raw: bytes) -> Handler:
    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)

    return handler


def again(raw: bytes, before: bytes = b"", pause_s: float = 0.0) -> Handler:
    """Say something without end."""

    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(before)
        while True:
            writer.write(raw)
            await writer.drain()
            await asyncio.sleep(pause_s)

    return handler


def blobs(says: Callable[[str, bytes], bytes], content: Content = GOOD) -> Handler:
    """A registry with a good manifest of which the blobs are what a case says."""

    async def handler(request: bytes, writer: asyncio.StreamWriter) -> None:
        path = request.split(b" ", 2)[1].decode()
        last = path.rpartition("/")[2]
        if "/manifests/" in path:
            writer.write(answer("200 OK", content.manifest, Content_Type=MANIFEST))
        else:
            writer.write(says(last, content.blobs[last]))

    return handler


@contextlib.asynccontextmanager
async def raw_server(handler: Handler) -> AsyncIterator[str]:
    """A server that answers a request with whatever bytes it likes; yields HOST:PORT."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            start = await reader.readexactly(1)
            if start != b"\x16":  # it speaks no TLS
                await handler(start + await reader.readuntil(b"\r\n\r\n"), writer)
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


OK = "200 OK"
CASES: dict[str, tuple[Handler, str]] = {
    "a body without end": (again(b"x" * 65536, b"HTTP/1.1 200 OK\r\n\r\n"), "sent more than 4194304 bytes"),
    "chunks without end": (
        again(b"1000\r\n" + b"x" * 4096 + b"\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        "sent more than 4194304 bytes",
    ),
    "headers without end": (again(b"X-Y: z\r\n" * 1000, b"HTTP/1.1 200 OK\r\n"), "registry not reachable"),
    "headers in drops": (again(b"X", b"HTTP/1.1 200 OK\r\n", 0.05), "registry not reachable"),
    "hints without end": (again(b"HTTP/1.1 103 Hint\r\n\r\n" * 100, pause_s=0.01), "registry not reachable"),
    "no HTTP at all": (saying(b"SSH-2.0-OpenSSH_9.2\r\n"), "registry not reachable"),
    "a status that is none": (saying(b"HTTP/1.1 x\r\n\r\n"), "registry not reachable"),
    "a body longer than it is": (saying(answer(OK, b"{}", Content_Length="5000")), "registry 127.0.0.1"),
    "a body shorter than it is": (saying(answer(OK, GOOD.manifest, Content_Length="10")), "is not JSON"),
    "a length below zero": (saying(answer(OK, b"{}", Content_Length="-1")), "registry not reachable"),
    "two lengths": (saying(answer(OK, b"{}", content_length="3")), "registry not reachable"),
    "a compressed bomb": (
        saying(answer(OK, gzip.compress(bytes(9_000_000)), Content_Encoding="gzip")),
        "sent more than 4194304 bytes",
    ),
    "damaged compression": (saying(answer(OK, b"x" * 100, Content_Encoding="gzip")), "sent damaged content"),
    "no content": (saying(answer("204 No Content")), "the manifest is not JSON"),
    "nothing new": (saying(answer("304 Not Modified")), "the manifest is not JSON"),
    "a page": (saying(answer(OK, b"<html>", Content_Type="text/html")), "the manifest is not JSON"),
    "a manifest as an index": (
        saying(answer(OK, GOOD.manifest, Content_Type=INDEX)),
        "the manifest was served as",
    ),
    "an index as a manifest": (
        saying(answer(OK, b'{"schemaVersion":2,"manifests":[]}', Content_Type=MANIFEST)),
        "the index was served as",
    ),
    "another digest in the header": (
        saying(answer(OK, GOOD.manifest, Docker_Content_Digest="sha256:" + "a" * 64)),
        "of what has the digest",
    ),
    "a redirect to itself": (saying(answer("302 Found", Location="/v2/a/manifests/1")), "without end"),
    "a redirect to nowhere": (saying(answer("302 Found")), "without end"),
    "a redirect to a file": (saying(answer("302 Found", Location="file:///etc/passwd")), "to file://"),
    "a redirect to another protocol": (saying(answer("307 X", Location="gopher://a/x")), "to gopher://a"),
    "a redirect without TLS": (saying(answer("302 Found", Location="http://10.255.0.1/x")), "is not secure"),
    "a redirect that is no address": (saying(answer("302 Found", Location="http://[::")), "Invalid URL"),
    "an error for terminals": (
        saying(answer("400 X", json.dumps({"errors": [{"message": "\x1b[2J" + "x" * 999}]}).encode())),
        "answered 400",
    ),
    "an error of lists in lists": (saying(answer("400 X", b"[" * 60_000)), "answered 400"),
    "an error without end": (again(b"x" * 65536, b"HTTP/1.1 400 X\r\n\r\n"), "answered 400"),
    "an error that is a number": (saying(answer("400 X", b'{"errors":[7]}')), "answered 400"),
    "a password asked for again and again": (
        saying(answer("401 X", WWW_Authenticate='Basic realm="x"')),
        "authentication required",
    ),
    "a token server that is a file": (
        saying(answer("401 X", WWW_Authenticate='Bearer realm="file:///etc/passwd"')),
        "is not secure",
    ),
    "a token server that is no address": (
        saying(answer("401 X", WWW_Authenticate='Bearer realm="http://[::"')),
        "names no usable token server",
    ),
    "another layer": (blobs(lambda name, content: answer(OK, b"x" * len(content))), "damaged or forged"),
    "a layer without end": (
        blobs(lambda name, content: b"HTTP/1.1 200 OK\r\n\r\n" + content + b"x" * 500_000),
        "is longer than",
    ),
    "a layer that breaks off at every byte": (
        blobs(lambda name, content: answer(OK, content, Content_Length="999999999")[:300]),
        "registry 127.0.0.1",
    ),
}
NEVER_ANSWERED = {"headers in drops", "hints without end"}


@pytest.mark.parametrize("case", CASES)
async def test_a_hostile_registry_gives_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    handler, said = CASES[case]
    if case in NEVER_ANSWERED:
        monkeypatch.setattr(registry_module, "_ANSWER_S", 1.0)
    async with raw_server(handler) as addr:
        with neighbourhood(tmp_path) as folder:
            store = LocalImageStore(folder)
            async with asyncio.timeout(100):
                with pytest.raises(TaskRejected) as refused:
                    await store.ensure(f"{addr}/a:1", "", None, None)
            assert said in str(refused.value)
            assert f"{addr}/a:1" in str(refused.value)
            assert_is_one_clear_line(str(refused.value))
            assert_nothing_is_left(folder, broken_transfers=True)
            await store.close()


TOKENS: dict[str, tuple[bytes, str]] = {
    "a page": (answer(OK, b"<html>"), "sent no token"),
    "a list": (answer(OK, b"[]"), "sent no token"),
    "lists in lists": (answer(OK, b"[" * 100_000), "sent no token"),
    "no token": (answer(OK, b"{}"), "sent no token"),
    "a number": (answer(OK, b'{"token":7}'), "sent no token"),
    "an object": (answer(OK, b'{"token":{"a":1}}'), "sent no token"),
    "an empty token": (answer(OK, b'{"token":""}'), "sent no token"),
    "another header": (answer(OK, b'{"token":"a\\r\\nHost: b"}'), "sent no token"),
    "no letters": (answer(OK, '{"token":"žluť"}'.encode()), "sent no token"),
    "half a letter": (answer(OK, b'{"token":"\\ud800"}'), "sent no token"),
    "damaged compression": (answer(OK, b"x" * 99, Content_Encoding="gzip"), "sent damaged content"),
    "a bomb": (
        answer(OK, gzip.compress(bytes(5_000_000)), Content_Encoding="gzip"),
        "sent more than 1048576",
    ),
    "a redirect": (answer("302 Found", Location="http://10.255.0.1/"), "answered 302"),
    "an error": (answer("500 X", b"x" * 999), "answered 500"),
    "no HTTP": (b"220 smtp ready\r\n\r\n", "token server not reachable"),
}


@pytest.mark.parametrize(("raw", "said"), TOKENS.values(), ids=TOKENS)
async def test_a_token_server_may_say_what_it_likes(raw: bytes, said: str) -> None:
    async with raw_server(saying(raw)) as tokens:
        challenge = answer("401 X", WWW_Authenticate=f'Bearer realm="http://{tokens}/token"')
        async with raw_server(saying(challenge)) as addr:
            client = RegistryClient(timeout_s=60)
            with pytest.raises(Unavailable) as refused:
                await client.manifest(Repository(addr, "a"), "1")
            assert said in str(refused.value)
            assert_is_one_clear_line(str(refused.value))
            await client.close()


async def test_a_layer_in_drops_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry_module, "SLOW_S", 0.3)
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n"
    async with raw_server(again(b"x", start, 0.02)) as addr:
        client = RegistryClient()
        async with asyncio.timeout(60):
            with pytest.raises(Unavailable, match=r"sent \d+ bytes in 0\.3 s"):
                async for _ in client.blob(Repository(addr, "a"), digest(b"x")):
                    pass
        await client.close()


async def test_links_to_itself_lead_nowhere(tmp_path: Path) -> None:
    def script(request: Request) -> Answer:
        last = request.path.rpartition("/")[2]
        content = GOOD.manifest if "/manifests/" in request.path else GOOD.blobs[last]
        return Answer(body=content, headers={"Link": f'<{request.path}>; rel="next"'})

    store = LocalImageStore(tmp_path)
    async with scripted(script) as server:
        assert (await store.ensure(f"{server.addr}/a:1", "", None, None)).digest == GOOD.top
        assert len([one for one in server.requests if "/manifests/" in one.path]) == 1
    await store.close()


async def test_a_stranger_may_not_send_us_to_what_listens_on_this_machine() -> None:
    client = RegistryClient()
    async with scripted(lambda _: Answer(body=b"{}")) as local:
        stranger = registry_module.httpx.URL("https://registry.example.com/v2/")
        for place in (f"http://{local.addr}/x", f"https://{local.addr}/x", "http://[::1]:1/"):
            with pytest.raises(Unavailable, match="sends us on to this machine"):
                client._check_secure(registry_module.httpx.URL(place), stranger)
    await client.close()


# Mirrors.

HUB = "hub.invalid"
SECRET = Credentials(HUB, "ali", "geheim")


def keeping(content: Content, seen: list[Request] | None = None) -> Callable[[Request], Answer]:
    """A registry with one image as `1`."""

    def script(request: Request) -> Answer:
        if seen is not None:
            seen.append(request)
        last = request.path.rpartition("/")[2]
        if "/manifests/" in request.path:
            return Answer(body=content.manifest) if last in ("1", content.top) else Answer(404)
        if last not in content.blobs:
            return Answer(404)
        start = int(request.headers.get("range", "bytes=0-").removeprefix("bytes=").rstrip("-"))
        return Answer(206 if start else 200, content.blobs[last][start:])

    return script


def asking(*mirrors: str, blocked: tuple[str, ...] = ()) -> RegistryRules:
    return parse_rules(mirrors, blocked)


async def test_a_mirror_is_asked_first_without_the_password_and_may_be_below_a_path(tmp_path: Path) -> None:
    seen: list[Request] = []
    async with scripted(keeping(GOOD, seen)) as mirror:
        store = LocalImageStore(tmp_path, registry_rules=asking(f"{HUB}={mirror.addr}/cache/hub"))
        image_here = await store.ensure(f"{HUB}/shop/web:1", "", SECRET, None)
        assert image_here.digest == GOOD.top
        await store.close()
    assert {
        request.path.rpartition("/")[0].rpartition("/")[0] for request in seen if "sha" in request.path
    } == {"/v2/cache/hub/shop/web"}
    assert not any("authorization" in request.headers for request in seen)


async def test_a_mirror_that_wants_a_password_gets_that_of_the_registry_from_nobody() -> None:
    def wants(request: Request) -> Answer:
        return Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})

    async with scripted(wants) as mirror, scripted(keeping(GOOD)) as origin:
        client = RegistryClient(rules=asking(f"{origin.addr}={mirror.addr}"))
        for login in (
            Credentials("", "ali", "geheim"),
            Credentials(origin.addr, "ali", "geheim"),
            Credentials(origin.addr, "", identity_token="T"),
        ):
            fetched = await client.manifest(Repository(origin.addr, "web"), "1", login)
            assert fetched.digest == GOOD.top
        assert not any("authorization" in request.headers for request in mirror.requests)
        assert "geheim" not in str(mirror.requests)
        mirror.requests.clear()
        own = Credentials(mirror.addr, "carol", "mine")
        await client.manifest(Repository(origin.addr, "web"), "1", own)
        assert any("authorization" in request.headers for request in mirror.requests)
        assert not any("authorization" in request.headers for request in origin.requests)
        await client.close()


async def test_mirrors_are_asked_in_order_and_the_registry_last(tmp_path: Path) -> None:
    async with (
        scripted(lambda _: Answer(404)) as empty,
        scripted(keeping(GOOD)) as full,
        scripted(keeping(GOOD)) as origin,
    ):
        rules = asking(f"{origin.addr}={empty.addr}", f"{origin.addr}={full.addr}")
        store = LocalImageStore(tmp_path / "one", registry_rules=rules)
        await store.ensure(f"{origin.addr}/web:1", "", None, None)
        await store.close()
        assert empty.requests
        assert full.requests
        assert origin.requests == []
        rules = asking(f"{origin.addr}={empty.addr}", f"{origin.addr}=127.0.0.1:1")
        store, heard = LocalImageStore(tmp_path / "two", registry_rules=rules), list[str]()
        image = await store.ensure(f"{origin.addr}/web:1", "", None, None, heard.append)
        assert image.digest == GOOD.top
        assert f"asking registry {origin.addr}" in heard
        assert heard.index(f"asking mirror {empty.addr}") < heard.index("asking mirror 127.0.0.1:1")
        assert any(line.startswith(f"mirror {empty.addr}: image not found") for line in heard)
        assert any(line.startswith("mirror 127.0.0.1:1: registry not reachable") for line in heard)
        await store.close()
        assert origin.requests


async def test_a_mirror_that_forges_or_breaks_off_does_no_harm(tmp_path: Path) -> None:
    layer = max(BIG.blobs, key=lambda name: len(BIG.blobs[name]))

    def lying(forged: bytes | None) -> Callable[[Request], Answer]:
        def script(request: Request) -> Answer:
            good = keeping(BIG)(request)
            if not request.path.endswith(layer):
                return good
            return Answer(200, forged) if forged is not None else Answer(200, good.body, break_after=200_000)

        return script

    size = len(BIG.blobs[layer])
    for number, forged in enumerate((b"x" * size, b"x" * 2 * size, b"x", None)):
        async with scripted(lying(forged)) as mirror, scripted(keeping(BIG)) as origin:
            rules = asking(f"{origin.addr}={mirror.addr}")
            store = LocalImageStore(tmp_path / str(number), registry_rules=rules)
            assert (await store.ensure(f"{origin.addr}/web:1", "", None, None)).digest == BIG.top
            assert {request.path.rpartition("/")[2] for request in origin.requests} - {""} == {layer}
            await store.close()


async def test_a_blocked_registry_is_never_asked_for_anything() -> None:
    async with scripted(keeping(GOOD)) as server, scripted(keeping(GOOD)) as mirror:
        blocked = ("127.0.0.1",)
        client = RegistryClient(rules=RegistryRules(blocked=blocked))
        repository = Repository(server.addr, "web")
        with pytest.raises(NotPermitted, match=f"registry {server.addr} is blocked on this node"):
            await client.manifest(repository, "1")
        with pytest.raises(NotPermitted, match="is blocked"):
            await push_manifest(client, repository, "1", MANIFEST, GOOD.manifest)
        with pytest.raises(NotPermitted, match="is blocked"):
            await client.login(server.addr, Credentials(server.addr, "ali", "geheim"))
        await client.close()
        # A registry that is blocked may have a mirror that is not: then it is all there is.
        client = RegistryClient(rules=asking(f"{HUB}={mirror.addr}", blocked=("*.invalid",)))
        assert (await client.manifest(Repository(HUB, "web"), "1")).digest == GOOD.top
        with pytest.raises(NotPermitted, match="is blocked"):
            await client.manifest(Repository(HUB, "web"), "2")
        await client.close()
        assert server.requests == []


async def test_nobody_is_sent_on_to_a_blocked_registry() -> None:
    async with scripted(keeping(GOOD)) as blocked:
        place = blocked.addr.replace("127.0.0.1", "localhost")
        moved = Answer(307, headers={"Location": f"http://{place}/v2/web/manifests/1"})
        async with scripted(lambda _: moved) as server:
            client = RegistryClient(rules=asking(blocked=("localhost",)))
            with pytest.raises(Unavailable, match="which is blocked on this node"):
                await client.manifest(Repository(server.addr, "web"), "1")
            await client.close()
        assert blocked.requests == []
