"""Which content does an image's name stand for in its registry right now?"""

from swarm.api.v1.types_pb2 import RegistryAuth
from swarm.model.reference import parse_reference
from swarm.runtime.images.base import Credentials
from swarm.runtime.images.registry import RegistryClient, Repository


class RegistryDigests:
    """Asks registries for digests, so that all tasks of a service run the same content."""

    def __init__(self, registry: RegistryClient) -> None:
        """`registry` is closed by whoever made it."""
        self._registry = registry

    async def __call__(self, reference: str, auth: RegistryAuth | None) -> str:
        """Return the digest of the manifest or index; raises NotFound, Unauthenticated, Unavailable."""
        parsed = parse_reference(reference)
        repository = Repository(parsed.registry, parsed.repository)
        fetched = await self._registry.manifest(
            repository, parsed.digest or parsed.tag, credentials_of(auth)
        )
        return fetched.digest


def credentials_of(auth: RegistryAuth | None) -> Credentials | None:
    """Return what a request carries for a registry."""
    if auth is None:
        return None
    return Credentials(auth.server, auth.username, auth.password, auth.identity_token)
