"""`swarmctl`: the commands, each imported only when it is used so that start-up stays quick."""

import importlib
import sys
from typing import Any

import click

from swarm.errors import SwarmError

# Noun or verb -> where it is and what it does (shown by --help without importing anything).
COMMANDS = {
    "ca": ("swarm.cli.ca:ca", "Show or rotate the root certificate of the cluster"),
    "config": ("swarm.cli.data:config", "Configs: data for containers that people may see"),
    "container": ("swarm.cli.container:container", "Containers on all nodes"),
    "dev": ("swarm.cli.dev:dev", "A whole cluster on this machine"),
    "events": ("swarm.cli.events:events", "Follow what happens in the cluster"),
    "image": ("swarm.cli.image:image", "Images loaded into the cluster"),
    "info": ("swarm.cli.cluster:info", "Show what this node is and knows"),
    "init": ("swarm.cli.cluster:init", "Start a cluster with this node as its first manager"),
    "join": ("swarm.cli.cluster:join", "Join this node to a cluster"),
    "join-token": ("swarm.cli.cluster:join_token", "Show or rotate the tokens that let nodes join"),
    "leave": ("swarm.cli.cluster:leave", "Take this node out of its cluster"),
    "login": ("swarm.cli.login:login", "Log in to a registry"),
    "logout": ("swarm.cli.login:logout", "Forget the credentials for a registry"),
    "network": ("swarm.cli.network:network", "Networks that span the nodes of the cluster"),
    "node": ("swarm.cli.node:node", "Nodes of the cluster"),
    "secret": ("swarm.cli.data:secret", "Secrets: data that only containers get to see"),
    "service": ("swarm.cli.service:service", "Services of the cluster"),
    "stack": ("swarm.cli.stack:stack", "Stacks: services that belong together, from Compose files"),
    "task": ("swarm.cli.task:task", "Tasks: what they are and what happened to them"),
    "unlock": ("swarm.cli.lock:unlock", "Unlock this manager after a restart"),
    "unlock-key": ("swarm.cli.lock:unlock_key", "Show or rotate the key that unlocks managers"),
    "update": ("swarm.cli.update:update", "Change settings of the cluster"),
    "volume": ("swarm.cli.volume:volume", "Volumes: data of containers that stays on a node"),
}

EPILOG = """\b
Examples:
  swarmctl init
  swarmctl join-token worker
  swarmctl service create --name web --replicas 3 --publish mode=host,published=80,target=8080 web:1
  swarmctl service ps web
  swarmctl stack deploy -c compose.yaml shop
  eval "$(swarmctl dev env)"      # talk to the cluster of `swarmctl dev up`
"""


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names for --help."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table above."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="swarm", prog_name="swarmctl")
@click.option(
    "-H",
    "--host",
    envvar="SWARMCTL_HOST",
    default="unix:///run/swarm/swarmd.sock",
    show_default=True,
    help="Socket of the node to talk to.",
)
@click.pass_context
def cli(ctx: click.Context, host: str) -> None:
    """Run services on a cluster of machines."""
    ctx.obj = host


def main(argv: list[str] | None = None) -> None:
    """Run `swarmctl`; exit code 0: done, 1: refused or failed, 2: wrong usage, 130: interrupted.

    Commands that wait for the update of a service exit with 3 when it paused and 4 when it was rolled back.
    """
    try:
        outcome: Any = cli.main(args=argv, prog_name="swarmctl", standalone_mode=False)
    except click.ClickException as problem:
        problem.show()
        sys.exit(problem.exit_code)
    except SwarmError as problem:
        click.echo(f"Error: {problem}", err=True)
        sys.exit(1)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output left; that is no error of ours
        sys.exit(141)
    sys.exit(outcome if isinstance(outcome, int) else 0)


if __name__ == "__main__":
    main()
