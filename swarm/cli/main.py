"""`swarmctl`: the commands, each imported only when it is used so that start-up stays quick."""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from swarm.cli import paging
from swarm.cli.completion_scripts import VARIABLE
from swarm.cli.flags import FlagGroup
from swarm.cli.late import load
from swarm.cli.shortcuts import SHORTCUTS
from swarm.errors import InvalidArgument, SwarmError

# Noun or verb -> where it is and what it does (shown by --help without importing anything).
COMMANDS = {
    "audit": ("swarm.cli.audit:audit", "Who was denied what, and who changed what"),
    "backup": ("swarm.cli.backup:backup", "Backups of the cluster's state"),
    "ca": ("swarm.cli.ca:ca", "Show or rotate the root certificate of the cluster"),
    "cluster": ("swarm.cli.cluster_file:cluster", "Whole clusters, from a file that names their machines"),
    "completion": ("swarm.cli.completion_scripts:completion", "Make the shell complete commands and names"),
    "config": ("swarm.cli.data:config", "Configs: data for containers that people may see"),
    "context": ("swarm.cli.context:context", "Clusters by name, and which of them commands talk to"),
    "container": ("swarm.cli.container:container", "Containers on all nodes"),
    "dev": ("swarm.cli.dev:dev", "A whole cluster on this machine"),
    "doctor": ("swarm.cli.doctor:doctor", "Is a machine fit for containers, and what mends it?"),
    "events": ("swarm.cli.events:events", "Follow what happens in the cluster"),
    "image": ("swarm.cli.image:image", "Images loaded into the cluster"),
    "info": ("swarm.cli.cluster:info", "Show what this node is and knows"),
    "init": ("swarm.cli.cluster:init", "Start a cluster with this node as its first manager"),
    "inspect": ("swarm.cli.inspect:inspect", "Show objects of any kind"),
    "join": ("swarm.cli.cluster:join", "Join this node to a cluster"),
    "join-token": ("swarm.cli.cluster:join_token", "Show or rotate the tokens that let nodes join"),
    "leave": ("swarm.cli.cluster:leave", "Take this node out of its cluster"),
    "login": ("swarm.cli.login:login", "Log in to a registry"),
    "logout": ("swarm.cli.login:logout", "Forget the credentials for a registry"),
    "machine": ("swarm.cli.machine:machine", "Bare machines become nodes of a cluster, over SSH"),
    "ingress": ("swarm.cli.ingress:ingress", "HTTP ingress: nodes that bring requests to services"),
    "network": ("swarm.cli.network:network", "Networks that span the nodes of the cluster"),
    "node": ("swarm.cli.node:node", "Nodes of the cluster"),
    "restore": ("swarm.cli.backup:restore", "Begin a cluster anew from a backup"),
    "run": ("swarm.cli.container_run:run", "Run a container that belongs to no service, on any node"),
    "secret": ("swarm.cli.data:secret", "Secrets: data that only containers get to see"),
    "service": ("swarm.cli.service_group:service", "Services of the cluster"),
    "stack": ("swarm.cli.stack:stack", "Stacks: services that belong together, from Compose files"),
    "swarm": ("swarm.cli.shortcuts:swarm", "init, join and the others, by the names that Docker gave them"),
    "system": ("swarm.cli.system:system", "What the nodes' disks are used for, and what of it can go"),
    "task": ("swarm.cli.task:task", "Tasks: what they are and what happened to them"),
    "top": ("swarm.cli.top:top", "Watch nodes, services and tasks: what they do and what they use"),
    "unlock": ("swarm.cli.lock:unlock", "Unlock this manager after a restart"),
    "unlock-key": ("swarm.cli.lock:unlock_key", "Show or rotate the key that unlocks managers"),
    "update": ("swarm.cli.update:update", "Change settings of the cluster"),
    "user": ("swarm.cli.user:user", "People who call from elsewhere, and what each may do"),
    "version": ("swarm.cli.version:version", "Show the versions of swarmctl and of the node it talks to"),
    "volume": ("swarm.cli.volume:volume", "Volumes: data of containers that stays on a node"),
}

_UPDATE_CONTAINERS = "swarm.cli.container_plain:update"

EPILOG = """\b
Examples:
  swarmctl init
  swarmctl join-token worker
  swarmctl service create --name web --replicas 3 --publish mode=host,published=80,target=8080 web:1
  swarmctl service ps web
  swarmctl stack deploy -c compose.yaml shop
  eval "$(swarmctl dev env)"      # talk to the cluster of `swarmctl dev up`
"""


