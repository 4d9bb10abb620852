"""`.env` files and `env_file`: NAME=value, one a line."""

import re
from collections.abc import Mapping

from swarm.compose.interpolation import substitute, value_of
from swarm.errors import InvalidArgument

_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_.\-]*)\s*(?:[=:]\s*(.*))?", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$"}


def parse_dotenv(
    text: str, name: str, variables: Mapping[str, str], before: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return the variables of a file called `name`.

    In values, as `${NAME}`, may stand `variables`, those of the file itself, and those from `before` it.

    A name alone takes its value from `variables`, if it is there. Single quotes keep everything as it is,
    double quotes know \\n and \\", and both may go over several lines. Raises InvalidArgument.
    """
    found: dict[str, str] = {}
    lines = text.removeprefix("\ufeff").splitlines()
    number = 0
    while number < len(lines):
        first = number
        line = lines[number].strip()
        number += 1
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise InvalidArgument(f"{name}:{first + 1}: write NAME=value")
        key, value = match[1], match[2]
        if value is None:
            try:
                given = value_of(key, variables)
            except InvalidArgument as problem:
                raise InvalidArgument(f"{name}:{first + 1}: {problem}") from None
            if given is not None:
                found[key] = given
            continue
        if value[:1] in {"'", '"'}:
            while not _is_closed(value) and number < len(lines):
                value += "\n" + lines[number]
                number += 1
        try:
            found[key] = _value(value, {**(before or {}), **found, **variables})
        except InvalidArgument as problem:
            raise InvalidArgument(f"{name}:{first + 1}: {problem}") from None
    return found


def _is_closed(value: str) -> bool:
    return _end_of_quote(value) > 0


def _end_of_quote(value: str) -> int:
    """Return where the quote that `value` begins with ends, 0 when it does not."""
    quote = value[0]
    at = 1
    while at < len(value):
        if value[at] == "\\" and quote == '"':
            at += 2
        elif value[at] == quote:
            return at
        else:
            at += 1
    return 0


def _value(value: str, variables: Mapping[str, str]) -> str:
    if value[:1] not in {"'", '"'}:
        return substitute(re.split(r"\s+#|^#", value, maxsplit=1)[0].strip(), variables, _nothing)
    end = _end_of_quote(value)
    if not end:
        raise InvalidArgument(f"the quote {value[0]} is not closed")
    rest = value[end + 1 :].strip()
    if rest and not rest.startswith("#"):
        raise InvalidArgument(f"there is more after the closing {value[0]}")
    inside = value[1:end]
    if value[0] == "'":
        return inside
    escaped = re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[0]), inside, flags=re.DOTALL)
    return substitute(escaped, variables, _nothing)


def _nothing(name: str) -> None:
    """A variable that is not set is empty in a .env file, as in a shell."""
