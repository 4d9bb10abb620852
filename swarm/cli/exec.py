"""`exec` of a container, a task and a service: one command, under three nouns."""

import os
import sys
from typing import Any

import click

from swarm.api.v1.containers_pb2 import ContainerRequest, ExecOptions
from swarm.cli import parse
from swarm.cli.connect import connect
from swarm.cli.docker_settings import DETACH_KEYS
from swarm.cli.flags import FlagCommand
from swarm.errors import InvalidArgument

EPILOG = """\b
Examples:
  swarmctl {noun} exec -it {example} sh
  swarmctl {noun} exec {example} -- ls -l /data
  swarmctl {noun} exec -i {example} -- sh -c 'cat > /data/dump' < dump
  swarmctl {noun} exec -e DEBUG=1 -w /app -u app {example} -- ./migrate

The exit code is that of the command; 126 and 127: it could not be run (1 with -d). A command whose caller
goes away is ended: it hears a hang-up (SIGHUP), 3 s later it is killed. With -d, or after the detach keys,
it runs on until it ends, its container ends, or the node's agent is restarted.
"""

_OPTIONS = (
    click.option("-i", "--interactive", is_flag=True, help="Pass standard input on."),
    click.option("-t", "--tty", is_flag=True, help="Give the command a terminal."),
    click.option("-d", "--detach", is_flag=True, help="Return once it runs."),
    click.option(
        "-e", "--env", "env", multiple=True, metavar="KEY=VALUE", help="Set a variable; repeatable."
    ),
    click.option("--env-file", multiple=True, help="File with a KEY=VALUE in each line; repeatable."),
    click.option("-w", "--workdir", default="", help="Directory to run in."),
    click.option("-u", "--user", default="", help="User to run as: NAME|UID[:GROUP|GID]."),
    click.option("--privileged", is_flag=True, help="With all capabilities."),
    DETACH_KEYS,
)


def exec_command(noun: str, metavar: str, example: str) -> click.Command:
    """Return the command for one noun."""

    def run_it(ctx: click.Context, /, ref: str, command: tuple[str, ...], **given: Any) -> None:
        """Run a command in a container, wherever that is."""
        ctx.exit(_run(ctx.obj, noun, ref, command, given))

    run: Any = click.pass_context(run_it)
    for option in reversed(_OPTIONS):
        run = option(run)
    run = click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)(run)
    run = click.argument("ref", metavar=metavar)(run)
    return click.command(
        "exec",
        cls=FlagCommand,
        context_settings={"allow_interspersed_args": False},
        epilog=EPILOG.format(noun=noun, example=example),
    )(run)


def request_of(command: tuple[str, ...], given: dict[str, Any], rows: int, columns: int) -> ContainerRequest:
    """Return what the node is to run; raises InvalidArgument."""
    words = command[1:] if command[0] == "--" else command
    if not words:
        raise InvalidArgument("there is no command to run")
    options = ExecOptions(
        command=words,
        env=parse.environment((*parse.file_lines(given["env_file"]), *given["env"]), os.environ),
        working_dir=given["workdir"],
        user=given["user"],
        tty=given["tty"],
        stdin=given["interactive"] and not given["detach"],
        privileged=given["privileged"],
        detach=given["detach"],
        rows=rows,
        columns=columns,
    )
    return ContainerRequest(exec=options)


def _run(host: str, noun: str, ref: str, command: tuple[str, ...], given: dict[str, Any]) -> int:
    from swarm.cli import terminal
    from swarm.cli.container_calls import find_container
    from swarm.cli.exec_session import run

    if given["tty"] and given["interactive"] and not given["detach"] and not sys.stdin.isatty():
        raise InvalidArgument("standard input is no terminal: leave out -t to pipe something through")
    terminal.parse_keys(given["detach_keys"])
    request = request_of(command, given, *terminal.size())
    with connect(host) as conn:
        target = find_container(conn, ref, noun=noun)
        return run(conn, target, request, given["detach_keys"], sys.stdout.buffer, sys.stderr.buffer)
