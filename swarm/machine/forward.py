"""Bringing the socket of a machine here, over an SSH connection that is open."""

import asyncio
import shlex
from pathlib import Path
from typing import Any

import asyncssh

from swarm.errors import FailedPrecondition, Unavailable

ANSWER_TIMEOUT_S = 15.0
LOOK_TIMEOUT_S = 10.0
# $1: a socket. What may we do with it, who are we? (Of folders, the last that is there counts.)
_LOOK = (
    'up=${1%/*}; while [ -n "$up" ] && ! [ -d "$up" ]; do up=${up%/*}; done;'
    ' [ -x "${up:-/}" ] && echo enter;'
    ' [ -S "$1" ] && echo there; [ -w "$1" ] && echo write; id -un'
)


async def bring_socket(connection: Any, path: str, local: Path, place: str) -> None:
    """Make `local` lead to the socket `path` of the machine, for as long as `connection` lasts.

    Not before something answers there: swarmd speaks first. `place` is what people call the machine. Raises
    FailedPrecondition with what to mend, Unavailable.
    """
    await _hear(connection, path, place)
    try:
        await connection.forward_local_path(str(local), path)
        await asyncio.to_thread(local.chmod, 0o600)
    except (asyncssh.Error, OSError) as error:
        raise Unavailable(f"the connection to {place} was lost: {error}") from error


async def _hear(connection: Any, path: str, place: str) -> None:
    try:
        async with asyncio.timeout(ANSWER_TIMEOUT_S):
            reader, writer = await connection.open_unix_connection(path)
            heard = await reader.read(1)
            writer.close()
    except asyncssh.ChannelOpenError as error:
        if error.code == asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED:
            raise FailedPrecondition(
                f"{place} lets us in, but its SSH server forwards no sockets: it needs"
                " AllowStreamLocalForwarding yes (or local) in its sshd_config, for this user"
            ) from error
        raise await _reason(connection, path, place) from error
    except (TimeoutError, asyncssh.Error, OSError):
        heard = b""
    if not heard:
        raise Unavailable(
            f"{place} lets us in, but nothing answers at its socket {path}: is swarmd well there?"
            " (journalctl -u swarmd)"
        )


async def _reason(connection: Any, path: str, place: str) -> FailedPrecondition:
    """Return why a socket could not be opened, as far as the machine tells."""
    facts: list[str] = []
    try:
        async with asyncio.timeout(LOOK_TIMEOUT_S):
            look = shlex.join(["sh", "-c", _LOOK, "sh", path])
            done = await connection.run(look, check=False, stdin=asyncssh.DEVNULL)
            facts = str(done.stdout or "").split()
    except (TimeoutError, asyncssh.Error, OSError):
        facts = []  # an account that may run nothing
    lets_in = f"{place} lets us in, but its socket {path}"
    user = facts[-1] if facts and facts[-1] not in {"enter", "there", "write"} else "that user"
    if not facts:
        return FailedPrecondition(f"{lets_in} cannot be opened: is swarmd running there, and are you root?")
    if "there" in facts and "write" in facts:
        return FailedPrecondition(
            f"{lets_in} refuses connections: swarmd does not run (systemctl start swarmd)"
        )
    if "enter" not in facts or "there" in facts:
        return FailedPrecondition(
            f"{lets_in} may not be opened by {user}, only by root: log in as root (ssh://root@HOST), or go"
            " to the managers with a certificate of your own (swarmctl user create)"
        )
    return FailedPrecondition(
        f"{lets_in} is not there: is swarmd installed? Else name its socket: ssh://HOST/SOCKET"
    )
