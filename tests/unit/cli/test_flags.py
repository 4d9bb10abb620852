from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from swarm.cli.flags import FlagCommand, FlagGroup, plain_flags
from swarm.cli.main import cli


@click.group(cls=FlagGroup)
def group() -> None:
    pass


@group.command(context_settings={"allow_interspersed_args": False})
@click.argument("image")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.option("-d", "--detach", is_flag=True)
@click.option("--init/--no-init", default=None)
@click.option("-e", "--env", multiple=True)
@click.option("--name", default="")
def create(**given: object) -> None:
    click.echo(repr(sorted(given.items())))


def given(*args: str) -> dict[str, object]:
    result = CliRunner().invoke(group, ["create", *args])
    assert result.exit_code == 0, result.output
    return dict(eval(result.output))


@pytest.mark.parametrize(
    ("args", "detach", "init"),
    [
        (["web"], False, None),
        (["--detach=false", "web"], False, None),
        (["--detach=true", "web"], True, None),
        (["--detach=True", "--init=false", "web"], True, False),
        (["--init=1", "web"], False, True),
        (["-d", "web"], True, None),
    ],
)
def test_a_flag_may_be_given_a_value(args: list[str], detach: bool, init: bool | None) -> None:
    got = given(*args)
    assert (got["detach"], got["init"], got["image"]) == (detach, init, "web")


def test_what_is_meant_for_the_container_or_is_a_value_is_left_alone() -> None:
    got = given("-e", "--detach=true", "--name", "--init=true", "web", "--detach=true", "--x=false")
    assert got["args"] == ("--detach=true", "--x=false")
    assert got["env"] == ("--detach=true",)
    assert (got["name"], got["detach"], got["init"]) == ("--init=true", False, None)
    assert given("-de", "A=b", "web")["detach"] is True


def test_another_value_is_an_error() -> None:
    assert CliRunner().invoke(group, ["create", "--detach=maybe", "web"]).exit_code == 2


def all_commands(
    group: click.Group, ctx: click.Context
) -> Iterator[tuple[click.Context, str, click.Command]]:
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from all_commands(command, click.Context(command, parent=ctx))
        else:
            yield ctx, name, command


def test_flags_of_every_command_may_be_given_a_value() -> None:
    count = 0
    for ctx, name, command in all_commands(cli, click.Context(cli)):
        options = (one for one in command.params if isinstance(one, click.Option) and one.is_flag)
        for flag in (option.opts[-1] for option in options if option.opts[-1].startswith("--")):
            assert isinstance(ctx.command, click.Group)
            _, _, args = ctx.command.resolve_command(ctx, [name, f"{flag}=true"])
            if isinstance(command, FlagCommand):
                args = list(plain_flags(command, args))
            assert args == [flag], f"{name} {flag}"
            count += 1
    assert count > 300
