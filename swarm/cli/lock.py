"""`swarmctl unlock` and `swarmctl unlock-key`: managers that lock themselves when they restart."""

import sys
from collections.abc import Iterable

import click

from swarm.api.v1 import control_pb2 as c
from swarm.cli.connect import connect

UNLOCK_TIMEOUT_S = 30.0
KEY_CHARACTERS_MAX = 4096  # of piped input; a key has 65


def tell_key(key: str) -> None:
    """Say which key opens managers from now on."""
    click.echo(
        "\nA manager that restarts stays locked until somebody runs `swarmctl unlock` there and enters this"
        f" key:\n\n    {key}\n\nKeep it in a password manager or another place that does not depend on this"
        " cluster:\nwithout it, a manager that restarts cannot be used again."
    )


def tell_away(names: Iterable[str]) -> None:
    """Say who will still need the key before."""
    click.echo(
        f"\nThese managers do not answer now: {', '.join(names)}. They are locked with the unlock key that"
        " was valid before:\nkeep that one until they have been unlocked with it.",
        err=True,
    )


@click.command(
    epilog="\b\nExamples:\n  swarmctl unlock\n  pass show swarm/unlock | swarmctl unlock   (no prompt)"
)
@click.pass_obj
def unlock(host: str) -> None:
    """Unlock this manager after a restart; asks for the unlock key, or reads it from standard input."""
    key = _read_key()
    with connect(host) as node:
        node.local.Unlock(c.UnlockRequest(unlock_key=key), timeout=UNLOCK_TIMEOUT_S)
    click.echo("This manager is unlocked.")


def _read_key() -> str:
    if sys.stdin.isatty():
        return str(click.prompt("Unlock key", hide_input=True, err=True))
    return sys.stdin.readline(KEY_CHARACTERS_MAX).strip()


@click.command(
    "unlock-key", epilog="\b\nExamples:\n  swarmctl unlock-key\n  swarmctl unlock-key -q --rotate"
)
@click.option("--rotate", is_flag=True, help="Make a new key; managers take it at once.")
@click.option("-q", "--quiet", is_flag=True, help="Print the key only.")
@click.pass_obj
def unlock_key(host: str, *, rotate: bool, quiet: bool) -> None:
    """Show or rotate the key that unlocks managers after a restart."""
    with connect(host) as node:
        answer = node.control.GetUnlockKey(c.GetUnlockKeyRequest(rotate=rotate))
    if quiet:
        click.echo(answer.unlock_key)
    else:
        if rotate:
            click.echo("The unlock key was rotated.")
        tell_key(answer.unlock_key)
    if rotate and answer.away:
        tell_away(answer.away)
