"""Registry credentials of the person at the keyboard, as `swarmctl login` or `docker login` left them."""

from swarm.api.v1.types_pb2 import RegistryAuth
from swarm.cli.docker_config import DockerConfig
from swarm.cli.docker_settings import config_path
from swarm.errors import NotFound
from swarm.model.reference import parse_reference


def credentials(image: str) -> RegistryAuth:
    """Return the credentials for the registry of `image`; raises NotFound when there are none."""
    registry = parse_reference(image).registry
    found = known_credentials(registry)
    if found is None:
        raise NotFound(
            f"--with-registry-auth: {config_path()} has no credentials for {registry}; "
            f"add them with `swarmctl login {registry}`"
        )
    return found


def known_credentials(registry: str) -> RegistryAuth | None:
    """Return the credentials for `registry` (HOST[:PORT]), None when there are none."""
    login = DockerConfig(config_path()).find(registry)
    if login is None:
        return None
    return RegistryAuth(
        server=registry,
        username=login.username,
        password=login.password,
        identity_token=login.identity_token,
    )
