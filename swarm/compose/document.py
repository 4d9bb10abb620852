"""YAML as Compose means it: version 1.2 of its scalars, unique keys, two tags of its own, and bounds."""

import re
from typing import Any, Final

import yaml

from swarm.compose.tree import Mark, Place, Scalar, Tree
from swarm.errors import InvalidArgument
from swarm.model.limits import COMPOSE_FILE_BYTES, COMPOSE_VALUES

DEPTH_MAX = 64  # of values in values; the schema knows no deeper ones than a dozen

_PLAIN: Final = "plain"
_YAML = "tag:yaml.org,2002:"
_STRING: Final = f"{_YAML}str"
# Tags that say no more than what stands there anyway.
_TAGS = frozenset(
    ("!", *(f"{_YAML}{name}" for name in ("map", "seq", "str", "int", "float", "bool", "null")))
)
_MERGE_KEY = "<<"
_MARKS = {mark.value: mark for mark in (Mark.RESET, Mark.OVERRIDE)}
_WORDS: dict[str, Scalar] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
_BASES = ((re.compile(r"0o?([0-7]+)"), 8), (re.compile(r"0x([0-9a-fA-F]+)"), 16))
_HALF = re.compile("[\ud800-\udfff]")  # a surrogate, from "\\ud83d" in quotes
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class _Loader(yaml.BaseLoader):  # type: ignore[misc]  # PyYAML has no types
    """Tells words that are quoted from words that are not: `80` is a number, `"80"` is not."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _STRING
        return str(super().resolve(kind, value, implicit))

    def compose_node(self, parent: yaml.Node | None, index: Any) -> Any:
        """Read a value; refuse one that is nested too deeply while there is a place to name."""
        self._depth = getattr(self, "_depth", 0) + 1
        if self._depth > DEPTH_MAX + 1:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(
                problem=f"values are nested in more than {DEPTH_MAX} others", problem_mark=mark
            )
        found = super().compose_node(parent, index)
        self._depth -= 1
        return found


def parse(text: str, name: str) -> Tree:
    """Return what the file called `name` says; raises InvalidArgument with file, line and column."""
    size = len(text.encode(errors="surrogatepass"))
    for problem in COMPOSE_FILE_BYTES.exceeded(name, size):
        raise InvalidArgument(problem)
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark is not None else name
        raise InvalidArgument(f"{where}: {_told(problem)}") from None
    except yaml.reader.ReaderError as problem:
        before = text[: problem.position].split("\n")
        where = f"{name}:{len(before)}:{len(before[-1]) + 1}"
        raise InvalidArgument(f"{where}: the character U+{problem.character:04X} is not allowed") from None
    if node is None:
        return Tree({}, Place(name, 1, 1))
    return _Reader(name).read(node, 0)


def _told(problem: Any) -> str:
    """Return what PyYAML says is wrong, in full sentences and with a way out where there is a usual one."""
    said = str(problem.problem or problem.context)
    if said.startswith("but "):
        return f"{problem.context}, {said}"
    return f"{said}; indent with spaces" if "'\\t'" in said else said


class _Reader:
    """Turns the nodes of one file into a tree; aliases are followed, and count again each time."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def read(self, node: yaml.Node, depth: int) -> Tree:
        place = self._place(node)
        self._count += 1
        for problem in COMPOSE_VALUES.exceeded("values, aliases counted each time", self._count):
            raise InvalidArgument(f"{place}: {problem}")
        if depth > DEPTH_MAX:
            raise InvalidArgument(f"{place}: values are nested in more than {DEPTH_MAX} others")
        if node.tag not in {_PLAIN, *_MARKS, *_TAGS}:
            raise InvalidArgument(f"{place}: the tag {node.tag} is not known; known: {', '.join(_MARKS)}")
        mark = _MARKS.get(node.tag, Mark.NONE)
        if isinstance(node, yaml.MappingNode):
            return Tree(self._mapping(node, depth), place, mark=mark)
        if isinstance(node, yaml.SequenceNode):
            return Tree([self.read(item, depth + 1) for item in node.value], place, mark=mark)
        return Tree(_scalar(node, place), place, mark=mark)

    def _place(self, node: yaml.Node) -> Place:
        return Place(self._name, node.start_mark.line + 1, node.start_mark.column + 1)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Tree]:
        own: dict[str, Tree] = {}
        merged: dict[str, Tree] = {}
        for key_node, value_node in node.value:
            place = self._place(key_node)
            if key_node.tag == _PLAIN and key_node.value == _MERGE_KEY:
                self._merge(merged, self.read(value_node, depth + 1))
                continue
            key = self._key(key_node)
            if key in own:
                raise InvalidArgument(f'{place}: "{key}" stands twice, first at line {_line(own[key])}')
            value = self.read(value_node, depth + 1)
            own[key] = Tree(value.value, value.place, place, value.mark)
        return {**merged, **own}

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode) or not isinstance(_scalar(node, self._place(node)), str):
            shown = node.value if isinstance(node, yaml.ScalarNode) else "a list or mapping"
            raise InvalidArgument(f'{self._place(node)}: the key {shown} is no text; write "{shown}"')
        return str(node.value)

    def _merge(self, merged: dict[str, Tree], source: Tree) -> None:
        """Take in what `<<` names; of several the first one counts."""
        for one in source.items or [source]:
            if not isinstance(one.value, dict):
                raise one.problem("<< takes a mapping, or a list of mappings")
            for key, value in one.value.items():
                merged.setdefault(key, value)


def _line(tree: Tree) -> int:
    return (tree.key_place or tree.place).line


def _scalar(node: yaml.ScalarNode, place: Place) -> Scalar:
    text = str(node.value)
    if _HALF.search(text):
        raise InvalidArgument(f"{place}: {text!a} has half a character: write the whole one")
    is_quoted = node.style is not None and (node.tag in _MARKS or node.tag == _PLAIN)
    return text if node.tag in {_STRING, "!"} or is_quoted else read_scalar(text)


def read_scalar(text: str) -> Scalar:
    """Return what a word without quotes means."""
    if text in _WORDS:
        return _WORDS[text]
    if _DECIMAL.fullmatch(text):
        return _bounded(text, text, 10)
    for pattern, base in _BASES:
        if match := pattern.fullmatch(text):
            return _bounded(text, match[1], base)
    if _FLOAT.fullmatch(text):
        return float(text)
    return text


def _bounded(text: str, digits: str, base: int) -> Scalar:
    """Return a number of 64 bits; a larger one stays text, as whoever wrote so many digits may mean it."""
    number = int(digits, base) if len(digits) < 100 else 1 << 64
    return number if -(1 << 63) <= number < 1 << 64 else text
