"""Manual pages of swarmctl, one for each command, from the same words as its --help: `make man`.

python -m swarm.cli.man_pages FOLDER      # writes FOLDER/man1/swarmctl*.1
"""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import click

from swarm.cli.main import cli

EXIT_STATUS = (
    "0: done. 1: refused or failed. 2: wrong usage. 130: interrupted; what was begun goes on in the cluster."
    " Commands with more of them name them above."
)
_VERBATIM = "\b\n"  # click's mark of a paragraph whose lines stay as they are


def pages(
    command: click.Command, parent: click.Context | None = None, name: str = ""
) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of the page of a command and of all below it; names as `swarmctl-node-ls`."""
    ctx = click.Context(command, parent=parent, info_name=name or "swarmctl", **command.context_settings)
    yield ctx.command_path.replace(" ", "-"), _page(command, ctx)
    if isinstance(command, click.Group):
        for below, child in _children(command, ctx):
            if not child.hidden:
                yield from pages(child, ctx, below)


def _children(group: click.Group, ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
    for name in group.list_commands(ctx):
        child = group.get_command(ctx, name)
        assert child is not None
        yield name, child


def _page(command: click.Command, ctx: click.Context) -> str:
    path = ctx.command_path
    title = path.replace(" ", "-")
    parts = [
        f'.TH "{title.upper()}" "1" "" "swarm {version("swarm")}" "swarmctl"',
        ".SH NAME",
        f"{_plain(title)} \\- {_plain(command.get_short_help_str(200))}",
        ".SH SYNOPSIS",
        f"\\fB{_plain(path)}\\fR {_plain(' '.join(command.collect_usage_pieces(ctx)))}",
        ".SH DESCRIPTION",
        *_prose(command.help or ""),
    ]
    records = filter(None, (param.get_help_record(ctx) for param in command.get_params(ctx)))
    options = [(term, text) for term, text in records if text or term.startswith("-")]
    if options:
        parts += [".SH OPTIONS", *_list(options)]
    related = [ctx.parent.command_path] if ctx.parent else []
    if isinstance(command, click.Group):
        children = [(name, child) for name, child in _children(command, ctx) if not child.hidden]
        parts += [".SH COMMANDS", *_list([(name, one.get_short_help_str(200)) for name, one in children])]
        related += [f"{path} {name}" for name, _ in children]
    if command.epilog:
        parts += [".SH EXAMPLES AND NOTES", *_prose(command.epilog)]
    parts += [".SH EXIT STATUS", _plain(EXIT_STATUS)]
    if related:
        parts += [
            ".SH SEE ALSO",
            ", ".join(f"\\fB{_plain(one.replace(' ', '-'))}\\fR(1)" for one in related),
        ]
    return "\n".join(parts) + "\n"


def _list(records: list[tuple[str, str]]) -> Iterator[str]:
    for term, text in records:
        yield ".TP"
        yield f"\\fB{_plain(term)}\\fR"
        yield _plain(" ".join(text.split()))


def _prose(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(re.split(r"\n[ \t]*\n", _dedent(text))):
        if number:
            yield ".PP"
        if paragraph.startswith(_VERBATIM):
            yield from (".nf", *map(_plain, paragraph.removeprefix(_VERBATIM).splitlines()), ".fi")
        else:
            yield _plain(" ".join(paragraph.split()))


def _dedent(text: str) -> str:
    """Remove the indent of a docstring, whose first line has none."""
    return re.sub(r"\n {4}", "\n", text.strip("\n "))


def _plain(text: str) -> str:
    """Return text that the formatter shows as it is, also where a line begins with a dot."""
    safe = text.replace("\\", "\\e").replace("-", "\\-").replace("\b", "")
    return f"\\&{safe}" if safe.startswith((".", "'")) else safe


def write(folder: Path) -> int:
    """Write all pages below `folder`, remove those of commands that are gone; return how many there are."""
    place = folder / "man1"
    place.mkdir(parents=True, exist_ok=True)
    made = {f"{name}.1": text for name, text in pages(cli)}
    for old in place.glob("swarmctl*.1"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (place / name).write_text(text)
    return len(made)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m swarm.cli.man_pages FOLDER")
    sys.stdout.write(f"{write(Path(sys.argv[1]))} pages in {sys.argv[1]}/man1\n")
