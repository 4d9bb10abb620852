from pathlib import Path

import pytest

from swarm.dev.logs import read_log


@pytest.mark.parametrize(
    ("tail", "expected"), [(None, b"1\n2\n3\n"), (0, b""), (2, b"2\n3\n"), (9, b"1\n2\n3\n")]
)
def test_a_log_is_read_from_its_beginning_or_its_last_lines(
    tmp_path: Path, tail: int | None, expected: bytes
) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"1\n2\n3\n")
    assert b"".join(read_log(path, follow=False, tail=tail)) == expected


def test_a_node_that_never_started_has_an_empty_log(tmp_path: Path) -> None:
    assert list(read_log(tmp_path / "none", follow=False, tail=None)) == []


def test_following_goes_on_where_the_log_ended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"old\n")
    lines = read_log(path, follow=True, tail=0)
    assert next(lines) == b""
    with path.open("ab") as file:
        file.write(b"new\n")
    assert next(lines) == b"new\n"
