"""`$NAME` and `${NAME…}` in the values of a Compose file."""

import re
from collections.abc import Callable, Mapping

from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_HALF = re.compile("[\ud800-\udfff]")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
DEPTH_MAX = 16  # of defaults in defaults

Unset = Callable[[str], None]  # told of a variable that is not set and has no default


def value_of(name: str, variables: Mapping[str, str]) -> str | None:
    """Return what a variable of the shell or a file says, None where there is none; raises InvalidArgument.

    What is no UTF-8 comes from the shell with halves of characters in it, which no message can carry.
    """
    value = variables.get(name)
    if value is not None and _HALF.search(value):
        raise InvalidArgument(f"the variable {name} is no text in UTF-8")
    return value


def interpolate(tree: Tree, variables: Mapping[str, str], unset: Unset) -> Tree:
    """Return `tree` with the variables in its values replaced; keys stay as they are.

    Raises InvalidArgument with the place of what cannot be read, or of a variable that must be set.
    """
    if isinstance(tree.value, dict):
        return tree.having({key: interpolate(one, variables, unset) for key, one in tree.value.items()})
    if isinstance(tree.value, list):
        return tree.having([interpolate(one, variables, unset) for one in tree.value])
    if isinstance(tree.value, str) and "$" in tree.value:
        try:
            return tree.having(substitute(tree.value, variables, unset))
        except InvalidArgument as problem:
            raise tree.problem(str(problem)) from None
    return tree


def escaped(tree: Tree) -> Tree:
    """Return `tree` with dollars doubled: read again, it says the same."""
    if isinstance(tree.value, dict):
        return tree.having({key: escaped(one) for key, one in tree.value.items()})
    if isinstance(tree.value, list):
        return tree.having([escaped(one) for one in tree.value])
    return tree.having(tree.value.replace("$", "$$")) if isinstance(tree.value, str) else tree


def substitute(text: str, variables: Mapping[str, str], unset: Unset) -> str:
    """Return `text` with its variables replaced; raises InvalidArgument."""
    return _Substitution(variables, unset).all_of(text, 0)


class _Substitution:
    def __init__(self, variables: Mapping[str, str], unset: Unset) -> None:
        self._variables = variables
        self._unset = unset

    def all_of(self, text: str, depth: int) -> str:
        parts: list[str] = []
        at = 0
        while (dollar := text.find("$", at)) >= 0:
            parts.append(text[at:dollar])
            part, at = self._one(text, dollar, depth)
            parts.append(part)
        parts.append(text[at:])
        return "".join(parts)

    def _one(self, text: str, dollar: int, depth: int) -> tuple[str, int]:
        """Return what stands for the variable at `dollar`, and where the text goes on."""
        after = dollar + 1
        if text.startswith("$", after):
            return "$", after + 1
        if text.startswith("{", after):
            end = _closing(text, after)
            return self._braced(text[after + 1 : end], depth), end + 1
        match = _NAME.match(text, after)
        if match is None:
            return "$", after  # a lone dollar, as in a regular expression
        return self._plain(match[0]), match.end()

    def _plain(self, name: str) -> str:
        value = value_of(name, self._variables)
        if value is None:
            self._unset(name)
        return value or ""

    def _braced(self, inside: str, depth: int) -> str:
        if depth >= DEPTH_MAX:
            raise InvalidArgument(f"${{…}} stands in more than {DEPTH_MAX} others")
        match = _NAME.match(inside)
        if match is None:
            raise InvalidArgument(
                f"${{{inside}}}: a variable's name is letters, digits and _; $$ is a dollar"
            )
        name, rest = match[0], inside[match.end() :]
        if not rest:
            return self._plain(name)
        operator = next((one for one in _OPERATORS if rest.startswith(one)), None)
        if operator is None:
            raise InvalidArgument(
                f"${{{inside}}}: after {name} comes one of {' '.join(_OPERATORS)}; $$ is a dollar"
            )
        value = value_of(name, self._variables)
        given = value if value or operator[0] != ":" else None
        word = rest[len(operator) :]
        if operator[-1] == "+":
            return "" if given is None else self.all_of(word, depth + 1)
        if given is not None:
            return given
        if operator[-1] == "-":
            return self.all_of(word, depth + 1)
        said = self.all_of(word, depth + 1)
        raise InvalidArgument(f"the variable {name} is not set" + (f": {said}" if said else ""))


def _closing(text: str, brace: int) -> int:
    """Return where the brace that opens at `brace` is closed."""
    depth = 0
    at = brace
    while at < len(text):
        if text.startswith("$$", at):
            at += 2
            continue
        if text.startswith("${", at):
            depth += 1
            at += 2
            continue
        if at == brace:
            depth += 1
        elif text[at] == "}":
            depth -= 1
            if depth == 0:
                return at
        at += 1
    raise InvalidArgument(f"{text[brace - 1 :]}: }} is missing; $$ is a dollar")
