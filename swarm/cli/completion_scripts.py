"""`swarmctl completion`: what makes a shell ask swarmctl how a word goes on."""

import click

SHELLS = ("bash", "zsh", "fish")
VARIABLE = "_SWARMCTL_COMPLETE"


@click.command(
    epilog="\b\nExamples:\n"
    "  swarmctl completion bash > /etc/bash_completion.d/swarmctl\n"
    "  source <(swarmctl completion zsh)      # in ~/.zshrc\n"
    "  swarmctl completion fish > ~/.config/fish/completions/swarmctl.fish"
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands, options and the names of objects."""
    from click.shell_completion import get_completion_class

    root = ctx.find_root()
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(root.command, {}, "swarmctl", VARIABLE).source())
