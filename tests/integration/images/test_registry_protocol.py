"""What registries on the internet do and Debian's does not: tokens, redirects, rate limits, rubbish."""

import asyncio
import base64
import contextlib
import datetime as dt
import ipaddress
import json
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from swarm.errors import FailedPrecondition, InvalidArgument, NotFound, Unauthenticated, Unavailable
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.limits import Limits
from swarm.runtime.images.registry import RegistryClient, Repository
from swarm.runtime.images.registry_push import SENT, push_blob
from swarm.runtime.images.registry_tags import list_tags
from swarm.runtime.images.store import LocalImageStore
from tests.integration.images.registries import Answer, Request, scripted
from tests.unit.images.building import digest, image, pieces, tar

pytestmark = pytest.mark.integration

ALI = Credentials(username="ali", password="geheim")
BLOB = b"content" * 1000


@pytest.fixture
async def client() -> AsyncIterator[RegistryClient]:
    opened = RegistryClient(timeout_s=60)
    yield opened
    await opened.close()


async def read(
    client: RegistryClient, repository: Repository, offset: int = 0, login: Credentials | None = None
) -> bytes:
    return b"".join([chunk async for chunk in client.blob(repository, digest(BLOB), offset, login)])


def blobs_only(request: Request) -> Answer:
    return Answer(body=BLOB) if "/blobs/" in request.path else Answer(404)


async def test_a_token_is_fetched_once_and_used_again(client: RegistryClient) -> None:
    def script(request: Request) -> Answer:
        if request.path.startswith("/token"):
            return Answer(body=json.dumps({"token": "T1", "expires_in": 300}).encode())
        if request.headers.get("authorization") != "Bearer T1":
            challenge = (
                f'Bearer realm="http://{server.addr}/token",service="reg",scope="repository:a/b:pull"'
            )
            return Answer(401, headers={"WWW-Authenticate": challenge})
        return Answer(body=BLOB)

    async with scripted(script) as server:
        repository = Repository(server.addr, "a/b")
        for _ in range(3):
            assert await read(client, repository, login=ALI) == BLOB
        asked = [request for request in server.requests if request.path.startswith("/token")]
    assert len(asked) == 1
    assert asked[0].path == "/token?scope=repository%3Aa%2Fb%3Apull&service=reg"
    assert asked[0].headers["authorization"] == "Basic " + base64.b64encode(b"ali:geheim").decode()


async def test_an_expired_token_is_renewed(client: RegistryClient) -> None:
    valid = ["T1", "T1", "T2", "T2"]

    def script(request: Request) -> Answer:
        if request.path.startswith("/token"):
            return Answer(body=json.dumps({"access_token": valid[0]}).encode())
        if request.headers.get("authorization") != f"Bearer {valid[0]}":
            return Answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{server.addr}/token"'})
        valid.pop(0)
        return Answer(body=BLOB)

    async with scripted(script) as server:
        for _ in range(4):
            assert await read(client, Repository(server.addr, "a")) == BLOB


async def test_an_identity_token_is_exchanged_without_a_password(client: RegistryClient) -> None:
    def script(request: Request) -> Answer:
        if request.path.startswith("/token"):
            assert b"grant_type=refresh_token" in request.body
            assert b"refresh_token=ID7" in request.body
            return Answer(body=b'{"access_token":"T"}')
        if request.headers.get("authorization") != "Bearer T":
            return Answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{server.addr}/token"'})
        return Answer(body=BLOB)

    async with scripted(script) as server:
        assert (
            await read(client, Repository(server.addr, "a"), login=Credentials(identity_token="ID7")) == BLOB
        )


