"""How is an image given to a registry? Blobs first, the manifest last, nothing that is there already."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import structlog

from swarm.errors import InvalidArgument, NotFound, TransientError, Unauthenticated, Unavailable
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.digests import short
from swarm.runtime.images.manifest import Descriptor
from swarm.runtime.images.meter import Meter
from swarm.runtime.images.parts import Parts
from swarm.runtime.images.pull import Progress, together
from swarm.runtime.images.registry import Access, RegistryClient, Repository
from swarm.runtime.images.registry_answers import WrongTls
from swarm.runtime.images.registry_auth import credentials_for

log = structlog.get_logger(__name__)

_UPLOADS_MAX = 3
_ATTEMPTS_MAX = 4
_BACKOFF_S = 0.5

ReadBlob = Callable[[str, int], AsyncIterator[bytes]]


@dataclass(frozen=True, slots=True)
class Destination:
    """Where an image goes, with whose credentials."""

    repository: Repository
    tag: str
    credentials: Credentials | None
    # Digest → a repository of the same registry that may have the blob already.
    elsewhere: Callable[[str], str | None]


async def push_image(
    client: RegistryClient, destination: Destination, parts: Parts, read: ReadBlob, progress: Progress
) -> int:
    """Give an image to a registry; return how many bytes of blobs were sent.

    An upload that breaks is tried again. Raises as `RegistryClient.request`; what was sent then counts the
    next time.
    """
    repository = destination.repository
    meter = Meter(f"Pushing to {repository.domain}", sum(blob.size_bytes for blob in parts.blobs), progress)
    uploads = asyncio.Semaphore(_UPLOADS_MAX)
    sent: list[int] = []

    async def push(blob: Descriptor) -> None:
        def content() -> AsyncIterator[bytes]:
            return meter.count(blob.digest, 0, read(blob.digest, 0))

        async with uploads:
            outcome = await _persistently(
                lambda: push_blob(
                    client,
                    repository,
                    blob.digest,
                    blob.size_bytes,
                    content,
                    destination.credentials,
                    mount_from=destination.elsewhere(blob.digest),
                ),
                progress,
            )
        if outcome == SENT:
            sent.append(blob.size_bytes)
        progress(f"{short(blob.digest)}: {outcome}")

    await together(push(blob) for blob in parts.blobs)
    for document in parts.documents[:-1]:
        await push_manifest(
            client,
            repository,
            document.digest,
            document.media_type,
            document.content,
            destination.credentials,
        )
    top = parts.documents[-1]
    await push_manifest(
        client, repository, destination.tag, top.media_type, top.content, destination.credentials
    )
    return sum(sent)


SENT, MOUNTED, THERE = "pushed", "mounted from another repository", "already there"


async def push_blob(
    client: RegistryClient,
    repository: Repository,
    digest: str,
    size_bytes: int,
    read: Callable[[], AsyncIterator[bytes]],
    credentials: Credentials | None = None,
    *,
    mount_from: str | None = None,
) -> str:
    """Upload a blob unless the registry has it, there or in `mount_from`; return what was done.

    Raises as `request`.
    """
    access = _access(repository, credentials)
    try:
        # Also the moment to authenticate, before a large body is on its way.
        response = await client.request(access, "HEAD", f"blobs/{digest}")
    except NotFound:
        pass
    else:
        await response.aclose()
        return THERE
    location = await _mount(client, repository, digest, credentials, mount_from) if mount_from else ""
    if location is None:
        return MOUNTED
    if not location:
        response = await client.request(access, "POST", "blobs/uploads/")
        await response.aclose()
        if "location" not in response.headers:
            raise Unavailable(f"{repository.domain} accepts no upload: it names no place for it")
        location = str(response.url.join(response.headers["location"]))
    upload = _with_digest(location, digest)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
    response = await client.request(access, "PUT", upload, headers=headers, content=read)
    await response.aclose()
    return SENT


async def push_manifest(
    client: RegistryClient,
    repository: Repository,
    tag_or_digest: str,
    media_type: str,
    content: bytes,
    credentials: Credentials | None = None,
) -> None:
    """Store a manifest or index whose content the registry has. Raises as `request`."""
    response = await client.request(
        _access(repository, credentials),
        "PUT",
        f"manifests/{tag_or_digest}",
        headers={"Content-Type": media_type},
        content=lambda: content,
    )
    await response.aclose()


async def _mount(
    client: RegistryClient,
    repository: Repository,
    digest: str,
    credentials: Credentials | None,
    other: str,
) -> str | None:
    """Let a registry take a blob from its repository `other`.

    Return None when it did, else where to upload the blob, or nothing when it did not say.
    """
    access = replace(_access(repository, credentials), also_from=other)
    try:
        response = await client.request(access, "POST", f"blobs/uploads/?mount={digest}&from={other}")
    except (Unauthenticated, NotFound, InvalidArgument) as error:
        # Nothing is lost: the blob is sent instead, and that says what is really wrong.
        log.debug("images.mount_refused", digest=digest, repository=str(repository), reason=str(error))
        return ""
    await response.aclose()
    if response.status_code == 201:
        return None
    place = response.headers.get("location", "")
    return str(response.url.join(place)) if place else ""


async def _persistently(push: Callable[[], Awaitable[str]], progress: Progress) -> str:
    attempt = 0
    while True:
        try:
            return await push()
        except WrongTls:
            raise  # until somebody does something about it
        except TransientError as error:
            attempt += 1
            if attempt >= _ATTEMPTS_MAX:
                raise
            progress(f"transfer broke, trying again: {error}")
            await asyncio.sleep(_BACKOFF_S * 2**attempt)


def _with_digest(location: str, digest: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}digest={digest}"


def _access(repository: Repository, credentials: Credentials | None) -> Access:
    return Access(repository, credentials_for(repository.domain, credentials), actions="pull,push")
