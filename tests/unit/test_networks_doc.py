"""The table of networks in the documentation is that of the integration tests."""

from pathlib import Path

from tests.integration.cluster.kinds import kinds, table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operations" / "networks.md"


def test_the_table_in_the_documentation_is_that_of_the_tests() -> None:
    assert f"\n\n{table()}\n\n" in PAGE.read_text()


def test_no_row_is_there_twice() -> None:
    rows = [str(kind) for kind in kinds()]
    assert len(rows) == len(set(rows)) > 100
