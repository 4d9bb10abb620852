"""The table of behaviours names tests that exist, and leaves no number out."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
TABLE = TESTS.parent / "docs" / "behaviours.md"
BEHAVIOURS = range(1, 80)


def rows() -> dict[int, str]:
    found = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|$", TABLE.read_text(), re.MULTILINE)
    return {int(number): cell for number, cell in found}


def test_names(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


test_names.__test__ = False  # type: ignore[attr-defined]


def test_every_behaviour_has_a_row() -> None:
    assert list(rows()) == list(BEHAVIOURS)


def test_every_test_that_is_named_exists() -> None:
    named = {(number, name) for number, cell in rows().items() for name in re.findall(r"`([^`]+)`", cell)}
    assert named
    missing = [
        f"{number}: {name}"
        for number, name in sorted(named)
        if name.partition("::")[2] not in test_names(TESTS / name.partition("::")[0])
    ]
    assert missing == []


def test_a_behaviour_without_a_test_says_so() -> None:
    untested = {number: cell for number, cell in rows().items() if "`" not in cell}
    assert all(cell == "no test yet" or "not part of this version" in cell for cell in untested.values())