@pytest.mark.parametrize("status", [401, 403])
async def test_a_token_server_that_refuses_is_an_authentication_error(
    client: RegistryClient, status: int
) -> None:
    def script(request: Request) -> Answer:
        if request.path.startswith("/token"):
            return Answer(status)
        return Answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{server.addr}/token"'})

    async with scripted(script) as server:
        with pytest.raises(Unauthenticated) as refused:
            await read(client, Repository(server.addr, "a"), login=ALI)
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("realm", ["http://tokens.example.com/", "ftp://x/", "nonsense", ""])
async def test_a_password_goes_to_no_insecure_token_server(client: RegistryClient, realm: str) -> None:
    def script(request: Request) -> Answer:
        return Answer(401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})

    async with scripted(script) as server:
        with pytest.raises(Unavailable, match=r"not secure|no usable"):
            await read(client, Repository(server.addr, "a"), login=ALI)


async def test_a_redirect_gets_the_blob_but_not_the_password(client: RegistryClient) -> None:
    async with scripted(blobs_only) as storage:

        def script(request: Request) -> Answer:
            if "authorization" not in request.headers:
                return Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            return Answer(307, headers={"Location": f"http://{storage.addr}{request.path}"})

        async with scripted(script) as server:
            assert await read(client, Repository(server.addr, "a"), login=ALI) == BLOB
    assert all("authorization" not in request.headers for request in storage.requests)


async def test_the_place_of_a_redirect_may_not_ask_for_the_password(client: RegistryClient) -> None:
    def thief(request: Request) -> Answer:
        return Answer(401, headers={"WWW-Authenticate": f'Bearer realm="http://{storage.addr}/token"'})

    async with scripted(thief) as storage:
        target = f"http://{storage.addr}/x"
        async with scripted(lambda _: Answer(307, headers={"Location": target})) as server:
            with pytest.raises(Unauthenticated):
                await read(client, Repository(server.addr, "a"), login=ALI)
    assert [request.path for request in storage.requests] == ["/x"]


@pytest.mark.parametrize("target", ["http://storage.example.com/x", "file:///etc/passwd", "http://[broken"])
async def test_a_redirect_to_an_insecure_place_is_refused(client: RegistryClient, target: str) -> None:
    async with scripted(lambda _: Answer(307, headers={"Location": target})) as server:
        with pytest.raises(Unavailable, match=r"not secure|nowhere"):
            await read(client, Repository(server.addr, "a"))


async def push(client: RegistryClient, addr: str) -> str:
    read = lambda: pieces(BLOB)  # noqa: E731
    return await push_blob(client, Repository(addr, "a"), digest(BLOB), len(BLOB), read, ALI)


async def test_an_upload_elsewhere_gets_the_blob_but_not_the_password(client: RegistryClient) -> None:
    async with scripted(lambda _: Answer(201)) as storage:

        def script(request: Request) -> Answer:
            if "authorization" not in request.headers:
                return Answer(401, headers={"WWW-Authenticate": 'Basic realm="x"'})
            if request.method == "HEAD":
                return Answer(404)
            return Answer(202, headers={"Location": f"http://{storage.addr}/up"})

        async with scripted(script) as server:
            assert await push(client, server.addr) == SENT
    (upload,) = storage.requests
    assert (upload.path, upload.body) == (f"/up?digest={digest(BLOB)}", BLOB)
    assert "authorization" not in upload.headers


async def test_an_upload_to_an_insecure_place_is_refused(client: RegistryClient) -> None:
    def script(request: Request) -> Answer:
        if request.method == "HEAD":
            return Answer(404)
        return Answer(202, headers={"Location": "http://storage.example.com/up"})

    async with scripted(script) as server:
        with pytest.raises(
            Unavailable, match=r"sends us on to http://storage\.example\.com, which is not secure"
        ):
            await push(client, server.addr)


async def test_redirects_without_end_are_given_up(client: RegistryClient) -> None:
    async with scripted(lambda _: Answer(302, headers={"Location": "/again"})) as server:
        with pytest.raises(Unavailable, match="without end"):
            await read(client, Repository(server.addr, "a"))


