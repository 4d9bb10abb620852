"""Flags as Docker's users write them: `--detach=false` is the same as not to write `--detach`."""

from collections.abc import Iterator, Sequence

import click

from swarm.cli.shortcuts import refuse_absent

_WORDS = {"true": True, "1": True, "t": True, "false": False, "0": False, "f": False}

_OTHER_NAMES = {"list": "ls", "remove": "rm"}


class FlagCommand(click.Command):
    """A command whose flags may be given a value: true or false."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the arguments, after every `--flag=true|false` was put as click knows it."""
        return super().parse_args(ctx, list(plain_flags(self, args)))


class FlagGroup(click.Group):
    """A group of such commands; `ls` and `rm` are also called `list` and `remove`."""

    command_class = FlagCommand

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command by any of its names."""
        return super().get_command(ctx, _OTHER_NAMES.get(cmd_name, cmd_name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; say what to do in place of one that only Docker has."""
        refuse_absent(f"{self.name} {args[0]}", ctx)
        return super().resolve_command(ctx, args)


def plain_flags(command: click.Command, args: Sequence[str]) -> Iterator[str]:
    """Yield `args` with `--flag=true` as `--flag`, and `--flag=false` as its opposite or not at all.

    What comes after `--`, or after the first argument of a command that takes the rest as it is, is not
    this command's to read.
    """
    options = {name: one for one in command.params if isinstance(one, click.Option) for name in one.opts}
    interspersed = command.context_settings.get("allow_interspersed_args", True)
    rest = iter(args)
    for arg in rest:
        positional = not arg.startswith("-") or arg == "-"
        if arg == "--" or (positional and not interspersed):
            yield arg
            yield from rest
            return
        name, _, value = arg.partition("=")
        option = options.get(name) if arg.startswith("--") else None
        if option is not None and option.is_flag and value.lower() in _WORDS:
            yield from _flag(option, name, wanted=_WORDS[value.lower()])
            continue
        yield arg
        if not positional and _takes_next(arg, options):
            yield from _one(rest)


def _flag(option: click.Option, name: str, *, wanted: bool) -> Iterator[str]:
    if wanted:
        yield name
    elif option.secondary_opts:
        yield option.secondary_opts[0]


def _takes_next(arg: str, options: dict[str, click.Option]) -> bool:
    """Whether the argument after `arg` is its value."""
    if arg.startswith("--"):
        return arg in options and not options[arg].is_flag
    for place, letter in enumerate(arg[1:], 1):
        option = options.get(f"-{letter}")
        if option is not None and not option.is_flag:
            return place == len(arg) - 1
    return False


def _one(rest: Iterator[str]) -> Iterator[str]:
    for arg in rest:
        yield arg
        return
