"""Does a Compose file say what the specification allows? Errors have a place and a way out."""

import json
from collections.abc import Iterable, Sequence
from functools import cache
from importlib import resources
from typing import Any

from swarm.compose.tree import Place, Tree, problem_at

# The specification's schema, without its prose: https://github.com/compose-spec/compose-spec,
# schema/compose-spec.json of 2025-10-21, © The Compose Specification Authors, Apache License 2.0.
FILE = "compose-spec.json"

_WORDS = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "object": "a mapping",
    "array": "a list",
    "null": "nothing",
}


@cache
def schema() -> dict[str, Any]:
    """Return the schema of the Compose specification."""
    text = resources.files("swarm.compose").joinpath(FILE).read_text()
    found: dict[str, Any] = json.loads(text)
    return found


@cache
def _validator() -> Any:
    from jsonschema import Draft7Validator

    return Draft7Validator(schema())


def validate(tree: Tree) -> None:
    """Raise InvalidArgument with the first thing that the schema does not allow, and its place."""
    errors = [_deepest(error) for error in _validator().iter_errors(tree.plain())]
    if not errors:
        return
    place, text = min((_explain(error, tree.at(error.absolute_path)) for error in errors), key=_order)
    raise problem_at(place, text)


def _order(problem: tuple[Place, str]) -> tuple[int, int]:
    return problem[0].line, problem[0].column


def _deepest(error: Any) -> Any:
    """Return what is wrong in the alternative that fits best: the one that got furthest."""
    while error.context:
        best = max(error.context, key=lambda one: (len(one.relative_path), one.validator != "type"))
        if len(best.relative_path) == 0 and best.validator == "type":
            return error
        error = best
    return error


def _explain(error: Any, where: Tree) -> tuple[Place, str]:
    path = _path(error.absolute_path)
    if error.validator == "additionalProperties":
        key = min(_unknown(error), key=lambda one: _line(where, one))
        entry = where.entries.get(key, where)
        known = sorted(error.schema.get("properties", ()))
        place = entry.key_place or entry.place
        if not error.schema.get("properties"):
            return place, f'{path}: "{key}" is no name: letters, digits and . _ - make one'
        return place, f'{path} has no key "{key}"{_meant(key, known)}'
    return where.place, f"{path}: {_sentence(error)}"


def _sentence(error: Any) -> str:
    match error.validator:
        case "type":
            return f"it must be {_types(error.validator_value)}, not {_shown(error.instance)}"
        case "enum":
            allowed = ", ".join(map(str, error.validator_value))
            return f"it must be one of {allowed}, not {_shown(error.instance)}"
        case "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            return f"{' and '.join(missing)} must be said"
        case "uniqueItems":
            return f"{_shown(_twice(error.instance))} stands in it twice"
        case "oneOf" | "anyOf":
            kinds = [kind for one in error.context if one.validator == "type" for kind in _list(one)]
            return f"it must be {_types(list(dict.fromkeys(kinds)))}, not {_shown(error.instance)}"
        case "pattern":
            return f"{_shown(error.instance)} does not fit the pattern {error.validator_value}"
        case "minimum" | "maximum" | "exclusiveMinimum":
            return f"{_shown(error.instance)} is out of range ({error.validator} {error.validator_value})"
        case _:
            return str(error.message)


def _list(error: Any) -> Sequence[str]:
    value = error.validator_value
    return [value] if isinstance(value, str) else value


def _types(kinds: str | Sequence[str]) -> str:
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return " or ".join(_WORDS.get(kind, kind) for kind in kinds)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"{'nothing' if value is None else json.dumps(value, ensure_ascii=False)}"


def _twice(items: Sequence[Any]) -> Any:
    return next((item for number, item in enumerate(items) if item in items[:number]), None)


def _path(steps: Iterable[str | int]) -> str:
    """Return `services.web.ports[0]`."""
    text = ""
    for step in steps:
        text += f"[{step}]" if isinstance(step, int) else f"{'.' if text else ''}{step}"
    return text or "the file"


def _unknown(error: Any) -> list[str]:
    import re

    patterns = list(error.schema.get("patternProperties", ()))
    known = error.schema.get("properties", {})
    return [
        key
        for key in error.instance
        if key not in known and not any(re.search(pattern, key) for pattern in patterns)
    ]


def _line(where: Tree, key: str) -> int:
    entry = where.entries.get(key, where)
    return (entry.key_place or entry.place).line


def _meant(key: str, known: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(key, known, n=1)
    if close:
        return f'; did you mean "{close[0]}"?'
    return f"; known are {', '.join(known)}" if 0 < len(known) <= 12 else ""
