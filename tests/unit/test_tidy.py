"""Files and functions stay small enough to be read at once."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
GENERATED = ROOT / "swarm" / "api" / "v1"


def sources() -> Iterator[Path]:
    for path in sorted((ROOT / "swarm").rglob("*.py")):
        if not path.is_relative_to(GENERATED):
            yield path


def test_no_file_is_too_long() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in sources()}
    assert lengths, "found no sources: wrong folder?"
    assert {name: length for name, length in lengths.items() if length > FILE_LINES_MAX} == {}


def test_no_function_is_too_long() -> None:
    too_long = {}
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    too_long[f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"] = length
    assert too_long == {}


def test_no_file_has_a_name_that_says_nothing() -> None:
    empty_names = {"utils", "util", "common", "helpers", "helper", "misc"}
    assert [str(path.relative_to(ROOT)) for path in sources() if path.stem in empty_names] == []