async def test_a_busy_registry_is_asked_again_when_it_says(client: RegistryClient) -> None:
    answers = [Answer(429, headers={"Retry-After": "0"}), Answer(503, headers={"Retry-After": "0.01"})]

    async with scripted(lambda _: answers.pop(0) if answers else Answer(body=BLOB)) as server:
        assert await read(client, Repository(server.addr, "a")) == BLOB


async def test_whoever_waits_for_a_busy_registry_hears_why(client: RegistryClient) -> None:
    answers = [
        Answer(429, b'{"errors":[{"message":"slow down"}]}', {"Retry-After": "0"}),
        Answer(429, headers={"Retry-After": "0.25"}),
    ]
    heard: list[str] = []
    async with scripted(lambda _: answers.pop(0) if answers else Answer(body=BLOB)) as server:
        there = Repository(server.addr, "a")
        content = b"".join([chunk async for chunk in client.blob(there, digest(BLOB), tell=heard.append)])
    assert content == BLOB
    assert heard == [
        f"{server.addr} answered 429 (slow down), asking again in 0 s",
        f"{server.addr} answered 429 (too many requests), asking again in 0.25 s",
    ]


async def test_a_registry_that_never_answers_is_said_to_keep_us_waiting() -> None:
    writers: list[asyncio.StreamWriter] = []

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)

    impatient = RegistryClient(timeout_s=0.2)
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    try:
        with pytest.raises(Unavailable, match="it keeps us waiting for too long"):
            await read(impatient, Repository(f"{host}:{port}", "a"))
    finally:
        server.close()
        await impatient.close()
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_a_registry_that_stays_busy_is_unavailable(client: RegistryClient) -> None:
    busy = Answer(
        429, b'{"errors":[{"code":"TOOMANYREQUESTS","message":"slow down"}]}', {"Retry-After": "0"}
    )
    async with scripted(lambda _: busy) as server:
        with pytest.raises(Unavailable, match="slow down"):
            await read(client, Repository(server.addr, "a"))


@pytest.mark.parametrize("obeys", [True, False])
async def test_a_rest_is_asked_for_whether_the_registry_knows_ranges_or_not(
    client: RegistryClient, obeys: bool
) -> None:
    def script(request: Request) -> Answer:
        assert request.headers.get("range") in (None, "bytes=2500-")
        ranged = obeys and "range" in request.headers
        return Answer(206, BLOB[2500:]) if ranged else Answer(200, BLOB)

    async with scripted(script) as server:
        assert await read(client, Repository(server.addr, "a"), offset=2500) == BLOB[2500:]


async def test_a_cut_connection_is_an_error_that_may_be_tried_again(client: RegistryClient) -> None:
    async with scripted(lambda _: Answer(body=BLOB, break_after=100)) as server:
        with pytest.raises(Unavailable):
            await read(client, Repository(server.addr, "a"))


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'), NotFound),
        (Answer(403, b"denied"), Unauthenticated),
        (Answer(401), Unauthenticated),
        (Answer(400, b"[]"), InvalidArgument),
        (Answer(200, b"x" * 5_000_000), InvalidArgument),
        (Answer(200, b"x" * 100, {"Content-Encoding": "gzip"}), Unavailable),
    ],
)
async def test_bad_answers_become_clear_errors(
    client: RegistryClient, answer: Answer, error: type[Exception]
) -> None:
    async with scripted(lambda _: answer) as server:
        with pytest.raises(error):
            await client.manifest(Repository(server.addr, "a"), "1")


async def test_a_manifest_with_another_digest_is_refused(client: RegistryClient) -> None:
    async with scripted(lambda _: Answer(body=b"forged")) as server:
        with pytest.raises(InvalidArgument, match="other content"):
            await client.manifest(Repository(server.addr, "a"), digest(b"real"))


