"""`swarmctl login` and `logout`: prove to a registry who one is, and remember it as Docker's client does."""

import asyncio
import os
import sys

import click

from swarm.cli.credential_helpers import Login
from swarm.cli.docker_config import DockerConfig
from swarm.cli.docker_settings import config_path
from swarm.errors import InvalidArgument, NotFound, SwarmError, Unauthenticated

SECRET_CHARACTERS_MAX = 64 * 1024


@click.command(
    epilog="\b\nExamples:\n  swarmctl login registry.example.com -u carol\n"
    "  pass show registry | swarmctl login registry.example.com:5000 -u carol --password-stdin\n"
    "  swarmctl login                     (Docker Hub)\n\n"
    "The credentials are tried first. They are kept where Docker's client keeps them: by the helper that "
    "config.json names (credsStore, credHelpers), else in clear in config.json (DOCKER_CONFIG names its "
    "folder). SWARM_INSECURE_REGISTRIES lists registries that may be asked without TLS."
)
@click.argument("registry", required=False, default="docker.io")
@click.option("-u", "--username", default="", help="Name at the registry; asked for when missing.")
@click.option("-p", "--password", default=None, help="Password; other programs here may see it.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def login(registry: str, username: str, password: str | None, *, password_stdin: bool) -> None:
    """Log in to a registry; pull, push and --with-registry-auth then use these credentials."""
    server = _registry(registry)
    DockerConfig(config_path()).helper(server)  # before any question: a broken file is an error at once
    given = _ask(server, username, password, from_stdin=password_stdin)
    token = asyncio.run(_verify(server, given))
    # Read again: somebody else may have logged in while we asked.
    config = DockerConfig(config_path())
    if config.put(server, Login(given.username, given.password, token)) is None:
        click.echo(
            f"Warning: what was given is kept in clear in {config.path}; name a credential helper there "
            "(credsStore) to have it kept safely.",
            err=True,
        )
    click.echo("Login Succeeded")


@click.command(epilog="\b\nExamples:\n  swarmctl logout registry.example.com\n  swarmctl logout")
@click.argument("registry", required=False, default="docker.io")
def logout(registry: str) -> None:
    """Forget the credentials for a registry; services that carry them keep their copy."""
    server = _registry(registry)
    if not DockerConfig(config_path()).remove(server):
        click.echo(f"Not logged in to {server}")
        return
    click.echo(f"Removed login credentials for {server}")


def _registry(text: str) -> str:
    """Return HOST[:PORT] of what a person called a registry; raises InvalidArgument."""
    from swarm.model.reference import parse_reference
    from swarm.runtime.images.registry_auth import registry_host

    host = registry_host(text)
    if not host:
        raise InvalidArgument("which registry? Write HOST or HOST:PORT")
    if host != "docker.io":
        try:
            named = parse_reference(f"{host}/x").registry
        except InvalidArgument:
            named = ""
        if named != host:
            raise InvalidArgument(
                f'"{text}" is not a registry: write HOST or HOST:PORT (with a dot or a port, or localhost)'
            )
    return host


def _ask(server: str, username: str, password: str | None, *, from_stdin: bool) -> Login:
    if from_stdin and password is not None:
        raise InvalidArgument("give the password with --password or with --password-stdin, not with both")
    if from_stdin and not username:
        raise InvalidArgument("--password-stdin needs --username")
    if password is not None:
        click.echo("Warning: --password shows in the list of processes; use --password-stdin.", err=True)
    if from_stdin:
        password = sys.stdin.read(SECRET_CHARACTERS_MAX).removesuffix("\n").removesuffix("\r")
    if (not username or password is None) and not sys.stdin.isatty():
        raise InvalidArgument(
            f"login to {server} needs a name and a password: give --username and --password-stdin"
        )
    username = username or str(click.prompt(f"Username at {server}", err=True))
    if password is None:
        password = str(click.prompt("Password", hide_input=True, err=True))
    if not username or not password:
        raise InvalidArgument(f"login to {server} needs a name and a password: one of them is empty")
    return Login(username, password)


async def _verify(server: str, given: Login) -> str:
    """Ask the registry; return the identity token that takes the place of the password, or nothing."""
    from swarm.runtime.images.base import Credentials
    from swarm.runtime.images.registry import RegistryClient

    insecure = [entry.strip() for entry in os.environ.get("SWARM_INSECURE_REGISTRIES", "").split(",")]
    client = RegistryClient([entry for entry in insecure if entry])
    try:
        return await client.login(server, Credentials(server, given.username, given.password))
    except Unauthenticated as error:
        raise Unauthenticated(
            f"login to {server} as {given.username} failed: check name and password ({error})"
        ) from error
    except NotFound as error:
        raise NotFound(f"there is no registry at {server}: it does not know /v2/") from error
    except SwarmError as error:
        raise type(error)(f"login to {server} failed, nothing was kept: {error}") from error
    finally:
        await client.close()
