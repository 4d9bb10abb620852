"""What docs/consensus.md promises is tested by tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"`(test_\w+)`")


def test_every_test_that_is_named_exists() -> None:
    named = set(NAME.findall((ROOT / "docs" / "consensus.md").read_text()))
    sources = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    defined = set(re.findall(r"def (test_\w+)\(", sources))
    assert len(named) > 50
    assert sorted(named - defined) == []


def test_every_statement_names_a_test() -> None:
    rows = [
        line for line in (ROOT / "docs" / "consensus.md").read_text().splitlines() if line.startswith("| ")
    ]
    statements = [row for row in rows if not row.startswith("| statement ")]
    assert [row for row in statements if not NAME.search(row) and "simulation" not in row] == []
