"""How is an image given to a registry? Blobs first, the manifest last, nothing that is there already."""

from collections.abc import AsyncIterator, Callable

from swarm.errors import NotFound, Unavailable
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.registry import Access, RegistryClient, Repository
from swarm.runtime.images.registry_auth import credentials_for


async def push_blob(
    client: RegistryClient,
    repository: Repository,
    digest: str,
    size_bytes: int,
    read: Callable[[], AsyncIterator[bytes]],
    credentials: Credentials | None = None,
) -> bool:
    """Upload a blob unless the registry has it; tell whether it was sent. Raises as `request`."""
    access = _access(repository, credentials)
    try:
        # Also the moment to authenticate: the body of an upload cannot be sent twice.
        response = await client.request(access, "HEAD", f"blobs/{digest}")
    except NotFound:
        pass
    else:
        await response.aclose()
        return False
    response = await client.request(access, "POST", "blobs/uploads/")
    await response.aclose()
    location = response.headers.get("location", "")
    if not location:
        raise Unavailable(f"{repository.domain} accepts no upload: it names no place for it")
    upload = response.url.join(location).copy_add_param("digest", digest)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
    response = await client.request(access, "PUT", str(upload), headers=headers, content=read)
    await response.aclose()
    return True


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


def _access(repository: Repository, credentials: Credentials | None) -> Access:
    return Access(repository, credentials_for(repository.domain, credentials), actions="pull,push")
