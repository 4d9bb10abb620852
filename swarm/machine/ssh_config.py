"""What does the user's OpenSSH configuration say about a host? Read once, when a machine is created."""

import getpass
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh.config import SSHClientConfig

from swarm.errors import InvalidArgument
from swarm.machine.endpoint import SSH_PORT, Endpoint, Hop, parse_hop, parse_jumps
from swarm.machine.host_keys import HostKey, parse_known_hosts

DEFAULT_USER = "root"


def endpoint(
    host: str,
    *,
    user: str = "",
    port: int = 0,
    key: str = "",
    jumps: str | None = None,
    config: Path | None = None,
) -> Endpoint:
    """Return how to reach `[USER@]HOST[:PORT]`; what is given wins over the file. Raises InvalidArgument."""
    named = parse_hop(host, user=user or DEFAULT_USER, port=port or SSH_PORT)
    given_user = named.user if user or "@" in host else ""
    found = _entry(named.host, config)
    hop = Hop(
        str(found.get("Hostname") or named.host),
        port or (named.port if named.port != SSH_PORT else int(found.get("Port") or SSH_PORT)),
        given_user or str(found.get("User") or DEFAULT_USER),
    )
    identities = found.get("IdentityFile") or []
    key = key or (str(identities[0]) if isinstance(identities, list) and identities else "")
    path = str(Path(key).expanduser().absolute()) if key else ""
    through = str(found.get("ProxyJump") or "") if jumps is None else jumps
    before = () if through == "none" else parse_jumps(through, hop.user)
    return Endpoint(hop, path, tuple(_jump(one, through, config) for one in before))


def _jump(hop: Hop, text: str, config: Path | None) -> Hop:
    """Return a jump with what the file says of it; its own jumps are not followed."""
    found = _entry(hop.host, config)
    user = hop.user if f"{hop.user}@" in text else str(found.get("User") or hop.user)
    port = hop.port if hop.port != SSH_PORT else int(found.get("Port") or SSH_PORT)
    return replace(hop, host=str(found.get("Hostname") or hop.host), user=user, port=port)


def _entry(host: str, config: Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    try:
        loaded = SSHClientConfig.load(None, [config], False, False, False, getpass.getuser(), (), host, ())
    except (asyncssh.ConfigParseError, OSError) as error:
        raise InvalidArgument(f"cannot read the SSH configuration {config}: {error}") from error
    keys = ("Hostname", "Port", "User", "IdentityFile", "ProxyJump")
    return {key: loaded.get(key) for key in keys}


def default_config() -> Path | None:
    """Return the user's configuration, if there is one."""
    path = Path.home() / ".ssh" / "config"
    return path if path.is_file() else None


def trusted_elsewhere() -> tuple[tuple[str, tuple[HostKey, ...]], ...]:
    """Return the keys that OpenSSH trusts for this user: machines with one of them are no strangers."""
    found: dict[str, tuple[HostKey, ...]] = {}
    for path in (Path.home() / ".ssh" / "known_hosts", Path("/etc/ssh/ssh_known_hosts")):
        try:
            found |= parse_known_hosts(path.read_text("utf-8", "replace"))
        except OSError:
            continue
    return tuple(found.items())


def config_text(names: Sequence[str], endpoints: Sequence[Endpoint], known_hosts: Sequence[Path]) -> str:
    """Return a configuration with which `ssh NAME` reaches a machine as we do, pinned keys included."""
    lines: list[str] = []
    for name, reach, known in zip(names, endpoints, known_hosts, strict=True):
        strict = [f'  UserKnownHostsFile "{known}"', "  StrictHostKeyChecking yes"]
        identity = [f'  IdentityFile "{reach.key}"', "  IdentitiesOnly yes"] if reach.key else []
        through = [f"{name}--jump-{number}" for number in range(1, len(reach.jumps) + 1)]
        for at, hop in (*zip(through, reach.jumps, strict=True), (name, reach.hop)):
            lines += [f"Host {at}", f"  HostName {hop.host}", f"  Port {hop.port}", f"  User {hop.user}"]
            lines += [*identity, *strict]
            before = through[: through.index(at)] if at in through else through
            lines += [f"  ProxyJump {before[-1]}"] if before else []
    return "\n".join(lines) + "\n"
