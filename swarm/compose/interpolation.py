"""`$NAME` and `${NAME…}` in the values of a Compose file."""

import re
from collections.abc import Callable, Mapping

from swarm.compose.tree import Tree
from swarm.errors import InvalidArgument

_NAME = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
DEPTH_MAX = 16  # of defaults in defaults

Unset = Callable[[str], None]  # told of a variable that is not set and has no default


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
        if name not in self._variables:
            self._unset(name)
        return self._variables.get(name, "")

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
        value = self._variables.get(name)
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