async def test_only_registries_on_the_list_are_asked_without_tls(client: RegistryClient) -> None:
    allowed = RegistryClient(["0.0.0.0"])
    async with scripted(blobs_only) as server:
        # The kernel takes this address for the loopback; for us it is a stranger.
        repository = Repository(server.addr.replace("127.0.0.1", "0.0.0.0"), "a")
        with pytest.raises(Unavailable, match="registry not reachable"):
            await read(client, repository)
        assert server.requests == []
        assert await read(allowed, repository) == BLOB
    await allowed.close()


def own_certificate(folder: Path) -> Path:
    """A certificate for 0.0.0.0 that signs itself, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "registry")])
    today = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - dt.timedelta(days=1))
        .not_valid_after(today + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("0.0.0.0"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "server.pem").write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    return folder / "server.pem"


async def test_a_certificate_must_be_trusted_unless_the_registry_is_on_the_list(
    client: RegistryClient, tmp_path: Path
) -> None:
    pem = own_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    trusting = RegistryClient(tls=ssl.create_default_context(cafile=str(pem)))
    async with scripted(blobs_only, tls) as server:
        stranger = Repository(server.addr.replace("127.0.0.1", "0.0.0.0"), "a")
        with pytest.raises(
            Unavailable, match=r"(?i)certificate verify failed.*certs\.d/.*/ca\.crt on each node"
        ):
            await read(client, stranger)
        assert server.requests == []
        assert await read(trusting, stranger) == BLOB
        assert await read(client, Repository(server.addr, "a")) == BLOB
    await trusting.close()


async def test_a_certificate_in_the_folder_of_a_registry_is_trusted_for_it_alone(tmp_path: Path) -> None:
    pem = own_certificate(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    knowing = RegistryClient(certificates_dir=tmp_path / "certs.d")
    async with scripted(blobs_only, tls) as server, scripted(blobs_only, tls) as other:
        stranger = server.addr.replace("127.0.0.1", "0.0.0.0")
        certificate = tmp_path / "certs.d" / stranger / "ca.crt"
        certificate.parent.mkdir(parents=True)
        certificate.write_bytes(pem.read_bytes())
        assert await read(knowing, Repository(stranger, "a")) == BLOB
        with pytest.raises(Unavailable, match=r"(?i)certificate verify failed"):
            await read(knowing, Repository(other.addr.replace("127.0.0.1", "0.0.0.0"), "a"))
        (certificate.parent / "more.crt").write_text("rubbish")
        with pytest.raises(FailedPrecondition, match=r"more\.crt holds no certificate"):
            await read(knowing, Repository(stranger, "a"))
    await knowing.close()


@pytest.mark.parametrize(
    "manifest",
    [
        b"[]",
        b"not json",
        b"{}",
        b'{"schemaVersion":1,"fsLayers":[]}',
        b'{"schemaVersion":2,"config":{"digest":"sha256:../../x","size":1},"layers":[]}',
        b'{"schemaVersion":2,"config":{"digest":"sha256:%s","size":-1},"layers":[]}' % (b"a" * 64),
        b'{"schemaVersion":2,"manifests":[]}',
        b"[" * 100_000,
    ],
)
async def test_a_malformed_manifest_rejects_the_task(tmp_path: Path, manifest: bytes) -> None:
    store = LocalImageStore(tmp_path)
    async with scripted(lambda _: Answer(body=manifest)) as server:
        with pytest.raises(Exception, match=f"registry {server.addr}"):
            await store.ensure(f"{server.addr}/a:1", "", None, None)
    await store.close()


async def test_schema_two_of_docker_is_understood(tmp_path: Path) -> None:
    content = image(tar({"a": b"1"}))

    def script(request: Request) -> Answer:
        if "/manifests/" in request.path:
            assert "vnd.docker.distribution.manifest.v2+json" in request.headers["accept"]
            return Answer(body=content.manifest)
        return (
            Answer(body=content.blobs[request.path.rpartition("/")[2]])
            if "/blobs/" in request.path
            else Answer()
        )

    store = LocalImageStore(tmp_path)
    async with scripted(script) as server:
        assert (await store.ensure(f"{server.addr}/a:1", "", None, None)).digest == content.top
    await store.close()


def pages(server: str, listed: list[list[str]]) -> Callable[[Request], Answer]:
    """Hand out tags page by page, to who has a token, the next one linked as registries do."""

    def script(request: Request) -> Answer:
        if request.path.startswith("/token"):
            return Answer(body=b'{"token": "T1"}')
        if request.headers.get("authorization") != "Bearer T1":
            realm = f'Bearer realm="http://{request.headers["host"]}/token"'
            return Answer(401, headers={"WWW-Authenticate": realm})
        place, _, query = request.path.partition("?")
        assert place == "/v2/shop/web/tags/list"
        last = next((part[5:] for part in query.split("&") if part.startswith("last=")), "")
        at = next((number + 1 for number, page in enumerate(listed) if page[-1:] == [last]), 0)
        headers = {}
        if at + 1 < len(listed):
            headers["Link"] = f'<{server}/v2/shop/web/tags/list?n=2&last={listed[at][-1]}>; rel="next"'
        return Answer(body=json.dumps({"name": "shop/web", "tags": listed[at]}).encode(), headers=headers)

    return script


@pytest.mark.parametrize("server", ["", "http://inside.example.com:5000"])
async def test_tags_come_page_by_page_with_one_token(client: RegistryClient, server: str) -> None:
    async with scripted(pages(server, [["2", "1"], ["3"], ["rc"]])) as registry:
        found = await list_tags(client, Repository(registry.addr, "shop/web"), ALI, Limits())
        paths = [request.path for request in registry.requests if "authorization" in request.headers]
    assert found == ["1", "2", "3", "rc"]
    assert [path for path in paths if path.startswith("/token")] == [
        "/token?scope=repository%3Ashop%2Fweb%3Apull"
    ]
    # The place is the one that we know, whatever a link says.
    assert [path.partition("?")[2] for path in paths if "/tags/" in path] == [
        "n=1000",
        "n=2&last=1",
        "n=2&last=3",
    ]


async def test_a_list_of_tags_without_end_is_not_read(client: RegistryClient) -> None:
    async with scripted(pages("", [[f"{page}-{tag}" for tag in range(5)] for page in range(9)])) as registry:
        with pytest.raises(InvalidArgument, match="has more than 20 tags: pull those that you want by name"):
            await list_tags(client, Repository(registry.addr, "shop/web"), ALI, Limits(tags_max=20))
        asked = [request for request in registry.requests if "/tags/" in request.path]
    assert len(asked) <= 6  # that one of them was not answered at first is the token


@pytest.mark.parametrize(
    ("body", "link", "message"),
    [
        (b'{"tags": ["a b"]}', "", "lists 'a b', which is no tag"),
        (b'{"tags": 7}', "", "`tags` is not a list of strings"),
        (b"<html>", "", "the list of tags is not JSON"),
        (
            b'{"tags": ["1"]}',
            '<nowhere>; rel="next"',
            "has more tags, and does not say how to ask: 'nowhere'",
        ),
    ],
)
async def test_what_is_no_list_of_tags_is_refused(
    client: RegistryClient, body: bytes, link: str, message: str
) -> None:
    async with scripted(lambda _: Answer(body=body, headers={"Link": link} if link else {})) as registry:
        with pytest.raises((InvalidArgument, Unavailable)) as refused:
            await list_tags(client, Repository(registry.addr, "shop/web"), None, Limits())
    assert f"{registry.addr}/shop/web" in str(refused.value)
    assert message in str(refused.value)


async def test_a_repository_without_tags_has_none(client: RegistryClient) -> None:
    async with scripted(lambda _: Answer(body=b'{"name": "shop/web", "tags": null}')) as registry:
        assert await list_tags(client, Repository(registry.addr, "shop/web"), None, Limits()) == []
