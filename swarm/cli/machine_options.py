"""Options of `swarmctl machine` and `swarmctl cluster`: how machines are reached, and what is trusted."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from swarm.clock import SystemClock
from swarm.errors import InvalidArgument, SwarmError
from swarm.machine import ssh_config
from swarm.machine.archive import read_archive
from swarm.machine.endpoint import Secrets
from swarm.machine.errors import HostKeyUnknown, MachineError, Partial
from swarm.machine.host_keys import HostKeyPolicy, Trust
from swarm.machine.membership import Membership
from swarm.machine.provision import Order, Ways
from swarm.machine.store import MachineStore, cache_root, default_root

Command = TypeVar("Command", bound=Callable[..., Any])
T = TypeVar("T")
EXIT_CODES = (
    "\b\nExit codes: 0 done, 1 failed, 2 wrong usage, 3 refused before anything was changed, 4 not "
    "reached,\n"
    "5 not let in, 6 host key, 7 sudo, 8 unhealthy (went back), 9 some machines failed."
)

HEALTH_TIMEOUT = click.option(
    "--health-timeout",
    type=click.IntRange(1, 3600),
    default=60,
    show_default=True,
    help="Seconds within which a machine has to be healthy.",
)
WATCH = click.option(
    "--watch",
    type=click.IntRange(0, 3600),
    default=30,
    show_default=True,
    help="Seconds that a healthy release has to last, or its machine goes back.",
)
KEEP_FAILED = click.option(
    "--keep-failed",
    is_flag=True,
    help="Leave a machine that was made, but did not become a node (driver cloud).",
)
BUNDLE = click.option(
    "--bundle",
    "archive",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="File with a release, as swarmctl machine bundle makes them.",
)
DRY_RUN = click.option("--dry-run", is_flag=True, help="Only look, and print what would be done.")


def upgrade_order(release: str, archive: Path | None, *, dry_run: bool) -> Order:
    """Return what machines are to get; raises UsageError for two answers, PreCheckFailed for a bad file."""
    if release and archive is not None:
        raise click.UsageError("give --to or --bundle, not both")
    packed = read_archive(archive) if archive is not None else None
    return Order(dry_run=dry_run, release=release, archive=packed)


_REACHING = (
    click.option(
        "--timeout",
        type=click.FloatRange(0),
        default=60.0,
        show_default=True,
        help="Seconds to wait for a machine that does not answer.",
    ),
    click.option(
        "--host-key-policy",
        type=click.Choice([trust.value for trust in Trust]),
        default="ask",
        show_default=True,
        help="Which machines are trusted when they are first seen.",
    ),
    click.option(
        "--host-key", default="", metavar="SHA256:…", help="Fingerprint that the machine must show."
    ),
    click.option("--ask-pass", is_flag=True, help="Ask for the SSH password (or SWARMCTL_SSH_PASSWORD)."),
    click.option(
        "--ask-sudo-pass", is_flag=True, help="Ask for sudo's password (or SWARMCTL_SUDO_PASSWORD)."
    ),
    click.option(
        "--ask-passphrase",
        is_flag=True,
        help="Ask for the passphrase of the key (or SWARMCTL_SSH_PASSPHRASE).",
    ),
)
REACHING = ("timeout", "host_key_policy", "host_key", "ask_pass", "ask_sudo_pass", "ask_passphrase")


def reaching(command: Command) -> Command:
    """Add the options that say how machines are reached; `ways` takes them out again."""
    for option in reversed(_REACHING):
        command = option(command)
    return command


def ways(given: dict[str, Any]) -> Ways:
    """Take what `reaching` has added out of the arguments of a command; asks for passwords."""
    values = {name: given.pop(name) for name in REACHING}
    fingerprint = values["host_key"]
    if fingerprint and not fingerprint.startswith("SHA256:"):
        raise InvalidArgument(f"--host-key {fingerprint}: write SHA256:…, as ssh-keygen -l shows it")
    return Ways(
        store=MachineStore(default_root()),
        clock=SystemClock(),
        bundles=cache_root(),
        secrets=Secrets(
            password=_secret("SSH_PASSWORD", "SSH password", ask=values["ask_pass"]),
            sudo_password=_secret("SUDO_PASSWORD", "Password for sudo", ask=values["ask_sudo_pass"]),
            passphrase=_secret("SSH_PASSPHRASE", "Passphrase of the key", ask=values["ask_passphrase"]),
        ),
        policy=HostKeyPolicy(Trust(values["host_key_policy"]), fingerprint),
        trusted=ssh_config.trusted_elsewhere(),
        timeout_s=values["timeout"],
    )


def _secret(name: str, prompt: str, *, ask: bool) -> str:
    found = os.environ.get(f"SWARMCTL_{name}", "")
    return found or (str(click.prompt(prompt, hide_input=True, err=True)) if ask else "")


def membership(reach: Ways, cluster: str) -> Membership:
    """Return who makes machines members of a cluster; other machines of ours are asked for tokens."""
    return Membership(reach.store, cluster, reach.connect)


def confirmed(reach: Ways, action: Callable[[Ways], Coroutine[Any, Any, T]]) -> T:
    """Do something; a person at a terminal is asked about a host key that was never seen."""
    try:
        return asyncio.run(action(reach))
    except HostKeyUnknown as unknown:
        if reach.policy.trust is not Trust.ASK or not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        click.echo(
            f"{unknown.host} is seen for the first time; its host key is {unknown.fingerprint}.", err=True
        )
        click.confirm("Is that what the machine itself shows?", abort=True, err=True)
        from dataclasses import replace

        policy = HostKeyPolicy(Trust.ASK, unknown.fingerprint)
        return asyncio.run(action(replace(reach, policy=policy)))


def tell(name: str, text: str) -> None:
    """Say what happens with a machine."""
    click.echo(f"{name}: {text}", err=True)


def for_each(names: Sequence[str], action: Callable[[str], None]) -> None:
    """Do something with several machines; all are tried. Raises the only error, or Partial."""
    errors: list[SwarmError] = []
    for name in names:
        try:
            action(name)
        except SwarmError as error:
            errors.append(error)
            if len(names) > 1:
                click.echo(f"Error: {name}: {error}", err=True)
    if len(names) == 1 and errors:
        raise errors[0]
    if errors:
        kind = MachineError if len(errors) == len(names) else Partial
        raise kind(f"{len(errors)} of {len(names)} machines failed")


def options_of(texts: Sequence[str], flag: str) -> dict[str, str]:
    """Return KEY=VALUE arguments; raises InvalidArgument."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InvalidArgument(f'{flag} "{text}": write KEY=VALUE')
        found[key] = value
    return found


def existing_config(path: Path | None) -> Path | None:
    """Return the SSH configuration to read: the one that was named, else the user's."""
    return path if path is not None else ssh_config.default_config()
