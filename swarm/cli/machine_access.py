"""`swarmctl machine ssh`, `scp`, `exec`, `logs`: getting at machines."""

import asyncio
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from swarm.cli.machine_options import for_each, reaching, ways
from swarm.machine import ssh_config
from swarm.machine.errors import MachineError, PreCheckFailed
from swarm.machine.ssh import Output
from swarm.machine.store import MachineStore, default_root

_RAW = {"ignore_unknown_options": True, "allow_interspersed_args": False}
_REMOTE = re.compile(r"(?:(?P<user>[^@:/]+)@)?(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]*):(?P<path>.*)", re.DOTALL)


@click.command(
    context_settings=_RAW,
    epilog="\b\nExamples:\n  swarmctl machine ssh m1\n  swarmctl machine ssh m1 uptime",
)
@click.argument("name")
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def ssh(name: str, command: tuple[str, ...]) -> int:
    """Log in to a machine with OpenSSH, or run a command there; the host key is the pinned one."""
    words = command[1:] if command[:1] == ("--",) else command
    return _openssh([name], lambda config: ["ssh", "-F", config, name, *words])


@click.command(
    epilog="\b\nExamples:\n  swarmctl machine scp m1:/var/log/syslog .\n"
    "  swarmctl machine scp -r site w1:/srv"
)
@click.option("-r", "--recursive", is_flag=True, help="Copy folders.")
@click.option("-q", "--quiet", is_flag=True)
@click.argument("source")
@click.argument("target")
def scp(source: str, target: str, *, recursive: bool, quiet: bool) -> int:
    """Copy files to, from or between machines: MACHINE:PATH."""
    sides = [_REMOTE.fullmatch(text) for text in (source, target)]
    names = list(dict.fromkeys(side["name"] for side in sides if side))
    if not names:
        raise click.UsageError("one side has to be MACHINE:PATH")
    flags = ["-3", *(["-r"] if recursive else []), *(["-q"] if quiet else [])]
    return _openssh(names, lambda config: ["scp", "-F", config, *flags, "--", source, target])


def _openssh(names: Sequence[str], command: Any) -> int:
    """Run an OpenSSH program with a configuration that knows our machines; return its exit code."""
    store = MachineStore(default_root())
    records = [store.load(name) for name in names]
    known = [store.folder(name) / "known_hosts" for name in names]
    with tempfile.TemporaryDirectory(prefix="swarmctl-") as folder:
        config = Path(folder) / "config"
        config.write_text(ssh_config.config_text(names, [record.endpoint for record in records], known))
        words = command(str(config))
        try:
            return subprocess.run(words, check=False).returncode
        except FileNotFoundError:
            raise PreCheckFailed(f"{words[0]} is missing here: install the package openssh-client") from None


@click.command(
    "exec",
    context_settings=_RAW,
    epilog="\b\nExamples:\n  swarmctl machine exec m1,m2,w1 uptime\n"
    "  swarmctl machine exec m1 swarmctl node ls",
)
@reaching
@click.argument("names", metavar="NAME[,NAME…]")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(names: str, command: tuple[str, ...], **given: Any) -> int:
    """Run a command as root on machines, at the same time; several machines' lines bear their names.

    It has no terminal and no input. Interrupted (Ctrl-C), or when the connection is lost, it is ended there,
    too, as with `ssh -t`: by SIGHUP. What is to go on begins with `nohup` or `systemd-run`.
    """
    reach = ways(given)
    several = names.split(",")
    records = [reach.store.load(name) for name in several]
    words = command[1:] if command[:1] == ("--",) else command
    script = f"PATH=$PATH:/usr/local/bin:/usr/sbin:/sbin; {shlex.join(words)}"

    async def one(at: int) -> Output:
        async with reach.connect(records[at]) as link:
            return await link.run(script, timeout_s=max(reach.timeout_s, 600.0), held=True)

    async def everywhere() -> list[Output | BaseException]:
        return await asyncio.gather(*(one(at) for at in range(len(records))), return_exceptions=True)

    worst = 0
    for name, done in zip(several, asyncio.run(everywhere()), strict=True):
        if isinstance(done, MachineError):
            if len(several) == 1:
                raise done
            click.echo(f"Error: {name}: {done}", err=True)
            worst = max(worst, done.exit_code)
        elif isinstance(done, BaseException):
            raise done
        else:
            _print(done, f"{name}: " if len(several) > 1 else "")
            worst = max(worst, done.code)
    return worst


def _print(done: Output, prefix: str) -> None:
    for text, err in ((done.out, False), (done.err, True)):
        named = "".join(f"{prefix}{line}\n" for line in text.splitlines()) if prefix else text
        click.echo(named, nl=False, err=err)


@click.command(epilog="\b\nExamples:\n  swarmctl machine logs --tail 50 m1\n  swarmctl machine logs -f m1")
@click.argument("names", nargs=-1, required=True)
@click.option(
    "-n",
    "--tail",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="Lines from the end.",
)
@click.option("-f", "--follow", is_flag=True, help="Go on with what it logs from now on, over OpenSSH.")
@reaching
def logs(names: tuple[str, ...], tail: int, *, follow: bool, **given: Any) -> int:
    """Print what the daemon of machines has logged last."""
    if follow:
        return _follow(names, tail)
    reach = ways(given)

    async def fetch(name: str) -> Output:
        async with reach.connect(reach.store.load(name)) as link:
            return await link.run('journalctl -u swarmd -n "$1" --no-pager -o short-iso', str(tail))

    def go(name: str) -> None:
        done = asyncio.run(fetch(name))
        if done.code:
            raise MachineError(f"{name}: {done.last_words}")
        _print(done, f"{name}: " if len(names) > 1 else "")

    for_each(names, go)
    return 0


def _follow(names: Sequence[str], tail: int) -> int:
    """Print what a daemon logs until somebody stops it; sudo may ask for its password at the terminal."""
    if len(names) != 1:
        raise click.UsageError("--follow: one machine at a time")
    (name,) = names
    terminal = ["-t"] if sys.stdin.isatty() else []
    follow = f"journalctl -u swarmd -n {tail} -f --no-pager -o short-iso"
    script = f'if [ "$(id -u)" = 0 ]; then exec {follow}; else exec sudo {follow}; fi'
    return _openssh(
        [name], lambda config: ["ssh", "-F", config, *terminal, name, f"sh -c {shlex.quote(script)}"]
    )
