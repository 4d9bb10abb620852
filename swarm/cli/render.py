"""What commands print: tables for people, templates and JSON for scripts."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import click

from swarm.errors import InvalidArgument

Row = Mapping[str, str]  # placeholder (as in {{.Name}}) -> text

_PLACEHOLDER = re.compile(r"\{\{\s*(json\s+)?\.([A-Za-z.]*)\s*\}\}")


def table(columns: Sequence[tuple[str, str]], rows: Sequence[Row]) -> str:
    """Return rows aligned under their titles; `columns` are (TITLE, placeholder)."""
    lines = [[title for title, _ in columns]] + [[row.get(key, "") for _, key in columns] for row in rows]
    widths = [max(len(line[at]) for line in lines) for at in range(len(columns))]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def show(rows: Sequence[Row], columns: Sequence[tuple[str, str]], layout: str, quiet_key: str = "") -> None:
    """Print rows as `--format` asks: empty or `table`, `json`, `TEMPLATE` or `table TEMPLATE`."""
    if quiet_key:
        text = "\n".join(row[quiet_key] for row in rows)
    elif layout in {"", "table"}:
        text = table(columns, rows)
    elif layout == "json":
        text = "\n".join(json.dumps(dict(row)) for row in rows)
    elif layout.startswith("table "):
        text = _table_of(layout.removeprefix("table "), columns, rows)
    else:
        text = "\n".join(fill(layout, row) for row in rows)
    if text:
        click.echo(text)


def fill(template: str, value: Any) -> str:
    """Fill `{{.Key}}`, `{{.Key.Sub}}`, `{{json .Key}}` from a (nested) mapping."""

    def replace(match: re.Match[str]) -> str:
        found = value
        for key in [part for part in match.group(2).split(".") if part]:
            if not isinstance(found, Mapping) or key not in found:
                known = ", ".join(found) if isinstance(found, Mapping) else "nothing"
                raise InvalidArgument(f'--format: there is no "{match.group(2)}" here; known: {known}')
            found = found[key]
        if match.group(1) or not isinstance(found, str | int | float):
            return json.dumps(found)
        return str(found)

    text = template.replace("\\t", "\t").replace("\\n", "\n")
    filled = _PLACEHOLDER.sub(replace, text)
    if "{{" in filled and "{{" in _PLACEHOLDER.sub("", text):
        raise InvalidArgument(f'--format: cannot read "{template}"; use {{{{.Name}}}} or {{{{json .}}}}')
    return filled


def _table_of(template: str, columns: Sequence[tuple[str, str]], rows: Sequence[Row]) -> str:
    keys = [match.group(2) for match in _PLACEHOLDER.finditer(template)]
    titles = {key: title for title, key in columns}
    return table([(titles.get(key, key.upper()), key) for key in keys], rows)


def show_objects(objects: Sequence[Any], layout: str) -> None:
    """Print inspected objects: a JSON list, or one line of `TEMPLATE` each."""
    if layout in {"", "json"}:
        click.echo(json.dumps(list(objects), indent=None if layout else 4))
        return
    for item in objects:
        click.echo(fill(layout, item))


def shorten(text: str, width: int) -> str:
    """Return `text` cut to `width` characters, with an ellipsis when something is missing."""
    return text if len(text) <= width else text[: width - 1] + "…"