class LazyGroup(FlagGroup):
    """A group that knows its commands by name and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names for --help and for what was mistyped."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name in SHORTCUTS:
            noun, _, verb = SHORTCUTS[cmd_name].partition(" ")
            group = self.get_command(ctx, noun)
            assert isinstance(group, click.Group)
            return group.get_command(ctx, verb)
        if cmd_name not in COMMANDS:
            return None
        return load(COMMANDS[cmd_name][0])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; name those that look like it where there is none."""
        try:
            name, command, rest = super().resolve_command(ctx, args)
        except click.NoSuchCommand as problem:
            raise click.NoSuchCommand(
                problem.command_name, possibilities=(*COMMANDS, *SHORTCUTS), ctx=ctx
            ) from None
        if name == "update" and _names_containers(rest):
            command = load(_UPDATE_CONTAINERS)
        return name, command, rest

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; of what Docker has and we do not, say why and what to do instead."""
        try:
            return super().invoke(ctx)
        except (click.NoSuchOption, click.NoSuchCommand) as problem:
            raise _explained(problem) from None

    def get_help(self, ctx: click.Context) -> str:
        """Return the help, which a terminal shows in a pager."""
        paging.begin()
        return super().get_help(ctx)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])
        with formatter.section("Shortcuts"):
            formatter.write_dl(sorted(SHORTCUTS.items()))


def _names_containers(rest: list[str]) -> bool:
    """Whether `update` is meant as Docker's, of containers: that of the cluster takes no names."""
    of_cluster, of_containers = load(COMMANDS["update"][0]), load(_UPDATE_CONTAINERS)
    try:
        _, extra, _ = of_cluster.make_parser(click.Context(of_cluster)).parse_args(list(rest))
    except click.NoSuchOption:
        with suppress(click.UsageError):
            given, _, _ = of_containers.make_parser(click.Context(of_containers)).parse_args(list(rest))
            return bool(given["refs"])
    except click.UsageError:
        pass
    else:
        return bool(extra)
    return False


def _explained(problem: click.NoSuchOption | click.NoSuchCommand) -> click.UsageError:
    from swarm.cli.docker_reasons import ABSENT, reason_for

    _, _, path = (problem.ctx.command_path if problem.ctx else "").partition(" ")
    if isinstance(problem, click.NoSuchOption):
        command = SHORTCUTS.get(path, path)
        reason = reason_for(command, problem.option_name.removeprefix("--"))
        what = f"option '{problem.option_name}'"
    else:
        name = problem.command_name
        reason = ABSENT.get(f"{path} {name}") or ABSENT.get(f"container {name}", ABSENT.get(f"image {name}"))
        what = f"command '{name}'"
    return click.UsageError(f"No such {what}: {reason}", ctx=problem.ctx) if reason else problem


def _no_pager(_ctx: click.Context, _param: click.Parameter, unwanted: bool) -> None:
    if unwanted:
        os.environ["SWARMCTL_PAGER"] = ""


def _print_version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(f"swarmctl, version {_version()}")
        ctx.exit()


def _version() -> str:
    """Return the version of this program; the library for that takes a third of the time of the command."""
    for folder in sys.path:
        found = sorted(Path(folder or ".").glob("swarm-*.dist-info"))
        if found:
            return found[0].name.removesuffix(".dist-info").partition("-")[2]
    from importlib.metadata import version

    return version("swarm")


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.option(
    "-H",
    "--host",
    show_default="SWARMCTL_HOST, the context in use, unix:///run/swarm/swarmd.sock",
    help="Where to go: unix:///SOCKET, ssh://[USER@]HOST[:PORT] or tcp://MANAGER:2377,…",
)
@click.option(
    "-c",
    "--context",
    show_default="SWARMCTL_CONTEXT, the context in use",
    help="Cluster to talk to, by name.",
)
@click.option(
    "--no-pager",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_no_pager,
    help="Print long output as it is (else: SWARMCTL_PAGER, PAGER, less).",
)
@click.pass_context
def cli(ctx: click.Context, host: str | None, context: str | None) -> None:
    """Run services on a cluster of machines."""
    from swarm.cli.contexts import ContextStore, choose, default_root

    ctx.obj = choose(context, host, os.environ, ContextStore(default_root(os.environ)))


def _run(argv: list[str] | None) -> Any:
    if VARIABLE in os.environ:
        from swarm.cli.completion import add_names

        add_names(cli)
    try:
        return cli.main(args=argv, prog_name="swarmctl", standalone_mode=False)
    except ValueError as problem:
        if (number := _too_large(problem)) is None:
            raise
        raise InvalidArgument(
            f"{number} is larger than what it was given for can be: write less"
        ) from problem
    finally:
        paging.end()  # before an error is told


def _too_large(problem: ValueError) -> str | None:
    """Return the number that no field of a message holds; its option may have any, as far as click knows."""
    words = str(problem).partition("Value out of range: ")
    return words[2] if not words[0] and words[2] else None


def main(argv: list[str] | None = None) -> None:
    """Run `swarmctl`; exit code 0: done, 1: refused or failed, 2: wrong usage, 130: interrupted.

    Commands that wait for the update of a service exit with 3 when it paused and 4 when it was rolled back.
    """
    try:
        outcome = _run(argv)
    except click.ClickException as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except SwarmError as problem:
        click.echo(f"Error: {problem}", err=True)
        sys.exit(getattr(problem, "exit_code", 1))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; that is no error of ours
        sys.exit(141)
    sys.exit(outcome if isinstance(outcome, int) else 0)


if __name__ == "__main__":
    main()
