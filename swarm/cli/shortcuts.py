"""Other names of commands: those that Docker's users type without thinking."""

import click

from swarm.cli.flags import FlagGroup

# What is typed -> the command that it is.
SHORTCUTS = {
    "attach": "container attach",
    "build": "image build",
    "commit": "container commit",
    "cp": "container cp",
    "create": "container create",
    "diff": "container diff",
    "exec": "container exec",
    "export": "container export",
    "history": "image history",
    "images": "image ls",
    "import": "image import",
    "kill": "container kill",
    "load": "image load",
    "logs": "container logs",
    "pause": "container pause",
    "port": "container port",
    "ps": "container ls",
    "pull": "image pull",
    "push": "image push",
    "rename": "container rename",
    "restart": "container restart",
    "rm": "container rm",
    "rmi": "image rm",
    "save": "image save",
    "start": "container start",
    "stats": "container stats",
    "stop": "container stop",
    "tag": "image tag",
    "unpause": "container unpause",
    "wait": "container wait",
}
# `docker swarm init` and its siblings stand at the top here; they also have the name that Docker gave them.
SWARM = ("ca", "init", "join", "join-token", "leave", "unlock", "unlock-key", "update")


class SwarmGroup(FlagGroup):
    """`swarmctl swarm …`: the commands of the cluster as a whole."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names for --help."""
        return list(SWARM)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command of the top."""
        top = ctx.find_root().command
        assert isinstance(top, click.Group)
        return top.get_command(ctx, cmd_name) if cmd_name in SWARM else None


@click.group("swarm", cls=SwarmGroup)
def swarm() -> None:
    """The cluster as a whole; each of these commands also stands at the top.

    \b
    Examples:
      swarmctl swarm init
      swarmctl swarm join --token TOKEN 192.0.2.1:2377
    """
