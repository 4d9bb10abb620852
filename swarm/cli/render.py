"""What commands print: tables for people, templates and JSON for scripts."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from swarm.errors import InvalidArgument

if TYPE_CHECKING:
    from swarm.cli.templates.tree import Template


class WrongTemplate(InvalidArgument):
    """What `--format` gives is no template: Docker has a code for it where one object is shown."""

    exit_code = 64


Row = Mapping[str, str]  # placeholder (as in {{.Name}}) -> text


def ordered(given: Mapping[str, str]) -> dict[str, str]:
    """Return a map with its keys in their order, the same each time; protobuf's have none."""
    return dict(sorted(given.items()))


def table(columns: Sequence[tuple[str, str]], rows: Sequence[Row]) -> str:
    """Return rows aligned under their titles; `columns` are (TITLE, placeholder)."""
    return aligned(
        [[title for title, _ in columns], *([row.get(key, "") for _, key in columns] for row in rows)]
    )


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return cells in columns as wide as their widest one."""
    widths = [max(map(len, column)) for column in zip_longest(*lines, fillvalue="")]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip()
        for line in lines
    )


def show(
    rows: Sequence[Row],
    columns: Sequence[tuple[str, str]],
    layout: str,
    quiet_key: str = "",
    raw: Sequence[tuple[str, str]] = (),
) -> None:
    """Print rows as `--format` asks: empty or `table`, `json`, `yaml`, `TEMPLATE` or `table TEMPLATE`.

    `raw`, where a list has it, is a line `word: value` for each of (WORD, placeholder). With a `quiet_key`
    that alone is printed, unless a format asks for more.
    """
    if quiet_key and layout in {"", "table", "raw"}:
        word = next((f"{word}: " for word, key in raw if key == quiet_key and layout == "raw"), "")
        text = "\n".join(f"{word}{row[quiet_key]}" for row in rows)
    elif layout in {"", "table"}:
        text = table(columns, rows)
    elif layout == "raw" and raw:
        lines = ([f"{word}: {row.get(key, '')}".rstrip() for word, key in raw] for row in rows)
        text = "\n".join("\n".join(one) + "\n" for one in lines)
    elif layout == "json":
        text = "\n".join(json.dumps(dict(row), separators=(",", ":")) for row in rows)
    elif layout == "yaml":
        text = as_yaml([dict(row) for row in rows])
    elif layout.startswith("table "):
        text = _table_of(layout.removeprefix("table "), columns, rows)
    else:
        text = "\n".join(fill(layout, row) for row in rows)
    if text:
        click.echo(text)


def fill(template: str, value: Any) -> str:
    """Return `template`, in the language of Go's text/template, filled from a (nested) mapping."""
    from swarm.cli.templates.evaluate import evaluate  # late: tables need no templates

    return evaluate(_read(template), value)


def check(layout: str) -> None:
    """Raise WrongTemplate unless `layout` is a word or can be read as a template."""
    try:
        _read(layout)
    except InvalidArgument as problem:
        raise WrongTemplate(str(problem)) from None


@cache
def _read(template: str) -> "Template":
    from swarm.cli.templates.parser import parse

    return parse(template)


_WORDS = re.compile("(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


class _Titles(dict[str, str]):
    """The title of every placeholder: that of its column, or its own name, word by word."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: str) -> str:
        return _WORDS.sub(" ", key).upper()


def _table_of(template: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row]) -> str:
    from swarm.cli.templates.evaluate import evaluate
    from swarm.cli.templates.functions import OF_TITLES

    titles = evaluate(_read(template), _Titles({key: title for title, key in columns}), OF_TITLES)
    return aligned([titles.split("\t"), *(fill(template, row).split("\t") for row in rows)])


def show_objects(objects: Sequence[Any], layout: str) -> None:
    """Print inspected objects: a list in JSON or YAML, or one line of `TEMPLATE` each."""
    if layout in {"", "json"}:
        click.echo(json.dumps(list(objects), indent=None if layout else 4))
        return
    if layout == "yaml":
        click.echo(as_yaml(list(objects)))
        return
    from swarm.cli.unsaid import with_unsaid

    for item in objects:
        click.echo(fill(layout, with_unsaid(item)))


def show_object(value: Any, layout: str) -> None:
    """Print one object as `json`, `yaml` or `TEMPLATE`."""
    if layout == "yaml":
        click.echo(as_yaml(value))
    else:
        check(layout)
        click.echo(fill("{{json .}}" if layout == "json" else layout, value))


def as_yaml(value: Any) -> str:
    """Return a value as YAML, keys in the order they have."""
    import yaml

    plain = json.loads(json.dumps(value))  # without texts that are more than text
    return str(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)).rstrip()


def shorten(text: str, width: int) -> str:
    """Return `text` cut to `width` characters, with an ellipsis when something is missing."""
    return text if len(text) <= width else text[: width - 1] + "…"
